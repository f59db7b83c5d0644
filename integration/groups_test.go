//go:build linux

package integration

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/api"
	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/internal/hatest"
)

func TestGroupsDoNotTouchOneAnother(t *testing.T) {
	t.Parallel()
	core1, core2 := localPair(t)
	s1, s2 := local(t, "s1", ha.Active), local(t, "s2", ha.Standby)
	port := freePort(t)
	f := startFront(t, plan{
		nodes: []node{core1, core2},
		app: []string{
			"group sentry {", "node s1 " + s1.URL(), "node s2 " + s2.URL(),
			"probe {", "interval 200ms", "fast_interval 50ms", "timeout 1s", "}", "}",
		},
		sites: []string{fmt.Sprintf("http://:%d {\n\tbind 127.0.0.1\n\tunderstudy sentry\n}", port)},
	})
	sentry := *f
	sentry.at.site = loopback(port)
	core1.Break(hatest.Frozen) // one group's hang must not hold up the other's probes
	s1.Kill()
	f.expectServing("core2")
	await(t, "s2 serves sentry", func() bool {
		g, err := f.api.Group(context.Background(), "sentry")
		return err == nil && g.Serving == "s2"
	})
	f.expectAllTo("core2")
	sentry.expectAllTo("s2")
	f.wish("hold", api.Body{})
	if g, err := f.api.Group(context.Background(), "sentry"); err != nil || g.Hold != nil || g.Epoch != 2 {
		t.Errorf("the other group is %+v, %v", g, err)
	}
}

// A group that leaves the configuration is not watched any more; when it comes
// back it is where it was.
func TestAGroupThatComesBackIsWhereItWas(t *testing.T) {
	t.Parallel()
	core1, core2 := localPair(t)
	f := startFront(t, plan{nodes: []node{core1, core2}})
	core1.Kill()
	f.expectServing("core2")
	core2.Set(ha.Active)
	core1.Start()
	f.expectRow(row{1, api.Stay, ha.DualActive, "core1", "alarm"})
	u := f.dig()
	if err := f.loadText(fmt.Sprintf("{\n\tadmin unix/%s\n}\n", f.at.admin)); err != nil {
		t.Fatal(err)
	}
	u.expectCut(t) // nobody would know when to cut it
	if groups, err := f.api.Groups(context.Background()); err == nil && len(groups) > 0 {
		t.Errorf("the API still has %d groups", len(groups))
	}
	core1.Forget()
	if within(600*time.Millisecond, func() bool { return len(core1.Probes()) > 1 }) {
		t.Error("core1 is still probed")
	}
	f.reload(f.plan)
	if g := f.expectServing("core2"); g.Epoch != 2 {
		t.Errorf("epoch %d, want 2", g.Epoch)
	}
	f.expectNothing(core1, "core2")
}

func TestRequestsThatWaitSurviveAReload(t *testing.T) {
	t.Parallel()
	f, core1, core2 := missingPrimary(t, "queue_timeout 25s")
	held := []request{bodyPost.request("/", "1"), keyedPost.request("/", "2"), plainGet.request("/", "3"), bodyPut.request("/", "4")}
	waiting := f.sendAll(held)
	awaitFigure(t, f, waitingFigure, float64(len(held)))
	p := f.plan
	p.probe = nil // fall 3 again: now it decides
	if err := f.load(p); err != nil {
		t.Fatal(err)
	}
	f.expectServing("core2")
	answers := collect(t, len(held), waiting)
	f.expectFrom("core2", answers...)
	expectOnce(t, answers, everyKind, core1, core2)
}

// A stream without end through the site is bounded by Caddy's grace_period.
func TestSIGTERMEndsStreamsAfterTheGracePeriod(t *testing.T) {
	t.Parallel()
	core1, core2 := localPair(t)
	f := startFront(t, plan{nodes: []node{core1, core2}, global: []string{"grace_period 500ms"}})
	s := f.open(request{path: hatest.EventsPath + "?every=20ms"})
	s.readLine(t)
	begun := time.Now()
	f.signal(syscall.SIGTERM)
	s.expectCut(t)
	if code := f.end(t); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("it took %s to end", took)
	}
}

//go:build linux

package integration

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/api"
	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/internal/hatest"
)

const waitingFigure = `understudy_requests_waiting{group="mdm"}`

// missingPrimary gives a front that waits for the readings of a dead core1 and
// will not decide for a long time.
func missingPrimary(t *testing.T, site ...string) (f *front, core1, core2 *child) {
	t.Helper()
	core1, core2 = pair(t)
	f = startFront(t, plan{nodes: []node{core1, core2}, site: site, probe: map[string]string{"fall": "1000"}})
	core1.Kill()
	f.expectRow(row{4, api.Wait, ha.Missing, "", ""})
	return f, core1, core2
}

func TestWaitingEndsAtQueueTimeout(t *testing.T) {
	t.Parallel()
	f, _, core2 := missingPrimary(t, "queue_timeout 700ms")
	answers := collect(t, 3, f.sendAll([]request{{method: "POST", body: "x"}, {method: "DELETE"}, {}}))
	f.expectTurnedAway(ha.Missing, answers...)
	for _, a := range answers {
		if a.took() < 600*time.Millisecond || a.took() > 5*time.Second {
			t.Errorf("%s: want after 700 ms", a)
		}
	}
	if core2.Hits() != 0 {
		t.Errorf("core2 got %d requests", core2.Hits())
	}
	awaitFigure(t, f, waitingFigure, 0)
}

func TestNothingWaitsWithQueueTimeoutZero(t *testing.T) {
	t.Parallel()
	f, _, _ := missingPrimary(t, "queue_timeout 0")
	answers := collect(t, 2, f.sendAll([]request{{method: "POST", body: "x"}, {}}))
	f.expectTurnedAway(ha.Missing, answers...)
	for _, a := range answers {
		if a.took() > time.Second {
			t.Errorf("%s: want at once", a)
		}
	}
}

func TestNotMoreWaitThanQueueMax(t *testing.T) {
	t.Parallel()
	f, core1, _ := missingPrimary(t, "queue_max 3", "queue_timeout 25s")
	var posts []request
	for i := range 8 {
		posts = append(posts, bodyPost.request("/", fmt.Sprint(i)))
	}
	answers := f.sendAll(posts)
	f.expectTurnedAway(ha.Missing, collect(t, 5, answers)...)
	awaitFigure(t, f, waitingFigure, 3)
	core1.Start()
	f.expectFrom("core1", collect(t, 3, answers)...)
	awaitFigure(t, f, waitingFigure, 0)
	if turned, _ := figure(f, "/understudy/metrics", `understudy_turned_away_total{group="mdm"}`); turned != 5 {
		t.Errorf("%g are counted as turned away, want 5", turned)
	}
}

func TestAClientThatGivesUpLeavesTheQueue(t *testing.T) {
	t.Parallel()
	f, core1, core2 := missingPrimary(t, "queue_timeout 25s")
	ctx, giveUp := context.WithCancel(context.Background())
	var leave []request
	for _, k := range everyKind { // with a body too: net/http would not notice before it is read
		r := k.request("/", "gone")
		r.ctx = ctx
		leave = append(leave, r)
	}
	gone := f.sendAll(leave)
	stays := f.send(request{method: "POST", body: "I wait", id: "stays"})
	awaitFigure(t, f, waitingFigure, float64(len(leave)+1))
	giveUp()
	for _, a := range collect(t, len(leave), gone) {
		if a.err == nil {
			t.Errorf("a client that gave up got %s", a)
		}
	}
	awaitFigure(t, f, waitingFigure, 1)
	core1.Start()
	f.expectFrom("core1", <-stays)
	for _, r := range leave {
		if n := core1.IDs("")[r.id] + core2.IDs("")[r.id]; n != 0 {
			t.Errorf("%s of a client that gave up reached nodes %d times", r.id, n)
		}
	}
}

func TestAllWhoWaitAreReleasedTogether(t *testing.T) {
	t.Parallel()
	core1, core2 := pair(t)
	f := startFront(t, plan{nodes: []node{core1, core2}, probe: map[string]string{"fall": "30"}})
	core1.Kill()
	f.expectRow(row{4, api.Wait, ha.Missing, "", ""})
	const many = 200
	var posts []request
	for i := range many {
		posts = append(posts, bodyPost.request("/", fmt.Sprint(i)))
	}
	answers := collect(t, many, f.sendAll(posts))
	g := f.expectServing("core2")
	f.expectFrom("core2", answers...)
	expectOnce(t, answers, everyKind, core1, core2)
	early, late := 0, time.Duration(0)
	for _, a := range answers {
		if a.end.Before(g.Changed.At) {
			early++
		}
		late = max(late, a.end.Sub(g.Changed.At))
	}
	if early > 0 {
		t.Errorf("%d POSTs were answered before the decision", early)
	}
	t.Logf("the last of %d waiting POSTs was answered %s after the decision", many, late.Round(time.Millisecond))
}

// A node that takes over may say so on its pages before its application takes
// connections.
func TestANewNodeThatStillStartsIsWaitedFor(t *testing.T) {
	t.Parallel()
	core1, core2 := pair(t)
	app := local(t, "app2", ha.Active)
	app.Break(hatest.Refuse)
	f := startFront(t, plan{nodes: []node{core1, core2}, url: map[string]string{"core2": app.URL()}})
	core1.Kill()
	f.expectServing("core2")
	waiting := f.sendAll([]request{{}, {method: "POST", body: "x"}, {method: "DELETE"}})
	f.await("the decision is over", func(g api.Group) bool { return g.Decision.Row == 3 })
	app.Mend()
	f.expectFrom("app2", collect(t, 3, waiting)...)
	if n := app.Hits(); n != 3 {
		t.Errorf("app2 got %d requests, want 3", n)
	}
}

func TestNotMoreThanQueueMaxWaitForANewNodeThatStillStarts(t *testing.T) {
	t.Parallel()
	core1, core2 := pair(t)
	app := local(t, "app2", ha.Active)
	app.Break(hatest.Refuse)
	f := startFront(t, plan{
		nodes: []node{core1, core2}, url: map[string]string{"core2": app.URL()}, site: []string{"queue_max 3", "queue_timeout 25s"},
	})
	core1.Kill()
	f.expectServing("core2")
	f.await("the decision is over", func(g api.Group) bool { return g.Decision.Row == 3 })
	var posts []request
	for i := range 8 {
		posts = append(posts, bodyPost.request("/", fmt.Sprint(i)))
	}
	answers := f.sendAll(posts)
	f.expectTurnedAway(ha.Starting, collect(t, 5, answers)...)
	awaitFigure(t, f, waitingFigure, 3)
	app.Mend()
	f.expectFrom("app2", collect(t, 3, answers)...)
	awaitFigure(t, f, waitingFigure, 0)
	if n := app.Hits(); n != 3 {
		t.Errorf("app2 got %d requests, want 3", n)
	}
}

func TestANewNodeThatNeverStartsIsGivenUpAtQueueTimeout(t *testing.T) {
	t.Parallel()
	core1, core2 := pair(t)
	app := local(t, "app2", ha.Active)
	app.Break(hatest.Refuse)
	f := startFront(t, plan{
		nodes: []node{core1, core2}, url: map[string]string{"core2": app.URL()}, site: []string{"queue_timeout 1s"},
	})
	core1.Kill()
	f.expectServing("core2")
	a := f.get()
	f.expectTurnedAway(ha.Starting, a)
	if a.took() < 800*time.Millisecond {
		t.Errorf("got %s, want 503 after about a second", a)
	}
	if a.took() > 5*time.Second {
		t.Errorf("%s: queue_timeout is 1s", a)
	}
}

func TestEveryoneIsGivenUpAtQueueTimeoutWhenTheNewNodeNeverStarts(t *testing.T) {
	t.Parallel()
	core1, core2 := pair(t)
	app := local(t, "app2", ha.Active)
	app.Break(hatest.Refuse)
	f := startFront(t, plan{
		nodes: []node{core1, core2}, url: map[string]string{"core2": app.URL()}, site: []string{"queue_timeout 2s"},
	})
	core1.Kill()
	f.expectServing("core2")
	const many = 150 // more than may dial at once
	var gets []request
	for i := range many {
		gets = append(gets, plainGet.request("/", fmt.Sprint(i)))
	}
	for _, a := range collect(t, many, f.sendAll(gets)) {
		if a.status != 503 || a.took() > 6*time.Second {
			t.Errorf("got %s, want 503 after about 2 s", a)
		}
	}
}

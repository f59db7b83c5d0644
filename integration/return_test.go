//go:build linux

package integration

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/api"
	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/internal/hatest"
)

// The heart of it: after a failover nothing moves traffic up the order but a
// person, and only when it is safe.

// failedOver gives a front whose traffic is on core2, because core1's process
// was killed.
func failedOver(t *testing.T, p plan) (f *front, core1, core2 *child) {
	t.Helper()
	core1, core2 = pair(t)
	p.nodes = []node{core1, core2}
	f = startFront(t, p)
	core1.Kill()
	f.expectServing("core2")
	return f, core1, core2
}

// expectNothing sends many requests and checks that a node got none of them.
func (f *front) expectNothing(idle node, serving string) {
	f.t.Helper()
	before := idle.Hits()
	for range 20 {
		f.expectFrom(serving, f.get(), f.post())
	}
	if got := idle.Hits() - before; got != 0 {
		f.t.Errorf("%s got %d requests, want none", idle.Name(), got)
	}
}

func TestAPrimaryThatReturnsActiveGetsNothing(t *testing.T) {
	t.Parallel()
	f, core1, core2 := failedOver(t, plan{})
	core2.Set(ha.Active) // it was promoted
	core1.Start()        // and core1 believes that it still is the Primary
	g := f.expectRow(row{1, api.Stay, ha.DualActive, "core1", "alarm"})
	if g.Serving != "core2" || g.Epoch != 2 {
		t.Errorf("%s serves in epoch %d, want core2 in epoch 2", g.Serving, g.Epoch)
	}
	f.expectNothing(core1, "core2")
	f.await("core1 is read often enough", func(g api.Group) bool { n, _ := g.Node("core1"); return n.Passes > g.Rules.Rise })
	f.expectRefusal("resume", api.Body{}, ha.DualActive)
	f.expectRefusal("switch", api.Body{To: "core1"}, ha.DualActive)
	f.expectNothing(core1, "core2")
}

func TestAPrimaryThatReturnsAsStandbyGetsNothing(t *testing.T) {
	t.Parallel()
	f, core1, core2 := failedOver(t, plan{})
	core2.Set(ha.Active)
	core1.Set(ha.Standby)
	core1.Start()
	f.awaitNode("core1", api.Standby)
	f.expectRow(row{3, api.Stay, ha.Serving, "", ""})
	f.expectNothing(core1, "core2")
	f.await("core1 is read often enough", func(g api.Group) bool { n, _ := g.Node("core1"); return n.Passes > g.Rules.Rise })
	f.expectRefusal("resume", api.Body{}, ha.NeedsSwap)
	f.expectNothing(core1, "core2")
}

func TestTrafficResumesAfterTheRolesWereSwapped(t *testing.T) {
	t.Parallel()
	f, core1, core2 := failedOver(t, plan{})
	core2.Set(ha.Active)
	core1.Set(ha.Standby)
	core1.Start()
	f.awaitNode("core1", api.Standby)
	core2.Set(ha.Standby) // first down, then up
	core1.Set(ha.Active)
	f.await("both have been read in their new roles often enough", func(g api.Group) bool {
		one, _ := g.Node("core1")
		two, _ := g.Node("core2")
		return one.State == api.Active && two.State == api.Standby && one.Passes > g.Rules.Rise
	})
	f.expectNothing(core1, "core2") // not by itself even now
	if dry := f.wish("resume", api.Body{DryRun: true}); dry.Change.Serving != "core1" {
		t.Errorf("a dry run says %q, want core1", dry.Change.Serving)
	}
	f.expectNothing(core1, "core2")
	o := f.wish("resume", api.Body{Reason: "roles are swapped"})
	if o.Change.From != "core2" || o.Change.Cause != ha.Resumed || o.Change.Actor != "storyteller" || !o.Change.Claimed || o.Change.Reason != "roles are swapped" {
		t.Errorf("the outcome is %+v", o.Change)
	}
	f.expectServing("core1")
	f.expectNothing(core2, "core1")
	if g := f.expectRow(row{3, api.Stay, ha.Serving, "", ""}); !g.Armed {
		t.Errorf("not armed after the way back: %s", g.ArmedWhy)
	}
}

func TestResumeWantsEnoughGoodReadings(t *testing.T) {
	t.Parallel()
	f, core1, core2 := failedOver(t, plan{probe: map[string]string{"rise": "1000"}})
	core2.Kill() // so that nothing else is in the way
	core1.Start()
	f.awaitNode("core1", api.Active)
	f.expectRefusal("resume", api.Body{}, ha.NotReady)
	f.wish("resume", api.Body{Force: true})
	g := f.expectServing("core1")
	if !g.Changed.Forced {
		t.Error("the force is not recorded")
	}
	if last := f.history()[2]; !last.Forced || last.Reason == "" || last.Cause != ha.Resumed {
		t.Errorf("the history says %+v", last)
	}
	f.expectAllTo("core1")
}

func TestAReorderAsksTheRightNodeForTheRightPage(t *testing.T) {
	t.Parallel()
	core1, core2 := localPair(t)
	p := plan{nodes: []node{core1, core2}}
	f := startFront(t, p)
	core1.Kill()
	f.expectServing("core2")
	core2.Set(ha.Active)
	core1.Set(ha.Standby)
	core1.Start()
	f.awaitNode("core1", api.Standby)
	f.wish("reorder", api.Body{Order: []string{"core2", "core1"}})
	g := f.await("the new order is armed", func(g api.Group) bool { return g.Armed })
	if !slices.Equal(g.Order, []string{"core2", "core1"}) || g.Serving != "core2" || g.ArmedTo != "core1" {
		t.Errorf("order %v, serving %s, armed to %s", g.Order, g.Serving, g.ArmedTo)
	}
	core1.Forget()
	core2.Forget()
	awaitPages(t, core1, "/hastatus.html")
	awaitPages(t, core2, "/status/status.html")
	f.reload(p) // which still says core1, core2
	f.kill()
	f.start()
	if g := f.group(); !slices.Equal(g.Order, []string{"core2", "core1"}) {
		t.Errorf("after reload and restart the order is %v", g.Order)
	}
	core2.Kill() // and now it fails over the other way
	f.expectServing("core1")
	f.expectAllTo("core1")
}

// awaitPages waits for three probes and checks that each asked for the page.
func awaitPages(t *testing.T, n *hatest.Node, path string) {
	t.Helper()
	await(t, n.Name()+" is probed", func() bool { return len(n.Probes()) >= 3 })
	for _, p := range n.Probes() {
		if p.Path != path {
			t.Errorf("%s was asked for %s, want %s only", n.Name(), p.Path, path)
		}
	}
}

func TestAHoldIsReleased(t *testing.T) {
	t.Parallel()
	core1, core2 := pair(t)
	f := startFront(t, plan{nodes: []node{core1, core2}})
	f.wish("hold", api.Body{Reason: "upgrade", For: "1h", Owner: "run 7"})
	g := f.group()
	if g.Hold == nil || g.Hold.Owner != "run 7" || g.Hold.Reason != "upgrade" || g.Hold.Until.IsZero() || g.Armed {
		t.Errorf("hold %+v, armed %t", g.Hold, g.Armed)
	}
	f.expectAllTo("core1")
	f.expectRefusal("switch", api.Body{To: "core2"}, ha.Held)
	f.expectRefusal("hold", api.Body{Owner: "alice"}, ha.Held)
	core1.Kill()
	f.expectRow(row{5, api.Wait, ha.Held, "", "alarm"})
	f.wish("release", api.Body{})
	f.expectServing("core2")
	f.expectAllTo("core2")
	want := []string{"1 started core1", "2 held_by core1", "3 released core1", "4 failed_over core2"}
	if got := causes(f.history()); !slices.Equal(got, want) {
		t.Errorf("the history is %q, want %q", got, want)
	}
	f.expectRefusal("release", api.Body{}, ha.NotHeld)
}

func TestAnOverdueHoldAlarmsAndStays(t *testing.T) {
	t.Parallel()
	core1, core2 := pair(t)
	f := startFront(t, plan{nodes: []node{core1, core2}})
	f.wish("hold", api.Body{For: "300ms"})
	f.await("the hold is overdue", func(g api.Group) bool { return slices.Contains(g.Alarms, string(ha.Overdue)) })
	core1.Kill()
	g := f.expectRow(row{5, api.Wait, ha.Held, "", "alarm"})
	if g.Serving != "core1" || g.Hold == nil || !g.Hold.Overdue {
		t.Errorf("%s serves, hold %+v; want core1 and the hold", g.Serving, g.Hold)
	}
}

func TestAPersonSwitchesToAManualNode(t *testing.T) {
	t.Parallel()
	core1, core2 := pair(t)
	dr1 := newChild(t, "dr1", ha.Standby)
	f := startFront(t, plan{nodes: []node{core1, core2, dr1}, manual: []string{"dr1"}})
	f.await("dr1 is read often enough", func(g api.Group) bool { n, _ := g.Node("dr1"); return n.Passes > g.Rules.Rise })
	f.expectRefusal("switch", api.Body{To: "dr1"}, ha.NeedsSwap)
	f.expectRefusal("switch", api.Body{To: "core9"}, ha.BadWish)
	f.expectRefusal("switch", api.Body{To: "core1"}, ha.AlreadyServing)
	f.expectRefusal("switch", api.Body{To: "dr1", Epoch: 99}, ha.StaleEpoch)
	f.wish("switch", api.Body{To: "dr1", Force: true, Reason: "the main site burns"})
	f.expectServing("dr1")
	f.expectAllTo("dr1")
	core1.Kill()
	core2.Kill()
	f.expectNothing(core1, "dr1")
}

func TestAFlappingPrimaryMovesTrafficOnce(t *testing.T) {
	t.Parallel()
	core1, core2 := localPair(t)
	f := startFront(t, plan{nodes: []node{core1, core2}})
	for range 5 {
		core1.Kill()
		f.awaitNode("core1", api.NotAvailable)
		f.expectServing("core2")
		core2.Set(ha.Active)
		core1.Start()
		f.awaitNode("core1", api.Active)
	}
	if got, want := causes(f.history()), []string{"1 started core1", "2 failed_over core2"}; !slices.Equal(got, want) {
		t.Errorf("the history is %q, want %q", got, want)
	}
}

func TestIsolatedMissesMoveNothing(t *testing.T) {
	t.Parallel()
	core1, core2 := localPair(t)
	f := startFront(t, plan{nodes: []node{core1, core2}, probe: map[string]string{"fall": "1000"}})
	for range 5 {
		core1.BreakWith(hatest.Breakage{Fault: hatest.Reset, On: hatest.Pages})
		f.expectRow(row{4, api.Wait, ha.Missing, "", ""})
		core1.Mend()
		f.expectRow(row{3, api.Stay, ha.Serving, "", ""})
	}
	if g := f.group(); g.Serving != "core1" || g.Epoch != 1 {
		t.Errorf("%s serves in epoch %d, want core1 in epoch 1", g.Serving, g.Epoch)
	}
}

func TestThePeoplesCommandsTellAndRefuse(t *testing.T) {
	t.Parallel()
	f, core1, core2 := failedOver(t, plan{})
	core2.Set(ha.Active)
	core1.Start()
	f.expectRow(row{1, api.Stay, ha.DualActive, "core1", "alarm"})
	f.await("core1 is read often enough", func(g api.Group) bool { n, _ := g.Node("core1"); return n.Passes > g.Rules.Rise })
	sock := filepath.Clean(f.at.admin)
	if said, code := tool(t, "status", "mdm", "--check", "--api", sock); code != 4 || !strings.Contains(said, "core2") {
		t.Errorf("status --check: exit code %d, want 4:\n%s", code, said)
	}
	if said, code := tool(t, "why", "mdm", "--api", sock); code != 0 || !strings.Contains(said, "dual_active") {
		t.Errorf("why: exit code %d, want 0 and dual_active:\n%s", code, said)
	}
	said, code := tool(t, "resume", "mdm", "--reason", "too early", "--api", sock)
	if code != 4 || !strings.Contains(said, "both read Active") {
		t.Errorf("resume: exit code %d, want 4 and the fact:\n%s", code, said)
	}
	f.wish("hold", api.Body{})
	if said, code := tool(t, "release", "mdm", "--reason", "go on", "--api", sock); code != 0 {
		t.Errorf("release: exit code %d:\n%s", code, said)
	}
	said, code = tool(t, "history", "mdm", "--api", sock)
	if code != 0 || !strings.Contains(said, "failed_over") || !strings.Contains(said, "go on") {
		t.Errorf("history: exit code %d:\n%s", code, said)
	}
}

func TestTheEventsTellEveryChangeInOrder(t *testing.T) {
	t.Parallel()
	core1, core2 := pair(t)
	f := startFront(t, plan{nodes: []node{core1, core2}})
	events := f.follow()
	core1.Kill()
	g := events.await(t, func(g api.Group) bool { return g.Serving == "core2" })
	if lag := time.Since(g.At); lag > 5*time.Second {
		t.Errorf("the event came %s after the change", lag)
	}
	f.wish("hold", api.Body{})
	events.await(t, func(g api.Group) bool { return g.Hold != nil && g.Epoch == 3 })
}

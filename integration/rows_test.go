//go:build linux

package integration

import (
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/api"
	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/internal/hatest"
)

// The rows of the truth table (docs/explanation/the-rule.md), each as a story.

func TestRow0NobodyServesBeforeEveryNodeHasBeenRead(t *testing.T) {
	t.Parallel()
	core1, core2 := localPair(t)
	core2.Break(hatest.Frozen)
	f := newFront(t, plan{nodes: []node{core1, core2}, probe: map[string]string{"timeout": "20s"}})
	f.start()
	g := f.expectRow(row{0, api.Wait, ha.Starting, "", ""})
	if g.Queue != "all" || g.Serving != "" {
		t.Errorf("queue %q, serving %q; want all and nobody", g.Queue, g.Serving)
	}
	f.expectRefusal("resume", api.Body{}, ha.Starting)
	waits := f.send(request{})
	awaitFigure(t, f, `understudy_requests_waiting{group="mdm"}`, 1)
	core2.Mend()
	f.expectServing("core1")
	f.expectFrom("core1", <-waits)
}

func TestRow0TheOnlyActiveNodeIsAdopted(t *testing.T) {
	t.Parallel()
	core1, core2 := pair(t)
	core1.Kill()
	core2.Set(ha.Active)
	f := startFront(t, plan{nodes: []node{core1, core2}})
	g := f.expectServing("core2")
	if g.Changed.Cause != ha.Adopted {
		t.Errorf("cause %q, want adopted", g.Changed.Cause)
	}
	f.expectAllTo("core2")
}

func TestRow0OfTwoActiveNodesNoneIsGuessed(t *testing.T) {
	t.Parallel()
	core1, core2 := pair(t)
	core2.Set(ha.Active)
	f := newFront(t, plan{nodes: []node{core1, core2}})
	f.start()
	g := f.expectRow(row{0, api.Wait, ha.Unknown, "", "alarm"})
	if g.Hold == nil || g.Serving != "" || g.Target != "" {
		t.Errorf("hold %v, serving %q, target %q; want a hold and nobody", g.Hold, g.Serving, g.Target)
	}
	f.expectTurnedAway(ha.Unknown, f.get(), f.post())
	f.expectRefusal("resume", api.Body{}, ha.Unknown)
	f.expectRefusal("switch", api.Body{To: "core2"}, ha.Unknown)
	f.expectRefusal("release", api.Body{}, ha.Unknown)
	f.expectRefusal("hold", api.Body{}, ha.Unknown)
	f.wish("switch", api.Body{To: "core2", Force: true})
	if g := f.expectServing("core2"); g.Hold != nil || !g.Changed.Forced {
		t.Errorf("hold %v, forced %t; want it released and the force recorded", g.Hold, g.Changed.Forced)
	}
	f.expectAllTo("core2")
	if core1.Hits() != 0 {
		t.Errorf("core1 got %d requests", core1.Hits())
	}
}

func TestRow0OfTwoActiveNodesTheLaterPromotedServes(t *testing.T) {
	t.Parallel()
	core1, core2 := pair(t)
	core1.SetEpoch(4)
	core2.SetEpoch(5)
	core2.Set(ha.Active)
	f := startFront(t, plan{nodes: []node{core1, core2}})
	f.expectServing("core2")
	f.expectRow(row{1, api.Stay, ha.DualActive, "core1", "alarm"})
	f.expectAllTo("core2")
}

func TestRow1AnotherActiveNodeAlarmsAndMovesNothing(t *testing.T) {
	t.Parallel()
	core1, core2 := pair(t)
	f := startFront(t, plan{nodes: []node{core1, core2}})
	core2.Set(ha.Active)
	f.expectRow(row{1, api.Stay, ha.DualActive, "core2", "alarm"})
	f.expectAllTo("core1")
	core2.Set(ha.Standby)
	f.expectRow(row{3, api.Stay, ha.Serving, "", ""})
}

func TestRow2AServingNodeThatIsNotPromotedAlarms(t *testing.T) {
	t.Parallel()
	core1, core2 := pair(t)
	f := startFront(t, plan{nodes: []node{core1, core2}, group: []string{"promotion_time 1s"}})
	core1.Kill()
	f.expectServing("core2") // and it stays in Standby
	f.expectRow(row{2, api.Stay, ha.Unpromoted, "", "alarm"})
	f.expectAllTo("core2")
	core2.Set(ha.Active)
	f.expectRow(row{3, api.Stay, ha.Serving, "", ""})
}

func TestRow3AHealthyServingNodeGetsEverything(t *testing.T) {
	t.Parallel()
	core1, core2 := pair(t)
	f := startFront(t, plan{nodes: []node{core1, core2}})
	g := f.expectRow(row{3, api.Stay, ha.Serving, "", ""})
	if !g.Armed || g.ArmedTo != "core2" || g.Epoch != 1 {
		t.Errorf("armed %t to %q, epoch %d; want armed to core2 in epoch 1", g.Armed, g.ArmedTo, g.Epoch)
	}
	f.expectAllTo("core1")
	if core2.Hits() != 0 {
		t.Errorf("core2 got %d requests", core2.Hits())
	}
}

func TestRow4MissedReadingsAreWaitedFor(t *testing.T) {
	t.Parallel()
	core1, core2 := pair(t)
	f := startFront(t, plan{nodes: []node{core1, core2}, probe: map[string]string{"fall": "600"}})
	core1.Kill()
	post := f.send(request{method: "POST", body: "wait for me"})
	get := f.send(request{})
	g := f.expectRow(row{4, api.Wait, ha.Missing, "", ""})
	if g.Queue != "unsafe" {
		t.Errorf("queue %q, want unsafe", g.Queue)
	}
	awaitFigure(t, f, `understudy_requests_waiting{group="mdm"}`, 2)
	core1.Start()
	f.expectRow(row{3, api.Stay, ha.Serving, "", ""})
	f.expectFrom("core1", <-post, <-get)
}

func TestRow5AHoldKeepsTrafficOnADeadNode(t *testing.T) {
	t.Parallel()
	core1, core2 := pair(t)
	f := startFront(t, plan{nodes: []node{core1, core2}})
	f.wish("hold", api.Body{})
	core1.Kill()
	g := f.expectRow(row{5, api.Wait, ha.Held, "", "alarm"})
	if g.Armed || g.ArmedWhy != ha.Held {
		t.Errorf("armed %t, why %q; want not, for it is held", g.Armed, g.ArmedWhy)
	}
	f.expectTurnedAway(ha.Held, f.get(), f.post())
	if core2.Hits() != 0 {
		t.Errorf("core2 got %d requests", core2.Hits())
	}
}

func TestRow5AnAnnouncedOutageCallsNobodyUntilItsTimeIsOver(t *testing.T) {
	t.Parallel()
	core1, core2 := pair(t)
	f := startFront(t, plan{nodes: []node{core1, core2}})
	f.wish("hold", api.Body{Owner: "run-17", Outage: time.Now().Add(time.Hour)})
	since := f.group().Hold.Since
	core1.Kill()
	g := f.expectRow(row{5, api.Wait, ha.Held, "", ""})
	if len(g.Alarms) > 0 || api.Because(g) != "core1 is down, as run-17 has announced." {
		t.Errorf("alarms %v, %q; want none", g.Alarms, api.Because(g))
	}
	f.expectTurnedAway(ha.Held, f.get(), f.post())
	end := time.Now().Add(time.Second)
	f.wish("hold", api.Body{Owner: "run-17", Outage: end})
	g = f.expectRow(row{5, api.Wait, ha.Held, "", "alarm"})
	if time.Now().Before(end) {
		t.Errorf("it alarms %v before its time is over", time.Until(end))
	}
	if !g.Hold.Since.Equal(since) {
		t.Errorf("held since %v, want %v", g.Hold.Since, since)
	}
	core1.Start()
	f.expectRow(row{3, api.Stay, ha.Serving, "", ""})
}

func TestRow6BehindTheLastNodeThereIsNobody(t *testing.T) {
	t.Parallel()
	core1, core2 := pair(t)
	f := startFront(t, plan{nodes: []node{core1, core2}})
	core1.Kill()
	f.expectServing("core2")
	core1.Start() // healthy again, but before core2 in order
	f.awaitNode("core1", api.Active)
	core2.Kill()
	f.expectRow(row{6, api.Wait, ha.LastInOrder, "", "alarm"})
	f.expectTurnedAway(ha.LastInOrder, f.get(), f.post())
	if core1.Hits() != 0 {
		t.Errorf("the stale Primary got %d requests", core1.Hits())
	}
}

func TestRow7TheReadyNextNodeTakesOver(t *testing.T) {
	t.Parallel()
	core1, core2 := pair(t)
	f := startFront(t, plan{nodes: []node{core1, core2}})
	core1.Kill()
	g := f.expectServing("core2")
	if g.Changed.Cause != ha.FailedOver || g.Changed.Actor != "" || g.Epoch != 2 {
		t.Errorf("cause %q by %q in epoch %d; want failed_over by the rule in epoch 2", g.Changed.Cause, g.Changed.Actor, g.Epoch)
	}
	f.expectAllTo("core2")
	last := f.history()[1]
	if last.From != "core1" || len(last.Evidence) != 2 {
		t.Errorf("the history says from %q with %d readings; want core1 and both nodes' readings", last.From, len(last.Evidence))
	}
}

func TestRow8AManualNextNodeNeedsAPerson(t *testing.T) {
	t.Parallel()
	core1, core2 := pair(t)
	f := startFront(t, plan{nodes: []node{core1, core2}, manual: []string{"core2"}})
	core1.Kill()
	f.expectRow(row{8, api.Wait, ha.NeedsOperator, "core2", "alarm"})
	f.expectTurnedAway(ha.NeedsOperator, f.get(), f.post())
	f.await("core2 is read often enough", func(g api.Group) bool { n, _ := g.Node("core2"); return n.Passes >= 2 })
	f.wish("switch", api.Body{To: "core2"})
	f.expectAllTo("core2")
}

func TestRow9APromotedNodeIsFollowed(t *testing.T) {
	t.Parallel()
	core1, core2 := pair(t)
	f := startFront(t, plan{
		nodes: []node{core1, core2}, group: []string{"on_promoted follow"},
		probe: map[string]string{"fall": "30"},
	})
	core1.Kill()
	f.expectRow(row{4, api.Wait, ha.Missing, "", ""})
	core2.Set(ha.Active) // by its own heartbeat, before we have counted
	if g := f.expectServing("core2"); g.Changed.Cause != ha.FollowedPromoted {
		t.Errorf("cause %q, want followed_promotion", g.Changed.Cause)
	}
	f.expectAllTo("core2")
}

func TestRow9AHigherNodeEpochIsProof(t *testing.T) {
	t.Parallel()
	core1, core2 := pair(t)
	core1.SetEpoch(7)
	core2.SetEpoch(7)
	f := startFront(t, plan{nodes: []node{core1, core2}, group: []string{"on_promoted epoch"}, probe: map[string]string{"fall": "30"}})
	f.await("the node epochs are learned", func(g api.Group) bool { n, _ := g.Node("core1"); return n.NodeEpoch == 7 })
	core1.Kill()
	f.expectRow(row{4, api.Wait, ha.Missing, "", ""})
	core2.SetEpoch(8)
	core2.Set(ha.Active)
	if g := f.expectServing("core2"); g.Changed.Cause != ha.FollowedPromoted {
		t.Errorf("cause %q, want followed_promotion", g.Changed.Cause)
	}
	f.expectAllTo("core2")
}

func TestRow10ANodeThatPromotedItselfStrandsTraffic(t *testing.T) {
	t.Parallel()
	core1, core2 := pair(t)
	f := startFront(t, plan{nodes: []node{core1, core2}, probe: map[string]string{"fall": "30"}})
	core1.Kill()
	f.expectRow(row{4, api.Wait, ha.Missing, "", ""})
	core2.Set(ha.Active)
	f.expectRow(row{10, api.Wait, ha.Stranded, "core2", "alarm"})
	f.expectTurnedAway(ha.Stranded, f.get(), f.post())
	if core2.Hits() != 0 {
		t.Errorf("core2 got %d requests", core2.Hits())
	}
	f.wish("switch", api.Body{To: "core2"})
	f.expectAllTo("core2")
}

func TestRow10ALaterNodeThatPromotedItselfStrandsTraffic(t *testing.T) {
	t.Parallel()
	core1, core2 := pair(t)
	dr1 := newChild(t, "dr1", ha.Standby)
	f := startFront(t, plan{nodes: []node{core1, core2, dr1}, group: []string{"on_promoted follow"}, probe: map[string]string{"fall": "30"}})
	core2.Kill()
	f.await("core2 is down", func(g api.Group) bool { n, _ := g.Node("core2"); return !n.DownSince.IsZero() })
	core1.Kill()
	f.expectRow(row{4, api.Wait, ha.Missing, "", ""})
	dr1.Set(ha.Active)
	f.expectRow(row{10, api.Wait, ha.Stranded, "dr1", "alarm"})
	f.expectTurnedAway(ha.Stranded, f.get())
}

func TestRow11ADeadNodeBetweenIsSkipped(t *testing.T) {
	t.Parallel()
	core1, core2 := pair(t)
	dr1 := newChild(t, "dr1", ha.Standby)
	f := startFront(t, plan{nodes: []node{core1, core2, dr1}})
	core2.Kill()
	f.await("core2 is down", func(g api.Group) bool { n, _ := g.Node("core2"); return !n.DownSince.IsZero() })
	core1.Kill()
	if g := f.expectServing("dr1"); g.Changed.Cause != ha.FailedOver {
		t.Errorf("cause %q, want failed_over", g.Changed.Cause)
	}
	f.expectAllTo("dr1")
}

func TestRow12AManualLaterNodeNeedsAPerson(t *testing.T) {
	t.Parallel()
	core1, core2 := pair(t)
	dr1 := newChild(t, "dr1", ha.Standby)
	f := startFront(t, plan{nodes: []node{core1, core2, dr1}, manual: []string{"dr1"}})
	core2.Kill()
	f.await("core2 is down", func(g api.Group) bool { n, _ := g.Node("core2"); return !n.DownSince.IsZero() })
	core1.Kill()
	f.expectRow(row{12, api.Wait, ha.NeedsOperator, "dr1", "alarm"})
	f.expectTurnedAway(ha.NeedsOperator, f.get(), f.post())
	if dr1.Hits() != 0 {
		t.Errorf("dr1 got %d requests", dr1.Hits())
	}
}

func TestRow13WithoutAReadyNodeTrafficStays(t *testing.T) {
	t.Parallel()
	core1, core2 := pair(t)
	f := startFront(t, plan{nodes: []node{core1, core2}})
	core2.Kill()
	f.await("core2 is down", func(g api.Group) bool { n, _ := g.Node("core2"); return !n.DownSince.IsZero() })
	core1.Kill()
	f.expectRow(row{13, api.Wait, ha.NoStandby, "", "alarm"})
	f.expectTurnedAway(ha.NoStandby, f.get(), f.post())
	begun := time.Now()
	core2.Start() // the first Standby reading after core1 went down decides
	f.expectServing("core2")
	t.Logf("core2 serves %s after its process was started", time.Since(begun).Round(time.Millisecond))
	f.expectAllTo("core2")
}

//go:build linux

package integration

import (
	"testing"

	"github.com/understudy-ha/understudy/internal/api"
	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/internal/hatest"
)

// safePair gives two nodes whose pages say profile safe: core1 Active, core2 in
// Standby.
func safePair(t *testing.T) (core1, core2 *hatest.Node) {
	t.Helper()
	core1, core2 = localPair(t)
	for _, n := range []*hatest.Node{core1, core2} {
		n.SetHeader("X-Understudy-Profile", "safe")
	}
	core1.SetEpoch(7)
	return core1, core2
}

// A machine that a hypervisor stopped for a while wakes up, says Active as if
// nothing had been, and answers requests. Its lease is another's by then.
func TestAPrimaryThatStoodStillIsLeftForTheOneThatHoldsTheLease(t *testing.T) {
	t.Parallel()
	core1, core2 := safePair(t)
	f := startFront(t, plan{nodes: []node{core1, core2}})
	f.expectAllTo("core1")
	f.await("its epoch is learned", func(g api.Group) bool { n, _ := g.Node("core1"); return n.NodeEpoch == 7 })
	core2.SetEpoch(9)
	core2.Set(ha.Active)
	if g := f.expectServing("core2"); g.Changed.Cause != ha.FollowedPromoted {
		t.Errorf("cause %q, want followed_promotion", g.Changed.Cause)
	}
	if n := f.awaitCause("core1", ha.Stale); n.State == api.Active {
		t.Errorf("core1 is %s", n.State)
	}
	f.expectRow(row{1, api.Stay, ha.DualActive, "core1", "alarm"})
	f.expectAllTo("core2")

	f.kill() // what it has seen is stored
	core2.Kill()
	f.start()
	f.awaitCause("core1", ha.Stale)
	f.expectRefusal("resume", api.Body{}, ha.NotReady)
	f.wish("resume", api.Body{Force: true})
	f.expectAllTo("core1")
	f.awaitNode("core1", api.Active)
}

func TestAFrontThatWasDownFindsTheHolderOfTheLease(t *testing.T) {
	t.Parallel()
	core1, core2 := safePair(t)
	f := startFront(t, plan{nodes: []node{core1, core2}})
	f.await("its epoch is learned", func(g api.Group) bool { n, _ := g.Node("core1"); return n.NodeEpoch == 7 })
	f.kill()
	core1.Kill()
	core2.SetEpoch(9)
	core2.Set(ha.Active)
	f.start()
	if g := f.expectServing("core2"); g.Changed.Cause != ha.FollowedPromoted {
		t.Errorf("cause %q, want followed_promotion", g.Changed.Cause)
	}
	f.expectAllTo("core2")
	core1.Start()
	f.awaitCause("core1", ha.Stale)
	f.expectAllTo("core2")
}

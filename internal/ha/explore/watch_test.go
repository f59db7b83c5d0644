package explore

import (
	"fmt"

	"github.com/understudy-ha/understudy/internal/ha"
)

// fail notes the first invariant that is broken.
func (x *walk) fail(invariant, format string, args ...any) {
	if x.wrong == "" {
		x.wrong, x.detail = invariant, fmt.Sprintf(format, args...)
	}
}

// names of the nodes, in order.
var names = [2]string{"P", "S"}

// together is invariant I2: two applications never run at once, not even while
// one stops. What a machine that was frozen does before it looks around cannot
// be seen from inside; that is the fronts' business (I1).
func (x *walk) together() {
	p, s := &x.w.nodes[0], &x.w.nodes[1]
	if x.w.restored || x.documented() && (x.asks(0) || x.asks(1) || x.w.alone) {
		return
	}
	if p.app != stopped && s.app != stopped && !p.frozen && !s.frozen && !p.dazed && !s.dazed {
		x.fail("I2", "two applications run: P %v, S %v", p.m.Phase, s.m.Phase)
	}
}

// asks says whether a node is disabled, or asks whether it may be Active: in
// profile documented an application that ran before runs on until then.
func (x *walk) asks(n uint8) bool {
	p := x.w.nodes[n].m.Phase
	return p == ha.InOff || p == ha.InStarting || p == ha.InGate
}

// documented says whether the nodes have nothing but one another. What a node
// does then while its peer is unreachable, and with High Availability disabled,
// is the guides' own risk: it is said, not prevented.
func (x *walk) documented() bool { return x.mc[0].Profile == ha.Documented }

// open opens a node's door: clients write from now on.
func (x *walk) open(n uint8) {
	w, nd := &x.w, &x.w.nodes[n]
	nd.door = true
	if nd.m.Phase != ha.InActive {
		return // disabled: like a stand-alone server
	}
	epoch := nd.m.Epoch
	switch {
	case nd.disk.Epoch != epoch || nd.disk.Served != epoch:
		x.fail("I4", "%s serves at epoch %d, which is not on its disk", names[n], epoch)
	case w.alone:
	case epoch < w.served, epoch == w.served && (w.last != n+1 || !x.documented()):
		x.fail("I4", "%s serves at epoch %d after %d", names[n], epoch, w.served)
	case nd.stale:
		x.fail("I5", "%s serves again with old data, and no person said so", names[n])
	case nd.app != runs:
		x.fail("I3", "%s opens the door before its application runs", names[n])
	}
	w.served, w.last, w.begun = max(w.served, epoch), n+1, true
	if other := &w.nodes[1-n]; other.disk.Last == ha.Active {
		other.stale = true
	}
}

// count keeps the numbers that the machine keeps too, in another place.
func (x *walk) count(n uint8, e ha.Event) {
	nd := &x.w.nodes[n]
	switch e.On {
	case ha.OnBeatBad:
		nd.failed = min(nd.failed+1, 9)
	case ha.OnBeatGood, ha.OnPeerAsks, ha.OnTilt:
		nd.failed = 0
	case ha.OnModePrimary, ha.OnModeSecondary:
		nd.stale = false
	case ha.OnLeaseRenewed, ha.OnAppStopped:
		nd.dazed = false
	}
}

// judge looks at one step of a node.
func (x *walk) judge(n uint8, before ha.Member, e ha.Event) {
	nd := &x.w.nodes[n]
	m := &nd.m
	if m.Phase == ha.InDeciding && before.Phase != ha.InDeciding &&
		nd.failed < x.mc[n].Failures && e.On != ha.OnTrafficDecided && e.On != ha.OnPeerSays {
		x.fail("I7", "%s decides after %d failed heartbeats", names[n], nd.failed)
	}
	if x.documented() && before.Phase == ha.InGate && m.Phase == ha.InPromoting && !x.w.nodes[1-n].live() {
		x.w.alone = true
	}
	if m.Epoch < before.Epoch && before.Epoch != 0 {
		x.fail("I4", "%s goes back from epoch %d to %d", names[n], before.Epoch, m.Epoch)
	}
	if m.Seen < before.Seen {
		x.fail("I4", "%s forgets epoch %d", names[n], before.Seen)
	}
	if nd.door && (m.Phase == ha.InDemoting && nd.app == stopped) {
		x.fail("door", "%s has its door open in %v", names[n], m.Phase)
	}
	if blocked := before.Blocked && m.Phase == ha.InPromoting && before.Phase != ha.InPromoting && !m.Asked && !m.Returning; blocked && before.Phase == ha.InDeciding {
		x.fail("blocked", "%s promotes itself while automation is blocked", names[n])
	}
}

// look looks at the whole world, after every move.
func (x *walk) look() {
	w := &x.w
	x.together()
	for i := range w.nodes {
		nd, n := &w.nodes[i], uint8(i)
		if nd.door && nd.live() && !nd.dazed && nd.m.Phase == ha.InActive && x.mc[n].Profile == ha.Safe && !w.restored &&
			(w.reg.holder != n+1 || w.reg.attempt != nd.m.Attempt) {
			x.fail("lease", "%s serves without its lease", names[n])
		}
		if nd.door && nd.live() && nd.m.Phase != ha.InActive && nd.m.Phase != ha.InOff {
			x.fail("door", "%s has its door open in %v", names[n], nd.m.Phase)
		}
		if nd.decide > 12 {
			x.fail("I8", "%s decides for ever", names[n])
		}
	}
	f := &w.front
	if to := &w.nodes[f.serving]; f.up && f.misses[f.serving] == 0 && to.door && to.app == runs && !to.frozen {
		other := &w.nodes[1-f.serving]
		if other.door && other.app == runs && !other.frozen && other.m.Epoch > to.m.Epoch && f.epoch[1-f.serving] > to.m.Epoch {
			x.fail("I1", "the front sends clients to %s, and knows of epoch %d", names[f.serving], f.epoch[1-f.serving])
		}
	}
}

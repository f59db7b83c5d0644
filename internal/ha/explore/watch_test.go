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
	if x.documented() {
		x.outdated(n, epoch > w.served)
	}
	w.nodes[0].told, w.nodes[1].told = false, false
	w.served, w.last = max(w.served, epoch), n+1
}

// outdated notes that a node counts as serving, in profile safe from the record
// of it in the register on, even if it dies before it opens its door: what the
// other one has is old then, at a newer epoch, and what a person had told either
// is done.
func (x *walk) outdated(n uint8, newer bool) {
	w := &x.w
	if other := &w.nodes[1-n]; other.disk.Last == ha.Active && newer {
		other.stale = true
	}
	w.nodes[0].told, w.nodes[1].told = false, false
}

// count keeps the numbers that the machine keeps too, in another place.
func (x *walk) count(n uint8, e ha.Event) {
	nd := &x.w.nodes[n]
	switch e.On {
	case ha.OnBeatBad:
		nd.failed = min(nd.failed+1, 9)
		nd.stood = e.Heard && (e.Peer.State == ha.Standby || e.Peer.Coming)
	case ha.OnBeatGood, ha.OnPeerAsks, ha.OnTilt:
		nd.stood = false
		nd.failed = 0
	case ha.OnMajority: // with resume: client_majority they speak for a person
		nd.stale = nd.stale && !x.mc[n].Resume
	case ha.OnEnable: // what a person said of it while it was disabled holds from now on
		nd.stale = nd.stale && (nd.m.Phase != ha.InOff || nd.m.Shown != ha.Secondary)
	case ha.OnDisable:
		x.w.alone = x.w.alone || x.documented() && nd.m.Phase == ha.InActive
	case ha.OnModePrimary, ha.OnModeSecondary:
		if o := &x.w.nodes[1-n].m; e.On == ha.OnModePrimary && x.documented() && (o.Handing || o.Phase != ha.InStandby && o.Phase != ha.InActive) {
			x.w.alone = true // the command crosses the other node's own promotion: the guides do not limit it
		}
		nd.stale = false
		if p := nd.m.Phase; e.On == ha.OnModeSecondary || p != ha.InOff && p != ha.InActive && p != ha.InTaking && p != ha.InPromoting && p != ha.InRecording {
			nd.asked = e.On == ha.OnModePrimary
		}
		nd.told = e.On == ha.OnModeSecondary && (nd.told || nd.m.Phase == ha.InActive)
	case ha.OnLeaseRenewed, ha.OnAppStopped:
		nd.dazed = false
	}
}

// judge looks at one step of a node.
func (x *walk) judge(n uint8, before ha.Member, e ha.Event) {
	nd := &x.w.nodes[n]
	m := &nd.m
	again := before.Phase == ha.InHeld && (m.Phase == ha.InTaking || m.Phase == ha.InFencing)
	if (m.Phase == ha.InDeciding && before.Phase != ha.InDeciding || again) &&
		int(nd.failed) < x.mc[n].Failures && e.On != ha.OnTrafficDecided && !(e.On == ha.OnPeerSays && e.Peer.Yielded) {
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
	if x.documented() && m.Phase == ha.InPromoting && before.Phase != ha.InPromoting && m.Seen < x.w.served && m.Served < x.w.served && !x.w.nodes[1-n].live() {
		x.w.alone = true // it was down when the other served last, and cannot ask
	}
	if p := m.Phase; before.Phase == ha.InWaiting && p != ha.InWaiting && p != ha.InTaking && p != ha.InPromoting {
		nd.asked = false // the wait has ended
	}
	x.byItself(n, before, e)
}

// byItself looks at what a node does without a person.
func (x *walk) byItself(n uint8, before ha.Member, e ha.Event) {
	nd := &x.w.nodes[n]
	m := &nd.m
	if m.Phase == before.Phase || m.Asked {
		return
	}
	begins := m.Phase == ha.InTaking || m.Phase == ha.InPromoting || m.Phase == ha.InWaiting && before.Phase == ha.InDeciding
	pressed := e.On == ha.OnStepDown && !e.Firm && m.Phase == ha.InDemoting
	switch {
	case before.Blocked && (begins && before.Phase != ha.InGate && before.Phase != ha.InStarting && before.Phase != ha.InTaking && before.Phase != ha.InWaiting || pressed):
		x.fail("blocked", "%s moves from %v to %v while automation is blocked", names[n], before.Phase, m.Phase)
	case begins && nd.told && nd.stood && nd.disk.Served >= x.w.nodes[1-n].disk.Served && (before.Phase == ha.InDeciding || before.Phase == ha.InHeld):
		x.fail("told", "%s promotes itself before its peer may, though a person said mode secondary", names[n])
	case pressed && x.w.front.held && !x.w.front.before:
		x.fail("hold", "%s steps down for a front that is held", names[n])
	case pressed && nd.asked:
		x.fail("asked", "%s steps down for what the fronts decided before a person promoted it", names[n])
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
		if p := nd.m.Phase; nd.live() && !nd.disk.Enabled && p != ha.InOff && p != ha.InStarting {
			x.fail("off", "%s is disabled and %v", names[n], p)
		}
		if nd.live() && nd.m.Phase == ha.OutSuperseded && nd.disk.Last != ha.Active {
			x.fail("standby", "%s stood by and is superseded", names[n])
		}
		if nd.decide > 12 {
			x.fail("I8", "%s decides for ever", names[n])
		}
	}
	f := &w.front
	if to := &w.nodes[f.serving]; f.up && f.state[f.serving] == ha.Active && to.door && to.app == runs && !to.frozen {
		other := &w.nodes[1-f.serving]
		if other.door && other.app == runs && !other.frozen && other.m.Epoch > to.m.Epoch && f.epoch[1-f.serving] > to.m.Epoch {
			x.fail("I1", "the front sends clients to %s, and knows of epoch %d", names[f.serving], f.epoch[1-f.serving])
		}
	}
}

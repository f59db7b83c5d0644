package explore

import (
	"github.com/understudy-ha/understudy/internal/ha"
)

// mail is a kind of message that can be late.
type mail uint8

const (
	noMail mail = iota
	mailTake
	mailRenew
	mailRevoke
	mailRecord
	mailRead
	mailTell
	mailStep
	mails
)

// A flaw is what goes wrong within one tick.
type flaw struct {
	kind flawKind
	node uint8
	mail mail
}

type flawKind uint8

const (
	noFlaw      flawKind = iota
	lateRequest          // the next mail of this kind is late
	lateAnswer           // the answer to it is
	dieBefore            // the machine dies before the next persist
	dieAfter             // and after it
)

// toRegister is the address of the register.
const toRegister = 2

// A walk makes moves in a world. It has no state of its own between two moves.
type walk struct {
	w     world
	mc    [2]*ha.Machine
	front *frontRule
	mutant
	pages  bool // the nodes do not trust one another
	queue  []note
	acts   [8][]ha.MemberAct
	flaw   flaw
	event  ha.Event // the one at hand, of the node whose acts are done
	wrong  string   // the invariant that is broken
	detail string
	seen   func(n uint8, phase ha.Phase, acts []ha.MemberAct)
}

// A note is an event on its way to a node's engine, on the same machine or over
// a good network.
type note struct {
	to uint8
	e  ha.Event
}

// tell lets a node hear an event, after everything that is on its way.
func (x *walk) tell(to uint8, e ha.Event) { x.queue = append(x.queue, note{to, e}) }

// settle lets everything arrive that is on its way.
func (x *walk) settle() {
	for i := 0; i < len(x.queue); i++ {
		if i > 400 {
			x.fail("quiet", "the nodes talk for ever")
			break
		}
		n := x.queue[i]
		if x.w.nodes[n.to].live() {
			x.step(n.to, n.e, false)
		}
	}
	x.queue = x.queue[:0]
}

// step runs the machine of a node and does what it asks for.
func (x *walk) step(n uint8, e ha.Event, wake bool) {
	nd := &x.w.nodes[n]
	x.count(n, e)
	before := nd.m
	x.acts[n] = x.acts[n][:0]
	if wake {
		nd.m, x.acts[n] = x.mc[n].Wake(nd.m, now, x.acts[n])
	} else {
		nd.m, x.acts[n] = x.mc[n].Step(nd.m, e, now, x.acts[n])
	}
	x.judge(n, before, e)
	acts := x.acts[n]
	if x.mutant.actsFirst {
		acts = actsFirst(acts)
	}
	if x.seen != nil {
		x.seen(n, nd.m.Phase, acts)
	}
	if x.mutant.first {
		nd.m.PeerFirst = false
	}
	if nd.later != 0 && nd.m.Phase != before.Phase {
		x.tell(n, ha.Event{On: ha.On(nd.later - 1)})
		nd.later = 0
	}
	x.event = e
	for _, a := range acts {
		if a.Do == ha.DoPersist {
			if x.flaw.node == n && x.flaw.kind == dieBefore {
				x.flaw.kind = noFlaw
				x.crash(n)
				return
			}
			nd.disk = nd.m.Kept
			if x.flaw.node == n && x.flaw.kind == dieAfter {
				x.flaw.kind = noFlaw
				x.crash(n)
				return
			}
			continue
		}
		x.do(n, a)
		if !nd.up {
			return
		}
	}
	if nd.awaits = nd.awaits && nd.m.Phase == ha.InHeld; nd.ends && nd.m.Phase != ha.InDemoting {
		x.kill(n)
	}
}

// do does one act of a node.
func (x *walk) do(n uint8, a ha.MemberAct) {
	w, nd := &x.w, &x.w.nodes[n]
	switch a.Do {
	case ha.DoBoot:
		x.tell(n, ha.Event{On: ha.OnBoot, Committing: nd.commit > 0})
	case ha.DoFinishCommit:
		nd.commit = 0
		x.tell(n, ha.Event{On: ha.OnCommitDone})
	case ha.DoLater:
		nd.later = uint8(x.event.On) + 1
	case ha.DoAllowCommit:
		if nd.app != stopped {
			x.fail("I6", "a copy goes live under an application")
		}
		if x.event.Epoch < nd.m.Seen {
			x.fail("I6", "a copy goes live from a node that served before the present one")
		}
		nd.commit = 3
	case ha.DoStartApp:
		x.start(n)
	case ha.DoStopApp, ha.DoKillApp:
		switch nd.app {
		case stopped:
			x.tell(n, ha.Event{On: ha.OnAppStopped})
		default:
			nd.app = stopping
		}
	case ha.DoOpenDoor:
		x.open(n)
	case ha.DoCloseDoor:
		nd.door = false
	case ha.DoFence:
		x.crash(1 - n)
		x.tell(n, ha.Event{On: ha.OnFenced})
	case ha.DoBeat:
		x.beat(n)
		if !x.mutant.noAsk {
			x.askFront(n)
		}
	case ha.DoAskFronts:
		x.askFront(n)
	case ha.DoAskPeer, ha.DoLookPeer:
		x.ask(n, a.Do)
	case ha.DoAskStepDown, ha.DoPassDecision, ha.DoTell:
		if x.pages {
			x.read(n, a.Do)
			return
		}
		x.call(n, a)
	case ha.DoAskRegister:
		x.request(n, mailRead, a)
	case ha.DoTakeLease:
		x.request(n, mailTake, a)
	case ha.DoRenew:
		x.request(n, mailRenew, a)
	case ha.DoAwaitKey:
		nd.awaits = nd.m.Phase == ha.InHeld
	case ha.DoRevoke, ha.DoRevokeThat:
		x.request(n, mailRevoke, a)
	case ha.DoRecordServed:
		x.request(n, mailRecord, a)
	case ha.DoRaiseRegister:
		w.reg.rev = max(w.reg.rev, a.Number) + 1
		x.tell(n, ha.Event{On: ha.OnRegisterRaised, Revision: w.reg.rev, Cluster: w.reg.cluster})
	}
}

func (x *walk) start(n uint8) {
	nd := &x.w.nodes[n]
	if nd.commit > 0 {
		x.fail("I3", "the application starts over an open commit")
	}
	switch nd.app {
	case stopped, stopping:
		nd.app = starting
		x.together()
	case runs:
		x.tell(n, ha.Event{On: ha.OnAppUp})
	}
}

// reach says whether a node's message gets to its peer's engine.
func (x *walk) reach(n uint8) bool {
	return !x.w.cut[toPeer+n] && x.w.nodes[1-n].live()
}

// send gives the peer an event, unless it is late. It says whether the peer got
// it and could answer.
func (x *walk) send(n uint8, kind mail, e ha.Event) bool {
	if x.flaw.kind == lateRequest && x.flaw.node == n && x.flaw.mail == kind {
		x.flaw.kind = noFlaw
		x.park(letter{kind: kind, from: n, to: 1 - n, e: e})
		return false
	}
	if !x.reach(n) {
		return false
	}
	x.tell(1-n, e)
	return !x.w.cut[toPeer+1-n]
}

// call tells the peer something.
func (x *walk) call(n uint8, a ha.MemberAct) {
	if a.Do == ha.DoTell {
		x.send(n, mailTell, ha.Event{On: ha.OnPeerSays, Peer: x.mc[n].Report(x.w.nodes[n].m, now)})
		return
	}
	e := ha.Event{On: ha.OnStepDown, Epoch: a.Number, Firm: a.Do == ha.DoAskStepDown}
	if !x.send(n, mailStep, e) && a.Do == ha.DoAskStepDown {
		x.tell(n, ha.Event{On: ha.OnPeerSilent})
	}
}

// read is what is left of a call without trust: the peer's pages. One that
// serves cannot be asked to stop.
func (x *walk) read(n uint8, do ha.Do) {
	peer := x.mc[1-n].Report(x.w.nodes[1-n].m, now)
	answers := x.reach(n) && !x.w.cut[toPeer+1-n]
	switch {
	case do == ha.DoTell && answers, do == ha.DoAskStepDown && answers && !peer.Runs && peer.State != ha.Active:
		x.tell(n, ha.Event{On: ha.OnPeerSays, Peer: peer})
	case do == ha.DoAskStepDown:
		x.tell(n, ha.Event{On: ha.OnPeerSilent})
	}
}

// ask asks the peer how it is. Its answer is an act of its own.
func (x *walk) ask(n uint8, do ha.Do) {
	nd, peer := &x.w.nodes[n], &x.w.nodes[1-n]
	switch {
	case !x.reach(n):
		x.tell(n, ha.Event{On: ha.OnPeerSilent})
	case do == ha.DoAskPeer && !x.pages:
		x.tell(1-n, ha.Event{On: ha.OnPeerAsks, Peer: x.mc[n].Report(nd.m, now)})
		if x.w.cut[toPeer+1-n] {
			x.tell(n, ha.Event{On: ha.OnPeerSilent})
		}
	case x.w.cut[toPeer+1-n]:
		x.tell(n, ha.Event{On: ha.OnPeerSilent})
	default:
		x.tell(n, ha.Event{On: ha.OnPeerSays, Peer: x.mc[1-n].Report(peer.m, now)})
	}
}

// beat is one heartbeat: the peer's engine and the page of its application.
func (x *walk) beat(n uint8) {
	peer := &x.w.nodes[1-n]
	e := ha.Event{On: ha.OnBeatBad}
	if x.reach(n) && !x.w.cut[toPeer+1-n] {
		e.Heard, e.Peer = true, x.mc[1-n].Report(peer.m, now)
		if e.Peer.State == ha.Active {
			e.On = ha.OnBeatGood
		}
	}
	x.tell(n, e)
}

// request asks something of the register.
func (x *walk) request(n uint8, kind mail, a ha.MemberAct) {
	nd := &x.w.nodes[n]
	l := letter{kind: kind, from: n, to: toRegister, number: a.Number}
	l.e = ha.Event{Sent: now, Attempt: a.Number, Epoch: a.Number, Floor: nd.m.Revision}
	if kind == mailTake {
		l.e.Floor = max(nd.m.Revision, nd.m.Epoch, nd.m.Seen)
	}
	silent := ha.Event{On: silence[kind], Attempt: a.Number}
	if x.flaw.kind == lateRequest && x.flaw.node == n && x.flaw.mail == kind {
		x.flaw.kind = noFlaw
		x.park(l)
		x.tellIf(n, silent)
		return
	}
	if x.w.cut[toReg+n] {
		x.tellIf(n, silent)
		return
	}
	if !x.arrive(l) {
		x.tellIf(n, silent)
	}
}

// silence is what a node hears when the register does not answer; the others
// are tried again by a timer.
var silence = [mails]ha.On{mailTake: ha.OnLeaseUnanswered, mailRead: ha.OnRegisterSilent}

func (x *walk) tellIf(n uint8, e ha.Event) {
	switch e.On {
	case 0:
	case ha.OnLeaseUnanswered: // after a while
		x.w.nodes[n].waits = true
	default:
		x.tell(n, e)
	}
}

// arrive lets a request arrive at the register and answers. It says whether the
// answer got through.
func (x *walk) arrive(l letter) bool {
	l.answer = true
	l.e = x.serve(l)
	if l.e.On == 0 || l.orphan {
		return true
	}
	if x.flaw.kind == lateAnswer && x.flaw.node == l.from && x.flaw.mail == l.kind {
		x.flaw.kind = noFlaw
		x.park(l)
		return false
	}
	if x.w.cut[fromReg+l.from] {
		return false
	}
	if x.mutant.fromAnswer {
		l.e.Sent = now
	}
	x.tell(l.from, l.e)
	return true
}

// serve is the register: it does a request and gives the answer.
func (x *walk) serve(l letter) ha.Event {
	r, e, me := &x.w.reg, l.e, l.from+1
	mine := r.holder == me && r.attempt == l.number
	if x.mutant.byName {
		mine = r.holder == me
	}
	switch l.kind {
	case mailTake:
		e.On = ha.OnLeaseRefused
		if r.holder == 0 || x.mutant.byName && r.holder == me {
			if r.holder == 0 {
				r.rev++
				r.epoch = r.rev
			}
			*r = register{me, leaseTicks, r.recorder, l.number, r.epoch, r.served, r.rev, r.cluster}
			e.On, e.Epoch = ha.OnLeaseGranted, r.epoch
		}
	case mailRenew:
		e.On = ha.OnLeaseGone
		if mine {
			e.On, r.left = ha.OnLeaseRenewed, leaseTicks
		}
	case mailRevoke:
		if mine || x.mutant.deletesKey && r.holder != 0 {
			r.release()
		}
		return ha.Event{}
	case mailRecord:
		e.On = ha.OnServedRefused
		if r.holder == me && r.epoch == l.number && !x.mutant.noRecord {
			r.rev++
			x.outdated(l.from, l.number > r.served)
			r.recorder, r.served, e.On = me, l.number, ha.OnServedWritten
		} else if x.mutant.noRecord {
			e.On = ha.OnServedWritten
		}
	case mailRead:
		e.On, e.Held, e.Epoch = ha.OnRegisterRead, r.holder != 0, r.epoch
	}
	if r.recorder != 0 && r.recorder != me {
		e.PeerServed = r.served
	}
	e.Revision, e.Cluster = r.rev, r.cluster
	return e
}

// leaseTicks is how long the register lets a lease live.
const leaseTicks = 6

// park makes a message late.
func (x *walk) park(l letter) {
	l.present = true
	for i := range x.w.late {
		if !x.w.late[i].present {
			x.w.late[i] = l
			return
		}
	}
	x.wrong = "full" // no room for one more: this move is not explored
}

// deliver lets a late message arrive.
func (x *walk) deliver(i int) {
	l := x.w.late[i]
	x.w.late[i] = letter{}
	switch {
	case l.to != toRegister:
		if x.w.nodes[l.to].live() {
			x.tell(l.to, l.e)
		}
	case !l.answer:
		x.arrive(l)
	case !l.orphan && !x.w.cut[fromReg+l.from]:
		if x.mutant.fromAnswer {
			l.e.Sent = now
		}
		x.tell(l.from, l.e)
	}
}

// crash is the death of a machine.
func (x *walk) crash(n uint8) {
	x.kill(n)
	nd := &x.w.nodes[n]
	nd.app, nd.dying, nd.frozen, nd.dazed, nd.bad = stopped, 0, false, false, false
}

// kill is the death of an engine alone: the service manager stops its
// application (BindsTo), which takes a while.
func (x *walk) kill(n uint8) {
	nd := &x.w.nodes[n]
	nd.m, nd.up, nd.paused, nd.door, nd.failed, nd.decide, nd.waits, nd.later, nd.asked = ha.Member{}, false, 0, false, 0, 0, false, 0, false
	nd.awaits, nd.ends = false, false
	if nd.app != stopped && !x.mutant.unbound {
		nd.app = stopping
	}
	for i := range x.w.late {
		if x.w.late[i].from == n {
			x.w.late[i].orphan = true
		}
	}
}

// boot starts an engine.
func (x *walk) boot(n uint8) {
	nd := &x.w.nodes[n]
	nd.up, nd.m = true, ha.Member{Kept: nd.disk}
	x.tell(n, ha.Event{On: ha.OnBoot, Committing: nd.commit > 0})
}

// actsFirst is the mutant that stores last.
func actsFirst(acts []ha.MemberAct) []ha.MemberAct {
	var first, last []ha.MemberAct
	for _, a := range acts {
		if a.Do == ha.DoPersist {
			last = append(last, a)
		} else {
			first = append(first, a)
		}
	}
	return append(first, last...)
}

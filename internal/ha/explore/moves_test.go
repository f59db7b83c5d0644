package explore

import (
	"fmt"

	"github.com/understudy-ha/understudy/internal/ha"
)

// A move is one thing that may happen next.
type move struct {
	kind moveKind
	node uint8
	arg  uint8
	mail mail
}

type moveKind uint8

const (
	passTick moveKind = iota // arg: the order in which nodes and front act; 3 + flaw
	deliverLate
	dropLate
	bootNode
	resumeEngine
	thawNode
	healAll
	appWell
	finishCommit
	startFront

	// faults
	crashNode
	killEngine
	endEngine
	pauseEngine
	freezeNode
	cutLink // arg
	appFails
	startFails
	crashFront
	registerBack
	beginCommit
	beginOld

	// wishes
	modePrimary
	modeSecondary
	haDisable
	haEnable
	block
	unblock
	holdFront
	releaseFront
	resumeFront
	agentsMove
)

var moveNames = map[moveKind]string{
	deliverLate: "what is late arrives", dropLate: "what is late is lost", bootNode: "boots", resumeEngine: "engine resumes", thawNode: "thaws",
	healAll: "every link heals", appWell: "application is well again", finishCommit: "commit done", startFront: "front starts",
	crashNode: "crashes", killEngine: "engine dies", endEngine: "engine is told to end", pauseEngine: "engine stops (SIGSTOP)", freezeNode: "freezes", cutLink: "link cut",
	appFails: "application fails", startFails: "next start will fail", crashFront: "front dies", registerBack: "register goes back",
	beginCommit: "a copy begins to go live", beginOld: "an old copy wants to go live", modePrimary: "mode primary", modeSecondary: "mode secondary",
	haDisable: "ha disable", haEnable: "ha enable", block: "blocked", unblock: "unblocked", holdFront: "front held", releaseFront: "front released", resumeFront: "traffic resumed", agentsMove: "elected by its agents",
}

func (m move) String() string {
	if m.kind != passTick {
		if m.kind == cutLink {
			return "cut " + [...]string{"P to S", "S to P", "P to register", "S to register", "register to P", "register to S", "P and front", "S and front"}[m.arg]
		}
		return names[m.node] + " " + moveNames[m.kind]
	}
	s := "tick " + [...]string{"P S F", "S P F", "F P S"}[m.arg%3]
	if m.arg >= 3 {
		what := [...]string{"", "late take", "late renew", "late revoke", "late record", "late read", "late tell", "late step-down"}[m.mail]
		switch flawKind(m.arg / 3) {
		case lateAnswer:
			what += " answer"
		case dieBefore:
			what = "dies before it stores"
		case dieAfter:
			what = "dies after it stored"
		}
		s += fmt.Sprintf(", %s: %s", names[m.node], what)
	}
	return s
}

// A scope says which moves are tried.
type scope struct {
	faults, wishes uint8
	kinds          []moveKind // faults and wishes
	mails          []mail     // that may be late
	die            bool       // within a step
	links          []uint8
	front          bool
	resume         bool // resume: client_majority
	pages          bool // without trust: the nodes read one another's pages, and can ask for nothing
	orders         uint8
}

// moves gives every move that may be made in a world, appended.
func (s *scope) moves(w *world, list []move) []move {
	for o := range s.orders {
		list = append(list, move{kind: passTick, arg: o})
	}
	for i := range w.late {
		if w.late[i].present {
			list = append(list, move{kind: deliverLate, arg: uint8(i)}, move{kind: dropLate, arg: uint8(i)})
		}
	}
	cut := false
	for _, c := range w.cut {
		cut = cut || c
	}
	if cut {
		list = append(list, move{kind: healAll})
	}
	if s.front && !w.front.up {
		list = append(list, move{kind: startFront})
	}
	for i := range w.nodes {
		n, nd := uint8(i), &w.nodes[i]
		if !nd.up {
			list = append(list, move{kind: bootNode, node: n})
		}
		if nd.paused > 0 {
			list = append(list, move{kind: resumeEngine, node: n})
		}
		if nd.frozen {
			list = append(list, move{kind: thawNode, node: n})
		}
		if nd.bad && nd.app == runs {
			list = append(list, move{kind: appWell, node: n})
		}
		if nd.commit > 0 && nd.live() && nd.m.Commit {
			list = append(list, move{kind: finishCommit, node: n})
		}
	}
	if w.faults > 0 {
		list = s.flaws(w, list)
	}
	for _, k := range s.kinds {
		list = s.kind(w, k, list)
	}
	return list
}

// flaws gives the ticks in which something goes wrong.
func (s *scope) flaws(w *world, list []move) []move {
	for n := range uint8(2) {
		if !w.nodes[n].live() {
			continue
		}
		for o := range min(s.orders, 2) {
			for _, m := range s.mails {
				list = append(list, move{passTick, n, o + 3*uint8(lateRequest), m})
				if m < mailRevoke || m == mailRecord || m == mailRead {
					list = append(list, move{passTick, n, o + 3*uint8(lateAnswer), m})
				}
			}
			if s.die {
				list = append(list, move{passTick, n, o + 3*uint8(dieBefore), 0}, move{passTick, n, o + 3*uint8(dieAfter), 0})
			}
		}
	}
	return list
}

// kind gives the moves of one kind of fault or wish.
func (s *scope) kind(w *world, k moveKind, list []move) []move {
	if k >= modePrimary && w.wishes == 0 || k < modePrimary && w.faults == 0 {
		return list
	}
	switch k {
	case cutLink:
		for _, l := range s.links {
			if !w.cut[l] {
				list = append(list, move{kind: k, arg: l})
			}
		}
		return list
	case crashFront, holdFront, releaseFront, resumeFront:
		f := &w.front
		if f.up && (k == crashFront || k == holdFront && !f.held || k == releaseFront && f.held || k == resumeFront && f.serving == 1 && w.nodes[0].m.Phase == ha.InActive) {
			list = append(list, move{kind: k})
		}
		return list
	case registerBack:
		return append(list, move{kind: k})
	}
	for i := range w.nodes {
		nd, m := &w.nodes[i], move{kind: k, node: uint8(i)}
		can := nd.live()
		switch k {
		case crashNode:
			can = nd.up
		case endEngine:
			can = can && !nd.ends
		case appFails:
			can = nd.live() && nd.app == runs && !nd.bad
		case startFails:
			can = !nd.broken
		case beginCommit, beginOld:
			can = nd.live() && nd.commit == 0
		case unblock:
			can = can && nd.m.Blocked
		case block:
			can = can && !nd.m.Blocked
		case haEnable:
			can = can && nd.m.Phase == ha.InOff
		}
		if can {
			list = append(list, m)
		}
	}
	return list
}

// make makes a move. It is false if nothing came of it, so that it leads
// nowhere new.
func (x *walk) make(m move) bool {
	w, nd := &x.w, &x.w.nodes[m.node]
	x.wrong, x.detail, x.flaw = "", "", flaw{}
	switch {
	case m.kind >= modePrimary:
		w.wishes--
	case m.kind >= crashNode, m.kind == passTick && m.arg >= 3:
		w.faults--
	}
	switch m.kind {
	case passTick:
		x.flaw = flaw{flawKind(m.arg / 3), m.node, m.mail}
		x.tick(m.arg % 3)
		if m.arg >= 3 && x.flaw.kind != noFlaw {
			return false
		}
	case deliverLate:
		x.deliver(int(m.arg))
	case dropLate:
		w.late[m.arg] = letter{}
	case bootNode:
		x.boot(m.node)
	case resumeEngine:
		nd.paused = 0
		x.wake(m.node)
	case thawNode:
		nd.frozen = false
		x.wake(m.node)
	case healAll:
		w.cut = [links]bool{}
	case appWell:
		nd.bad = false
		x.tell(m.node, ha.Event{On: ha.OnAppGood})
	case finishCommit:
		nd.commit = 0
		x.tell(m.node, ha.Event{On: ha.OnCommitDone})
	case startFront:
		w.front.up, w.front.misses, w.front.state = true, [2]uint8{}, [2]ha.State{}
	default:
		x.fault(m)
	}
	x.settle()
	x.look()
	return x.wrong != "full"
}

// wake lets an engine that was stopped run on: it looks at its timers and at its
// application before it hears anything.
func (x *walk) wake(n uint8) {
	nd := &x.w.nodes[n]
	if !nd.live() {
		return
	}
	x.step(n, ha.Event{}, true)
	switch {
	case !nd.up:
	case nd.app == runs && !nd.bad:
		x.tell(n, ha.Event{On: ha.OnAppUp})
	case nd.app == stopped && nd.m.Phase == ha.InPromoting:
		x.tell(n, ha.Event{On: ha.OnAppStartFailed})
	case nd.app == stopped && (nd.m.Phase == ha.InDemoting || nd.m.Phase == ha.InActive):
		x.tell(n, ha.Event{On: ha.OnAppStopped})
	}
}

// fault makes a move that costs something.
func (x *walk) fault(m move) {
	w, nd := &x.w, &x.w.nodes[m.node]
	switch m.kind {
	case crashNode:
		x.crash(m.node)
	case killEngine:
		x.kill(m.node)
	case endEngine:
		nd.ends = true
		x.tell(m.node, ha.Event{On: ha.OnEnd})
	case pauseEngine:
		nd.paused = 1
	case freezeNode:
		nd.frozen, nd.dazed = true, true
	case cutLink:
		w.cut[m.arg] = true
		w.alone = w.alone || x.documented() && m.arg < toReg
	case appFails:
		nd.bad = true
		x.tell(m.node, ha.Event{On: ha.OnAppBad})
	case startFails:
		nd.broken = true
	case crashFront:
		w.front.up = false
	case registerBack:
		w.reg, w.restored = register{rev: 1, cluster: w.reg.cluster}, true
	case beginCommit:
		x.tell(m.node, ha.Event{On: ha.OnCommitAsked, Epoch: w.served})
	case beginOld:
		x.tell(m.node, ha.Event{On: ha.OnCommitAsked, Epoch: w.served - 1})
	case modePrimary, modeSecondary, haDisable, haEnable, block, unblock:
		x.tell(m.node, ha.Event{On: wishes[m.kind-modePrimary]})
	case holdFront, releaseFront:
		w.front.held = m.kind == holdFront
		w.front.before = w.front.held && (w.late[0].present && w.late[0].kind == mailStep || w.late[1].present && w.late[1].kind == mailStep)
	case agentsMove:
		x.tell(m.node, ha.Event{On: ha.OnMajority})
	case resumeFront:
		w.front.serving, w.front.decided = 0, 0
	}
}

// wishes are the events of a person's moves.
var wishes = [...]ha.On{ha.OnModePrimary, ha.OnModeSecondary, ha.OnDisable, ha.OnEnable, ha.OnBlock, ha.OnUnblock}

// tick lets time pass, then everybody act in an order.
func (x *walk) tick(order uint8) {
	x.apps()
	x.w.elapse()
	switch order {
	case 0:
		x.turn(0)
		x.turn(1)
		x.probe()
	case 1:
		x.turn(1)
		x.turn(0)
		x.probe()
	case 2:
		x.probe()
		x.settle()
		x.turn(0)
		x.turn(1)
	}
}

// turn lets a node see what time it is.
func (x *walk) turn(n uint8) {
	nd := &x.w.nodes[n]
	if nd.live() {
		if nd.waits {
			nd.waits = false
			x.tell(n, ha.Event{On: ha.OnLeaseUnanswered, Attempt: nd.m.Attempt})
		}
		x.step(n, ha.Event{}, true)
		if nd.awaits && x.w.reg.holder == 0 && !x.w.cut[toReg+n] && !x.w.cut[fromReg+n] {
			nd.awaits = false
			x.tell(n, ha.Event{On: ha.OnKeyGone})
		}
	}
	x.settle()
	switch nd.m.Phase {
	case ha.InDeciding, ha.InLooking, ha.InFencing, ha.InTaking:
		if nd.live() {
			nd.decide++
		}
	default:
		nd.decide = 0
	}
}

// apps lets the applications start and stop, and the service manager look after
// engines that do not answer.
func (x *walk) apps() {
	for i := range x.w.nodes {
		n, nd := uint8(i), &x.w.nodes[i]
		if nd.frozen {
			continue
		}
		e := ha.Event{On: ha.OnAppUp}
		switch {
		case nd.app == starting && nd.broken:
			nd.app, e.On = stopped, ha.OnAppStartFailed
		case nd.app == starting:
			nd.app = runs
		case nd.app == stopping:
			nd.app, nd.bad, e.On = stopped, false, ha.OnAppStopped
		default:
			e.On = 0
		}
		if e.On != 0 && nd.live() {
			x.tell(n, e)
		}
		if nd.commit > 0 && nd.live() && nd.m.Commit {
			if nd.commit--; nd.commit == 0 {
				x.tell(n, ha.Event{On: ha.OnCommitDone})
			}
		}
		if nd.paused > 0 && x.mc[i].Profile == ha.Safe {
			if nd.paused++; nd.paused > x.mutant.watchdog {
				x.kill(n)
			}
		}
	}
}

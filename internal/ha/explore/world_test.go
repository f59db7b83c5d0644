package explore

import (
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// tick is the step of the explored time. Every node's clock shows now at the
// end of a step: not the clock moves but what it is compared with.
const (
	tick = time.Second
	now  = ha.Instant(1000 * time.Hour)
)

// An app is what an application does.
type app uint8

const (
	stopped app = iota
	starting
	runs
	stopping
)

// A node is one machine: its engine, its disk and its application.
type node struct {
	m    ha.Member // in the engine's memory
	disk ha.Kept

	up     bool  // the engine runs
	paused uint8 // the engine is stopped (SIGSTOP), for one tick less than this
	frozen bool  // the whole machine is, and its clock
	dazed  bool  // it was frozen, and has not looked around since

	app    app
	bad    bool // its check fails
	broken bool // its next start fails
	dying  uint8
	door   bool
	commit uint8 // ticks until a copy has gone live, 0 if none is about to

	failed uint8 // failed heartbeats in a row, counted again here
	decide uint8 // ticks in DECIDING, FENCING or TAKING
	told   bool  // a person said mode secondary, and nobody is known to have served since
	stood  bool  // the peer answered the last heartbeat and stood by
	asked  bool  // a person said mode primary, and no front has left it since
	waits  bool  // the register has not answered its request for the lease
	awaits bool  // it watches the key
	ends   bool  // its engine is told to end
	later  uint8 // a command that waits for the phase to change, as On + 1
	stale  bool  // the other has served since it did, and no person has spoken
}

// live says whether the engine can do anything.
func (n *node) live() bool { return n.up && n.paused == 0 && !n.frozen }

// A register is a linearizable store with one key under a lease, and a record
// without one.
type register struct {
	holder   uint8 // 0: nobody, else node + 1
	left     uint8 // ticks of the lease
	recorder uint8 // who has served, as holder
	attempt  uint64
	epoch    uint64
	served   uint64
	rev      uint64
	cluster  uint64
}

// A letter is a message that is late: a request on its way or its answer.
type letter struct {
	kind    mail
	from    uint8
	to      uint8 // toRegister or a node
	orphan  bool  // who asked has died since
	answer  bool
	e       ha.Event
	number  uint64
	present bool
}

// A front is one front that watches both nodes.
type front struct {
	up      bool
	held    bool
	before  bool // when the hold began, a decision of before was on its way to the node that was left
	serving uint8
	misses  [2]uint8
	state   [2]ha.State
	epoch   [2]uint64 // the highest seen of each
	decided uint64    // the epoch of the node that it left
}

// A world is everything that there is. It holds no pointer.
type world struct {
	nodes    [2]node
	reg      register
	late     [2]letter
	front    front
	cut      [links]bool
	faults   uint8 // left
	wishes   uint8 // of a person, left
	served   uint64
	last     uint8 // who opened its door last, as register.holder
	alone    bool  // profile documented: a node has served while its peer could not be asked
	restored bool  // the register has gone back: its lease protects nobody for a while
}

// The links that can be cut, one direction each.
const (
	toPeer = iota // + node: from it to the other
	_
	toReg // + node
	_
	fromReg // + node
	_
	toFront // + node, both directions
	_
	links
)

// elapse lets a tick pass: what waits for a time comes nearer.
func (w *world) elapse() {
	for i := range w.nodes {
		n := &w.nodes[i]
		if n.frozen {
			continue
		}
		for t := range n.m.Timers {
			n.m.Timers[t] = earlier(n.m.Timers[t])
		}
		n.m.TiltUntil = earlier(n.m.TiltUntil)
	}
	for i := range w.late {
		l := &w.late[i]
		if l.present && l.e.Sent != 0 && !w.nodes[l.from].frozen {
			l.e.Sent = max(l.e.Sent-ha.Instant(tick), now-ha.Instant(20*tick))
		}
	}
	if w.reg.left > 0 {
		if w.reg.left--; w.reg.left == 0 {
			w.reg.release()
		}
	}
}

// earlier moves an instant a tick nearer; what is over stays just over.
func earlier(i ha.Instant) ha.Instant {
	if i == 0 {
		return 0
	}
	return max(i-ha.Instant(tick), now)
}

// release lets the key go.
func (r *register) release() {
	r.holder, r.left, r.attempt, r.epoch = 0, 0, 0, 0
	r.rev++
}

// settings of a node in the explored world. They pass Check, and are as short
// as that allows.
func settings(place int, profile ha.Safety) ha.Settings {
	s := ha.DefaultSettings()
	s.Profile, s.Place = profile, place
	s.HeartbeatInterval, s.RecheckInterval, s.AttemptTimeout, s.Failures = tick, tick, tick/2, 2
	s.PromotionHold, s.PromotionTime = tick, 8*tick
	s.StartTries, s.StopTimeout, s.AppFail = 1, tick, tick
	s.Lease, s.Watchdog, s.Retry, s.Slack = 6*tick, tick, tick/2, tick/10
	return s
}

// watchdog is how many ticks after it was paused an engine is killed at the
// latest: it may have fed the dog just before it was due.
const watchdog = 2

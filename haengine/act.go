package haengine

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/internal/ha"
)

// task is one act, and the event that it came of.
type task struct {
	ha.MemberAct
	event ha.Event
	out   *Outcome
}

// Outcome is what a person is told of what they asked for.
type Outcome struct {
	Refused string   // why not, empty: it is done or on its way
	Later   bool     // again by itself when the phase has changed
	Plan    []string // what would be done
	Sync    bool     // a sync was to run
}

// step lets the machine take an event and does what it says.
func (e *Engine) step(event ha.Event) Outcome {
	if e.broken != "" || e.failed != nil {
		return Outcome{Refused: "this node decides nothing: " + e.broken}
	}
	out := e.one(event)
	e.drain()
	return out
}

func (e *Engine) one(event ha.Event) Outcome {
	if !believable(event.Peer, max(e.member.Epoch, e.member.Seen)) {
		e.note(fmt.Sprintf("the peer tells epoch %d, which is not believed: epoch %d is the highest known", max(event.Peer.Served, event.Peer.Reign), max(e.member.Epoch, e.member.Seen)))
		event.Peer.Served, event.Peer.Reign = 0, 0
	}
	before := e.member
	m, acts := e.machine.Step(e.member, event, e.Clock(), e.acts[:0])
	return e.follow(before, m, acts, event)
}

// drain takes the events that acts have left.
func (e *Engine) drain() {
	for len(e.pending) > 0 && e.failed == nil {
		next := e.pending[0]
		e.pending = e.pending[1:]
		e.one(next)
	}
}

// follow puts a Member into force and does the acts in their order.
func (e *Engine) follow(before, m ha.Member, acts []ha.MemberAct, event ha.Event) (out Outcome) {
	e.was, e.member, e.acts = before.Phase, m, acts
	for _, a := range acts {
		if e.table[a.Do](task{a, event, &out}); e.failed != nil {
			return out
		}
	}
	if m.Phase != before.Phase {
		if m.Phase != ha.InHeld {
			e.awaited()
		}
		e.since = e.wall
		e.recount(before, acts, event)
		e.pending = append(e.pending, e.later...)
		e.later = nil
	}
	e.publish()
	return out
}

// doings gives what the shell does for every act of the machine.
func (e *Engine) doings() [ha.NoteEnabled]func(task) {
	return [...]func(task){
		ha.DoPersist:       e.persist,
		ha.DoBoot:          func(task) { e.pending = append(e.pending, e.boot()) },
		ha.DoFinishCommit:  e.finishCommit,
		ha.DoStartApp:      e.startApp,
		ha.DoStopApp:       func(task) { e.App.Stop() },
		ha.DoKillApp:       func(task) { e.App.Kill() },
		ha.DoOpenDoor:      func(task) { e.openDoor() },
		ha.DoCloseDoor:     func(task) { e.publish(); e.Door.Close() },
		ha.DoBeat:          func(task) { e.beat() },
		ha.DoAskPeer:       func(task) { e.askPeer() },
		ha.DoLookPeer:      func(task) { e.beside(e.Peer.Look, e.answer) },
		ha.DoAskFronts:     func(task) { e.askFronts() },
		ha.DoAskStepDown:   e.askStepDown,
		ha.DoPassDecision:  e.passDecision,
		ha.DoTell:          func(task) { e.tell() },
		ha.DoFence:         func(task) { e.fence() },
		ha.DoAskRegister:   e.askRegister,
		ha.DoTakeLease:     e.takeLease,
		ha.DoRenew:         e.renew,
		ha.DoRevoke:        e.revoke,
		ha.DoRevokeThat:    e.revoke,
		ha.DoAwaitKey:      func(task) { e.awaitKey() },
		ha.DoRecordServed:  e.recordServed,
		ha.DoRaiseRegister: e.raiseRegister,
		ha.DoRunSync:       e.runSync,
		ha.DoSkipSync:      e.skipSync,
		ha.DoCancelSync:    e.cancelSync,
		ha.DoAllowCommit:   e.allow,
		ha.DoDenyCommit:    e.deny,
		ha.DoNotify:        e.tellPeople,
		ha.DoRefuse:        func(t task) { t.out.Refused = e.machine.Row(t.MemberAct).Why },
		ha.DoLater:         func(t task) { t.out.Later = true; e.later = append(e.later, t.event) },
	}
}

// persist stores what the Member has to keep. An engine that cannot do so ends:
// what follows must not be done, and what it said last is still true.
func (e *Engine) persist(task) {
	if e.member.Kept == e.kept {
		return
	}
	if err := e.store(filepath.Join(e.Dir, memberFile), e.member.Kept); err != nil {
		e.failed = fmt.Errorf("store the node's state: %w", err)
		return
	}
	e.kept = e.member.Kept
}

// openDoor says OK before the first client can ask.
func (e *Engine) openDoor() {
	if !e.settings.DoorClosed {
		e.Door.Open()
	}
}

// NoDataset is what is said of every sync as long as nothing is replicated.
const NoDataset = nodeapi.NoDataset

// recount writes a change of phase into the history.
func (e *Engine) recount(before ha.Member, acts []ha.MemberAct, event ha.Event) {
	m, why := e.member, ""
	if len(acts) > 0 {
		why = e.machine.Row(acts[0]).Why
	} else if row, ok := e.machine.Look(before, event, e.Clock()); ok {
		why = row.Why
	}
	e.note(fmt.Sprintf("%v -> %v: %s", before.Phase, m.Phase, why))
	if calm(before.Phase) && calm(m.Phase) {
		return // heartbeats that fail and pass are the log's
	}
	t := nodeapi.Transition{At: time.Now().UTC(), From: before.Phase, To: m.Phase, Epoch: m.Epoch, Why: why, By: e.actor, Misses: int(before.Misses), Peer: e.peer.words}
	if m.Phase == ha.InActive {
		t.Loss = e.loss()
	}
	if err := e.history.add(t); err != nil {
		e.Log.Error("the history cannot be written", "error", err)
	}
}

// calm says whether a phase is a stand-by's usual one.
func calm(p ha.Phase) bool { return p == ha.InStandby || p == ha.InSuspect }

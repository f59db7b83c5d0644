package explore

import (
	"slices"

	"github.com/understudy-ha/understudy/internal/ha"
)

// A hole is one thing that is not as it should be: a mutant of the machine's
// table, of its settings or of the world.
type hole struct {
	name   string
	from   string // where it was found, or what it removes
	table  func(*ha.Table)
	change func(*ha.Settings)
	world  func(*mutant)
}

// never gives a table in which a condition never holds, always one in which it
// always does.
func never(c ha.Cond) func(*ha.Table)  { return func(t *ha.Table) { assume(t, c, false) } }
func always(c ha.Cond) func(*ha.Table) { return func(t *ha.Table) { assume(t, c, true) } }

func assume(t *ha.Table, c ha.Cond, holds bool) {
	for i := range t.Rows {
		row := &t.Rows[i]
		for _, has := range row.If {
			if has&^ha.Not == c && (has&ha.Not == 0) != holds {
				row.On = nil // it never fits
			}
		}
		row.If = slices.DeleteFunc(slices.Clone(row.If), func(has ha.Cond) bool { return has&^ha.Not == c })
	}
}

// both gives a table with two changes.
func both(f, g func(*ha.Table)) func(*ha.Table) {
	return func(t *ha.Table) { f(t); g(t) }
}

// swap gives a table in which rows that do one thing do another one.
func swap(was, is ha.Do) func(*ha.Table) {
	return func(t *ha.Table) {
		each(t, func(r *ha.Row) {
			for _, list := range []*[]ha.Do{&r.Do, &r.End} {
				*list = replaced(*list, was, is)
			}
		})
		for p := range t.Entry {
			t.Entry[p] = replaced(t.Entry[p], was, is)
		}
	}
}

func replaced(list []ha.Do, was, is ha.Do) []ha.Do {
	list = slices.Clone(list)
	for i := range list {
		if list[i] == was {
			list[i] = is
		}
	}
	return list
}

func each(t *ha.Table, f func(*ha.Row)) {
	for i := range t.Rows {
		f(&t.Rows[i])
	}
}

// at gives a table in which the rows of a phase and an event are changed.
func at(p ha.Phase, on ha.On, f func(*ha.Row)) func(*ha.Table) {
	return func(t *ha.Table) {
		var rows []ha.Row
		each(t, func(r *ha.Row) {
			if slices.Contains(r.In, p) && slices.Contains(r.On, on) {
				changed := *r
				changed.In, changed.On = []ha.Phase{p}, []ha.On{on}
				f(&changed)
				rows = append(rows, changed)
				if len(r.On) == 1 {
					r.In = slices.DeleteFunc(slices.Clone(r.In), func(q ha.Phase) bool { return q == p })
					return
				}
				rest := *r
				rest.In = slices.DeleteFunc(slices.Clone(r.In), func(q ha.Phase) bool { return q == p })
				rows = append(rows, rest)
				r.In, r.On = []ha.Phase{p}, slices.DeleteFunc(slices.Clone(r.On), func(o ha.On) bool { return o == on })
			}
		})
		t.Rows = append(rows, t.Rows...)
	}
}

func entry(p ha.Phase, do ...ha.Do) func(*ha.Table) {
	return func(t *ha.Table) { t.Entry[p] = do }
}

// noLook promotes as soon as the hold is over, promotes without asking a peer
// that answers to stop.
var (
	noLook = at(ha.InDeciding, ha.OnHoldOver, func(r *ha.Row) {
		if r.To == ha.To(ha.InLooking) {
			r.To = ha.To(ha.InPromoting)
		}
	})
	promotes = at(ha.InLooking, ha.OnPeerSays, func(r *ha.Row) {
		if r.To == ha.To(ha.InWaiting) {
			r.To = ha.To(ha.InPromoting)
		}
	})
)

func nothing(r *ha.Row) { r.To, r.Do, r.End = ha.ToStay, nil, nil }

func to(p ha.Phase) func(*ha.Row) { return func(r *ha.Row) { r.To = ha.To(p) } }

// holes are the known ones of the two models that led to the design, and one
// for every guard.
var holes = []hole{
	// lease model
	{name: "the engine dies alone and its application goes on", from: "L1", world: func(m *mutant) { m.unbound = true }},
	{name: "the watchdog bites a tick late", from: "L1", world: func(m *mutant) { m.watchdog++ }},
	{name: "no watchdog", from: "L1", world: func(m *mutant) { m.watchdog = 200 }},
	{name: "nobody records who has served", from: "L2", world: func(m *mutant) { m.noRecord = true }},
	{name: "the holder keeps the lease while its application fails", from: "L3", table: at(ha.InActive, ha.OnAppFailed, nothing)},
	{name: "High Availability can be disabled on the holder", from: "L4", table: at(ha.InActive, ha.OnDisable, to(ha.InOff))},
	{name: "the peer is not asked to make room for traffic", from: "L5, row 13b", table: swap(ha.DoPassDecision, ha.DoTell)},
	{name: "the fronts' call is remembered by nobody and asked of nobody", from: "L5", world: func(m *mutant) { m.noAsk = true }},
	{name: "the holder does not make room", from: "L5, row 13c", table: at(ha.InActive, ha.OnStepDown, nothing)},
	{name: "the front waits for Standby for ever", from: "L6", world: func(m *mutant) { m.noEpoch = true }},
	{name: "a lease lost in RECORDING isolates", from: "L7", table: at(ha.InRecording, ha.OnDeadline, func(r *ha.Row) { r.Do = []ha.Do{ha.AfterIsolated} })},
	{name: "who yields is superseded at once", from: "L9", table: swap(ha.AfterYielded, ha.AfterSuperseded)},
	{name: "a register that goes back is believed", from: "L10", table: never(ha.IfWentBack)},
	{name: "on_register_loss: continue", from: "L12", change: func(s *ha.Settings) { s.Continue = true }},
	{name: "the deadline counts from the answer", from: "L14", world: func(m *mutant) { m.fromAnswer = true }},
	{name: "a key is one's own by name", from: "L14", world: func(m *mutant) { m.byName = true }},
	{name: "release deletes the key", from: "L14", world: func(m *mutant) { m.deletesKey = true }},
	{name: "the node stops two ticks late", from: "lease model, 5", change: func(s *ha.Settings) { s.Slack -= 2 * tick }},
	{name: "no deadline", from: "lease model, 5", table: at(ha.InActive, ha.OnDeadline, nothing)},
	{name: "the front believes a page of any epoch", from: "lease model, 6; H13", world: func(m *mutant) { m.anyEpoch = true }},

	// witness model
	{name: "a booting node asks nobody", from: "H2", table: at(ha.InStarting, ha.OnBoot, func(r *ha.Row) {
		if r.To == ha.To(ha.InGate) {
			r.To = ha.To(ha.InPromoting)
		}
	})},
	{name: "the answer at the gate binds nobody, and nobody stops first", from: "H2", table: both(both(noLook, promotes), at(ha.InDeciding, ha.OnPeerAsks, func(r *ha.Row) { r.To, r.Do = ha.ToStay, nil }))},
	{name: "the gate does not wait for a peer that is coming", from: "H2", table: never(ha.IfPeerComing)},
	{name: "a failed start supersedes", from: "H7", table: swap(ha.AfterFailed, ha.AfterSuperseded)},
	{name: "mode primary promotes a disabled node", from: "H8", table: at(ha.InOff, ha.OnModePrimary, to(ha.InPromoting))},
	{name: "a hold does not keep the front from deciding", from: "H10", world: func(m *mutant) { m.heldDecides = true }},
	{name: "mode secondary leads nowhere from superseded", from: "H11", table: at(ha.OutSuperseded, ha.OnModeSecondary, nothing)},
	{name: "a promotion does not look for a higher epoch", from: "H12", table: never(ha.IfHigher)},
	{name: "a node with a flipped mode may be enabled, and is what it shows", from: "witness model, 5", table: both(never(ha.IfFlipped), at(ha.InOff, ha.OnEnable, to(ha.InPromoting)))},
	{name: "a Standby that was told to stand by goes first", from: "H12", world: func(m *mutant) { m.first = true }},

	// the shell's law
	{name: "stores after it has acted", from: "persist, then act", world: func(m *mutant) { m.actsFirst = true }},
	{name: "the lease is given up before the application stops", from: "DEMOTING", table: entry(ha.InDemoting, ha.DoCloseDoor, ha.DoRevoke, ha.DoStopApp, ha.TimeStopStart)},
	{name: "the door stays open", from: "DEMOTING", table: entry(ha.InDemoting, ha.DoStopApp, ha.TimeStopStart)},
	{name: "superseded comes back by itself", from: "I5", table: at(ha.OutSuperseded, ha.OnPeerSays, to(ha.InTaking))},
	{name: "a commit is allowed in ACTIVE", from: "I6", table: at(ha.InActive, ha.OnCommitAsked, func(r *ha.Row) { r.Do = []ha.Do{ha.DoAllowCommit} })},
	{name: "one failed heartbeat is enough", from: "I7", table: at(ha.InStandby, ha.OnBeatBad, to(ha.InDeciding))},
	{name: "a good heartbeat does not end the count", from: "I7", table: at(ha.InSuspect, ha.OnBeatGood, nothing)},
	{name: "a good heartbeat in TAKING is forgotten", from: "this model", table: at(ha.InTaking, ha.OnBeatGood, nothing)},
	{name: "the hold never ends", from: "I8", table: swap(ha.TimeHoldStart, ha.TimeAppStop)},
	{name: "documented: the epoch does not grow", from: "I4", table: swap(ha.NoteEpoch, ha.NoteWell)},
	{name: "documented: a peer that answers need not stop first", from: "this model", table: promotes},
	{name: "documented: no last look when the hold is over", from: "seen on real nodes", table: noLook},
	{name: "documented: a peer that comes back does not go first", from: "this model", table: never(ha.IfPeerReturns)},
	{name: "documented: a peer that stops is taken for stopped", from: "this model", table: at(ha.InWaiting, ha.OnPeerSays, func(r *ha.Row) {
		if slices.Contains(r.If, ha.IfPeerServes) {
			r.To = ha.To(ha.InPromoting)
		}
	})},
	{name: "a decision against an earlier reign counts", from: "this model", table: both(always(ha.IfMeant), always(ha.IfCurrent))},

	{name: "the engine ends and gives up the lease before its application stops", from: "ENDED", table: at(ha.InActive, ha.OnEnd, func(r *ha.Row) {
		if len(r.Do) > 0 {
			r.To, r.Do = ha.To(ha.InEnded), []ha.Do{ha.DoCloseDoor, ha.DoRevoke}
		}
	})},
	{name: "the engine ends while its application stops", from: "ENDED", table: both(at(ha.InActive, ha.OnEnd, func(r *ha.Row) {
		if len(r.Do) > 0 {
			r.End = []ha.Do{ha.DoRevoke}
		}
	}), entry(ha.InDemoting, ha.DoCloseDoor, ha.DoStopApp, ha.TimeStopStart))},
	{name: "a key that is gone is taken, whatever is against it", from: "HELD", table: at(ha.InHeld, ha.OnKeyGone, func(r *ha.Row) { r.To, r.Do = ha.To(ha.InTaking), []ha.Do{ha.NoteBack} })},

	// every guard, removed
	{name: "guard removed: commit open", from: "I3", table: never(ha.IfCommit)},
	{name: "guard removed: was Active", from: "gate", table: always(ha.IfReturning)},
	{name: "guards removed: superseded, overtaken", from: "I5", table: both(never(ha.IfSuperseded), never(ha.IfOvertaken))},
	{name: "guards removed: out, last here, superseded", from: "I5", table: both(never(ha.IfOut), both(always(ha.IfLastHere), never(ha.IfSuperseded)))},
	{name: "guard removed: newer epoch", from: "I5", table: never(ha.IfNewer)},
	{name: "guard removed: count complete", from: "I7", table: always(ha.IfLastMiss)},
	{name: "guard removed: mine", from: "lease", table: always(ha.IfMine)},
	{name: "guard removed: fresh, and the deadline counts from the answer", from: "lease", table: always(ha.IfFresh), world: func(m *mutant) { m.fromAnswer = true }},
	{name: "guard removed: key held", from: "lease", table: never(ha.IfKeyHeld)},
	{name: "guard removed: guards clear", from: "blocked", table: always(ha.IfClear)},
	{name: "guard removed: alone", from: "OFF", table: always(ha.IfAlone)},
	{name: "guard removed: tries left", from: "I8", table: always(ha.IfTries)},
	{name: "guard removed: resting", from: "L9", table: never(ha.IfResting)},
	{name: "guard removed: blocked", from: "swap", table: never(ha.IfBlocked)},
	{name: "guard removed: older source", from: "I6", table: never(ha.IfOlderSource)},
	{name: "guard removed: peer yielded", from: "13b", table: always(ha.IfYielded)},
	{name: "guard removed: enabled", from: "OFF", table: always(ha.IfEnabled)},
}

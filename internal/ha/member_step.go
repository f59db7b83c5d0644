package ha

import "time"

// tiltTime is how long profile safe promotes nothing after the engine's loop
// was late (the value of Redis Sentinel).
const tiltTime = 30 * time.Second

// Row is one line of the Member's table: in these phases, at these events, if
// all of these hold, it goes there and does that.
type Row struct {
	In  []Phase
	On  []On
	If  []Cond
	To  To
	Do  []Do   // before it goes there
	End []Do   // after it has, and after what the entry says
	Why string // for people: the reason, with its source
}

// To is where a row leads: a Phase, or one of the places below.
type To uint8

// Where a row leads that does not name a Phase.
const (
	ToStay  = To(phases) + iota // the phase does not change
	ToBack                      // where a promotion leads that failed
	ToAfter                     // where DEMOTING leads
)

func (t To) String() string {
	switch t {
	case ToStay:
		return "stay"
	case ToBack:
		return "back"
	case ToAfter:
		return "after"
	}
	return Phase(t).String()
}

// Table is the rows of the machine, and what is done at every entry into a
// phase from another one.
type Table struct {
	Rows  []Row
	Entry [phases][]Do
}

// Machine is a Table made ready for one node's Settings. It has no state: many
// goroutines may use one.
type Machine struct {
	Settings
	table Table
	cells [phases][ons][]uint16 // the rows, by number
}

// NewMachine makes a Table ready. A phase and an event for which no row fits
// change nothing; a test sees to it that the table has none.
func NewMachine(s Settings, t Table) *Machine {
	mc := &Machine{Settings: s, table: t}
	for i, row := range t.Rows {
		for _, p := range row.In {
			for _, on := range row.On {
				mc.cells[p][on] = append(mc.cells[p][on], uint16(i))
			}
		}
	}
	return mc
}

// Row gives the row of an act.
func (mc *Machine) Row(a MemberAct) Row { return mc.table.Rows[a.Row] }

// Step gives the Member after an event, and acts with what the shell has to do,
// in this order, appended. Timers that are over at now become events first,
// whatever else has happened: a node that was frozen learns that its lease is
// over before it hears anything. An act that cannot be done ends the list.
func (mc *Machine) Step(m Member, e Event, now Instant, acts []MemberAct) (Member, []MemberAct) {
	m, acts = mc.Wake(m, now, acts)
	m, acts = mc.one(m, e, now, acts)
	return mc.Wake(m, now, acts)
}

// Wake is Step without an event: only the timers.
func (mc *Machine) Wake(m Member, now Instant, acts []MemberAct) (Member, []MemberAct) {
	for range 3 * int(timers) { // a timer that is set to now may fire again, but not for ever
		t := m.over(now)
		if t == timers {
			break
		}
		m.Timers[t] = off
		m, acts = mc.one(m, Event{On: t.event(), Unfit: m.Unfit}, now, acts)
	}
	return m, acts
}

// over gives the most pressing timer that is over, or timers.
func (m *Member) over(now Instant) Timer {
	for i, at := range m.Timers {
		if at != 0 && at <= now {
			return Timer(i)
		}
	}
	return timers
}

// Look gives the row by which a Member would act on an event, and whether there
// is one.
func (mc *Machine) Look(m Member, e Event, now Instant) (Row, bool) {
	l := look{mc, &m, &e, now}
	l.learn()
	at, ok := l.row()
	if !ok {
		return Row{}, false
	}
	return mc.table.Rows[at], true
}

// one makes the step of one event.
func (mc *Machine) one(m Member, e Event, now Instant, acts []MemberAct) (Member, []MemberAct) {
	before, first := m.Kept, len(acts)
	acts = append(acts, MemberAct{Do: DoPersist})
	l := look{mc, &m, &e, now}
	l.learn()
	at, ok := l.row()
	if ok {
		acts = l.follow(at, acts)
	}
	if m.Kept == before {
		acts = append(acts[:first], acts[first+1:]...)
	} else {
		acts[first].Row = at
	}
	return m, acts
}

// row gives the number of the row that fits.
func (l look) row() (at uint16, ok bool) {
	for _, i := range l.mc.cells[l.m.Phase][l.e.On] {
		if l.all(l.mc.table.Rows[i].If) {
			return i, true
		}
	}
	return at, ok
}

func (l look) all(list []Cond) bool {
	for _, c := range list {
		if !c.holds(l) {
			return false
		}
	}
	return true
}

// follow does what a row says and, if it leads to another phase, what the entry
// into that one says.
func (l look) follow(at uint16, acts []MemberAct) []MemberAct {
	m, row := l.m, &l.mc.table.Rows[at]
	acts = l.do(row.Do, at, acts)
	to := Phase(row.To)
	switch row.To {
	case ToStay:
		to = m.Phase
	case ToBack:
		to = m.Back
	case ToAfter:
		to = m.After
	}
	if to != m.Phase {
		m.Phase = to
		for t := range m.Timers {
			if !outlives(Timer(t), to) {
				m.Timers[t] = off
			}
		}
		acts = l.do(l.mc.table.Entry[to], at, acts)
	}
	return l.do(row.End, at, acts)
}

// outlives says whether a timer goes on in a phase that is entered: those of
// the lease do for as long as the application may run.
func outlives(t Timer, p Phase) bool {
	switch p {
	case InPromoting, InRecording, InActive, InDemoting:
		return t == AtDeadline || t == AtRenew
	}
	return false
}

// do makes the notes of a list and appends its acts.
func (l look) do(list []Do, at uint16, acts []MemberAct) []MemberAct {
	for _, d := range list {
		if d >= shellDos {
			l.note(d)
			continue
		}
		if l.foreign(d) {
			continue
		}
		acts = append(acts, MemberAct{Do: d, Row: at, Number: d.number(l.m, l.e)})
	}
	return acts
}

// foreign says whether an act is none of this profile's: documented has no
// register, and in safe it is the register that is asked, not the peer.
func (l look) foreign(d Do) bool {
	switch d {
	case DoAskRegister, DoTakeLease, DoRenew, DoRevoke, DoRevokeThat, DoAwaitKey, DoRecordServed, DoRaiseRegister:
		return l.mc.Profile == Documented
	case DoAskPeer, DoLookPeer:
		return l.mc.Profile == Safe
	}
	return false
}

// learn notes what an event tells, whatever the phase.
func (l look) learn() {
	m, e := l.m, l.e
	m.Unfit = e.Unfit
	m.Seen = max(m.Seen, e.Peer.Served, e.PeerServed)
	switch e.On {
	case OnBoot:
		m.Commit = e.Committing
	case OnCommitDone:
		m.Commit = false
	case OnTrafficDecided:
		m.Seen = max(m.Seen, e.Epoch)
	case OnSyncEnded:
		m.Syncing = false
	case OnBlock, OnUnblock:
		m.Blocked = e.On == OnBlock
	case OnSaved:
		m.Scheduled = m.Enabled
	case OnAppUp, OnAppGood:
		m.AppBad = false
	case OnAppBad, OnAppStopped:
		m.AppBad = true
	case OnBeatGood, OnBeatBad, OnPeerSays, OnPeerAsks:
		l.hear()
	case OnRegisterRead, OnLeaseGranted, OnLeaseRenewed, OnRegisterRaised:
		l.register()
	}
}

// hear notes what the peer told of itself.
func (l look) hear() {
	m, e := l.m, l.e
	answered := e.On != OnBeatBad || e.Heard
	m.PeerReign = max(m.PeerReign, e.Peer.Reign)
	if e.On == OnPeerAsks { // it lives
		m.Misses = 0
	}
	if e.On == OnPeerSays && e.Peer.State != Standby && !e.Peer.Coming {
		return // that may have been long on its way: the next heartbeat says how the peer is
	}
	if m.PeerFirst = false; !answered {
		return
	}
	m.PeerFirst = (e.Peer.State == Standby || e.Peer.Coming) && m.Served >= m.Seen
}

// register notes what the register has shown. Only what a person has raised may
// be another register than before.
func (l look) register() {
	m, e := l.m, l.e
	if e.On != OnRegisterRaised && l.wentBack() {
		return
	}
	m.Revision = max(m.Revision, e.Revision)
	if m.Cluster == 0 || e.On == OnRegisterRaised {
		m.Cluster = e.Cluster
	}
}

// time sets a timer or stops it.
func (l look) time(d Do) {
	set := func(t Timer, after time.Duration) { l.m.Timers[t] = l.now.After(after) }
	s := &l.mc.Settings
	switch d {
	case TimeBeatGood:
		set(AtBeat, s.HeartbeatInterval)
	case TimeBeatBad:
		set(AtBeat, s.RecheckInterval)
	case TimeHoldStart:
		set(AtHold, s.PromotionHold)
	case TimeHoldNow:
		set(AtHold, time.Duration(0))
	case TimeHoldAgain:
		set(AtHold, s.RecheckInterval)
	case TimeLease:
		l.m.Timers[AtDeadline] = max(l.m.Timers[AtDeadline], l.e.Sent.After(s.Hold()))
		l.m.Timers[AtRenew] = max(l.e.Sent.After(s.Renew()), l.now)
	case TimeRenewAgain:
		set(AtRenew, s.Retry)
	case TimeStopStart:
		set(AtStop, s.StopTimeout)
	case TimeWaitStart:
		set(AtStop, s.StopTimeout+2*s.AttemptTimeout+s.Retry)
	case TimeAppStart:
		set(AtApp, s.AppFail)
	case TimeAppStop:
		l.m.Timers[AtApp] = off
	case TimeAbsentStart:
		set(AtAbsent, s.PromotionTime)
	case TimeAbsentStop:
		l.m.Timers[AtAbsent] = off
	case TimeRetryStart:
		set(AtRetry, s.Retry)
	case TimeRestStart:
		if l.m.Resting {
			set(AtRetry, 2*s.PromotionTime)
		}
	}
}

// after notes where DEMOTING leads. What is against the node holds from now on,
// even if it dies before its application has stopped.
func (l look) after(d Do) {
	m := l.m
	switch d {
	case AfterStandby:
		m.After, m.Last, m.Out = InStandby, Standby, InStarting
		return
	case AfterGate:
		m.After = InGate
		return
	case AfterEnded: // nothing is against it when it starts again
		m.After = InEnded
		return
	case AfterOut:
		m.After = m.Out
		return
	case AfterBack:
		m.After = m.Back
		return
	case AfterFailed:
		if m.After, m.Failed, m.Resting = m.Back, true, m.Back == InHeld; m.Returning {
			m.After, m.Out = OutAppFailed, OutAppFailed
		}
		return
	case AfterBackOrOut:
		if m.After = m.Back; m.Phase == InActive {
			m.After, m.Out = OutSuperseded, OutSuperseded
		}
		return
	}
	m.After = OutSuperseded + Phase(d-AfterSuperseded)
	m.Out = m.After
}

package ha

import "time"

// Instant is a reading of the clock that counts since the machine booted and
// goes on while it is suspended (CLOCK_BOOTTIME). 0 is never.
type Instant time.Duration

// off is the instant of a timer that does not run.
const off Instant = 0

// After gives the instant a while later.
func (i Instant) After(d time.Duration) Instant { return i + Instant(d) }

// Kept is what a Member must not forget. It is stored before anything is done
// that follows from it.
type Kept struct {
	Enabled   bool  `json:"enabled"`             // High Availability (EPMM guide: the default is Disable)
	Mode      Mode  `json:"mode"`                // what the node is cast for; it does not swap
	Shown     Mode  `json:"shown,omitempty"`     // what a person set while High Availability was disabled
	Last      State `json:"last"`                // Node Status; NotAvailable: it never had one
	Out       Phase `json:"out,omitempty"`       // why it may not serve; zero: nothing is against it
	Blocked   bool  `json:"blocked,omitempty"`   // nothing by itself: paused, or between the steps of a swap
	Scheduled bool  `json:"scheduled,omitempty"` // the schedule runs; failover mode secondary leaves it stopped

	Epoch    uint64 `json:"epoch"`              // the highest this node has taken
	Served   uint64 `json:"served"`             // the highest at which it opened its door
	Reign    uint64 `json:"reign"`              // of these, the one it was promoted at: to come back does not begin a reign
	Seen     uint64 `json:"seen"`               // the highest at which another node is known to have served
	Attempt  uint64 `json:"attempt,omitempty"`  // counts the leases it has asked for; the name of the newest
	Revision uint64 `json:"revision,omitempty"` // the highest that the register has shown
	Cluster  uint64 `json:"cluster,omitempty"`  // the register's identity
}

// Member is a node as its machine sees it. A Member holds no pointer and may be
// compared; the zero value is a node that never had a role.
type Member struct {
	Kept
	Phase Phase
	Back  Phase // where a promotion leads that fails
	After Phase // where DEMOTING leads

	Misses    int  // failed heartbeats in a row
	Starts    int  // tries to start the application in this promotion
	Asked     bool // a person wants this promotion
	Returning bool // it was Active and comes back by itself
	Handing   bool // it has asked the peer to step down, for traffic is here
	PeerFirst bool // the peer answers, stands by or is coming, and this node served last
	Waited    bool // the promotion hold has run since the peer was well
	Resting   bool // a start failed; HELD does not try again before its retry
	Failed    bool // its last start failed, so that it asks no peer that is well to make room
	Unfit     bool // the engine has found a reason not to promote
	Commit    bool // a copy is going live: that is finished before anything else
	Syncing   bool
	AppBad    bool // its check fails

	WaitEpoch uint64 // the newest epoch when a person's wait began
	PeerReign uint64 // the highest that the peer has told
	TiltUntil Instant
	Timers    [timers]Instant
}

// Report is what a node tells its peer of itself.
type Report struct {
	State   State  `json:"state"`
	Served  uint64 `json:"served"`            // the highest epoch at which it opened its door
	Reign   uint64 `json:"reign"`             // the epoch at which it was promoted last
	Coming  bool   `json:"coming,omitempty"`  // it is about to be Active
	Asks    bool   `json:"asks,omitempty"`    // it was Active and asks whether it may be so again
	Runs    bool   `json:"runs,omitempty"`    // its application does, or may: it starts, stops or fails
	Yielded bool   `json:"yielded,omitempty"` // it has stepped down
	Off     bool   `json:"off,omitempty"`     // High Availability is disabled there
	Known   uint64 `json:"known,omitempty"`   // the highest epoch at which anybody served, as far as it knows; the Machine asks nobody for it
}

// Event is one thing that a Member is told. Which fields count stands at On.
type Event struct {
	On         On
	Firm       bool   // OnStepDown: the peer will be Active, whatever this node says
	Committing bool   // OnBoot: a commit has a beginning and no end
	Held       bool   // OnRegisterRead: a node has the key
	Mode       Mode   // OnEnable
	Peer       Report // what the peer tells
	Heard      bool   // OnBeatBad: the peer's engine did answer
	Unfit      bool   // any: the engine knows a reason not to promote (disk, age, release, ...)

	Attempt    uint64
	Epoch      uint64
	PeerServed uint64 // the register's record of the highest epoch at which another node served
	Revision   uint64
	Cluster    uint64
	Floor      uint64  // the Number of the act that asked
	Sent       Instant // when the request was sent that is answered here
}

// MemberAct is one thing that the shell has to do. Number is the epoch, attempt or
// floor that it is about.
type MemberAct struct {
	Do     Do
	Row    uint16 // of the table, for the words in log, history and notification
	Number uint64
}

// Report gives what a node tells its peer at an instant.
func (mc *Machine) Report(m Member, now Instant) Report {
	return Report{
		State:   mc.State(m, now),
		Served:  m.Served,
		Reign:   m.Reign,
		Coming:  coming(m.Phase),
		Asks:    m.Phase == InGate,
		Runs:    m.Phase >= InPromoting && m.Phase <= InDemoting,
		Yielded: m.Phase == OutYielded,
		Off:     m.Phase == InOff,
	}
}

// coming says whether a node in a phase is about to be Active.
func coming(p Phase) bool {
	return p == InLooking || p == InFencing || p == InWaiting || p == InTaking || p == InPromoting || p == InRecording
}

// State gives what the pages say at an instant. A node that was frozen looks at
// the clock before it answers: past its deadline it is not Active, whatever it
// still believes.
func (mc *Machine) State(m Member, now Instant) State {
	switch m.Phase {
	case InActive:
		if m.AppBad || mc.late(m, now) {
			return NotAvailable
		}
		return Active
	case InOff:
		if mc.alone(m) {
			return Active
		}
	case InStandby, InSuspect, InDeciding, InLooking, InFencing, InHeld:
		return Standby
	case InWaiting, InTaking: // it may come from NotAvailable and fall back there
		if m.Back == InHeld {
			return Standby
		}
	}
	return NotAvailable
}

// late says whether the lease was last confirmed too long ago.
func (mc *Machine) late(m Member, now Instant) bool {
	return mc.Profile == Safe && !mc.Continue && now >= m.Timers[AtDeadline]
}

// alone says whether a node with High Availability disabled serves like a
// stand-alone server: it never had a role, or it was Active. In profile safe
// Active needs a lease, and a disabled node holds none.
func (mc *Machine) alone(m Member) bool {
	return m.Out == InStarting && (m.Last == NotAvailable || m.Last == Active && mc.Profile == Documented)
}

// Due gives the next instant at which one of the Member's timers is over, 0 if
// none runs.
func (m Member) Due() Instant {
	var next Instant
	for _, t := range m.Timers {
		switch {
		case t == off:
		case next == off:
			next = t
		default:
			next = min(next, t)
		}
	}
	return next
}

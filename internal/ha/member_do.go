package ha

// Do is one thing that a row does: an act of the shell, or a note that the
// Member makes for itself. Whatever changes Kept is stored first of all.
type Do uint8

// What the shell does.
const (
	DoPersist       Do = iota // store Kept; on failure do nothing of what follows, and stop
	DoBoot                    // look at the journal, then tell OnBoot
	DoFinishCommit            // roll the open commit forward, then tell OnCommitDone
	DoStartApp                // tells OnAppUp or OnAppStartFailed; once more is harmless
	DoStopApp                 // tells OnAppStopped, at once if it does not run
	DoKillApp                 // the same, without mercy
	DoOpenDoor                // for clients
	DoCloseDoor               // lets no new client in; those that are in end with the application
	DoBeat                    // one heartbeat to the peer, and asks the fronts where traffic is
	DoAskPeer                 // may this node be Active? tells OnPeerSays or OnPeerSilent
	DoLookPeer                // how is the peer? the same answers, but it binds the peer to nothing
	DoAskFronts               // where is traffic? tells OnTrafficDecided if every one says here
	DoAskStepDown             // the peer, which serves at Number, is to step down: this node will be Active
	DoPassDecision            // the fronts have left the peer at Number: it may step down
	DoTell                    // this node's Report to the peer
	DoFence                   // run the fence command
	DoAskRegister             // read the key and who has served; Number is the floor
	DoTakeLease               // attempt Number: grant a lease, create the key if it is absent
	DoRenew                   // the lease of attempt Number
	DoRevoke                  // the lease of attempt Number, by its id, never the key
	DoRevokeThat              // the same for the attempt of an answer that came too late
	DoAwaitKey                // tell OnKeyGone once nobody has the key; nothing if that cannot be seen
	DoRecordServed            // guarded by the key: this node serves at Number
	DoRaiseRegister           // bring the register's revision above Number
	DoRunSync                 // pull from the peer
	DoSkipSync                // write into the Sync History that the last one still runs
	DoCancelSync              // end it, unless its commit has begun
	DoAllowCommit             // the copy may go live
	DoDenyCommit              // it may not
	DoNotify                  // log, history, mail: this row
	DoRefuse                  // say no to the person, with this row's words
	DoLater                   // tell the same event again when the phase has changed

	shellDos // from here on: what the Member notes
)

// What the Member notes.
const (
	NoteEnabled     = shellDos + iota // High Availability is on, as it was shown
	NoteDisabled                      // and off
	NoteShowPrimary                   // shown while disabled
	NoteShowStandby
	NoteOut       // why it may not serve: its phase
	NoteActive    // its Node Status is Active, and it has served at its epoch
	NoteUnplanned // the schedule stays stopped
	NoteMiss      // one failed heartbeat more
	NoteNoMiss    // none, and nothing of an earlier promotion
	NoteWell      // the peer is well: the count begins anew
	NoteBack      // a promotion that fails leads back to where it is now
	NoteReturns   // it comes back by itself
	NoteAsked     // by a person
	NoteWait      // the newest epoch that is known
	NoteHanding
	NoteResting
	NoteRested
	NoteTilt
	NoteWaited  // the promotion hold has run
	NoteAttempt // the next lease
	NoteEpoch   // documented: the next epoch, unless it only comes back
	NoteGrant   // safe: the epoch of the grant
	NoteTry     // one start of the application more
	NoteCommit  // a copy is going live
	NoteSync    // a sync runs

	TimeBeatGood    // in Heartbeat Interval
	TimeBeatBad     // in Re-check interval
	TimeHoldStart   // in the promotion hold
	TimeHoldNow     // the hold is over
	TimeHoldAgain   // look again in Re-check interval
	TimeLease       // from the sending of what was answered: renewal and deadline
	TimeRenewAgain  // in retry
	TimeStopStart   // in stop timeout
	TimeWaitStart   // until the peer must have stopped: stop timeout, two attempts and a retry
	TimeAppStart    // in app_fail
	TimeAppStop     // not
	TimeAbsentStart // in promotion time
	TimeAbsentStop  // not
	TimeRetryStart  // in retry
	TimeRestStart   // in twice the promotion time, so that the peer may try meanwhile

	AfterStandby // where DEMOTING leads
	AfterGate
	AfterEnded
	AfterOut // to what is against it
	AfterBack
	AfterFailed    // back after a failed start: HELD to rest, or app-failed if it came back
	AfterBackOrOut // superseded if it serves, else back
	AfterSuperseded
	AfterIsolated
	AfterAppFailed
	AfterYielded
	AfterWentBack

	dos // how many there are
)

var doNames = [dos]string{
	"persist", "boot", "finish commit", "start app", "stop app", "kill app", "open door", "close door",
	"beat", "ask peer", "look at peer", "ask fronts", "ask step-down", "pass decision", "tell peer", "fence",
	"ask register", "take lease", "renew lease", "revoke lease", "revoke that lease", "await key", "record served", "raise register",
	"run sync", "skip sync", "cancel sync", "allow commit", "deny commit", "notify", "refuse", "later",

	"enabled", "disabled", "shows Primary", "shows Secondary", "is out", "is Active", "schedule stopped",
	"count +1", "begin anew", "count 0", "back is here", "comes back", "asked", "waits from here", "handing over", "rests", "rested", "tilt", "waited",
	"attempt +1", "epoch +1", "epoch granted", "try +1", "commit open", "syncing",
	"beat in Heartbeat Interval", "beat in Re-check interval", "hold", "hold over", "hold again",
	"lease from sending", "renew again", "stop timer", "wait timer", "app_fail timer", "no app_fail timer", "absence timer", "no absence timer", "retry timer", "rest timer",
	"then STANDBY", "then GATE", "then ENDED", "then as it was", "then back", "then back or app-failed", "then back or superseded", "then superseded", "then isolated", "then app-failed", "then yielded", "then register-went-back",
}

func (d Do) String() string { return nameOf(doNames[:], int(d), "Do") }

// number gives the Number of an act.
func (d Do) number(m *Member, e *Event) uint64 {
	switch d {
	case DoTakeLease, DoRenew, DoRevoke:
		return m.Attempt
	case DoRevokeThat:
		return e.Attempt
	case DoAskRegister:
		return m.Revision
	case DoRecordServed, DoTell:
		return m.Epoch
	case DoAskStepDown:
		return m.Seen
	case DoPassDecision:
		return e.Epoch
	case DoRaiseRegister:
		return m.known()
	}
	return none
}

// none is the number of an act that has none.
var none uint64

// known gives the highest epoch that the Member knows of.
func (m *Member) known() uint64 { return max(m.Epoch, m.Seen) }

// note makes a note of the Member's own.
func (l look) note(d Do) {
	switch m := l.m; {
	case d >= AfterStandby:
		l.after(d)
	case d >= TimeBeatGood:
		l.time(d)
	case d >= NoteMiss:
		l.passing(d)
	case d == NoteEnabled:
		if m.Enabled, m.Scheduled = true, true; m.Shown == Secondary {
			m.Last, m.Out = Standby, InStarting // as failover mode secondary says elsewhere
		}
		if m.Shown = Uncast; l.e.Mode != Uncast {
			m.Mode = l.e.Mode
		}
	case d == NoteDisabled:
		m.Enabled, m.Scheduled = false, false
	case d == NoteShowPrimary:
		m.Shown = Primary
	case d == NoteShowStandby:
		m.Shown = Secondary
	case d == NoteOut:
		m.Out = m.Phase
	case d == NoteActive:
		m.Failed = false
		if m.Last, m.Out, m.Served = Active, InStarting, m.Epoch; !m.Returning || m.Reign == 0 {
			m.Reign = m.Epoch
		}
	default: // NoteUnplanned
		m.Scheduled = false
	}
}

// passing makes a note that is about the moment.
func (l look) passing(d Do) {
	switch m := l.m; d {
	case NoteMiss:
		m.Misses = min(m.Misses+1, l.mc.Failures)
	case NoteNoMiss:
		m.Misses, m.Starts = 0, 0
		m.Asked, m.Returning, m.Handing, m.Resting, m.Waited = false, false, false, false, false
	case NoteWell:
		m.Misses = 0
	case NoteBack:
		l.back()
	case NoteReturns:
		m.Returning, m.Asked = true, false
	case NoteAsked:
		m.Asked, m.Returning, m.Failed = true, false, false
	case NoteWait:
		m.WaitEpoch = m.known()
	case NoteHanding:
		m.Handing = true
	case NoteResting:
		m.Resting = true
	case NoteRested:
		m.Resting = false
	case NoteWaited:
		m.Waited = true
	case NoteTilt:
		m.TiltUntil = l.now.After(tiltTime)
	case NoteAttempt:
		m.Attempt++
	case NoteEpoch:
		l.epoch()
	case NoteGrant:
		m.Epoch = l.e.Epoch
	case NoteTry:
		m.Starts++
	case NoteCommit:
		m.Commit = true
	case NoteSync:
		m.Syncing = true
	}
}

// back notes where a promotion leads that fails: a node that stands by to HELD,
// one that is out to where it is. One at its gate that has no lease is isolated.
func (l look) back() {
	switch l.m.Phase {
	case InStandby, InSuspect, InDeciding, InLooking, InFencing, InHeld:
		l.m.Back = InHeld
	case InGate:
		if l.m.Back = OutIsolated; l.mc.Profile == Documented {
			l.m.Back = OutAppFailed
		}
	default:
		l.m.Back = l.m.Phase
	}
}

// epoch takes the next epoch of profile documented: the next number above all
// known that is the node's own, so that two nodes never take the same. A node
// that only comes back keeps its epoch: whoever was promoted meanwhile has the
// higher one.
func (l look) epoch() {
	m := l.m
	if l.mc.Profile == Safe || m.Returning && m.Served != 0 {
		return
	}
	next := m.known() + 1
	for place := uint64(l.mc.Place); next%epochStep != place%epochStep; {
		next++
	}
	m.Epoch = next
}

// epochStep is how many nodes may have epochs of their own.
const epochStep = 4

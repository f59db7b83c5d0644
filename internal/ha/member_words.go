package ha

// Mode is the part that a node is cast for (EPMM guide, HA configuration
// window, Mode). The zero value is no part yet.
type Mode uint8

// The modes.
const (
	Uncast Mode = iota
	Primary
	Secondary
)

var modeNames = [...]string{Uncast: "none", Primary: "Primary", Secondary: "Secondary"}

func (m Mode) String() string { return nameOf(modeNames[:], int(m), "Mode") }

// MarshalText gives the mode's word.
func (m Mode) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText takes the word that MarshalText gives; any other is an error.
func (m *Mode) UnmarshalText(text []byte) error {
	i, err := indexOf(modeNames[:], string(text), "mode")
	*m = Mode(i)
	return err
}

// Phase is where a Member stands within its State. The zero value is a node
// that has just started and knows nothing. Those that begin with Out are the
// reasons of NotAvailable.
type Phase uint8

// The phases.
const (
	InStarting    Phase = iota // finishes what the last run left open
	InOff                      // High Availability is disabled
	InGate                     // was Active; asks whether it may be so again
	InStandby                  // the heartbeats are good, or none was tried yet
	InSuspect                  // heartbeats fail, not yet often enough
	InDeciding                 // failed often enough; the promotion hold runs
	InLooking                  // the hold is over: a last look at the peer
	InFencing                  // the fence command runs
	InHeld                     // stays in Standby though heartbeats fail
	InWaiting                  // a person said mode primary; something must end first
	InTaking                   // has asked the register for the lease
	InPromoting                // has its epoch; the application starts
	InRecording                // the application runs; the register notes who serves
	InActive                   // serves
	InDemoting                 // the door is closed, the application stops
	InEnded                    // the application has stopped and the lease is given up, for the engine ends
	OutSuperseded              // another node has served at a higher epoch
	OutIsolated                // lost the lease while it served
	OutAppFailed               // the application failed for too long, or did not start
	OutYielded                 // stepped down because it was asked to
	OutWentBack                // the register has forgotten what it had said

	phases // how many there are
)

var phaseNames = [phases]string{
	"STARTING", "OFF", "GATE", "STANDBY", "SUSPECT", "DECIDING", "LOOKING", "FENCING", "HELD", "WAITING", "TAKING",
	"PROMOTING", "RECORDING", "ACTIVE", "DEMOTING", "ENDED",
	"superseded", "isolated", "app-failed", "yielded", "register-went-back",
}

func (p Phase) String() string { return nameOf(phaseNames[:], int(p), "Phase") }

// MarshalText gives the phase's word.
func (p Phase) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText takes the word that MarshalText gives; any other is an error.
func (p *Phase) UnmarshalText(text []byte) error {
	i, err := indexOf(phaseNames[:], string(text), "phase")
	*p = Phase(i)
	return err
}

// On says what an Event tells.
type On uint8

// The events. An answer to a question carries what the question carried, so
// that a late one is known as such.
const (
	OnBoot          On = iota // the engine has started, or High Availability was enabled: Committing
	OnEnable                  // a person: Enable, Save, Apply: Mode (Uncast: as before)
	OnDisable                 // a person
	OnModePrimary             // a person: failover mode primary, or Node Status Active
	OnModeSecondary           // a person: failover mode secondary, or Node Status Passive
	OnBlock                   // a person or a run: nothing by itself from now on
	OnUnblock                 // the end of that
	OnSaved                   // a person has saved the settings
	OnEnd                     // the engine is told to end

	OnBeatGood       // the heartbeat found the peer alive and its application well: Peer
	OnBeatBad        // it did not; Heard and Peer if the peer's engine answered
	OnPeerAsks       // the peer asks whether it may be Active: Peer
	OnPeerSays       // the peer tells of itself, asked or not: Peer
	OnPeerSilent     // the peer did not answer a question
	OnStepDown       // the peer asks this node to step down: Epoch it means, Firm
	OnTrafficCall    // a front says that it has sent traffic here
	OnTrafficDecided // asked just now, every front in the path says so: Epoch of the node it left
	OnMajority       // more than half of the agents have been with this node for long enough
	OnFenced         // the fence command says that the peer is off
	OnFenceFailed    // it does not

	OnRegisterRead    // the register answered: Key, PeerServed, Revision, Cluster, Floor
	OnRegisterSilent  // it did not
	OnLeaseGranted    // the key is this node's: Attempt, Epoch, PeerServed, Revision, Cluster, Sent, Floor
	OnLeaseRefused    // another node has the key: Attempt
	OnLeaseUnanswered // the request may have been lost or may still arrive: Attempt
	OnLeaseRenewed    // Attempt, Revision, Cluster, Sent, Floor
	OnLeaseGone       // the register does not know the lease any more: Attempt
	OnServedWritten   // the register has noted that this node serves: Epoch
	OnServedRefused   // it has not, for the key is not this node's any more: Epoch
	OnRegisterRaised  // the register's revision is above every known epoch: Revision, Cluster
	OnKeyGone         // the key that was awaited is not there any more
	OnAppUp           // the application runs and its check passes
	OnAppStartFailed  // it did not start in time
	OnAppStopped      // it does not run any more
	OnAppBad          // its check fails, or it has died
	OnAppGood         // its check passes again
	OnSyncDue         // the schedule: a sync is due
	OnSyncAsked       // a person: Run Sync Now
	OnSyncEnded       // the sync is over, however
	OnCommitAsked     // a finished copy wants to go live: Epoch of the node it came from
	OnCommitDone      // it has gone live, or its journal has been finished
	OnTilt            // the engine's loop was late, or the clocks disagree

	OnDeadline  // the lease was last confirmed too long ago
	OnStopLate  // the application should have stopped by now
	OnAppFailed // the application has failed for app_fail
	OnRenewDue
	OnBeatDue
	OnHoldOver
	OnAbsent // nobody has served for promotion_time
	OnRetry

	ons // how many there are
)

var onNames = [ons]string{
	"boot", "ha enable", "ha disable", "mode primary", "mode secondary", "block", "unblock", "settings saved", "end",
	"beat good", "beat bad", "peer asks", "peer says", "peer silent", "step down", "traffic call", "traffic decided", "majority",
	"fenced", "fence failed",
	"register read", "register silent", "lease granted", "lease refused", "lease unanswered", "lease renewed", "lease gone",
	"served written", "served refused", "register raised", "key gone",
	"app up", "app start failed", "app stopped", "app bad", "app good",
	"sync due", "sync asked", "sync ended", "commit asked", "commit done", "tilt",
	"deadline", "stop late", "app failed", "renew due", "beat due", "hold over", "absent", "retry",
}

func (o On) String() string { return nameOf(onNames[:], int(o), "On") }

// Timer is one of the alarms that a Member sets itself. When one is over it
// becomes the event of its name.
type Timer uint8

// The timers, the most pressing first: that is the order in which those that
// are over at the same time become events.
const (
	AtDeadline Timer = iota
	AtStop
	AtApp
	AtRenew
	AtBeat
	AtHold
	AtAbsent
	AtRetry

	timers // how many there are
)

// event gives what a timer becomes.
func (t Timer) event() On { return OnDeadline + On(t) }

// Safety is a node's profile: what keeps two nodes from serving at once. The
// zero value is the guides' own: two nodes and nothing else.
type Safety uint8

// The profiles.
const (
	Documented Safety = iota // the guides, word for word
	Safe                     // Active is who holds the lease in the register
)

var safetyNames = [...]string{Documented: "documented", Safe: "safe"}

func (s Safety) String() string { return nameOf(safetyNames[:], int(s), "profile") }

// MarshalText gives the profile's word.
func (s Safety) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText takes the word that MarshalText gives; any other is an error.
func (s *Safety) UnmarshalText(text []byte) error {
	i, err := indexOf(safetyNames[:], string(text), "profile")
	*s = Safety(i)
	return err
}

package ha

import "fmt"

// State is what a node does now. The zero value is NotAvailable.
type State uint8

// The states of the guides' Table 1.
const (
	NotAvailable State = iota
	Standby
	Active
)

var stateNames = [...]string{NotAvailable: "NotAvailable", Standby: "Standby", Active: "Active"}

func (s State) String() string { return nameOf(stateNames[:], int(s), "State") }

// MarshalText gives the state's word.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText takes the word that MarshalText gives; any other is an error.
func (s *State) UnmarshalText(text []byte) error {
	i, err := indexOf(stateNames[:], string(text), "state")
	*s = State(i)
	return err
}

// Available says whether the node can serve clients or stand by.
func (s State) Available() bool { return s != NotAvailable }

// Cause says why a reading is NotAvailable; empty for a reading that is not.
type Cause string

// The causes a probe can have.
const (
	Refused  Cause = "refused"  // nobody listens
	Timeout  Cause = "timeout"  // no whole answer in time, whatever the phase
	TLSFault Cause = "tls"      // handshake or certificate
	Status   Cause = "status"   // another status than 200
	Body     Cause = "body"     // the page does not say what it must
	Oversize Cause = "oversize" // more than MaxPage bytes
	Redirect Cause = "redirect" // a 3xx, never followed
	Reset    Cause = "reset"    // the connection broke, or what came was not HTTP
	DNS      Cause = "dns"      // the name has no address
	Stale    Cause = "stale"    // an Active page with an epoch that is over: see Believe
)

// MaxPage is the most a page may have, in bytes.
const MaxPage = 16 << 10

// Verb is what a Decision asks for. The zero value asks for nothing.
type Verb uint8

// The verbs.
const (
	Wait     Verb = iota // nothing moves though the serving node is not available
	Stay                 // nothing moves, all is well
	FailOver             // traffic moves down the order
)

var verbNames = [...]string{Wait: "Wait", Stay: "Stay", FailOver: "FailOver"}

func (v Verb) String() string { return nameOf(verbNames[:], int(v), "Verb") }

// MarshalText gives the verb's word.
func (v Verb) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText takes the word that MarshalText gives; any other is an error.
func (v *Verb) UnmarshalText(text []byte) error {
	i, err := indexOf(verbNames[:], string(text), "verb")
	*v = Verb(i)
	return err
}

// Alarm says how loud a Decision is. The zero value is silent.
type Alarm uint8

// The loudness of a Decision: Notify tells that something was done, Alarmed
// that a person is needed.
const (
	Silent Alarm = iota
	Notify
	Alarmed
)

var alarmNames = [...]string{Silent: "", Notify: "notify", Alarmed: "alarm"}

func (a Alarm) String() string { return nameOf(alarmNames[:], int(a), "Alarm") }

// MarshalText gives the alarm's word, empty for Silent.
func (a Alarm) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText takes the word that MarshalText gives; any other is an error.
func (a *Alarm) UnmarshalText(text []byte) error {
	i, err := indexOf(alarmNames[:], string(text), "alarm")
	*a = Alarm(i)
	return err
}

// Reason is the one word for why a Decision or a Traffic is as it is. Logs,
// figures, history, notifications and X-Understudy-Reason carry it unchanged.
type Reason string

// Reasons of a Decision, in the order of the truth table.
const (
	Starting         Reason = "starting"           // 0: first start, not every node has been read
	Unknown          Reason = "unknown"            // 0: nobody knows who serves
	DualActive       Reason = "dual_active"        // 1
	Unpromoted       Reason = "unpromoted"         // 2
	Serving          Reason = "serving"            // 3
	Missing          Reason = "missing"            // 4
	Held             Reason = "held"               // 5
	RegisterLost     Reason = "register_lost"      // 5: the register cannot be reached since the start
	RegisterBack     Reason = "register_back"      // 5: the register holds less than this host knows
	LastInOrder      Reason = "last_in_order"      // 6
	FailedOver       Reason = "failed_over"        // 7, 11
	NeedsOperator    Reason = "needs_operator"     // 8, 12
	FollowedPromoted Reason = "followed_promotion" // 9
	Stranded         Reason = "stranded"           // 10
	NoStandby        Reason = "no_standby"         // 13
	Confirming       Reason = "confirming"         // 13, while the deciding readings are still on their way; 7, 9, 11, while the other watchers still look
	NoQuorum         Reason = "no_quorum"          // 7, 9, 11, but no majority of the watchers reads the serving node down
)

// Further reasons of a Traffic.
const (
	Started   Reason = "started"    // first start, the first in order
	Adopted   Reason = "adopted"    // first start, another node was the only Active one
	Resumed   Reason = "resumed"    // a person
	Switched  Reason = "switched"   // a person
	Reordered Reason = "reordered"  // a person, or a changed configuration
	HeldBy    Reason = "held_by"    // a person or a run
	Released  Reason = "released"   // a person or a run
	Frozen    Reason = "frozen"     // every request waits: a planned swap
	Thawed    Reason = "thawed"     // and does so no longer
	NodeEpoch Reason = "node_epoch" // a node showed a higher epoch
	NotArmed  Reason = "not_armed"  // ten minutes without a hold and no failover possible
	Overdue   Reason = "hold_overdue"
	NotStored Reason = "not_stored" // the register cannot be written, so traffic does not move
)

func nameOf(names []string, i int, kind string) string {
	if i < len(names) {
		return names[i]
	}
	return fmt.Sprintf("%s(%d)", kind, i)
}

func indexOf(names []string, name, kind string) (int, error) {
	for i, n := range names {
		if n == name {
			return i, nil
		}
	}
	return 0, fmt.Errorf("unknown %s %q", kind, name)
}

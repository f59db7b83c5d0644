package notify

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// Severity says how loud a message is.
type Severity string

// The severities: something was done as asked; something was done that people
// should look at; a person is needed.
const (
	Info    Severity = "info"
	Warning Severity = "warning"
	Alarm   Severity = "alarm"
)

// Events that are no reason of a Decision or a Traffic.
const (
	Cleared ha.Reason = "cleared" // an alarm is over and nothing else tells so
)

// Message is one thing that people are told. In JSON it carries "version": 1.
type Message struct {
	ID       string       `json:"id"`            // given by Tell; sorts by time
	Key      string       `json:"key,omitempty"` // equal for messages that tell the same thing, GROUP/EVENT for an alarm that lasts; empty: like no other
	Group    string       `json:"group"`
	Event    ha.Reason    `json:"event"`
	Severity Severity     `json:"severity"`
	At       time.Time    `json:"at"` // when it happened
	Epoch    uint64       `json:"epoch,omitempty"`
	From     string       `json:"from,omitempty"` // the node that served before, where traffic moved
	To       string       `json:"to,omitempty"`   // the node that serves now, empty while that is unknown
	Text     string       `json:"text"`           // one sentence
	Do       string       `json:"do,omitempty"`   // what a person does now, empty for nothing
	Ends     []ha.Reason  `json:"ends,omitempty"` // the group's alarms, told before, that are over by this
	Evidence []ha.Reading `json:"evidence,omitempty"`
	Actor    string       `json:"actor,omitempty"`   // who did it, empty for the rule
	Claimed  bool         `json:"claimed,omitempty"` // the actor's name was only given, not proven
	Reason   string       `json:"reason,omitempty"`  // a person's reason
}

// version is the version of the JSON form.
const version = 1

type plainMessage Message

type versioned struct {
	Version int `json:"version"`
	plainMessage
}

// MarshalJSON gives the message with its version.
func (m Message) MarshalJSON() ([]byte, error) {
	return json.Marshal(versioned{version, plainMessage(m)})
}

// UnmarshalJSON takes what MarshalJSON gives; another version is an error.
func (m *Message) UnmarshalJSON(data []byte) error {
	var v versioned
	if err := json.Unmarshal(data, &v); err != nil {
		return err
	}
	if v.Version != version {
		return fmt.Errorf("message has version %d, this program reads %d", v.Version, version)
	}
	*m = Message(v.plainMessage)
	return nil
}

// LogValue is what a log says of a message.
func (m Message) LogValue() slog.Value {
	return slog.GroupValue(slog.String("id", m.ID), slog.String("group", m.Group), slog.String("event", string(m.Event)))
}

// key gives the Key, or the ID of a message that is like no other.
func (m Message) key() string { return cmp.Or(m.Key, m.ID) }

// stamp is the time in an ID, of constant width, so that IDs sort by it.
const stamp = "20060102T150405.000000000Z"

// newID gives an ID of the time and 32 random bits.
func newID(at time.Time) string {
	var b [4]byte
	rand.Read(b[:]) // never fails since Go 1.24
	return at.UTC().Format(stamp) + "-" + hex.EncodeToString(b[:])
}

// stamped gives the time in an ID, and false for what is no ID.
func stamped(id string) (time.Time, bool) {
	if len(id) != len(stamp)+9 {
		return time.Time{}, false
	}
	at, err := time.Parse(stamp, id[:len(stamp)])
	return at, err == nil
}

package haengine

import (
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// Status is how a node is, as GET /ha/v1/status gives it.
type Status struct {
	Version  int       `json:"version"` // of this document: 1
	Name     string    `json:"name"`
	Enabled  bool      `json:"high_availability"`
	Mode     ha.Mode   `json:"mode"`            // what it is cast for
	Shown    ha.Mode   `json:"shown,omitempty"` // what a person set while disabled
	State    ha.State  `json:"state"`
	Why      string    `json:"why"`   // of NotAvailable, in a word
	Phase    ha.Phase  `json:"phase"` // where it stands within its state
	Since    time.Time `json:"since"` // of the phase
	Profile  ha.Safety `json:"profile"`
	Epoch    uint64    `json:"epoch"`
	Served   uint64    `json:"served"`
	Seen     uint64    `json:"seen"`
	Misses   int       `json:"misses"`
	Paused   bool      `json:"paused"`
	Broken   string    `json:"broken,omitempty"` // why it decides nothing
	Peer     PeerNow   `json:"peer"`
	App      AppNow    `json:"application"`
	Door     DoorNow   `json:"client_connection"`
	Warnings []string  `json:"warnings"`
	LastSync *Sync     `json:"last_sync"`
	Mind     string    `json:"mind"` // one sentence: what would happen now
}

// PeerNow is what is known of the peer.
type PeerNow struct {
	Name  string    `json:"name"`
	State ha.State  `json:"state"`
	Heard bool      `json:"heard"`       // its engine answered last time
	At    time.Time `json:"at,omitzero"` // of its last answer, zero: none yet
	Last  string    `json:"last"`        // what the last look has shown
	Off   bool      `json:"off"`         // High Availability is disabled there
}

// AppNow is how the application is.
type AppNow struct {
	Well bool `json:"well"`
}

// DoorNow is how the door for clients is.
type DoorNow struct {
	Setting string `json:"setting"` // enabled, disabled
	Open    bool   `json:"open"`
	Fault   string `json:"fault,omitempty"`
	Clients int    `json:"clients"`
	Ever    uint64 `json:"ever"`
}

// Request is what is asked of a node; which fields count depends on the path.
type Request struct {
	Role     string            `json:"role,omitempty"`     // role: primary, secondary
	Enable   *bool             `json:"enable,omitempty"`   // ha, client-connection, pause
	Mode     string            `json:"mode,omitempty"`     // ha: primary, secondary, empty: as before
	Host     string            `json:"host,omitempty"`     // sync
	Settings map[string]string `json:"settings,omitempty"` // by name
	Reason   string            `json:"reason,omitempty"`
}

// Answer is what came of it.
type Answer struct {
	Outcome
	Status   Status   `json:"status"`
	Warnings []string `json:"warnings,omitempty"`
}

// Fault is the body of an answer that is no success.
type Fault struct {
	Why string `json:"why"`
	Do  string `json:"do,omitempty"`
}

// Item is one line of a preflight.
type Item struct {
	Name   string `json:"name"`
	Result string `json:"result"` // ok, failed, unknown
	Said   string `json:"said"`
}

package nodeapi

import (
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// Version is that of the documents.
const Version = 1

// Status is how a node is, as GET /ha/v1/status gives it.
type Status struct {
	Version  int          `json:"version"` // of this document: 1
	Name     string       `json:"name"`
	Recovery bool         `json:"disaster_recovery,omitempty"` // its peer is the main site's Secondary
	Enabled  bool         `json:"high_availability"`
	Mode     ha.Mode      `json:"mode"`            // what it is cast for
	Shown    ha.Mode      `json:"shown,omitempty"` // what a person set while disabled
	State    ha.State     `json:"state"`
	Why      string       `json:"why"`   // of NotAvailable, in a word
	Phase    ha.Phase     `json:"phase"` // where it stands within its state
	Since    time.Time    `json:"since"` // of the phase
	Profile  ha.Safety    `json:"profile"`
	Register *RegisterNow `json:"register,omitempty"` // of profile safe
	Epoch    uint64       `json:"epoch"`
	Served   uint64       `json:"served"`
	Seen     uint64       `json:"seen"`
	Misses   int          `json:"misses"`
	Paused   bool         `json:"paused"`
	Broken   string       `json:"broken,omitempty"` // why it decides nothing
	Peer     PeerNow      `json:"peer"`
	App      AppNow       `json:"application"`
	Door     DoorNow      `json:"client_connection"`
	Warnings []string     `json:"warnings"`
	LastSync *Sync        `json:"last_sync"`
	Sync     *SyncNow     `json:"sync"` // the one that runs
	Schedule Schedule     `json:"schedule"`
	Taken    *SyncTaken   `json:"taken,omitempty"`
	Loss     Loss         `json:"loss"`           // what a promotion of this node may cost now
	Own      bool         `json:"own,omitempty"`  // it has served since its peer was the same, and may have what that has not
	Kept     []Kept       `json:"kept,omitempty"` // archives of what only this node had, until a person drops them
	Fronts   []Opinion    `json:"fronts"`         // what they have called here; it decides nothing by itself
	Swap     *Swap        `json:"swap,omitempty"` // the newest planned swap to this node
	Agents   *Agents      `json:"agents,omitempty"`
	Run      *RunNow      `json:"run,omitempty"` // the run that has the lock
	Mind     string       `json:"mind"`          // one sentence: what would happen now
}

// RunNow is what a banner says of the run that has the lock; GET /ha/v1/run has
// all of it.
type RunNow struct {
	Lock
	State  string    `json:"state,omitempty"` // running, waiting, incomplete; empty: it has not told
	At     string    `json:"at,omitempty"`    // the step
	Asks   string    `json:"asks,omitempty"`  // of a person
	Host   string    `json:"host,omitempty"`  // where its process works
	Heard  time.Time `json:"heard,omitzero"`
	Silent bool      `json:"silent"` // its process should be at work and is not heard any more
}

// RegisterNow is what the register has answered last.
type RegisterNow struct {
	Heard bool      `json:"heard"`       // it answered last time
	At    time.Time `json:"at,omitzero"` // of its last answer, zero: none yet
	Last  string    `json:"last"`
}

// PeerNow is what is known of the peer.
type PeerNow struct {
	Name  string    `json:"name"`
	State ha.State  `json:"state"`
	Heard bool      `json:"heard"`       // its engine answered last time
	At    time.Time `json:"at,omitzero"` // of its last answer, zero: none yet
	Last  string    `json:"last"`        // what the last look has shown
	Off   bool      `json:"off"`         // High Availability is disabled there

	Trusted bool `json:"trusted"` // its engine can be asked: the nodes trust one another
}

// Opinion is what a front has called: where it sends the clients of a group.
type Opinion struct {
	Front   string    `json:"front"`
	Group   string    `json:"group"`
	Serving string    `json:"serving"`
	Epoch   uint64    `json:"epoch"` // of its Traffic
	At      time.Time `json:"at"`
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

package nodeapi

import (
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// Transition is one change of what a node is, with its evidence, as GET
// /ha/v1/history gives them, the oldest first.
type Transition struct {
	At     time.Time `json:"at"`
	From   ha.Phase  `json:"from"`
	To     ha.Phase  `json:"to"`
	Epoch  uint64    `json:"epoch"`
	Why    string    `json:"why"`
	By     string    `json:"by,omitempty"`     // who said so, and why; empty: it happened by itself
	Misses int       `json:"misses,omitempty"` // failed heartbeats in a row, before
	Peer   string    `json:"peer,omitempty"`   // what the last look at it has shown
	Loss   string    `json:"loss,omitempty"`   // of a promotion: what it may cost
}

// Sync is one line of the Sync History (EPMM guide, Step 5), as GET
// /ha/v1/sync-history gives them, the oldest first.
type Sync struct {
	At         time.Time  `json:"at"` // when it was over: Completed
	Started    time.Time  `json:"started,omitzero"`
	From       string     `json:"from"`
	By         string     `json:"by,omitempty"`         // who asked for it; empty: the schedule
	Result     string     `json:"result"`               // Success, Failure, Refused: version, Skipped: overlap, …
	Detail     string     `json:"detail,omitempty"`     // "no changes", or why not
	Generation uint64     `json:"generation,omitempty"` // that is in force since
	Tasks      []SyncTask `json:"tasks,omitempty"`
}

// Duration gives how long it took.
func (s Sync) Duration() Span {
	if s.Started.IsZero() {
		return 0
	}
	return Span(s.At.Sub(s.Started))
}

// Success is the Result of a sync in which every task has completed (EPMM guide,
// Last Sync Status).
const Success = "Success"

// Overlap is the Result of a sync that did not begin, for the last one still
// ran.
const Overlap = "Skipped: overlap"

// Locked is the Result of a scheduled sync that did not begin, for an upgrade run
// or a planned swap had the node's lock.
const Locked = "Skipped: run"

// Sent says to whom a test mail went.
type Sent struct {
	To string `json:"to"`
}

// Setting is one name and its value as people read and write it. GET
// /ha/v1/settings gives them in the order of the guide's window.
type Setting struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Facts are what a node tells of itself to one that compares: GET /ha/v1/facts.
type Facts struct {
	Release string `json:"release"` // of the application; empty: no command tells it
	Count   string `json:"count"`   // of its devices
	Zone    string `json:"zone"`    // time zone
	Sees    string `json:"sees"`    // why the other node's status pages are not seen from here; empty: they are

	Settings []Setting `json:"settings,omitempty"` // in force
}

// The results of an Item.
const (
	ItemOK      = "ok"
	ItemFailed  = "failed"
	ItemUnknown = "unknown"
)

// TestConnection is the Item that calls the peer as a sync does (EPMM guide,
// Step 4 and Table 3, task 1).
const TestConnection = "Test Connection"

// Item is one line of GET /ha/v1/preflight.
type Item struct {
	Name   string `json:"name"`
	Result string `json:"result"` // ok, failed, unknown
	Said   string `json:"said"`
}

package api

import (
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// Schema is the version of every JSON document of the API. It grows when a
// field goes or changes its meaning; a new field does not change it.
const Schema = 1

// The words for a node's state on the wire.
const (
	Active       = "active"
	Standby      = "standby"
	NotAvailable = "not_available"
)

// The words for a decision's verb on the wire.
const (
	Stay     = "stay"
	Wait     = "wait"
	FailOver = "fail_over"
)

var (
	states = [...]string{ha.NotAvailable: NotAvailable, ha.Standby: Standby, ha.Active: Active}
	verbs  = [...]string{ha.Wait: Wait, ha.Stay: Stay, ha.FailOver: FailOver}
	queues = [...]string{ha.QueueNone: "none", ha.QueueUnsafe: "unsafe", ha.QueueAll: "all"}
)

// Group is a group's situation as the API tells it. Times are RFC 3339 in UTC
// to the millisecond.
type Group struct {
	Schema  int       `json:"schema"`
	Name    string    `json:"name"`
	At      time.Time `json:"at"`      // when this was so
	Serving string    `json:"serving"` // empty: nobody is known to serve
	Target  string    `json:"target"`  // where requests go now, empty: nowhere
	Epoch   uint64    `json:"epoch"`
	Since   time.Time `json:"since,omitzero"` // when Serving began to serve
	Order   []string  `json:"order"`          // in order of succession
	Hold    *Hold     `json:"hold"`
	// FrozenUntil is until when every request waits for a planned swap.
	FrozenUntil time.Time `json:"frozen_until,omitzero"`
	Armed       bool      `json:"armed"`
	ArmedWhy    ha.Reason `json:"armed_why"`          // why not armed, empty if armed
	ArmedTo     string    `json:"armed_to,omitempty"` // where traffic would go
	Decision    Decision  `json:"decision"`
	Alarms      []string  `json:"alarms,omitempty"` // why a person is needed now
	Queue       string    `json:"queue"`            // which requests wait: none, unsafe or all
	// QueueTimeoutMS is how long they may, by the least patient door in this
	// process; none: no client's request goes through here.
	QueueTimeoutMS *int64     `json:"queue_timeout_ms,omitempty"`
	Changed        Changed    `json:"changed,omitzero"` // the last change of the traffic
	Rules          Rules      `json:"rules"`
	Nodes          []Node     `json:"nodes"`               // in order of succession
	Watchers       *Watchers  `json:"watchers,omitempty"`  // none: this watcher is alone
	Resolvers      *Resolvers `json:"resolvers,omitempty"` // none: no name follows the group here
}

// Starting says that not every node has been read, so that nobody serves yet.
func (g Group) Starting() bool { return g.Decision.Reason == ha.Starting }

// Node gives the named node of the group; false if it has none.
func (g Group) Node(name string) (Node, bool) {
	for _, n := range g.Nodes {
		if n.Name == name {
			return n, true
		}
	}
	return Node{Name: name, State: NotAvailable}, false
}

// Hold is a frozen routing.
type Hold struct {
	Owner   string    `json:"owner"`
	Reason  string    `json:"reason"`
	Since   time.Time `json:"since"`
	Until   time.Time `json:"until,omitzero"`
	Overdue bool      `json:"overdue,omitempty"`

	OutageUntil time.Time `json:"outage_until,omitzero"` // until then the serving node may be down without an alarm
}

// Decision is the row of the truth table that is in force.
type Decision struct {
	Verb   string    `json:"verb"` // stay, wait or fail_over
	Reason ha.Reason `json:"reason"`
	Row    int       `json:"row"`
	To     string    `json:"to,omitempty"`
	Node   string    `json:"node,omitempty"`  // whom the reason is about, if not the serving node
	Alarm  string    `json:"alarm,omitempty"` // empty, notify or alarm
}

// Changed is who made the traffic what it is, and why.
type Changed struct {
	At      time.Time `json:"at"`
	Cause   ha.Reason `json:"cause"`
	Actor   string    `json:"actor,omitempty"` // empty: the rule
	Claimed bool      `json:"claimed,omitempty"`
	Reason  string    `json:"reason,omitempty"`
	Forced  bool      `json:"forced,omitempty"`
}

// Rules are the numbers a group goes by.
type Rules struct {
	Fall            int           `json:"fall"`
	Rise            int           `json:"rise"`
	IntervalMS      float64       `json:"interval_ms"`
	FastIntervalMS  float64       `json:"fast_interval_ms"`
	TimeoutMS       float64       `json:"timeout_ms"`
	PromotionTimeMS float64       `json:"promotion_time_ms"`
	OnPromoted      ha.OnPromoted `json:"on_promoted"`
}

// Node is what is known of one node.
type Node struct {
	Name      string    `json:"name"`
	State     string    `json:"state"`
	Page      string    `json:"page"`
	Cause     ha.Cause  `json:"cause"`
	Detail    string    `json:"detail,omitempty"`
	Misses    int       `json:"misses"`
	Passes    int       `json:"passes"`
	At        time.Time `json:"at,omitzero"`         // when the last probe began; none: not read yet
	Since     time.Time `json:"since,omitzero"`      // when State was first read
	DownSince time.Time `json:"down_since,omitzero"` // none: not down
	Suspect   time.Time `json:"suspect,omitzero"`    // since when live traffic fails, none: it does not
	AtMiss    string    `json:"at_miss,omitempty"`   // what it read at the serving node's first miss
	TookMS    float64   `json:"took_ms"`
	NodeEpoch uint64    `json:"node_epoch,omitempty"`
	Manual    bool      `json:"manual,omitempty"`
}

// Known says whether the node has been read at all.
func (n Node) Known() bool { return !n.At.IsZero() }

// Available says whether the last reading found the node able.
func (n Node) Available() bool { return n.State != NotAvailable }

// Reading is one probe's result.
type Reading struct {
	Node      string    `json:"node"`
	State     string    `json:"state"`
	Cause     ha.Cause  `json:"cause,omitempty"`
	Page      string    `json:"page,omitempty"`
	Detail    string    `json:"detail,omitempty"`
	At        time.Time `json:"at"`
	TookMS    float64   `json:"took_ms"`
	NodeEpoch uint64    `json:"node_epoch,omitempty"`
}

// Change is one entry of a group's history.
type Change struct {
	Changed
	Epoch    uint64    `json:"epoch"`
	From     string    `json:"from"` // who served before, empty: not known
	Serving  string    `json:"serving"`
	Order    []string  `json:"order"`
	Hold     *Hold     `json:"hold"`
	Evidence []Reading `json:"evidence,omitempty"`
}

// Opinion is what one watcher believes of a group.
type Opinion struct {
	Group
	Watcher  string               `json:"watcher"`
	Readings map[string][]Reading `json:"readings,omitempty"` // by node, oldest first
}

// Outcome is the answer to a wish that was granted.
type Outcome struct {
	Schema int    `json:"schema"`
	Group  string `json:"group"`
	DryRun bool   `json:"dry_run"` // nothing was changed
	Change Change `json:"change"`  // the new traffic
}

// Body is what a wish carries. Unknown fields are refused.
type Body struct {
	Reason string    `json:"reason,omitempty"`
	Force  bool      `json:"force,omitempty"`
	DryRun bool      `json:"dry_run,omitempty"`
	To     string    `json:"to,omitempty"`
	Order  []string  `json:"order,omitempty"`
	Until  time.Time `json:"until,omitzero"`
	For    string    `json:"for,omitempty"` // a duration such as 2h, instead of Until
	Owner  string    `json:"owner,omitempty"`
	Outage time.Time `json:"outage_until,omitzero"` // of a hold: until then the serving node may be down without an alarm
	Epoch  uint64    `json:"epoch,omitempty"`       // the epoch that the asker was shown
	Actor  string    `json:"actor,omitempty"`       // who asks, as far as nobody proves it
}

// GroupList is every group.
type GroupList struct {
	Schema int     `json:"schema"`
	Groups []Group `json:"groups"`
	Pools  []Pool  `json:"pools,omitempty"` // told by understudy status; the API has them at a path of their own
}

// HistoryList is a group's history.
type HistoryList struct {
	Schema  int      `json:"schema"`
	Group   string   `json:"group"`
	History []Change `json:"history"` // oldest first
}

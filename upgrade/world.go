package upgrade

import (
	"context"
	"slices"
	"strings"
	"time"
)

// World is how nodes and routers are, as far as that could be read.
type World struct {
	At      time.Time         `json:"at"`
	Nodes   map[string]Node   `json:"nodes"`
	Routers map[string]Router `json:"routers"`
	Seen    []Seen            `json:"seen,omitempty"` // from this machine; only in snapshots and before a run
}

// The words for a node's state and for its Mode.
const (
	Active       = "active"
	Standby      = "standby"
	NotAvailable = "not_available"

	Primary   = "primary"
	Secondary = "secondary"
)

// Node is how a node is. What nobody can tell of it is empty.
type Node struct {
	Fault    string            `json:"fault,omitempty"` // why it cannot be read; then nothing else counts
	Driver   string            `json:"driver"`          // agent, ssh or manual
	ID       string            `json:"id,omitempty"`    // of its engine, and the pin of its key
	Version  string            `json:"version,omitempty"`
	Count    string            `json:"count,omitempty"` // the guide's device count
	Enabled  string            `json:"high_availability,omitempty"`
	Mode     string            `json:"mode,omitempty"`
	State    string            `json:"state"`
	Settled  bool              `json:"settled"` // it is not on its way from one state to another
	Well     bool              `json:"well"`    // the application answers
	Door     string            `json:"client_connection,omitempty"`
	Clients  int               `json:"clients"`
	Syncing  bool              `json:"syncing,omitempty"`
	LastSync *Sync             `json:"last_sync,omitempty"`
	Next     []time.Time       `json:"next_syncs,omitempty"`
	Settings map[string]string `json:"settings,omitempty"`
	Trusted  []string          `json:"trusted,omitempty"` // nil: not known
	Peer     string            `json:"peer,omitempty"`    // who it takes for its peer
	Heard    bool              `json:"heard"`             // it hears its peer
	Beat     string            `json:"beat,omitempty"`    // when it last did
	Epoch    uint64            `json:"epoch,omitempty"`
	Lock     *Lock             `json:"lock,omitempty"`
	Fence    uint64            `json:"fence,omitempty"` // the highest number of any lock so far
	Jobs     []Job             `json:"jobs,omitempty"`
	Clock    time.Time         `json:"clock,omitzero"` // its own

	Keys   map[string]string `json:"keys,omitempty"`   // pins of those that it trusts
	Copied map[string]int64  `json:"copied,omitempty"` // rows and files of its copy
	Room   map[string]uint64 `json:"room,omitempty"`   // bytes free, by path; none: not known
	Checks bool              `json:"checks_digest,omitempty"`
}

// The words for High Availability and the client connection.
const (
	Enabled  = "enabled"
	Disabled = "disabled"
)

// Sync is a replication that has ended.
type Sync struct {
	Completed string `json:"completed"`
	Result    string `json:"result"` // Success, or what went wrong
}

// Success says whether it ended well.
func (s *Sync) Success() bool { return s != nil && s.Completed != "" && s.Result == "Success" }

// Lock is a run's claim on a node. Its number only grows.
type Lock struct {
	Run    string `json:"run"`
	Number uint64 `json:"number"`
}

// Job is something a node does for a run: download, upgrade, validate.
type Job struct {
	Do      string `json:"do"`
	Run     string `json:"run"`
	Version string `json:"version"`
	State   string `json:"state"`
	Said    string `json:"said,omitempty"`
}

// The states of a Job. Interrupted means that the engine ended meanwhile and
// nobody knows how far it came.
const (
	JobRuns        = "runs"
	JobDone        = "done"
	JobFailed      = "failed"
	JobInterrupted = "interrupted"
)

// job gives the newest job of a run, nil if there is none.
func (n Node) job(do, run string) *Job {
	for _, j := range slices.Backward(n.Jobs) {
		if j.Do == do && j.Run == run {
			return &j
		}
	}
	return nil
}

// Router is how something that sends clients is.
type Router struct {
	Fault   string            `json:"fault,omitempty"`
	Kind    string            `json:"kind"` // api, haproxy or command
	Held    bool              `json:"held"`
	Owner   string            `json:"owner,omitempty"` // of the hold, where that is known
	Frozen  bool              `json:"frozen,omitempty"`
	Outage  bool              `json:"outage,omitempty"` // it was told of one; its end may have passed
	Serving string            `json:"serving,omitempty"`
	Order   []string          `json:"order,omitempty"`
	Epoch   uint64            `json:"epoch,omitempty"`
	Nodes   map[string]string `json:"nodes,omitempty"`   // state of each, as it reads it
	Refuses string            `json:"refuses,omitempty"` // why it cannot be held now
	Said    string            `json:"said,omitempty"`    // what it is like, in its own words
	Target  string            `json:"target"`            // what exactly is held: kept in the pins
	Waits   *time.Duration    `json:"waits,omitempty"`   // how long it lets requests wait; nil: none goes through it
}

// Deed is one thing that is done to a node or a router.
type Deed struct {
	On   string    // name of the node or the router
	Do   string    // a verb
	With string    // what the verb needs: a node, a version, an order
	Till time.Time // of a freeze or an outage
}

func (d Deed) String() string { return strings.TrimSpace(d.On + " " + d.Do + " " + d.With) }

// The verbs of deeds.
const (
	DoLock       = "lock"
	DoUnlock     = "unlock" // ByForce: whatever its number is
	DoDisable    = "disable"
	DoEnable     = "enable"
	DoPrimary    = "primary"
	DoSecondary  = "secondary"
	DoSync       = "sync"
	DoReschedule = "reschedule"
	DoSettings   = "settings"
	DoClose      = "close"
	DoOpen       = "open"
	DoDownload   = "download"
	DoUpgrade    = "upgrade"
	DoValidate   = "validate"
	DoTestPeer   = "connection_test"
	DoTestMail   = "mail_test"
	DoUnpair     = "unpair"
	DoPair       = "pair"

	DoHold     = "hold"
	DoRelease  = "release"
	DoAnnounce = "announce" // an outage, under the hold; a hold without it ends that
	DoFreeze   = "freeze"
	DoThaw     = "thaw"
	DoSwitch   = "switch"
	DoReorder  = "reorder"
)

// ByForce is what a DoUnlock is done with for a run whose number is lost.
const ByForce = "force"

// NodeHand looks at a node and has things done there.
type NodeHand interface {
	// Look never fails as a call: what cannot be read is a Fault.
	Look(ctx context.Context) Node
	// Do gives nil if the deed was taken, *Refused if it was not, *Later if it was
	// not and may be soon, *ByHand if a person has to; after any other error
	// nobody knows.
	Do(ctx context.Context, d Deed) error
}

// RouterHand is the same of a router.
type RouterHand interface {
	Look(ctx context.Context) Router
	Do(ctx context.Context, d Deed) error
}

// Refused is the error of a deed that was not done.
type Refused struct{ Why string }

func (r *Refused) Error() string { return r.Why }

// Later is the error of a deed that was not done and may be in a moment.
type Later struct{ Why string }

func (l *Later) Error() string { return l.Why }

// ByHand is the error of a deed that a person has to do; Say tells which.
type ByHand struct{ Say string }

func (b *ByHand) Error() string { return b.Say }

// Hands are everybody that a run works with, by name.
type Hands struct {
	Nodes   map[string]NodeHand
	Routers map[string]RouterHand
}

// Look reads all of them at once.
func (h Hands) Look(ctx context.Context, now time.Time) World {
	w := World{At: now, Nodes: map[string]Node{}, Routers: map[string]Router{}}
	nodes, routers := make(chan func()), make(chan func())
	for name, n := range h.Nodes {
		go func() { f := n.Look(ctx); nodes <- func() { w.Nodes[name] = f } }()
	}
	for name, r := range h.Routers {
		go func() { f := r.Look(ctx); routers <- func() { w.Routers[name] = f } }()
	}
	for range h.Nodes {
		(<-nodes)()
	}
	for range h.Routers {
		(<-routers)()
	}
	return w
}

// do has a deed done by whom it is about.
func (h Hands) do(ctx context.Context, d Deed) error {
	if n, ok := h.Nodes[d.On]; ok {
		return n.Do(ctx, d)
	}
	if r, ok := h.Routers[d.On]; ok {
		return r.Do(ctx, d)
	}
	return &Refused{"the plan names no " + d.On}
}

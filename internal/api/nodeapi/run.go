package nodeapi

import (
	"context"
	"net/http"
	"time"
)

// Run is what a node knows of runs of an upgrade or a planned swap, as GET
// /ha/v1/run gives it.
type Run struct {
	ID      string    `json:"id"` // of this engine, made when it first started
	Now     time.Time `json:"now"`
	Release Told      `json:"release"` // what the command app.version says
	Count   Told      `json:"count"`   // and app.count, the guide's device count
	Syncing bool      `json:"syncing"`
	Door    bool      `json:"door"` // it has a client connection of ours
	// Scheduled says whether the schedule runs; Next are its next syncs.
	Scheduled bool        `json:"scheduled"`
	Next      []time.Time `json:"next_syncs"`
	Fence     uint64      `json:"fence"` // the highest number of any lock so far
	Lock      *Lock       `json:"lock"`
	Jobs      []Job       `json:"jobs"` // of the last runs, the oldest first
	// Course is of the run that has the lock, or else of the last one; nil: none
	// has told. Heard is when its process was heard last; Silent says that it
	// should be at work and is not heard any more.
	Course  *Course     `json:"course,omitempty"`
	Heard   time.Time   `json:"heard,omitzero"`
	Silent  bool        `json:"silent"`
	Answers []RunAnswer `json:"answers"` // that its process has not taken yet

	// What a run compares before and after, and looks at before it begins.
	Hosts  []TrustedHost    `json:"trusted_hosts"`    // null: trust is not configured here
	Copied map[string]int64 `json:"copied,omitempty"` // rows and files of the copy in force, by dataset and table
	Room   []Room           `json:"room"`
	Checks bool             `json:"checks_digest"` // app.download or app.upgrade takes ${DIGEST}
}

// TrustedHost is a host that the node trusts.
type TrustedHost struct {
	Name string `json:"name"`
	Role string `json:"role"` // node, front, admin
	Key  string `json:"key"`  // pin of its TLS key; empty: not known
}

// Room is what is free on a file system, in bytes.
type Room struct {
	Path string `json:"path"`
	Free uint64 `json:"free"`
	Size uint64 `json:"size"`
}

// TrustRequest changes whom the node trusts: exactly one of Remove, Invite and
// Join. With a lock only its run may.
type TrustRequest struct {
	Run    string `json:"run,omitempty"`
	Number uint64 `json:"number,omitempty"`
	Remove string `json:"remove,omitempty"` // a name
	Invite bool   `json:"invite,omitempty"` // another node
	Join   string `json:"join,omitempty"`   // a pairing string; it is a secret
}

// TrustAnswer is what came of it.
type TrustAnswer struct {
	Hosts      []TrustedHost `json:"trusted_hosts"`
	Invitation string        `json:"invitation,omitempty"` // a secret, good once within ten minutes
}

// Trust changes whom the node trusts.
func (c *Client) Trust(ctx context.Context, q TrustRequest) (a TrustAnswer, err error) {
	err = c.Ask(ctx, http.MethodPost, "trusted-hosts", q, &a)
	return a, err
}

// Told is what a command of the node says.
type Told struct {
	Value string `json:"value"`
	Fault string `json:"fault,omitempty"`
}

// Lock is a run's claim on a node. While it is held nothing happens by itself,
// and only that run changes anything; failover mode is never refused.
type Lock struct {
	Run    string    `json:"run"`
	Number uint64    `json:"number"` // grows with every run: a late request of an older one is refused
	By     string    `json:"by"`
	Reason string    `json:"reason"`
	Since  time.Time `json:"since"`
}

// Job is one of the node's own argument lists that was started for a run.
type Job struct {
	Do      string    `json:"do"` // download, upgrade, validate
	Run     string    `json:"run"`
	Version string    `json:"version"`
	State   string    `json:"state"`
	Said    string    `json:"said,omitempty"` // the end of what it says
	Began   time.Time `json:"began"`
	Ended   time.Time `json:"ended,omitzero"`
}

// The states of a Job. Interrupted: the engine ended meanwhile, and nobody knows
// how far it came.
const (
	JobRuns        = "runs"
	JobDone        = "done"
	JobFailed      = "failed"
	JobInterrupted = "interrupted"
)

// RunRequest is what is asked of a node about runs, at lock and at app.
type RunRequest struct {
	Run     string `json:"run"`
	Number  uint64 `json:"number"`
	Release bool   `json:"release,omitempty"` // lock: give it back
	Force   bool   `json:"force,omitempty"`   // lock: with release, whoever has it; else even from a process that is heard
	Do      string `json:"do,omitempty"`      // app: download, upgrade, validate
	Version string `json:"version,omitempty"`
	Digest  string `json:"digest,omitempty"` // of the package, for the list's ${DIGEST}
	Reason  string `json:"reason,omitempty"`
	Step    string `json:"step,omitempty"`  // run/answer: what it asks there is granted, or done
	Abort   bool   `json:"abort,omitempty"` // run/answer: undo the run
}

// Run tells what the node knows of runs.
func (c *Client) Run(ctx context.Context) (r Run, err error) {
	err = c.Get(ctx, "run", &r)
	return r, err
}

// Lock claims the node for a run, or gives it back.
func (c *Client) Lock(ctx context.Context, q RunRequest) (r Run, err error) {
	err = c.Ask(ctx, http.MethodPost, "lock", q, &r)
	return r, err
}

// App starts one of the node's own argument lists for the run that has the lock.
// It is under way when this returns; one that the run has started already is not
// started again.
func (c *Client) App(ctx context.Context, q RunRequest) (r Run, err error) {
	err = c.Ask(ctx, http.MethodPost, "app", q, &r)
	return r, err
}

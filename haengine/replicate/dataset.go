package replicate

import (
	"context"
	"encoding/json"
)

// Dataset is one type of data that can be copied. Offer is called on the
// source, the others on the sink, one at a time for each dataset. Every call
// ends soon after its ctx does. What files, databases and commands say is
// bounded before it is kept in memory, and secrets stand in no argument and in
// no error.
type Dataset interface {
	// Offer makes a consistent state of the data that can be fetched, without
	// changing it and without stopping who writes it. spool is an empty folder
	// of this dataset's own, with mode 0750, for a dump; what is in there is
	// removed when the sink has fetched it or is gone. It must not fill the disk:
	// see [Room]. The error says in one sentence what to do.
	Offer(ctx context.Context, spool string) (Offer, error)

	// Prepare makes of a staged tree what Switch puts into force. The data in
	// force is not touched, and readers of it notice nothing. What it leaves
	// when it fails, or is killed, the core frees by Drop with an empty Data.
	Prepare(ctx context.Context, s Staged) (Prepared, error)

	// Switch puts a prepared generation into force: at once, so that nobody sees
	// one half, and keeps what was in force for Back. Called again, after it was
	// done or was cut off anywhere, it ends in the same state. It ends only
	// with the switch done or with an error that a repeat may not have.
	Switch(ctx context.Context, c Change) error

	// Back undoes Switch in the same way: what was in force before c is again,
	// and what c had put into force is kept for Drop. It may be called twice.
	Back(ctx context.Context, c Change) error

	// Drop frees one side of a change: New, which is not in force (never
	// switched, or gone back from), or Old, the data that it replaced. What is
	// missing already is no error. With an empty Data it frees whatever a
	// Prepare that did not end may have left of c's generation.
	Drop(ctx context.Context, c Change, side Side) error
}

// Offer is what a source has ready to be fetched.
type Offer struct {
	// Tree is the folder to fetch: the spool, or the folder in force.
	Tree string `json:"tree"`

	// Digest names the content, if the type can tell: equal to that of the
	// generation in force on the sink it means that nothing has changed, and
	// nothing is fetched. Empty: the trees' manifests decide.
	Digest string `json:"digest,omitempty"`

	// Counts are rows or files by name, from the same snapshot as the tree. What
	// Prepare counts must be equal; empty on both sides is equal.
	Counts map[string]int64 `json:"counts,omitempty"`

	// Server is the kind and version of the software that holds the data, if
	// there is one, like "PostgreSQL 15.18": Prepare decides whether it can take
	// what comes from there.
	Server string `json:"server,omitempty"`
}

// Staged is a tree that has arrived: manifest, sizes and digests are those of
// the source.
type Staged struct {
	Generation uint64
	Dir        string // the tree
	Offer      Offer  // what the source told; its Tree is a folder over there
	Source     string // the node that it came from
}

// Prepared is what Prepare has made.
type Prepared struct {
	Data   json.RawMessage  // for Change: at most 16 KiB of JSON, no secrets
	Counts map[string]int64 // counted in what was prepared
	Detail string           // a few words for the Sync History, like "3 of 20 tables restored"; may be empty
}

// Change is the part of a generation that belongs to one dataset. A dataset
// that was the same on both sides has none.
type Change struct {
	Dataset    string          `json:"dataset"`
	Generation uint64          `json:"generation"`
	Data       json.RawMessage `json:"data,omitempty"` // of Prepared; empty: Prepare has not ended
}

// Side is one of the two that a Change stands between.
type Side bool

// The sides.
const (
	Old Side = false // what was in force before
	New Side = true
)

// Set is a dataset as node.yaml declares it.
type Set struct {
	Name    string
	Type    string // like files; both nodes must say the same
	Dataset Dataset

	// Tree is the folder in force of type files. Other types leave it empty: what
	// arrives of them is a dump, staged below data_dir, of which only the last
	// one is kept, so that the next transfers what differs from it.
	Tree     string
	Exclude  []string // patterns of paths that belong to the node and never travel
	Volatile []string // patterns of paths that may change while they are copied

	Enabled func() bool // asked at the begin of each run; nil: always
}

// enabled says whether a set is copied just now.
func (s Set) enabled() bool { return s.Enabled == nil || s.Enabled() }

// Refused is the error of a run that was not allowed to go on, of Prepare too:
// nothing is broken, a person decides. Its Kind is part of the result, as in
// "Refused: version".
type Refused struct {
	Kind Kind
	Why  string // one sentence, with what to do
}

func (r *Refused) Error() string { return r.Why }

// Kind is why a run is refused.
type Kind string

// The kinds.
const (
	Version Kind = "version" // releases or servers differ
	Guard   Kind = "guard"   // the source looks as if it had lost its data
)

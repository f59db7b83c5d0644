package replicate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/understudy-ha/understudy/internal/statefile"
)

// Config is what a Replica is made of.
type Config struct {
	Dir   string // for journal, book, dumps and spool
	Sets  []Set
	Book  *Book
	Keep  int   // how many generations can be gone back to; 0: three
	Scrub int64 // bytes of unchanged files that each run reads again on both sides; 0: 64 MiB, negative: none
	Facts func(ctx context.Context) (Facts, error)
	Log   *slog.Logger

	step func(at string) error // tests end a run here; nil: nothing
}

// Replica is the side that fetches. At most one run goes on at a time; the other
// methods may be called by several goroutines.
type Replica struct {
	Config
	busy     sync.Mutex // held by a run, a rollback, or the end of a commit
	journal  *journal   // owned by who holds busy
	progress atomic.Pointer[Progress]
	outgoing func() (release func(), free bool) // the source's lock: nothing is switched while a node fetches
}

// Open gives the Replica of a node, whose journal may have a commit that has to
// be ended first: see [Replica.Recover].
func Open(c Config) (*Replica, error) {
	if c.Keep <= 0 {
		c.Keep = 3
	}
	if c.Scrub == 0 {
		c.Scrub = 64 << 20
	}
	if c.step == nil {
		c.step = func(string) error { return nil }
	}
	if err := statefile.MakeDir(filepath.Join(c.Dir, "dumps"), 0o750); err != nil {
		return nil, err
	}
	j, err := openJournal(c.Dir)
	if err != nil {
		return nil, err
	}
	return &Replica{Config: c, journal: j}, nil
}

// Behind makes the Replica wait with a commit while s is being fetched from:
// who fetches gets one generation, not half of two.
func (r *Replica) Behind(s *Source) {
	r.outgoing = func() (func(), bool) {
		select {
		case s.busy <- struct{}{}:
			return func() { <-s.busy }, true
		default:
			return nil, false
		}
	}
}

// Order is what a run is to do.
type Order struct {
	From            string // the node's name
	AcceptDeletions bool   // a person has looked: the guards let through what they found
	Full            bool   // compare all contents
	Discard         bool   // what only this node has is given up, and no archive made of it
	// Allow is asked when everything is ready to go live; an error keeps it from
	// doing so.
	Allow func(ctx context.Context, epoch uint64) error
	// Over is called when what was allowed is over: in force, or given up; nil:
	// nobody waits for that. A commit that cannot be ended is not over.
	Over func()
}

// Report is a run that is over.
type Report struct {
	Started    time.Time `json:"started"`
	Completed  time.Time `json:"completed"`
	From       string    `json:"from"`
	Result     string    `json:"result"`
	Detail     string    `json:"detail,omitempty"`
	Generation uint64    `json:"generation,omitempty"` // that is in force since; 0: the same as before
	Root       string    `json:"root,omitempty"`
	Tasks      []Task    `json:"tasks"`
}

// Task is one step of a run.
type Task struct {
	Name     string        `json:"name"`
	Dataset  string        `json:"dataset,omitempty"`
	Started  time.Time     `json:"started"`
	Duration time.Duration `json:"duration"`
	Result   string        `json:"result"`
	Detail   string        `json:"detail,omitempty"`
}

// The results.
const (
	Success   = "Success"
	Failure   = "Failure"
	Cancelled = "Cancelled"
	Overlap   = "Skipped: overlap"
	OneSided  = "Skipped: not enabled on both"
)

// resultOf gives the result of an error.
func resultOf(err error) string {
	var no *Refused
	switch {
	case err == nil:
		return Success
	case errors.As(err, &no):
		return "Refused: " + string(no.Kind)
	case errors.Is(err, context.Canceled):
		return Cancelled
	}
	return Failure
}

// errCancelled is the cause that a run gives when its node has something more
// important to do.
func cancelled(err error) error {
	if errors.Is(err, context.Canceled) {
		return errors.New("the run was ended before anything went live")
	}
	return err
}

// Run copies everything that is enabled on both sides. It returns when the copy
// is in force, or nothing is left of the attempt. ctx ends it until the commit;
// after that it cannot be ended. remote tells how the source is called.
func (r *Replica) Run(ctx context.Context, o Order, remote func() (Remote, error)) Report {
	report := Report{Started: time.Now().UTC(), From: o.From, Tasks: []Task{}}
	if !r.busy.TryLock() {
		report.Completed, report.Result = report.Started, Overlap
		return report
	}
	defer r.busy.Unlock()
	defer r.progress.Store(nil)
	v := &run{Replica: r, order: o, how: remote, report: &report, records: map[string]record{}, bases: map[string]string{}}
	err := v.all(ctx)
	report.Completed = time.Now().UTC()
	report.Result = resultOf(err)
	if err != nil {
		report.Detail = cancelled(err).Error()
	}
	return report
}

// Recover ends what a crash has left: a commit is rolled forward, and what was
// only prepared is discarded.
func (r *Replica) Recover(ctx context.Context) error {
	r.busy.Lock()
	defer r.busy.Unlock()
	if open := r.journal.open; open != nil {
		if err := r.settle(ctx, open); err != nil {
			return err
		}
	}
	return errors.Join(r.forget(ctx), r.forgetBases())
}

// settle ends a run that was cut off.
func (r *Replica) settle(ctx context.Context, open *unfinished) error {
	if open.commit != nil {
		r.Log.Warn("a commit that was cut off is rolled forward", "generation", open.begin.Generation)
		return r.finish(ctx, open.commit)
	}
	r.Log.Info("a sync that was cut off is discarded", "generation", open.begin.Generation)
	return r.discard(ctx, open.begin.Generation, open.begin.Datasets)
}

// Unfinished says whether a commit has begun and not ended.
func (r *Replica) Unfinished() bool {
	if !r.busy.TryLock() {
		return false
	}
	defer r.busy.Unlock()
	return r.journal.open != nil && r.journal.open.commit != nil
}

// set gives a dataset by its name, nil if the node has none of that name.
func (r *Replica) set(name string) *Set {
	for i := range r.Sets {
		if r.Sets[i].Name == name {
			return &r.Sets[i]
		}
	}
	return nil
}

// State is what a node knows of its copy.
type State struct {
	Current     uint64       `json:"current"` // the generation in force; 0: none
	AsOf        time.Time    `json:"as_of,omitzero"`
	Dirty       bool         `json:"dirty,omitempty"` // the application has run on it since
	Generations []Generation `json:"generations,omitempty"`
	Taken       *Taken       `json:"taken,omitempty"`
	Served      bool         `json:"served,omitempty"`   // this node may have what no other one has
	Archives    []Archive    `json:"archives,omitempty"` // the oldest first
}

// Serve notes that the application is going to write to the data in force. The
// older generations share files with it, and are not gone back to any more.
func (r *Replica) Serve() error {
	var all []string
	for _, s := range r.Sets {
		all = append(all, s.Name)
	}
	return told(r.Book.Serve(all...))
}

// Alone is Serve for a node that has never been Active, and serves as it did
// before it had a role. What it has is replaced by its first sync, like any first
// generation; only a dataset that another node once had too may have what that
// one has not.
func (r *Replica) Alone() error {
	var once []string
	for _, s := range r.Sets {
		if len(r.Book.record(s.Name).Base) > 0 {
			once = append(once, s.Name)
		}
	}
	return told(r.Book.Serve(once...))
}

// Try is Serve for an application that is only looked at: nobody is served, and
// what it writes is worth nothing.
func (r *Replica) Try() error { return told(r.Book.Serve()) }

func told(err error) error {
	if err != nil {
		return fmt.Errorf("note that the data is not a copy any more: %w", err)
	}
	return nil
}

// State gives what is known.
func (r *Replica) State() State {
	p := r.Book.read()
	served := slices.ContainsFunc(r.Sets, func(s Set) bool { return p.Datasets[s.Name].Served })
	return State{p.Current, p.AsOf, p.Dirty && !p.Rolled, p.Generations, p.Taken, served, p.Archives}
}

// Loss says what a promotion would lose now.
func (s State) Loss(now time.Time) string {
	switch {
	case s.AsOf.IsZero():
		return "everything: no sync has succeeded yet"
	default:
		return fmt.Sprintf("what was written after %s (%s)", s.AsOf.UTC().Format("2006-01-02 15:04:05 UTC"), age(now.Sub(s.AsOf)))
	}
}

// age writes a duration as people say it.
func age(d time.Duration) string {
	switch d = d.Round(time.Second); {
	case d < time.Minute:
		return fmt.Sprintf("%d s ago", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h ago", int(d.Hours()))
	}
	return fmt.Sprintf("%d days ago", int(d.Hours()/24))
}

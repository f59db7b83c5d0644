package haengine

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/internal/register"
)

// Safety is what belongs to the machine and not to the settings of people in
// profile safe: both nodes have the same.
type Safety struct {
	Lease    time.Duration // whole seconds
	Watchdog time.Duration // a hanging engine's application is stopped after it
	Slack    time.Duration
	Continue bool // on_register_loss: continue
}

// DefaultSafety gives a lease of 75 s and a watchdog of 5 s.
func DefaultSafety() Safety {
	d := ha.DefaultSettings()
	return Safety{Lease: d.Lease, Watchdog: d.Watchdog, Slack: d.Slack}
}

func (s Safety) rule(r *ha.Settings) {
	r.Profile, r.Continue = ha.Safe, s.Continue
	r.Lease, r.Watchdog, r.Slack = s.Lease, s.Watchdog, s.Slack
}

// check gives what is impossible of settings, with what the configuration says.
func (e *Engine) check(s Settings) []string {
	faults := s.Check()
	if e.Lease != nil && len(faults) == 0 {
		faults = e.rules(s).Check()
	}
	return faults
}

// unwise gives what is legal but unwise; what a lease prevents is not.
func (e *Engine) unwise(s Settings) []string {
	return slices.DeleteFunc(s.Warnings(), func(w string) bool { return e.Lease != nil && w == SplitBrain })
}

// Shared is the Lease and the Register of a node in etcd: a lease of the
// register for every attempt. What it was granted is stored before the key is
// asked for, so that a node that is started anew can give up what its last run
// held, by the id of the lease and by nothing else.
type Shared struct {
	etcd       *register.Etcd
	name, node string
	ttl        time.Duration
	path       string

	mu   sync.Mutex // guards the fields below
	held map[uint64]*register.Lease
	kept grant // as it is on the disk
}

// grant is what stands in the file.
type grant struct {
	Attempt uint64 `json:"attempt"`
	Lease   int64  `json:"lease"`
}

var (
	_ Lease    = (*Shared)(nil)
	_ Register = (*Shared)(nil)
)

// NewShared gives a node's way to the lease called name.
func NewShared(etcd *register.Etcd, name, node string, ttl time.Duration, dir string) (*Shared, error) {
	s := &Shared{etcd: etcd, name: name, node: node, ttl: ttl, path: filepath.Join(dir, leaseFile), held: map[uint64]*register.Lease{}}
	if _, err := s.lease(); err != nil {
		return nil, err
	}
	if _, err := load(s.path, &s.kept); err != nil && !errors.As(err, new(*Damaged)) {
		return nil, err
	} // a damaged one names no lease: the old one ends by itself
	return s, nil
}

// leaseFile is in data_dir.
const leaseFile = "lease.json"

func (s *Shared) lease() (*register.Lease, error) {
	return s.etcd.NewLease(s.name, s.node, s.ttl, time.Now)
}

// of gives the lease of an attempt, nil if it never was or is over.
func (s *Shared) of(attempt uint64) *register.Lease {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.held[attempt]; l != nil {
		return l
	}
	if s.kept.Attempt != attempt || s.kept.Lease == 0 {
		return nil
	}
	l, err := s.lease()
	if err != nil {
		return nil
	}
	l.Adopt(s.kept.Lease)
	s.held[attempt] = l
	return l
}

// Take grants a lease and creates the key if it is absent. The record of who
// has served is read while the key is held: nobody else can write it then.
func (s *Shared) Take(ctx context.Context, attempt uint64) (ha.Event, error) {
	l := s.of(attempt)
	if l == nil {
		var err error
		if l, err = s.begin(ctx, attempt); err != nil {
			return ha.Event{}, err
		}
	}
	term, err := l.Take(ctx)
	var taken *register.Taken
	var back *register.WentBack
	switch {
	case errors.As(err, &taken):
		return ha.Event{On: ha.OnLeaseRefused}, nil
	case errors.As(err, &back):
		return ha.Event{On: ha.OnLeaseGranted}, nil // of nothing: the machine sees that the register has forgotten
	case err != nil:
		return ha.Event{}, err
	}
	seen, err := l.Look(ctx)
	switch {
	case errors.As(err, &back):
		return ha.Event{On: ha.OnLeaseGranted}, nil
	case err != nil:
		return ha.Event{}, err
	case !seen.Own:
		return ha.Event{}, register.ErrLost
	}
	e := s.event(ha.OnLeaseGranted, seen)
	e.Epoch = term.Epoch
	return e, nil
}

// begin has a lease granted for an attempt and stores its id.
func (s *Shared) begin(ctx context.Context, attempt uint64) (*register.Lease, error) {
	l, err := s.lease()
	if err != nil {
		return nil, err
	}
	if err := l.Grant(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := grant{attempt, l.ID()}
	if err := save(s.path, kept); err != nil {
		return nil, fmt.Errorf("store the lease: %w", err)
	}
	s.kept = kept
	s.held[attempt] = l
	return l, nil
}

// Renew renews the lease, and sees that the key is still there under it.
func (s *Shared) Renew(ctx context.Context, attempt uint64) (ha.Event, error) {
	l := s.of(attempt)
	if l == nil {
		return ha.Event{On: ha.OnLeaseGone}, nil
	}
	_, err := l.Renew(ctx)
	switch {
	case errors.Is(err, register.ErrLost):
		return ha.Event{On: ha.OnLeaseGone}, nil
	case err != nil:
		return ha.Event{}, err
	}
	seen, err := l.Look(ctx)
	var back *register.WentBack
	switch {
	case errors.As(err, &back):
		return ha.Event{On: ha.OnLeaseRenewed}, nil // at revision 0
	case err != nil:
		return ha.Event{}, err
	case !seen.Own:
		return ha.Event{On: ha.OnLeaseGone}, nil
	}
	return s.event(ha.OnLeaseRenewed, seen), nil
}

// Revoke ends the lease of an attempt. One that was never granted is over.
func (s *Shared) Revoke(ctx context.Context, attempt uint64) error {
	l := s.of(attempt)
	if l == nil {
		return nil
	}
	if err := l.Release(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.held, attempt)
	if s.kept.Attempt == attempt {
		s.kept.Lease = 0
	}
	return nil
}

// Read gives who holds the key and who has served.
func (s *Shared) Read(ctx context.Context) (ha.Event, error) {
	l, err := s.lease()
	if err != nil {
		return ha.Event{}, err
	}
	seen, err := l.Look(ctx)
	var back *register.WentBack
	switch {
	case errors.As(err, &back):
		return ha.Event{On: ha.OnRegisterRead}, nil // at revision 0
	case err != nil:
		return ha.Event{}, err
	}
	e := s.event(ha.OnRegisterRead, seen)
	e.Held, e.Epoch = seen.Holder != "", seen.Epoch
	return e, nil
}

// Await waits until nobody holds the key.
func (s *Shared) Await(ctx context.Context) error {
	l, err := s.lease()
	if err != nil {
		return err
	}
	return l.Await(ctx)
}

// RecordServed writes who serves, guarded by the key.
func (s *Shared) RecordServed(ctx context.Context, epoch uint64) (ha.Event, error) {
	s.mu.Lock()
	attempt := s.kept.Attempt
	s.mu.Unlock()
	l := s.of(attempt)
	if l == nil {
		return ha.Event{On: ha.OnServedRefused, Epoch: epoch}, nil
	}
	err := l.Serve(ctx, epoch)
	switch {
	case errors.Is(err, register.ErrLost), errors.As(err, new(*register.WentBack)):
		return ha.Event{On: ha.OnServedRefused, Epoch: epoch}, nil
	case err != nil:
		return ha.Event{}, err
	}
	return ha.Event{On: ha.OnServedWritten, Epoch: epoch}, nil
}

// Raise brings the register above a revision.
func (s *Shared) Raise(ctx context.Context, above uint64) (ha.Event, error) {
	l, err := s.lease()
	if err != nil {
		return ha.Event{}, err
	}
	if err := l.Raise(ctx, above); err != nil {
		return ha.Event{}, err
	}
	seen, err := l.Look(ctx)
	if err != nil {
		return ha.Event{}, err
	}
	return s.event(ha.OnRegisterRaised, seen), nil
}

// event gives what was seen as the machine takes it.
func (s *Shared) event(on ha.On, seen register.Seen) ha.Event {
	e := ha.Event{On: on, Revision: uint64(seen.Revision), Cluster: seen.Cluster} // #nosec G115 -- revisions begin at 1
	if seen.Served.Node != s.node {
		e.PeerServed = seen.Served.Epoch
	}
	return e
}

// showRegister shows what belongs to profile safe.
func (e *Engine) showRegister(d *nodeapi.Status, s *Snapshot) {
	if e.Lease == nil {
		return
	}
	now := s.Answered
	d.Register = &now
	if e.Safety.Continue {
		d.Warnings = append(d.Warnings, "on_register_loss: continue. A node that loses the register serves on, so two may serve in a partition: that is profile documented again.")
	}
}

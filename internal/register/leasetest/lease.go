// Package leasetest says by tests what a node's lease promises, whatever keeps it.
package leasetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/register"
)

// Leases makes handles on one lease, each as another process on another host
// would have.
type Leases func(t *testing.T, node string, ttl time.Duration) *register.Lease

// Run tests what a node's lease promises. store gives the handles of a
// lease that nobody has held.
func Run(t *testing.T, store func(t *testing.T) Leases) {
	for name, test := range map[string]func(*testing.T, Leases){
		"one of two holds it":                                  leaseExclusive,
		"its epoch grows":                                      leaseGrows,
		"its deadline counts from the send":                    leaseDeadline,
		"it ends by itself":                                    leaseEnds,
		"a name does not own it":                               leaseByID,
		"release ends one's own and leaves another's":          leaseRelease,
		"only the holder writes that it serves":                leaseServes,
		"what was served outlives the lease":                   leaseServedStays,
		"taking again is harmless":                             leaseAgain,
		"an epoch that a person raises is above what is known": leaseRaise,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, store(t))
		})
	}
}

const (
	ttl      = 10 * time.Second
	patience = 30 * time.Second
)

func take(t *testing.T, l *register.Lease) register.Term {
	t.Helper()
	term, err := l.Take(t.Context())
	if err != nil {
		t.Fatalf("take: %v", err)
	}
	return term
}

func look(t *testing.T, l *register.Lease) register.Seen {
	t.Helper()
	seen, err := l.Look(t.Context())
	if err != nil {
		t.Fatalf("look: %v", err)
	}
	return seen
}

func leaseExclusive(t *testing.T, open Leases) {
	a, b := open(t, "a", ttl), open(t, "b", ttl)
	if seen := look(t, b); seen.Holder != "" || seen.Own || seen.Epoch != 0 {
		t.Errorf("nobody: %+v", seen)
	}
	term := take(t, a)
	_, err := b.Take(t.Context())
	var taken *register.Taken
	if !errors.As(err, &taken) || taken.Holder != "a" || taken.Epoch != term.Epoch {
		t.Errorf("b: %v, want held by a since %d", err, term.Epoch)
	}
	if seen := look(t, b); seen.Holder != "a" || seen.Own || seen.Epoch != term.Epoch {
		t.Errorf("b sees %+v", seen)
	}
	if seen := look(t, a); !seen.Own {
		t.Errorf("a sees %+v", seen)
	}
}

func leaseGrows(t *testing.T, open Leases) {
	var last uint64
	for range 5 {
		for _, node := range []string{"a", "b"} {
			l := open(t, node, ttl)
			term := take(t, l)
			if term.Epoch <= last {
				t.Fatalf("epoch %d after %d", term.Epoch, last)
			}
			last = term.Epoch
			if err := l.Release(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func leaseDeadline(t *testing.T, open Leases) {
	a := open(t, "a", ttl)
	before := time.Now()
	term := take(t, a)
	if term.Deadline.Before(before.Add(ttl)) || term.Deadline.After(time.Now().Add(ttl)) {
		t.Errorf("deadline %s after the call began", term.Deadline.Sub(before))
	}
	before = time.Now()
	deadline, err := a.Renew(t.Context())
	if err != nil || deadline.Before(before.Add(ttl)) || !deadline.Before(time.Now().Add(ttl)) {
		t.Errorf("renewed: %s, %v", deadline.Sub(before), err)
	}
}

func leaseEnds(t *testing.T, open Leases) {
	a, b := open(t, "a", time.Second), open(t, "b", ttl)
	term := take(t, a)
	deadline := time.After(patience)
	for look(t, b).Holder != "" {
		select {
		case <-deadline:
			t.Fatal("it did not end")
		default:
		}
	}
	if now := time.Now(); now.Before(term.Deadline) {
		t.Errorf("it ended %s before its deadline", term.Deadline.Sub(now))
	}
	next := take(t, b)
	if _, err := a.Renew(t.Context()); !errors.Is(err, register.ErrLost) {
		t.Errorf("renew: %v", err)
	}
	if err := a.Serve(t.Context(), term.Epoch); !errors.Is(err, register.ErrLost) {
		t.Errorf("serve: %v", err)
	}
	if err := a.Release(t.Context()); err != nil {
		t.Errorf("release: %v", err)
	}
	if seen := look(t, b); !seen.Own || seen.Epoch != next.Epoch {
		t.Errorf("b sees %+v", seen)
	}
}

func leaseByID(t *testing.T, open Leases) {
	old := open(t, "a", ttl)
	term := take(t, old)
	again := open(t, "a", ttl) // the same node, started anew
	if seen := look(t, again); seen.Own || seen.Holder != "a" {
		t.Errorf("it sees %+v", seen)
	}
	if _, err := again.Take(t.Context()); !errors.As(err, new(*register.Taken)) {
		t.Errorf("take: %v", err)
	}
	if err := again.Serve(t.Context(), term.Epoch); !errors.Is(err, register.ErrLost) {
		t.Errorf("serve: %v", err)
	}
	if err := again.Release(t.Context()); err != nil {
		t.Error(err)
	}
	if seen := look(t, old); !seen.Own {
		t.Errorf("the release of another took it: %+v", seen)
	}
}

func leaseRelease(t *testing.T, open Leases) {
	a, b := open(t, "a", ttl), open(t, "b", ttl)
	take(t, a)
	if err := a.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	term := take(t, b)
	for range 2 {
		if err := a.Release(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if seen := look(t, b); !seen.Own || seen.Epoch != term.Epoch {
		t.Errorf("b sees %+v", seen)
	}
	if _, err := a.Renew(t.Context()); !errors.Is(err, register.ErrLost) {
		t.Errorf("renew: %v", err)
	}
}

func leaseServes(t *testing.T, open Leases) {
	a, b := open(t, "a", ttl), open(t, "b", ttl)
	if err := a.Serve(t.Context(), 1); !errors.Is(err, register.ErrLost) {
		t.Errorf("before it is taken: %v", err)
	}
	term := take(t, a)
	for _, epoch := range []uint64{0, term.Epoch - 1, term.Epoch + 1} {
		if err := a.Serve(t.Context(), epoch); !errors.Is(err, register.ErrLost) {
			t.Errorf("with epoch %d: %v", epoch, err)
		}
	}
	if err := b.Serve(t.Context(), term.Epoch); !errors.Is(err, register.ErrLost) {
		t.Errorf("b: %v", err)
	}
	if seen := look(t, b); seen.Served != (register.Served{}) {
		t.Errorf("served: %+v", seen)
	}
	if err := a.Serve(t.Context(), term.Epoch); err != nil {
		t.Fatal(err)
	}
	if got, want := look(t, b).Served, (register.Served{Node: "a", Epoch: term.Epoch}); got != want {
		t.Errorf("served: %+v, want %+v", got, want)
	}
}

func leaseServedStays(t *testing.T, open Leases) {
	a, b := open(t, "a", ttl), open(t, "b", ttl)
	term := take(t, a)
	if err := errors.Join(a.Serve(t.Context(), term.Epoch), a.Release(t.Context())); err != nil {
		t.Fatal(err)
	}
	take(t, b)
	if got := look(t, b).Served; got.Node != "a" || got.Epoch != term.Epoch {
		t.Errorf("served: %+v", got)
	}
}

func leaseAgain(t *testing.T, open Leases) {
	a := open(t, "a", ttl)
	first := take(t, a)
	second := take(t, a)
	if second.Epoch != first.Epoch || second.Deadline.Before(first.Deadline) {
		t.Errorf("%+v, then %+v", first, second)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.Take(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("with an ended context: %v", err)
	}
	if third := take(t, a); third.Epoch != first.Epoch {
		t.Errorf("%+v, then %+v", first, third)
	}
}

func leaseRaise(t *testing.T, open Leases) {
	a, b := open(t, "a", ttl), open(t, "b", ttl)
	floor := take(t, a).Epoch + 25
	if err := errors.Join(a.Raise(t.Context(), floor), a.Release(t.Context())); err != nil {
		t.Fatal(err)
	}
	if next := take(t, b); next.Epoch <= floor {
		t.Errorf("epoch %d is not above %d", next.Epoch, floor)
	}
}

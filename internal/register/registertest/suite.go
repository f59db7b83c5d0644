// Package registertest says by tests what every register promises, whatever it
// keeps Traffic in: run the same suite against each.
package registertest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/understudy-ha/understudy/internal/ha"
)

// Register is what is tested. It is the interface that package probes needs.
type Register interface {
	// Load gives the stored Traffic; ha.ErrNone if none is stored, *ha.Damaged
	// if it cannot be read.
	Load(ctx context.Context, group string) (ha.Traffic, error)
	// Save stores t if the stored epoch is was (0: none stored), durably, and
	// adds it to the history; ha.ErrStale otherwise. t.Epoch must be above was.
	Save(ctx context.Context, was uint64, t ha.Traffic) error
	// Watch gives a channel that receives (coalesced, buffered 1) after every
	// change by anyone; closed when ctx ends.
	Watch(ctx context.Context, group string) (<-chan struct{}, error)
	// History gives the newest limit Traffics, oldest first.
	History(ctx context.Context, group string, limit int) ([]ha.Traffic, error)
}

// Run tests a register. store makes an empty store and gives open, which gives
// another handle on it each time, as another process would have; what is opened
// is closed by the t that store was given. To see that no signal is lost, the
// handles should not poll.
func Run(t *testing.T, store func(t *testing.T) (open func() Register)) {
	for name, test := range map[string]func(*testing.T, func() Register){
		"a new store has nothing":                      newStore,
		"what is saved is loaded by every handle":      roundTrip,
		"a later value replaces an earlier one":        replace,
		"a stale save is refused":                      stale,
		"an epoch that does not grow is refused":       notAbove,
		"an impossible traffic is refused":             impossible,
		"of many savers one wins each epoch":           oneWinner,
		"groups are apart":                             apart,
		"names that lead elsewhere are refused":        badNames,
		"an ended context ends every call":             ended,
		"history is oldest first and limited":          historyOrder,
		"a watch hears every handle":                   watchHears,
		"a watch ends with its context":                watchEnds,
		"after the last signal the last value is seen": nothingLost,
		"handles agree with a model":                   agree,
		"what happens at once happens in some order":   inSomeOrder,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, store(t))
		})
	}
}

const patience = 20 * time.Second // for what takes milliseconds

// instant is when the traffics of the suite were made.
var instant = time.Date(2026, 2, 3, 4, 5, 6, 789012345, time.UTC)

// traffic gives a plausible Traffic that actor made.
func traffic(group string, epoch uint64, actor string) ha.Traffic {
	return ha.Traffic{
		Group: group, Epoch: epoch, Order: []string{"mi1", "mi2"}, Serving: "mi1",
		Since: instant, At: instant, Cause: ha.Switched, Actor: actor,
	}
}

// full gives a Traffic that has something in every field.
func full(group string, epoch uint64) ha.Traffic {
	now := time.Now() // with a monotonic reading, in the local zone
	t := traffic(group, epoch, "ann <ann@example.com>")
	t.Order = append(t.Order, "dr")
	t.Since, t.At, t.QueueUntil = now.Add(-time.Hour), now, now.Add(123456789*time.Nanosecond)
	t.Claimed, t.Words, t.Forced = true, "line 1\nline 2 \"ä\" </html> \u2028", true
	t.Evidence = []ha.Reading{
		{Node: "mi1", State: ha.NotAvailable, Cause: ha.Timeout, Detail: "no answer", At: now, Took: time.Second + 1},
		{Node: "mi2", State: ha.Standby, Page: "MOBILEIRON-STATUS: OK (Mode: Standby)", Epoch: 1<<63 + 1, At: now},
	}
	t.Hold = &ha.Hold{Owner: "run 7", Reason: "upgrade", Since: now, Until: now.Add(time.Hour)}
	t.NodeEpochs = map[string]uint64{"mi1": 1, "mi2": 1<<63 + 1}
	return t
}

func mustSave(t *testing.T, r Register, was uint64, v ha.Traffic) {
	t.Helper()
	if err := r.Save(t.Context(), was, v); err != nil {
		t.Fatalf("save epoch %d after %d: %v", v.Epoch, was, err)
	}
}

func wantLoad(t *testing.T, r Register, want ha.Traffic) {
	t.Helper()
	got, err := r.Load(t.Context(), want.Group)
	if err != nil {
		t.Fatalf("load %s: %v", want.Group, err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("load %s (-want +got):\n%s", want.Group, diff)
	}
}

func wantHistory(t *testing.T, r Register, group string, limit int, want ...ha.Traffic) {
	t.Helper()
	got, err := r.History(t.Context(), group, limit)
	if err != nil {
		t.Fatalf("history of %s: %v", group, err)
	}
	if len(got) == 0 && len(want) == 0 {
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("history of %s, limit %d (-want +got):\n%s", group, limit, diff)
	}
}

// refused checks an error that is neither a stale epoch nor an empty store.
func refused(t *testing.T, what string, err error) {
	t.Helper()
	if err == nil || errors.Is(err, ha.ErrStale) || errors.Is(err, ha.ErrNone) {
		t.Errorf("%s: got %v, want a refusal", what, err)
	}
}

// hear waits for one signal, and says whether it came.
func hear(t *testing.T, signal <-chan struct{}, what string) bool {
	t.Helper()
	select {
	case _, ok := <-signal:
		if !ok {
			t.Errorf("%s: the watch has ended", what)
		}
		return ok
	case <-time.After(patience):
		t.Errorf("%s: no signal", what)
		return false
	}
}

func mustWatch(t *testing.T, r Register, group string) <-chan struct{} {
	t.Helper()
	signal, err := r.Watch(t.Context(), group)
	if err != nil {
		t.Fatalf("watch %s: %v", group, err)
	}
	return signal
}

// handles opens n of them.
func handles(n int, open func() Register) []Register {
	all := make([]Register, n)
	for i := range all {
		all[i] = open()
	}
	return all
}

func actor(n int) string { return fmt.Sprintf("actor %d", n) }

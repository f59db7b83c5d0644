package registertest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

func newStore(t *testing.T, open func() Register) {
	r := open()
	if got, err := r.Load(t.Context(), "app"); !errors.Is(err, ha.ErrNone) {
		t.Errorf("load: got %+v, %v; want ErrNone", got, err)
	}
	wantHistory(t, r, "app", 10)
}

func roundTrip(t *testing.T, open func() Register) {
	a, b := open(), open()
	want := full("app", 1)
	mustSave(t, a, 0, want)
	for _, r := range []Register{a, b, open()} {
		wantLoad(t, r, want)
		wantHistory(t, r, "app", 1, want)
		got, err := r.Load(t.Context(), "app")
		if s := got.At.String(); err != nil || strings.Contains(s, "m=") {
			t.Errorf("loaded at %s, %v; want no monotonic reading", s, err)
		}
	}
	given := full("other", 1)
	given.Provisional = "mi2" // is never stored
	want = given
	want.Provisional = ""
	mustSave(t, b, 0, given)
	wantLoad(t, a, want)
}

func replace(t *testing.T, open func() Register) {
	a, b := open(), open()
	first, second, far := full("app", 1), traffic("app", 2, "bob"), traffic("app", 1<<40, "cy")
	mustSave(t, a, 0, first)
	mustSave(t, b, 1, second)
	wantLoad(t, a, second)
	mustSave(t, a, 2, far)
	wantLoad(t, b, far)
	wantHistory(t, b, "app", 10, first, second, far)
}

func stale(t *testing.T, open func() Register) {
	a, b := open(), open()
	if err := a.Save(t.Context(), 4, traffic("app", 5, "eve")); !errors.Is(err, ha.ErrStale) {
		t.Errorf("save after epoch 4 where nothing is: got %v, want ErrStale", err)
	}
	if _, err := a.Load(t.Context(), "app"); !errors.Is(err, ha.ErrNone) {
		t.Errorf("then load: got %v, want ErrNone", err)
	}
	want := traffic("app", 5, "ann")
	mustSave(t, a, 0, want)
	for _, was := range []uint64{0, 1, 4, 6, 100} {
		if err := b.Save(t.Context(), was, traffic("app", 200, "eve")); !errors.Is(err, ha.ErrStale) {
			t.Errorf("save after epoch %d where 5 is stored: got %v, want ErrStale", was, err)
		}
	}
	wantLoad(t, b, want)
	wantHistory(t, b, "app", 10, want)
}

func notAbove(t *testing.T, open func() Register) {
	r := open()
	want := traffic("app", 5, "ann")
	mustSave(t, r, 0, want)
	for _, epoch := range []uint64{0, 1, 4, 5} {
		refused(t, "an epoch that does not grow", r.Save(t.Context(), 5, traffic("app", epoch, "eve")))
	}
	refused(t, "epoch 0", r.Save(t.Context(), 0, traffic("new", 0, "eve")))
	wantLoad(t, r, want)
	wantHistory(t, r, "app", 10, want)
}

func impossible(t *testing.T, open func() Register) {
	r := open()
	for what, spoil := range map[string]func(*ha.Traffic){
		"no order":         func(v *ha.Traffic) { v.Order = nil },
		"an unknown node":  func(v *ha.Traffic) { v.Serving = "mi9" },
		"a node twice":     func(v *ha.Traffic) { v.Order = []string{"mi1", "mi1"} },
		"nobody, not held": func(v *ha.Traffic) { v.Serving = "" },
		"a year of five":   func(v *ha.Traffic) { v.At = time.Date(12345, 1, 1, 0, 0, 0, 0, time.UTC) },
	} {
		v := traffic("app", 1, "eve")
		spoil(&v)
		refused(t, what, r.Save(t.Context(), 0, v))
	}
	if _, err := r.Load(t.Context(), "app"); !errors.Is(err, ha.ErrNone) {
		t.Errorf("load: got %v, want ErrNone", err)
	}
}

func oneWinner(t *testing.T, open func() Register) {
	const savers, rounds = 8, 6
	all := handles(savers, open)
	for was := range uint64(rounds) {
		var start, done sync.WaitGroup
		start.Add(1)
		results := make([]error, savers)
		for i, r := range all {
			done.Go(func() {
				start.Wait()
				results[i] = r.Save(t.Context(), was, traffic("app", was+1, actor(i)))
			})
		}
		start.Done()
		done.Wait()
		winner := -1
		for i, err := range results {
			switch {
			case err == nil && winner >= 0:
				t.Fatalf("epoch %d: %s and %s both won", was+1, actor(winner), actor(i))
			case err == nil:
				winner = i
			case !errors.Is(err, ha.ErrStale):
				t.Errorf("epoch %d: %s got %v, want ErrStale", was+1, actor(i), err)
			}
		}
		if winner < 0 {
			t.Fatalf("epoch %d: nobody won", was+1)
		}
		for _, r := range all {
			wantLoad(t, r, traffic("app", was+1, actor(winner)))
		}
	}
}

func apart(t *testing.T, open func() Register) {
	a, b := open(), open()
	groups := []string{
		"a", "A", "a.b", "a-b", "a_b", "ab", "0", "-", "_", "a..b", "a.",
		"a.history", "a.traffic", "a.lock", "a.damaged.1", "a.traffic.history", strings.Repeat("long", 25),
	}
	for i, g := range groups {
		mustSave(t, a, 0, traffic(g, uint64(i)+1, "for "+g))
	}
	for i, g := range groups {
		want := traffic(g, uint64(i)+1, "for "+g)
		wantLoad(t, b, want)
		wantHistory(t, b, g, 10, want)
		mustSave(t, b, want.Epoch, traffic(g, want.Epoch+1, "again for "+g))
	}
	for i, g := range groups {
		wantLoad(t, a, traffic(g, uint64(i)+2, "again for "+g))
	}
}

func badNames(t *testing.T, open func() Register) {
	r := open()
	for _, g := range []string{
		"", ".", "..", ".a", "../a", "a/b", "/a", "a/", `a\b`, "a b", "a\x00", "a\n", "ä", "a:b", "a%2fb", "*", strings.Repeat("a", 4000),
	} {
		_, err := r.Load(t.Context(), g)
		refused(t, "load "+g, err)
		refused(t, "save "+g, r.Save(t.Context(), 0, traffic(g, 1, "eve")))
		_, err = r.Watch(t.Context(), g)
		refused(t, "watch "+g, err)
		_, err = r.History(t.Context(), g, 1)
		refused(t, "history of "+g, err)
	}
}

func ended(t *testing.T, open func() Register) {
	r := open()
	want := traffic("app", 1, "ann")
	mustSave(t, r, 0, want)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, loadErr := r.Load(ctx, "app")
	_, historyErr := r.History(ctx, "app", 1)
	for what, err := range map[string]error{
		"load": loadErr, "history": historyErr, "save": r.Save(ctx, 1, traffic("app", 2, "eve")),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v, want context.Canceled", what, err)
		}
	}
	if signal, err := r.Watch(ctx, "app"); err == nil {
		for range signal { // ends, for the channel is closed
			continue
		}
	}
	wantLoad(t, r, want)
}

func historyOrder(t *testing.T, open func() Register) {
	a, b := open(), open()
	var all []ha.Traffic
	for was := range uint64(12) {
		v := traffic("app", was+1, actor(int(was)))
		mustSave(t, []Register{a, b}[was%2], was, v)
		all = append(all, v)
	}
	for _, r := range []Register{a, b, open()} {
		for _, limit := range []int{-1, 0, 1, 2, 11, 12, 13, 1_000_000} {
			from := max(0, len(all)-max(0, limit))
			wantHistory(t, r, "app", limit, all[from:]...)
		}
	}
}

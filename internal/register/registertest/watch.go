package registertest

import (
	"context"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func watchHears(t *testing.T, open func() Register) {
	a, b, c := open(), open(), open()
	signals := map[string]<-chan struct{}{
		"the saver's own":       mustWatch(t, a, "app"),
		"the saver's second":    mustWatch(t, a, "app"),
		"another handle's":      mustWatch(t, b, "app"),
		"one that nothing asks": mustWatch(t, c, "app"),
	}
	mustWatch(t, b, "other")
	for was := range uint64(3) {
		want := traffic("app", was+1, actor(int(was)))
		mustSave(t, a, was, want)
		for whose, signal := range signals {
			if !hear(t, signal, whose) {
				return
			}
		}
		wantLoad(t, b, want)
		drain(signals) // one change may be several signals
	}
	late := mustWatch(t, c, "app")
	mustSave(t, b, 3, traffic("app", 4, "ann"))
	hear(t, late, "one that came late")
}

func drain(signals map[string]<-chan struct{}) {
	for _, signal := range signals {
		select {
		case <-signal:
		default:
		}
	}
}

func watchEnds(t *testing.T, open func() Register) {
	r := open()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ends, err := r.Watch(ctx, "app")
	if err != nil {
		t.Fatal(err)
	}
	stays := mustWatch(t, r, "app")
	cancel()
	deadline := time.After(patience)
	for open := true; open; {
		select {
		case _, open = <-ends:
		case <-deadline:
			t.Fatal("the watch did not end with its context")
		}
	}
	mustSave(t, r, 0, traffic("app", 1, "ann"))
	hear(t, stays, "the watch beside one that has ended")
}

// nothingLost lets several handles save as fast as they can, and followers
// look only when they are told.
func nothingLost(t *testing.T, open func() Register) {
	all := handles(3, open)
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		group := groupOf("lost", run)
		last := uint64(rapid.IntRange(1, 8).Draw(rt, "changes"))
		savers := rapid.IntRange(1, 3).Draw(rt, "savers")
		var followers, writers sync.WaitGroup
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		for _, r := range all {
			signal, err := r.Watch(ctx, group)
			if err != nil {
				rt.Fatal(err)
			}
			followers.Go(func() { follow(ctx, t, r, signal, group, last) })
		}
		for _, r := range all[:savers] {
			writers.Go(func() { raise(ctx, t, r, group, last) })
		}
		writers.Wait()
		followers.Wait()
		if t.Failed() {
			rt.FailNow()
		}
	})
}

// follow loads after every signal until it has seen the last epoch.
func follow(ctx context.Context, t *testing.T, r Register, signal <-chan struct{}, group string, last uint64) {
	var seen uint64
	for range signal {
		v, err := r.Load(ctx, group)
		switch {
		case ctx.Err() != nil:
		case err != nil:
			t.Errorf("load after a signal: %v", err)
			return
		case v.Epoch < seen:
			t.Errorf("epoch %d was loaded after %d", v.Epoch, seen)
			return
		case v.Epoch == last:
			return
		}
		seen = max(seen, v.Epoch)
	}
	t.Errorf("%s: the last signal came at epoch %d, the last change was %d", group, seen, last)
}

// raise brings the epoch to last, with whoever else does.
func raise(ctx context.Context, t *testing.T, r Register, group string, last uint64) {
	for ctx.Err() == nil {
		was, _, err := loadEpoch(ctx, r, group)
		if err != nil {
			t.Errorf("load: %v", err)
			return
		}
		if was >= last {
			return
		}
		if err := r.Save(ctx, was, traffic(group, was+1, "ann")); err != nil && !staleOrEnded(ctx, err) {
			t.Errorf("save: %v", err)
			return
		}
	}
}

package registertest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/understudy-ha/understudy/internal/ha"
)

func groupOf(name string, run int) string { return fmt.Sprintf("%s-%d", name, run) }

// loadEpoch gives the stored epoch and who made it, 0 if nothing is stored.
func loadEpoch(ctx context.Context, r Register, group string) (uint64, string, error) {
	v, err := r.Load(ctx, group)
	if errors.Is(err, ha.ErrNone) {
		return 0, "", nil
	}
	return v.Epoch, v.Actor, err
}

func staleOrEnded(ctx context.Context, err error) bool {
	return errors.Is(err, ha.ErrStale) || ctx.Err() != nil
}

// agree lets handles do things in turn, and compares each with a slice of all
// that should be stored.
func agree(t *testing.T, open func() Register) {
	all := handles(3, open)
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		group := groupOf("model", run)
		var model []ha.Traffic
		epoch := func() uint64 {
			if len(model) == 0 {
				return 0
			}
			return model[len(model)-1].Epoch
		}
		some := func() Register { return rapid.SampledFrom(all).Draw(rt, "handle") }
		rt.Repeat(map[string]func(*rapid.T){
			"save": func(rt *rapid.T) {
				was := epoch() + uint64(rapid.IntRange(-1, 1).Draw(rt, "off by"))
				if was > epoch()+1 { // one below 0
					was = 0
				}
				next := traffic(group, was+uint64(rapid.IntRange(1, 3).Draw(rt, "step")), actor(len(model)))
				err := some().Save(t.Context(), was, next)
				if was != epoch() && !errors.Is(err, ha.ErrStale) || was == epoch() && err != nil {
					rt.Fatalf("save %d after %d where %d is stored: %v", next.Epoch, was, epoch(), err)
				}
				if err == nil {
					model = append(model, next)
				}
			},
			"load": func(rt *rapid.T) {
				got, err := some().Load(t.Context(), group)
				switch {
				case len(model) == 0 && !errors.Is(err, ha.ErrNone):
					rt.Fatalf("load: %v, want ErrNone", err)
				case len(model) > 0 && (err != nil || !cmp.Equal(got, model[len(model)-1])):
					rt.Fatalf("load: %+v, %v; want %+v", got, err, model[len(model)-1])
				}
			},
			"history": func(rt *rapid.T) {
				limit := rapid.IntRange(1, 6).Draw(rt, "limit")
				got, err := some().History(t.Context(), group, limit)
				if want := model[max(0, len(model)-limit):]; err != nil || !slices.EqualFunc(got, want, equal) {
					rt.Fatalf("history, limit %d: %v, %v; want %v", limit, got, err, want)
				}
			},
		})
	})
}

func equal(a, b ha.Traffic) bool { return cmp.Equal(a, b) }

// inSomeOrder lets handles do things at once, and looks for an order of them,
// one after another, that explains what each got.
func inSomeOrder(t *testing.T, open func() Register) {
	all := handles(4, open)
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		r := &recorder{group: groupOf("order", run)}
		var start, done sync.WaitGroup
		start.Add(1)
		for w, reg := range all[:rapid.IntRange(2, len(all)).Draw(rt, "workers")] {
			steps := rapid.SliceOfN(rapid.SampledFrom([]string{"load", "save", "jump"}), 1, 6).Draw(rt, "steps")
			done.Go(func() {
				start.Wait()
				r.work(t.Context(), reg, w, steps)
			})
		}
		start.Done()
		done.Wait()
		past, err := all[0].History(t.Context(), r.group, 1000)
		if err != nil {
			rt.Fatal(err)
		}
		if err := explain(r.calls, past); err != nil {
			rt.Fatalf("%v\ncalls: %+v", err, r.calls)
		}
	})
}

// recorder writes down what is called and answered, by a clock that ticks
// with every call and answer.
type recorder struct {
	group string
	clock atomic.Int64
	mu    sync.Mutex // guards calls
	calls []call
}

// call is one Load, or one Save of an epoch after was.
type call struct {
	save       bool
	start, end int64
	was, epoch uint64 // of a Load: epoch is what it gave
	actor      string
	err        error
}

// work does the steps of one worker. Every Save goes out from the newest
// epoch that this worker knows, so that many are stale.
func (r *recorder) work(ctx context.Context, reg Register, worker int, steps []string) {
	var known uint64
	for n, step := range steps {
		c := call{save: step != "load", start: r.clock.Add(1)}
		switch step {
		case "load":
			c.epoch, c.actor, c.err = loadEpoch(ctx, reg, r.group)
		case "save":
			c.was, c.epoch = known, known+1
		case "jump":
			c.was, c.epoch = known, known+uint64(2+worker)
		}
		if c.save {
			c.actor = fmt.Sprintf("worker %d step %d", worker, n)
			c.err = reg.Save(ctx, c.was, traffic(r.group, c.epoch, c.actor))
		}
		if c.err == nil {
			known = c.epoch
		}
		c.end = r.clock.Add(1)
		r.mu.Lock()
		r.calls = append(r.calls, c)
		r.mu.Unlock()
	}
}

// explain says why no order explains the calls, or nil. Since each epoch is
// stored at most once, the saves that won can only have come in the order of
// their epochs, and every other call lies between two of them.
func explain(calls []call, past []ha.Traffic) error {
	won := []call{{}} // nothing stored, from before the beginning
	for _, c := range calls {
		if c.save && c.err == nil {
			won = append(won, c)
		}
		if c.err != nil && !(c.save && errors.Is(c.err, ha.ErrStale)) {
			return fmt.Errorf("call %+v failed", c)
		}
	}
	slices.SortFunc(won, func(a, b call) int { return int(a.epoch) - int(b.epoch) })
	if len(past) != len(won)-1 {
		return fmt.Errorf("the history has %d entries, %d saves won", len(past), len(won)-1)
	}
	for i, c := range won[1:] {
		switch before := won[i]; {
		case c.was != before.epoch:
			return fmt.Errorf("epoch %d was won after %d, but %d was stored", c.epoch, c.was, before.epoch)
		case c.end < before.start:
			return fmt.Errorf("epoch %d was won before epoch %d was asked for", c.epoch, before.epoch)
		case past[i].Epoch != c.epoch || past[i].Actor != c.actor:
			return fmt.Errorf("the history has epoch %d by %s, the winner was %+v", past[i].Epoch, past[i].Actor, c)
		}
	}
	return explainRest(calls, won)
}

// explainRest finds for each Load and stale Save the won saves between which
// it can lie, never earlier than what an earlier call has seen.
func explainRest(calls, won []call) error {
	for _, c := range calls {
		oldest := 0 // the newest that was surely stored when c began
		for i, w := range won {
			if w.end < c.start {
				oldest = i
			}
		}
		for _, seen := range calls { // a Load that had ended when c began
			if i := indexOf(won, seen.epoch); !seen.save && seen.end < c.start {
				oldest = max(oldest, i)
			}
		}
		between := won[oldest:]
		for len(between) > 1 && between[len(between)-1].start > c.end {
			between = between[:len(between)-1]
		}
		switch {
		case !c.save && !slices.ContainsFunc(between, func(w call) bool { return w.epoch == c.epoch && w.actor == c.actor }):
			return fmt.Errorf("%+v gave what was not stored then", c)
		case c.save && c.err != nil && !slices.ContainsFunc(between, func(w call) bool { return w.epoch != c.was }):
			return fmt.Errorf("%+v was refused, but epoch %d was stored all the time", c, c.was)
		}
	}
	return nil
}

func indexOf(won []call, epoch uint64) int {
	return slices.IndexFunc(won, func(w call) bool { return w.epoch == epoch })
}

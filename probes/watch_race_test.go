package probes

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// TestAllAtOnce has everybody ask two Watchers of one register for everything
// at once, in real time: it is for the race detector.
func TestAllAtOnce(t *testing.T) {
	t.Parallel()
	s := newStage(t, "core1 Active | core2 Standby | dr1 Standby")
	s.plan.Rules.Interval, s.plan.Rules.FastInterval, s.plan.Rules.Timeout = 2*time.Millisecond, time.Millisecond, time.Minute
	s.start()
	second, _ := s.watch(s.plan)
	moved := s.plan
	moved.Nodes = append([]Node{s.plan.Nodes[0], s.cast("core2", ha.Standby)}, s.plan.Nodes[2])
	moved.Nodes[1].Key = "http://elsewhere"
	var falls atomic.Int64
	crowd(t, 200, []*Watcher{s.watcher, second}, map[string]func(*Watcher, int){
		"doubt": func(w *Watcher, i int) {
			w.Doubt([]string{"core1", "core2", "core9"}[i%3], "connection reset")
			w.Hush(w.Group())
			w.Hush("core1")
		},
		"act": func(w *Watcher, i int) {
			act := []ha.Act{ha.HoldTraffic, ha.Release, ha.Switch, ha.Reorder, ha.Resume}[i%5]
			wish := ha.Wish{Reason: "testing", Actor: "alice", Force: true, To: "core1", Order: []string{"core2", "core1", "dr1"}}
			_, _ = w.Act(context.Background(), act, wish, i%7 == 0)
		},
		"apply": func(w *Watcher, i int) {
			if err := w.Apply(context.Background(), []Plan{s.plan, moved}[i%2]); err != nil {
				t.Error(err)
			}
		},
		"look": func(w *Watcher, _ int) {
			if a := w.Situation(); a.Traffic.Epoch > 0 && a.Target != a.Traffic.Serving {
				t.Errorf("requests go to %q", a.Target)
			}
			_, _ = w.Readings(), w.Figures()
			_, _ = w.History(context.Background(), 3)
		},
		"follow": func(w *Watcher, _ int) {
			var last uint64
			defer w.Follow(func(a ha.Situation) {
				if a.Traffic.Epoch < last {
					falls.Add(1)
				}
				last = a.Traffic.Epoch
			})()
			w.Doubt("core1", "connection reset")
		},
		"fail": func(_ *Watcher, i int) {
			s.node("core1").be(ha.State(i % 3))
			s.register.trouble(func(m *memory) { m.full = []error{nil, nil, errDisk}[i%3] })
		},
	})
	s.register.trouble(func(m *memory) { m.full = nil })
	s.stop()
	if n := falls.Load(); n > 0 {
		t.Errorf("followers saw the epoch fall %d times", n)
	}
	past, _ := s.register.History(context.Background(), "core", 1<<20)
	for i, is := range past[1:] {
		if is.Epoch != past[i].Epoch+1 {
			t.Errorf("epoch %d was stored after %d", is.Epoch, past[i].Epoch)
		}
	}
}

// crowd does everything so often to every Watcher, all at the same time.
func crowd(t *testing.T, often int, watchers []*Watcher, things map[string]func(*Watcher, int)) {
	t.Helper()
	var all sync.WaitGroup
	for _, w := range watchers {
		for _, thing := range things {
			all.Go(func() {
				for i := range often {
					thing(w, i)
				}
			})
		}
	}
	all.Wait()
}

package probes

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// calmLoop gives the loop of a pair that has been read, as it is between two
// turns.
func calmLoop(t testing.TB) *loop {
	l := &loop{
		Watcher: NewWatcher("core", &memory{}, discard), ctx: context.Background(),
		next: map[string]*schedule{}, recent: recent{}, timer: time.NewTimer(time.Hour),
	}
	l.adopt(Plan{Nodes: []Node{{Name: "core1"}, {Name: "core2"}}, Rules: ha.DefaultRules()})
	l.load()
	for range keep {
		l.turn("core1", ha.Active)
		l.turn("core2", ha.Standby)
		if l.opening != nil {
			l.open(<-l.opened())
			l.decide()
		}
	}
	if got := say(l.Situation()); got != "core1 1: row 3 Stay serving; armed to core2" {
		t.Fatal(got)
	}
	return l
}

// turn is what the loop does with a reading: it takes it in and decides.
func (l *loop) turn(node string, state ha.State) {
	l.observe(found{l.next[node], ha.Reading{Node: node, State: state, At: time.Now(), Took: time.Millisecond}})
	l.decide()
}

func BenchmarkTurn(b *testing.B) {
	l := calmLoop(b)
	b.ReportAllocs()
	for b.Loop() {
		l.turn("core1", ha.Active)
	}
}

// 1,000 calm groups of two come to 400 readings a second, which must stay far
// below 1 % of a CPU, 25 µs each. What a turn allocates is the new View and the
// new Situation, which others may hold on to, and what [ha.Learn] begins with.
func TestACalmTurnAllocatesNoMoreThanWhatItPublishes(t *testing.T) {
	l := calmLoop(t)
	got := testing.AllocsPerRun(1000, func() { l.turn("core1", ha.Active) })
	if got > 3 {
		t.Errorf("%g allocations, want at most 3", got)
	}
}

// instant is a node that answers at once.
type instant struct{ name string }

func (n instant) Check([]ha.Page) ha.Reading {
	return ha.Reading{Node: n.name, State: ha.Active, At: time.Now()}
}

// BenchmarkProbe is all that a Watcher does for a probe, but for the network.
func BenchmarkProbe(b *testing.B) {
	l := calmLoop(b)
	l.plan.Nodes[0].Looker = instant{"core1"}
	l.next["core2"].busy = true
	b.ReportAllocs()
	for b.Loop() {
		l.next["core1"].due = time.Now()
		l.probe()
		l.observe(<-l.found)
		l.decide()
	}
}

func TestTogetherAddsATwentyFifthAtMost(t *testing.T) {
	t.Parallel()
	for _, interval := range []time.Duration{-1, 0, 1, 99, 100, time.Millisecond, time.Second, 5 * time.Second, time.Hour} {
		for range 1000 {
			at := time.Unix(0, rand.Int64())
			got := together(at, interval)
			if got < 0 || got > max(0, interval/25) || got >= 200*time.Millisecond {
				t.Fatalf("interval %s: %s later", interval, got)
			}
			if step := int64(min(interval/25, 200*time.Millisecond)); step > 0 && at.Add(got).UnixNano()%step != 0 {
				t.Fatalf("interval %s: at %s", interval, at.Add(got))
			}
		}
	}
}

func TestJitterIsUpToATenthEitherWay(t *testing.T) {
	t.Parallel()
	least, most := time.Hour, -time.Hour
	for range 10_000 {
		j := jitter(5 * time.Second)
		least, most = min(least, j), max(most, j)
	}
	if least < -500*time.Millisecond || least > -480*time.Millisecond || most > 300*time.Millisecond || most < 280*time.Millisecond {
		t.Errorf("%s to %s", least, most)
	}
	for _, interval := range []time.Duration{0, 1, 9, -5} {
		if got := jitter(interval); got != 0 {
			t.Errorf("of %d: %d", interval, got)
		}
	}
}

package probes

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/understudy-ha/understudy/internal/ha"
)

func TestFiguresCountWhatHappened(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		s.node("core1").slow(30 * time.Millisecond)
		s.start()
		s.pass(20 * time.Second)
		s.node("core1").be(ha.NotAvailable)
		s.within(10*time.Second, "core2 2: row 3 Stay serving")
		s.must("hold", ha.Wish{})
		s.must("switch", ha.Wish{To: "core1", Force: true})
		s.pass(5 * time.Millisecond)

		var want Figures
		for _, p := range s.players {
			for _, r := range p.readings(s.began) {
				want.Took += r.Took
				if r.State.Available() {
					want.Good++
				} else {
					want.Missed++
				}
			}
		}
		want.Transitions, want.Failovers = 4, 1
		if diff := cmp.Diff(want, s.watcher.Figures()); diff != "" {
			s.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestARestartIsNoTransition(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		s.register.other(traffic(7, "core1", "core1", "core2"))
		s.start()
		s.pass(time.Minute)
		if got := s.watcher.Figures(); got.Transitions != 0 || got.Failovers != 0 {
			s.Errorf("%d transitions, %d failovers", got.Transitions, got.Failovers)
		}
	})
}

func TestTheLatestProbeIsTheOneThatTheLoopKeptWaiting(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		s.start()
		s.pass(time.Minute)
		s.register.trouble(func(m *memory) { m.slow = 8 * time.Second })
		s.pass(time.Minute)
		if got := s.watcher.Figures().Latest; got < 2*time.Second || got > 8*time.Second {
			s.Errorf("the latest probe was %s late", got)
		}
	})
}

func TestARingKeepsTheLastReadings(t *testing.T) {
	t.Parallel()
	r := recent{}
	for i := range 3 * keep {
		r.add(ha.Reading{Node: "core1", Epoch: uint64(i)})
		got := r.all()["core1"]
		first := max(0, i+1-keep)
		if len(got) != i+1-first || got[0].Epoch != uint64(first) || got[len(got)-1].Epoch != uint64(i) {
			t.Fatalf("after reading %d: %d readings from %d to %d", i, len(got), got[0].Epoch, got[len(got)-1].Epoch)
		}
	}
	r.all()["core1"][0].Epoch = 999 // a copy
	if got := r.all()["core1"][0].Epoch; got == 999 {
		t.Error("what is given can change what is kept")
	}
}

package probes

import (
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/understudy-ha/understudy/internal/ha"
)

const pair = "core1 Active | core2 Standby"

func TestAFirstStartServesNobodyBeforeEveryNodeIsRead(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		s.node("core2").slow(1500 * time.Millisecond)
		s.start()
		s.pass(1400 * time.Millisecond)
		s.want("nobody: row 0 Wait starting; queue all")
		s.pass(200 * time.Millisecond)
		s.want("core1 1: row 3 Stay serving; armed to core2")
		if got := s.register.history(); !cmp.Equal(got, []string{"1 core1 started"}) {
			s.Errorf("stored %q", got)
		}
	})
}

func TestAFirstStartWaitsForASilentNodeNoLongerThanItsTimeout(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		s.node("core2").stall(time.Hour)
		s.start()
		s.pass(2*time.Second - time.Millisecond)
		s.want("nobody: row 0 Wait starting; queue all")
		s.pass(time.Millisecond)
		s.want("core1 1: row 3 Stay serving")
	})
}

func TestAFirstStartGoesByWhatIsActive(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ nodes, want, stored string }{
		{"core1 Active | core2 Standby", "core1 1: row 3 Stay serving; armed to core2", "1 core1 started"},
		{"core1 Standby | core2 Standby", "core1 1: row 4 Wait missing; queue unsafe; armed to core2", "1 core1 started"},
		{"core1 NotAvailable | core2 Active", "core2 1: row 3 Stay serving", "1 core2 adopted"},
		{"core1 NotAvailable | core2 Standby | dr1 Active", "dr1 1: row 3 Stay serving", "1 dr1 adopted"},
		{"core1 Active | core2 Active", "nobody: row 0 Wait unknown; alarm unknown", "1  unknown"},
		{"core1 NotAvailable | core2 Active | dr1 Active", "nobody: row 0 Wait unknown; alarm unknown", "1  unknown"},
	} {
		t.Run(c.nodes, func(t *testing.T) {
			onStage(t, c.nodes, func(s *stage) {
				s.start()
				s.pass(time.Millisecond)
				s.want(c.want)
				if got := s.register.history(); !cmp.Equal(got, []string{c.stored}) {
					s.Errorf("stored %q, want %q", got, c.stored)
				}
			})
		})
	}
}

func TestTwoActiveNodesAtAFirstStartStayUnknownWhenOneOfThemGoes(t *testing.T) {
	onStage(t, "core1 Active | core2 Active", func(s *stage) {
		s.start()
		s.pass(time.Minute)
		s.node("core1").be(ha.NotAvailable)
		s.pass(time.Minute)
		s.want("nobody: row 0 Wait unknown; alarm unknown")
		s.must("switch", ha.Wish{To: "core2", Force: true})
		s.want("core2 2: row 3 Stay serving")
	})
}

func TestAFirstStartUnderObserveIsHeld(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		s.plan.Observe = true
		s.start()
		s.pass(time.Second)
		s.want("core1 1: row 3 Stay serving")
		if a := s.now(); a.Traffic.Hold == nil || a.ArmedWhy != ha.Held {
			s.Errorf("hold %v, armed: %s", a.Traffic.Hold, a.ArmedWhy)
		}
		s.node("core1").be(ha.NotAvailable)
		s.within(10*time.Second, "core1 1: row 5 Wait held; alarm held")
		s.must("release", ha.Wish{})
		s.want("core2 3: row 3 Stay serving")
	})
}

func TestAnUnknownStartUnderObserveStaysUnknown(t *testing.T) {
	onStage(t, "core1 Active | core2 Active", func(s *stage) {
		s.plan.Observe = true
		s.start()
		s.want("nobody: row 0 Wait unknown; alarm unknown")
		if got := s.now().Traffic.Hold; got.Owner != "understudy" {
			s.Errorf("held by %s", got.Owner)
		}
	})
}

func TestObserveHoldsNoGroupThatHasServedBefore(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		s.register.other(traffic(7, "core1", "core1", "core2"))
		s.plan.Observe = true
		s.start()
		s.pass(time.Second)
		s.want("core1 7: row 3 Stay serving; armed to core2")
	})
}

func TestARestartServesAtOnceWhoServedBefore(t *testing.T) {
	onStage(t, "core1 Active | core2 Active", func(s *stage) {
		s.register.other(traffic(7, "core2", "core1", "core2"))
		for _, p := range s.players {
			p.slow(time.Second)
		}
		s.start()
		if got := s.now(); got.Target != "core2" || got.Queue != ha.QueueNone || got.Traffic.Epoch != 7 {
			s.Errorf("before a reading: requests to %q, queue %d, epoch %d", got.Target, got.Queue, got.Traffic.Epoch)
		}
		s.pass(time.Minute) // a Primary that is back gets nothing by itself
		s.want("core2 7: row 1 Stay dual_active (core1); alarm dual_active")
	})
}

func TestAStoredOrderWinsOverTheConfiguredOne(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		s.register.other(traffic(7, "core2", "core2", "core1"))
		s.node("core2").be(ha.Active)
		s.node("core1").be(ha.Standby)
		s.start()
		s.pass(time.Second)
		s.want("core2 7: row 3 Stay serving; armed to core1")
	})
}

func TestARestartTakesANodeIntoTheOrderThatTheConfigurationNamesAnew(t *testing.T) {
	onStage(t, "core1 Active | core2 Standby | dr1 Standby", func(s *stage) {
		s.register.other(traffic(7, "core1", "core1", "core9", "core2"))
		s.start()
		s.pass(time.Second)
		s.want("core1 8: row 3 Stay serving; armed to core2")
		if got := s.now().Traffic.Order; !cmp.Equal(got, []string{"core1", "core2", "dr1"}) {
			s.Errorf("order %v", got)
		}
	})
}

func TestARestartTakesTheNewOrderAsSoonAsItCanBeStored(t *testing.T) {
	onStage(t, "core1 Active | dr1 Standby", func(s *stage) {
		s.register.other(traffic(7, "core1", "core1", "core9"))
		s.register.full = errDisk
		s.start()
		s.pass(time.Minute)
		if got := s.now(); got.Traffic.Epoch != 7 || got.Target != "core1" {
			s.Errorf("with a full disk: %s", say(got))
		}
		s.register.trouble(func(m *memory) { m.full = nil })
		s.pass(6 * time.Second)
		s.want("core1 8: row 3 Stay serving; armed to dr1")
	})
}

func TestTrafficOnANodeThatTheConfigurationLacksStays(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		var log strings.Builder
		s.log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelError}))
		s.register.other(traffic(7, "core9", "core9", "core1", "core2"))
		s.start()
		s.pass(time.Minute)
		if lines := strings.Count(log.String(), "\n"); lines != 1 || !strings.Contains(log.String(), "does not fit the stored traffic") {
			s.Errorf("logged %d lines:\n%s", lines, log.String())
		}
		if got := s.now(); got.Target != "core9" || got.Traffic.Epoch != 7 {
			s.Errorf("got %s", say(got))
		}
	})
}

func TestAGroupIsProbedWhileItsFirstTrafficIsBeingStored(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		for _, name := range []string{"core1", "core2"} {
			s.node(name).slow(100 * time.Millisecond)
		}
		begun := time.Now()
		s.start()
		synctest.Wait() // it has looked into the register
		s.register.quietly(func(m *memory) { m.slow = 8 * time.Second })
		s.pass(7 * time.Second)
		s.want("nobody: row 0 Wait starting; queue all")
		if n := len(s.node("core1").readings(begun)); n < 2 {
			t.Errorf("core1 was read %d times in 7s, at an interval of 5s", n)
		}
		s.register.quietly(func(m *memory) { m.slow = 0 })
		s.pass(2 * time.Second)
		s.want("core1 1: row 3 Stay serving; armed to core2")
	})
}

package probes

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/understudy-ha/understudy/internal/ha"
)

func TestTrafficMovesOnlyAfterItIsStored(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		s.start()
		s.calm()
		s.register.trouble(func(m *memory) { m.slow = 3 * time.Second })
		s.node("core1").be(ha.NotAvailable)
		s.within(time.Minute, "core1 1: row 7 FailOver failed_over; queue all")
		s.pass(2900 * time.Millisecond)
		s.want("core1 1: row 7 FailOver failed_over; queue all; armed to core2")
		s.pass(200 * time.Millisecond)
		s.want("core2 2: row 3 Stay serving")
		s.must("switch", ha.Wish{To: "core1", Force: true})
		for epoch, before := range map[string]string{"told 1 core1": "stored 1 core1", "told 2 core2": "stored 2 core2", "told 3 core1": "stored 3 core1"} {
			if told, stored := s.register.tells(epoch), s.register.tells(before); stored < 0 || told < stored {
				s.Errorf("%q stands before %q in %q", epoch, before, s.register.tape)
			}
		}
	})
}

func TestAFullDiskAtAFailoverHoldsTrafficBackAndAlarms(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		s.start()
		s.calm()
		s.register.trouble(func(m *memory) { m.full = errDisk })
		s.node("core1").be(ha.NotAvailable)
		s.within(10*time.Second, "core1 1: row 7 Wait not_stored (core2); alarm not_stored; armed to core2")
		s.pass(10 * time.Minute)
		s.want("core1 1: row 7 Wait not_stored (core2); alarm not_stored; armed to core2")
		s.register.trouble(func(m *memory) { m.full = nil })
		if took := s.within(time.Second, "core2 2: row 3 Stay serving"); took > 500*time.Millisecond {
			s.Errorf("moved %s after the disk was back", took)
		}
	})
}

func TestAFailoverThatCouldNotBeStoredIsForgottenWhenTheNodeIsBack(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		s.start()
		s.calm()
		s.register.trouble(func(m *memory) { m.full = errDisk })
		s.node("core1").be(ha.NotAvailable)
		s.pass(time.Minute)
		s.node("core1").be(ha.Active)
		s.pass(time.Second)
		s.register.trouble(func(m *memory) { m.full = nil })
		s.pass(time.Minute)
		s.want("core1 1: row 3 Stay serving; armed to core2")
	})
}

func TestARegisterThatDoesNotAnswerStopsNothingButTheMove(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		s.start()
		s.calm()
		s.register.trouble(func(m *memory) { m.slow = time.Hour })
		s.pass(registerTime + time.Second) // it was told of a change
		s.node("core1").be(ha.NotAvailable)
		s.within(time.Minute, "core1 1: row 7 Wait not_stored (core2); alarm not_stored")
		s.register.trouble(func(m *memory) { m.slow = 0 })
		s.within(time.Minute, "core2 2: row 3 Stay serving")
	})
}

func TestAStoredTrafficThatIsLostIsStoredAgain(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(m *memory){
		"it is removed":         func(m *memory) { m.stored = nil },
		"an old copy came back": func(m *memory) { m.put(traffic(1, "core2", "core1", "core2")) },
	} {
		t.Run(name, func(t *testing.T) {
			onStage(t, pair, func(s *stage) {
				s.register.other(traffic(7, "core1", "core1", "core2"))
				s.start()
				s.calm()
				s.register.trouble(lose)
				s.pass(0)
				s.want("core1 7: row 3 Stay serving; armed to core2")
				if got, err := s.register.last(); err != nil || got.Epoch != 7 || got.Serving != "core1" {
					s.Errorf("stored: epoch %d on %s, %v", got.Epoch, got.Serving, err)
				}
				s.node("core1").be(ha.NotAvailable)
				s.within(10*time.Second, "core2 8: row 3 Stay serving")
			})
		})
	}
}

func TestALostTrafficThatCannotBeStoredAgainIsStoredWithTheNextMove(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(m *memory){
		"it is removed":         func(m *memory) { m.stored, m.full = nil, errDisk },
		"an old copy came back": func(m *memory) { m.put(traffic(1, "core2", "core1", "core2")); m.full = errDisk },
	} {
		t.Run(name, func(t *testing.T) {
			onStage(t, pair, func(s *stage) {
				s.register.other(traffic(7, "core1", "core1", "core2"))
				s.start()
				s.calm()
				s.register.trouble(lose)
				s.pass(time.Minute)
				s.want("core1 7: row 3 Stay serving; armed to core2")
				s.register.quietly(func(m *memory) { m.full = nil })
				s.node("core1").be(ha.NotAvailable)
				s.within(10*time.Second, "core2 8: row 3 Stay serving")
			})
		})
	}
}

func TestATrafficThatIsDamagedWhileItIsInForceIsStoredAgain(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		s.start()
		s.calm()
		s.register.trouble(func(m *memory) { m.damaged = damaged(1) })
		s.pass(time.Minute)
		s.want("core1 2: row 3 Stay serving; armed to core2")
		s.node("core1").be(ha.NotAvailable)
		s.within(10*time.Second, "core2 3: row 3 Stay serving")
	})
}

func TestADamagedTrafficIsStoredAgainAsSoonAsTheDiskTakesIt(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		s.start()
		s.calm()
		s.register.trouble(func(m *memory) { m.damaged, m.full = damaged(1), errDisk })
		s.pass(time.Minute)
		s.want("core1 1: row 3 Stay serving; armed to core2")
		s.node("core1").be(ha.NotAvailable)
		s.within(10*time.Second, "core1 1: row 7 Wait not_stored (core2); alarm not_stored")
		s.register.quietly(func(m *memory) { m.full = nil })
		s.within(10*time.Second, "core2 3: row 3 Stay serving")
	})
}

func TestADamagedTrafficThatMayBeALaterOneIsNotWrittenOver(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		s.start()
		s.calm()
		s.register.trouble(func(m *memory) { m.damaged = damaged(5) })
		s.pass(time.Minute)
		s.want("core1 1: row 3 Stay serving; armed to core2")
		s.node("core1").be(ha.NotAvailable)
		s.within(10*time.Second, "core1 1: row 7 Wait not_stored (core2); alarm not_stored")
	})
}

func TestWhatAnotherProcessStoresIsFollowedAtOnce(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		s.start()
		s.calm()
		s.register.other(traffic(2, "core2", "core1", "core2"))
		s.want("core2 2: row 1 Stay dual_active (core1); alarm dual_active")
		s.register.other(traffic(9, "core1", "core1", "core2"))
		s.want("core1 9: row 3 Stay serving; armed to core2")
	})
}

// The other one has seen the node more lately: what was missed of it before
// must not undo what was just decided.
func TestTheNodeThatAnotherProcessChoseIsReadAnew(t *testing.T) {
	onStage(t, "core1 Active | core2 NotAvailable | dr1 Standby", func(s *stage) {
		s.start()
		s.calm()
		s.node("core1").be(ha.NotAvailable)
		s.node("core2").stall(time.Hour)
		s.register.other(traffic(2, "core2", "core1", "core2", "dr1"))
		chosen := time.Now()
		s.want("core2 2: row 4 Wait missing; armed to dr1")
		s.pass(5900 * time.Millisecond) // two timeouts, and the third is under way
		if got := s.now(); got.Traffic.Serving != "core2" || got.View.Of("core2").Misses != 2 {
			s.Errorf("%d readings of core2 are missed; %s", got.View.Of("core2").Misses, say(got))
		}
		if took := s.within(time.Second, "dr1 3: row 3 Stay serving"); !s.now().Traffic.At.Equal(chosen.Add(6 * time.Second)) {
			s.Errorf("left it after another %s", took)
		}
	})
}

func TestAChangeByAnotherProcessThatMovesNothingStartsNoReadingsAnew(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		s.start()
		s.calm()
		s.node("core1").be(ha.NotAvailable)
		s.miss(2)
		s.register.other(traffic(2, "core1", "core1", "core2"))
		if took := s.within(10*time.Second, "core2 3: row 3 Stay serving"); took != 500*time.Millisecond {
			s.Errorf("failed over after %s, want 500ms: the third miss", took)
		}
	})
}

func TestOneWhoIsOvertakenFollows(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		s.start()
		s.calm()
		s.node("core1").be(ha.NotAvailable)
		s.miss(2)
		s.register.hush(errLost) // what the other does is not heard
		s.register.other(traffic(2, "core2", "core1", "core2"))
		s.within(10*time.Second, "core2 2: row 3 Stay serving")
		if got := s.register.history(); !cmp.Equal(got, []string{"1 core1 started", "2 core2 started"}) {
			s.Errorf("stored %q", got)
		}
	})
}

func TestAWishThatIsOvertakenIsRefused(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		s.start()
		s.calm()
		s.register.hush(errLost)
		s.register.other(traffic(5, "core2", "core1", "core2"))
		_, err := s.act("hold", ha.Wish{Epoch: 1})
		var refusal *ha.Refusal
		if !errors.As(err, &refusal) || refusal.Code != ha.StaleEpoch || !strings.Contains(refusal.Why, "epoch 5") {
			s.Errorf("got %v", err)
		}
		s.want("core2 5: row 1 Stay dual_active (core1); alarm dual_active")
	})
}

func TestAChangeBetweenTheFirstLookAndTheWatchIsNotMissed(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		s.register.other(traffic(7, "core1", "core1", "core2"))
		s.start()
		first := true
		s.register.trouble(func(m *memory) {
			m.looked = func() {
				if first {
					first = false
					m.put(traffic(8, "core2", "core1", "core2"))
				}
			}
		})
		s.pass(0)
		s.want("core2 8: row 1 Stay dual_active (core1); alarm dual_active")
	})
}

func TestAWatchThatEndsIsTakenUpAgain(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		s.start()
		s.calm()
		s.register.hush(errLost)
		s.pass(time.Minute)
		s.register.other(traffic(2, "core2", "core1", "core2"))
		s.pass(time.Minute)
		s.want("core1 1: row 3 Stay serving; armed to core2")
		s.register.trouble(func(m *memory) { m.deaf = nil })
		s.pass(6 * time.Second)
		s.want("core2 2: row 1 Stay dual_active (core1); alarm dual_active")
		s.register.other(traffic(3, "core1", "core1", "core2"))
		s.want("core1 3: row 3 Stay serving; armed to core2")
	})
}

func TestARegisterThatCannotBeWatchedAtTheStartIsWatchedLater(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		s.register.deaf = errLost
		s.start()
		s.calm()
		s.want("core1 1: row 3 Stay serving; armed to core2")
		s.register.trouble(func(m *memory) { m.deaf = nil })
		s.pass(10 * time.Second)
		s.register.other(traffic(2, "core2", "core1", "core2"))
		s.want("core2 2: row 1 Stay dual_active (core1); alarm dual_active")
	})
}

func TestOfTwoWhoDecideAtTheSameInstantOneMoves(t *testing.T) {
	onStage(t, "core1 Active | core2 Standby | dr1 Standby", func(s *stage) {
		const watchers = 5
		all := make([]*Watcher, watchers)
		for i := range all {
			all[i], _ = s.watch(s.plan)
		}
		s.pass(10 * time.Second)
		s.node("core1").be(ha.NotAvailable)
		for _, w := range all {
			w.Doubt("core1", "connection refused") // all look at the same instant from now on
		}
		s.register.trouble(func(m *memory) { m.slow = time.Millisecond })
		s.pass(10 * time.Second)
		if got := s.register.history(); !cmp.Equal(got, []string{"1 core1 started", "2 core2 failed_over"}) {
			s.Errorf("stored %q", got)
		}
		for i, w := range all {
			if got := say(w.Situation()); got != "core2 2: row 3 Stay serving; armed to dr1" {
				s.Errorf("watcher %d: %s", i, got)
			}
		}
	})
}

func TestTwoWhoSeeDifferentThingsDoNotFight(t *testing.T) {
	onStage(t, "core1 Active | core2 Standby | dr1 Standby", func(s *stage) {
		s.start()
		apart := Plan{Rules: s.plan.Rules} // with players of its own
		for _, n := range s.plan.Nodes {
			apart.Nodes = append(apart.Nodes, s.cast(n.Name, s.node(n.Name).state))
		}
		other, _ := s.watch(apart)
		s.pass(time.Minute)
		s.node("core1").be(ha.NotAvailable) // it alone cannot reach the Primary
		s.pass(time.Hour)
		if got := s.register.history(); !cmp.Equal(got, []string{"1 core1 started", "2 core2 failed_over"}) {
			s.Errorf("stored %q", got)
		}
		if a, b := s.now(), other.Situation(); a.Target != "core2" || b.Target != "core2" {
			s.Errorf("requests go to %s and to %s", a.Target, b.Target)
		}
	})
}

func TestOfTwoWhoStartAtTheSameInstantOneBegins(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		a, _ := s.watch(s.plan)
		b, _ := s.watch(s.plan)
		s.pass(time.Second)
		if got := s.register.history(); len(got) != 1 {
			s.Errorf("stored %q", got)
		}
		for _, w := range []*Watcher{a, b} {
			if got := say(w.Situation()); got != "core1 1: row 3 Stay serving; armed to core2" {
				s.Error(got)
			}
		}
	})
}

func TestTwoWhoseConfigurationsDifferDoNotFight(t *testing.T) {
	onStage(t, "core1 Active | core2 Standby | dr1 Standby", func(s *stage) {
		small := s.plan
		small.Nodes = small.Nodes[:2]
		a, _ := s.watch(small)
		s.pass(time.Second)
		b, _ := s.watch(s.plan)
		s.pass(time.Hour)
		if got := s.register.history(); len(got) != 2 {
			s.Errorf("stored %q", got)
		}
		for _, w := range []*Watcher{a, b} {
			if got := w.Situation().Traffic.Order; !cmp.Equal(got, []string{"core1", "core2", "dr1"}) {
				s.Errorf("order %v", got)
			}
		}
	})
}

func TestTheEpochsThatNodesShowAreKept(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		s.node("core1").show(4)
		s.start()
		s.pass(time.Second)
		s.node("core2").show(5)
		s.pass(time.Minute)
		s.want("core1 2: row 3 Stay serving; armed to core2")
		s.restart()
		if got := s.now().Traffic.NodeEpochs; !cmp.Equal(got, map[string]uint64{"core1": 4, "core2": 5}) {
			s.Errorf("kept %v", got)
		}
	})
}

func TestHistoryIsTheRegisters(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		s.start()
		s.pass(time.Second)
		s.must("hold", ha.Wish{})
		s.must("release", ha.Wish{})
		got, err := s.watcher.History(context.Background(), 2)
		if err != nil || len(got) != 2 || got[0].Cause != ha.HeldBy || got[1].Cause != ha.Released {
			s.Errorf("got %v, %v", got, err)
		}
		synctest.Wait()
	})
}

package probes

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/understudy-ha/understudy/internal/ha"
)

func damaged(floor uint64) *ha.Damaged {
	return &ha.Damaged{Why: "it ends in the middle", Floor: floor}
}

func TestADamagedTrafficIsHeldAndServedByTheOnlyActiveNode(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ nodes, want string }{
		{"core1 Active | core2 Standby", "core1 for now: row 0 Wait unknown; alarm unknown"},
		{"core1 NotAvailable | core2 Active", "core2 for now: row 0 Wait unknown; alarm unknown"},
		{"core1 Active | core2 Active", "nobody: row 0 Wait unknown; alarm unknown"},
		{"core1 Standby | core2 Standby", "nobody: row 0 Wait unknown; alarm unknown"},
	} {
		t.Run(c.nodes, func(t *testing.T) {
			onStage(t, c.nodes, func(s *stage) {
				s.register.damaged = damaged(0)
				s.start()
				s.want(c.want)
				s.pass(time.Hour)
				s.register.trouble(func(*memory) {}) // somebody touched it
				s.pass(time.Minute)
				s.want(c.want)
				if n := s.register.tries(); n > 0 {
					s.Errorf("%d saves were tried over what cannot be read", n)
				}
			})
		})
	}
}

func TestAProvisionalNodeIsChosenOnce(t *testing.T) {
	t.Parallel()
	for name, m := range map[string]*memory{"damaged": {damaged: damaged(12)}, "unreadable": {unread: errLost}, "full": {full: errDisk}} {
		t.Run(name, func(t *testing.T) {
			onStage(t, pair, func(s *stage) {
				s.register = m
				chosenOnce(s)
			})
		})
	}
}

func chosenOnce(s *stage) {
	s.start()
	s.want("core1 for now: row 0 Wait unknown; alarm unknown")
	s.node("core1").be(ha.NotAvailable)
	s.node("core2").be(ha.Active)
	s.pass(time.Minute)
	s.want("nobody: row 0 Wait unknown; alarm unknown")
	s.node("core2").be(ha.Standby)
	s.pass(time.Minute)
	s.want("core1 for now: row 0 Wait unknown; alarm unknown")
}

func TestOutOfUnknownLeadsOnlyAForcedSwitch(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		s.register.damaged = damaged(12)
		s.node("core2").show(31)
		s.start()
		s.pass(time.Second)
		for verb, w := range map[string]ha.Wish{
			"resume": {}, "switch": {To: "core1"}, "reorder": {Order: []string{"core2", "core1"}}, "hold": {}, "release": {},
		} {
			if _, err := s.act(verb, w); err == nil {
				s.Errorf("%s was granted", verb)
			}
		}
		s.must("switch", ha.Wish{To: "core1", Force: true})
		s.want("core1 33: row 3 Stay serving; armed to core2") // 32 is above all that nodes show, and then that is learned
		stored, err := s.register.last()
		if err != nil || stored.Serving != "core1" || stored.Hold != nil {
			s.Errorf("stored %+v, %v", stored, err)
		}
	})
}

func TestARepairedTrafficIsTakenUp(t *testing.T) {
	t.Parallel()
	for name, repaired := range map[string]uint64{"the newest": 12, "a newer one": 13} {
		t.Run(name, func(t *testing.T) {
			onStage(t, pair, func(s *stage) {
				s.register.damaged = damaged(12)
				s.start()
				s.pass(time.Minute)
				s.register.trouble(func(m *memory) {
					m.damaged = nil
					m.put(traffic(repaired, "core2", "core1", "core2"))
				})
				s.within(time.Second, "core2")
			})
		})
	}
}

func TestAnUnreadableRegisterIsTriedAgain(t *testing.T) {
	onStage(t, "core1 Active | core2 Standby | dr1 Standby", func(s *stage) {
		s.register.other(traffic(7, "core2", "core1", "core2", "core9"))
		s.register.unread = errLost
		s.start()
		s.want("core1 for now: row 0 Wait unknown; alarm unknown")
		s.pass(time.Minute)
		s.want("core1 for now: row 0 Wait unknown; alarm unknown")
		s.register.trouble(func(m *memory) { m.unread = nil })
		s.pass(0)
		if got := s.now().Traffic; got.Serving != "core2" || !cmp.Equal(got.Order, []string{"core1", "core2", "dr1"}) {
			s.Errorf("then %s serves, order %v", got.Serving, got.Order)
		}
	})
}

func TestARegisterThatCouldNotBeReadAtTheStartIsAnyOtherLater(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		s.register.other(traffic(7, "core1", "core1", "core2"))
		s.register.unread = errLost
		s.start()
		s.pass(time.Minute)
		s.register.trouble(func(m *memory) { m.unread = nil })
		s.pass(time.Second)
		s.register.quietly(func(m *memory) { m.loads = 0 })
		s.pass(time.Minute)
		s.register.quietly(func(m *memory) {
			if m.loads > 0 {
				s.Errorf("it was read %d times more", m.loads)
			}
		})
		s.register.trouble(func(m *memory) { m.put(traffic(1, "core2", "core1", "core2")) }) // an old copy
		s.pass(time.Minute)
		s.want("core1 7: row 3 Stay serving; armed to core2")
	})
}

func TestADamagedTrafficThatIsRemovedBeginsNoFirstStart(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		s.register.damaged = damaged(12)
		s.start()
		s.pass(time.Minute)
		s.register.trouble(func(m *memory) { m.damaged = nil })
		s.pass(time.Minute)
		s.want("core1 for now: row 0 Wait unknown; alarm unknown")
		if n := s.register.tries(); n > 0 {
			s.Errorf("%d saves were tried", n)
		}
	})
}

func TestAnUnreadableRegisterThatHasNothingBeginsAFirstStart(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		s.register.unread = errLost
		for _, p := range s.players {
			p.slow(time.Second)
		}
		s.start()
		s.want("nobody: row 0 Wait unknown; alarm unknown")
		s.register.trouble(func(m *memory) { m.unread = nil })
		s.pass(time.Millisecond)
		s.want("nobody: row 0 Wait starting; queue all")
		s.pass(time.Second)
		s.want("core1 1: row 3 Stay serving; armed to core2")
		for range 3 { // the right page of the right node
			s.pass(5 * time.Second)
			if got := s.node("core1").lastAsked(); !cmp.Equal(got, []ha.Page{ha.StatusPage}) {
				s.Errorf("core1 was asked %v", got)
			}
		}
	})
}

func TestBeforeTheFirstStartTheRightPagesAreAskedWhateverTheRegisterDoes(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		s.register.unread = errLost
		s.node("core2").slow(1900 * time.Millisecond)
		s.start()
		s.pass(time.Second)
		s.register.trouble(func(m *memory) { m.unread = nil })
		s.watcher.Doubt("core1", "connection refused") // brings a probe before all have been read
		s.pass(10 * time.Millisecond)
		asked := s.node("core1").asked
		if len(asked) < 2 || slices.ContainsFunc(asked, func(p []ha.Page) bool { return !slices.Equal(p, []ha.Page{ha.StatusPage}) }) {
			s.Errorf("core1 was asked %v", asked)
		}
	})
}

func TestAFirstTrafficThatCannotBeStoredIsHeldUntilItCan(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		s.register.full = errDisk
		s.start()
		s.want("core1 for now: row 0 Wait unknown; alarm unknown")
		s.pass(time.Minute)
		s.want("core1 for now: row 0 Wait unknown; alarm unknown")
		s.register.trouble(func(m *memory) { m.full = nil })
		s.pass(6 * time.Second)
		s.want("core1 1: row 3 Stay serving; armed to core2")
	})
}

// The one that is left when one of two Active nodes misses a probe may be the
// stale one.
func TestTwoActiveNodesAreNotForgottenWhileTheDiskIsFull(t *testing.T) {
	onStage(t, "core1 Active | core2 Active", func(s *stage) {
		s.register.full = errDisk
		s.start()
		s.pass(time.Minute)
		s.want("nobody: row 0 Wait unknown; alarm unknown")
		s.node("core2").be(ha.NotAvailable)
		s.pass(time.Minute)
		s.want("nobody: row 0 Wait unknown; alarm unknown")
		s.register.trouble(func(m *memory) { m.full = nil })
		s.pass(time.Minute)
		s.want("nobody: row 0 Wait unknown; alarm unknown")
		if got := s.register.history(); !cmp.Equal(got, []string{"1  unknown"}) {
			s.Errorf("stored %q", got)
		}
	})
}

func TestAnotherNodeBeforeTheFirstTrafficIsStoredBeginsTheStartAnew(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		s.register.full = errDisk
		s.start()
		s.pass(time.Minute)
		s.plan.Nodes = []Node{s.plan.Nodes[1], s.cast("core3", ha.Active)}
		if err := s.watcher.Apply(s.Context(), s.plan); err != nil {
			s.Fatal(err)
		}
		s.register.trouble(func(m *memory) { m.full = nil })
		s.pass(time.Minute)
		s.want("core3 1: row 3 Stay serving")
	})
}

func TestAForcedSwitchThatCannotBeStoredLeadsNowhere(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		s.register.full = errDisk
		s.start()
		s.pass(time.Minute)
		if _, err := s.act("switch", ha.Wish{To: "core2", Force: true}); err == nil {
			s.Error("a switch that could not be stored was granted")
		}
		s.want("core1 for now: row 0 Wait unknown; alarm unknown")
		s.register.trouble(func(m *memory) { m.full = nil })
		s.must("switch", ha.Wish{To: "core2", Force: true})
		s.want("core2 2: row 1 Stay dual_active (core1); alarm dual_active") // after the first one, which the disk took at last
	})
}

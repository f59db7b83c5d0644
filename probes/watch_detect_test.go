package probes

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// starts gives when probes of a node began since an instant, from there.
func starts(p *player, since time.Time) (at []time.Duration) {
	for _, r := range p.readings(since) {
		at = append(at, r.At.Sub(since))
	}
	return at
}

// firstMiss gives the first reading since an instant that was missed.
func firstMiss(s *stage, node string, since time.Time) ha.Reading {
	s.Helper()
	for _, r := range s.node(node).readings(since) {
		if !r.State.Available() {
			return r
		}
	}
	s.Fatalf("no reading of %s was missed", node)
	return ha.Reading{}
}

func TestFallMissesAFastIntervalApartBringAFailover(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		fall int
		fast time.Duration
	}{{1, 500 * time.Millisecond}, {2, 500 * time.Millisecond}, {3, 500 * time.Millisecond}, {5, 200 * time.Millisecond}, {3, time.Minute}} {
		t.Run(fmt.Sprintf("fall %d fast %s", c.fall, c.fast), func(t *testing.T) {
			onStage(t, pair, func(s *stage) {
				s.plan.Rules.Fall, s.plan.Rules.FastInterval = c.fall, c.fast
				s.start()
				s.pass(12345 * time.Millisecond)
				failed := time.Now()
				s.node("core1").be(ha.NotAvailable)
				s.within(time.Minute, "core2 2: row 3 Stay serving")
				first := firstMiss(s, "core1", failed)
				if wait := first.At.Sub(failed); wait > 5500*time.Millisecond {
					s.Errorf("the first probe came after %s", wait)
				}
				want := first.At.Add(time.Duration(c.fall-1) * min(c.fast, s.plan.Rules.Interval))
				if got := s.now().Traffic.At; !got.Equal(want) {
					s.Errorf("failed over %s after the first miss, want %s", got.Sub(first.At), want.Sub(first.At))
				}
				if got := len(s.node("core1").readings(first.At)); got != c.fall {
					s.Errorf("%d readings before the failover, want %d", got, c.fall)
				}
			})
		})
	}
}

func TestThreeTimeoutsAreThreeObservations(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		s.start()
		s.calm()
		failed := time.Now()
		s.node("core1").stall(time.Hour)
		s.within(time.Minute, "core2 2: row 3 Stay serving")
		first := firstMiss(s, "core1", failed)
		got := starts(s.node("core1"), first.At)
		if len(got) != 3 || got[0] != 0 || got[1] != 2*time.Second || got[2] != 4*time.Second {
			s.Errorf("probes began at %v, want one after another", got)
		}
		if took := s.now().Traffic.At.Sub(first.At); took != 6*time.Second {
			s.Errorf("failed over %s after the first probe that was not answered, want 6s", took)
		}
	})
}

// A stall a little longer than the timeout, wherever it falls between probes,
// and whether or not live traffic notices.
func TestAStallOfAMomentTripsNothing(t *testing.T) {
	t.Parallel()
	for _, doubted := range []bool{false, true} {
		t.Run(fmt.Sprintf("doubted %t", doubted), func(t *testing.T) {
			onStage(t, pair, func(s *stage) {
				s.plan.Rules.Timeout = time.Second
				s.start()
				most := 0
				s.watcher.Follow(func(a ha.Situation) { most = max(most, a.View.Of("core1").Misses) })
				for offset := range 300 {
					s.pass(10*time.Second + time.Duration(offset)*17*time.Millisecond)
					s.node("core1").stall(1200 * time.Millisecond)
					if doubted {
						s.pass(time.Duration(offset%13) * 100 * time.Millisecond)
						s.watcher.Doubt("core1", "no answer")
					}
				}
				s.pass(10 * time.Second)
				if most > 1 {
					s.Errorf("%d readings were missed in a row", most)
				}
				s.want("core1 1: row 3 Stay serving; armed to core2")
			})
		})
	}
}

func TestAFlapBelowFallNeverMoves(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		s.start()
		for range 200 {
			s.pass(20 * time.Second)
			s.node("core1").be(ha.NotAvailable)
			s.miss(2)
			s.node("core1").be(ha.Active)
		}
		s.pass(10 * time.Second)
		s.want("core1 1: row 3 Stay serving; armed to core2")
	})
}

func TestARestartCountsMissesAnew(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		s.start()
		s.calm()
		s.node("core1").be(ha.NotAvailable)
		for range 20 {
			s.miss(2)
			s.restart()
		}
		if got := s.now().Traffic; got.Epoch != 1 {
			s.Errorf("%s serves since epoch %d", got.Serving, got.Epoch)
		}
		s.within(10*time.Second, "core2 2: row 3 Stay serving")
	})
}

// The Secondary read Standby shortly before the Primary was down; what counts
// is what it reads then.
func TestAnOldStandbyReadingNeverCounts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		becomes ha.State
		want    string
	}{
		{ha.Active, "core1 1: row 10 Wait stranded (core2); alarm stranded"},
		{ha.NotAvailable, "core1 1: row 13 Wait no_standby (core2); alarm no_standby"},
		{ha.Standby, "core2 2: row 3 Stay serving"},
	} {
		t.Run(c.becomes.String(), func(t *testing.T) {
			onStage(t, pair, func(s *stage) {
				s.node("core1").slow(10 * time.Millisecond)
				s.start()
				s.calm()
				s.node("core1").be(ha.NotAvailable)
				s.miss(2)
				s.pass(490 * time.Millisecond) // the third probe is about to begin
				if got := s.now().View.Of("core2").Last; got.State != ha.Standby || time.Since(got.At) > time.Second {
					s.Fatalf("core2 read %v, %s ago", got.State, time.Since(got.At))
				}
				s.node("core2").be(c.becomes)
				s.pass(30 * time.Millisecond)
				s.want(c.want)
			})
		})
	}
}

// A probe of the Secondary is under way at the decisive instant: it began
// before, so another one is made.
func TestAProbeThatIsUnderWayAtTheDecisiveInstantIsNoConfirmation(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		s.node("core1").slow(10 * time.Millisecond)
		s.node("core2").slow(400 * time.Millisecond)
		s.start()
		s.calm()
		failed := time.Now()
		s.node("core1").be(ha.NotAvailable)
		s.within(10*time.Second, "core1 1: row 13 Wait confirming (core2); queue all")
		s.within(time.Second, "core2 2: row 3 Stay serving")
		down := s.node("core1").readings(firstMiss(s, "core1", failed).At)[2].End()
		evidence := s.now().Traffic.Evidence
		standby := evidence[slices.IndexFunc(evidence, func(r ha.Reading) bool { return r.Node == "core2" })]
		if standby.At.Before(down) || standby.State != ha.Standby {
			s.Errorf("moved onto a reading that began %s before core1 was down", down.Sub(standby.At))
		}
	})
}

func TestTheConfirmationIsAskedAtTheDecisiveInstant(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		s.node("core1").slow(10 * time.Millisecond)
		s.start()
		s.calm()
		s.node("core1").be(ha.NotAvailable)
		s.within(10*time.Second, "core2 2: row 3 Stay serving")
		moved := s.now().Traffic.At
		if got := s.node("core2").readings(moved); len(got) != 1 || !got[0].At.Equal(moved) {
			s.Errorf("at the move core2 was read %v", got)
		}
		if got := s.node("core1").readings(moved.Add(-10 * time.Millisecond)); len(got) != 1 || !got[0].End().Equal(moved) {
			s.Errorf("at the move core1 was read %v", got)
		}
	})
}

func TestThePrimaryThatIsBackDuringTheConfirmationKeepsTheTraffic(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		s.start()
		s.calm()
		s.node("core1").be(ha.NotAvailable)
		s.miss(2)
		s.node("core2").slow(1900 * time.Millisecond)
		s.pass(500 * time.Millisecond)
		s.node("core1").be(ha.Active)
		s.pass(time.Minute)
		s.want("core1 1: row 3 Stay serving; armed to core2")
	})
}

func TestTheThirdNodeServesOnlyWhenTheSecondIsDown(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		nodes  string
		manual []string
		want   string
	}{
		{"core1 Active | core2 Standby | dr1 Standby", nil, "core2 2: row 3 Stay serving; armed to dr1"},
		{"core1 Active | core2 NotAvailable | dr1 Standby", nil, "dr1 2: row 3 Stay serving"},
		{"core1 Active | core2 NotAvailable | dr1 Standby", []string{"dr1"}, "core1 1: row 12 Wait needs_operator (dr1); alarm needs_operator"},
		{"core1 Active | core2 Standby | dr1 Standby", []string{"core2"}, "core1 1: row 8 Wait needs_operator (core2); alarm needs_operator"},
		{"core1 Active | core2 NotAvailable | dr1 NotAvailable", nil, "core1 1: row 13 Wait no_standby; alarm no_standby"},
		{"core1 Active | core2 NotAvailable | dr1 NotAvailable | dr2 Standby", nil, "dr2 2: row 3 Stay serving"},
	} {
		t.Run(fmt.Sprint(c.nodes, c.manual), func(t *testing.T) {
			onStage(t, c.nodes, func(s *stage) {
				s.plan.Rules.Manual = c.manual
				s.start()
				s.calm()
				s.node("core1").be(ha.NotAvailable)
				s.pass(10 * time.Second)
				s.want(c.want)
			})
		})
	}
}

// The Primary and the Secondary fail together: the Secondary has to miss fall
// readings of its own before the third node serves.
func TestTwoThatFailTogetherLeaveTheThird(t *testing.T) {
	onStage(t, "core1 Active | core2 Standby | dr1 Standby", func(s *stage) {
		s.start()
		s.calm()
		s.node("core1").be(ha.NotAvailable)
		s.node("core2").be(ha.NotAvailable)
		s.within(20*time.Second, "dr1 2: row 3 Stay serving")
		if got := s.now().View.Of("core2"); !got.Down() {
			s.Errorf("core2 has missed %d readings", got.Misses)
		}
	})
}

func TestAHoldKeepsTrafficOnANodeThatIsDown(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		s.start()
		s.calm()
		s.must("hold", ha.Wish{Until: time.Now().Add(10 * time.Minute)})
		s.node("core1").be(ha.NotAvailable)
		s.pass(9 * time.Minute)
		s.want("core1 2: row 5 Wait held; alarm held")
		s.pass(2 * time.Minute)
		s.want("core1 2: row 5 Wait held; alarm held; alarm hold_overdue")
		s.must("release", ha.Wish{})
		s.want("core2 4: row 3 Stay serving")
	})
}

func TestANodeThatIsNotPromotedAndAGroupThatIsNotArmedAlarmInTime(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		s.start()
		s.calm()
		s.node("core1").be(ha.NotAvailable)
		s.within(10*time.Second, "core2 2: row 3 Stay serving")
		moved := time.Now()
		s.within(3*time.Minute, "core2 2: row 2 Stay unpromoted; alarm unpromoted")
		if took := time.Since(moved); took < 2*time.Minute || took > 126*time.Second {
			s.Errorf("not promoted: alarmed after %s", took)
		}
		s.node("core2").be(ha.Active)
		s.within(15*time.Minute, "core2 2: row 3 Stay serving; alarm not_armed")
		if took := time.Since(moved); took < 10*time.Minute || took > 606*time.Second {
			s.Errorf("not armed: alarmed after %s", took)
		}
	})
}

func TestEveryRequestWaitsUntilTheTimeOfASwitchover(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		frozen := traffic(7, "core1", "core1", "core2")
		frozen.QueueUntil = time.Now().Add(3 * time.Second)
		s.register.other(frozen)
		s.start()
		s.pass(2999 * time.Millisecond)
		s.want("core1 7: row 3 Stay serving; queue all; armed to core2")
		s.pass(time.Millisecond)
		s.want("core1 7: row 3 Stay serving; armed to core2")
	})
}

func TestCalmProbesAreAnIntervalApartGiveOrTakeATenth(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		s.start()
		s.pass(2 * time.Hour)
		for name, p := range s.players {
			at := starts(p, s.began)[1:] // the second is spread over the interval
			shortest, longest := time.Hour, time.Duration(0)
			for i := range at[1:] {
				gap := at[i+1] - at[i]
				shortest, longest = min(shortest, gap), max(longest, gap)
			}
			if shortest < 4500*time.Millisecond || shortest > 4600*time.Millisecond || longest < 5400*time.Millisecond || longest > 5500*time.Millisecond {
				s.Errorf("%s was probed %s to %s apart", name, shortest, longest)
			}
		}
		if late := s.watcher.Figures().Latest; late > 0 {
			s.Errorf("a probe was %s late", late)
		}
	})
}

func TestCalmProbesOfAllGroupsBeginAtTheSameInstants(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		s.start()
		s.pass(time.Hour)
		for name, p := range s.players {
			for _, r := range p.readings(s.began)[1:] {
				if r.At.UnixNano()%int64(50*time.Millisecond) != 0 {
					s.Fatalf("%s was probed at %s", name, r.At)
				}
			}
		}
	})
}

func TestTheSecondProbesOfManyGroupsSpreadOverTheInterval(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const groups = 500
		var seconds [6]int
		stages := make([]*stage, groups)
		for i := range stages {
			stages[i] = newStage(t, "core1 Active")
			stages[i].node("core1").slow(10 * time.Millisecond)
			stages[i].start()
		}
		time.Sleep(7 * time.Second)
		for _, s := range stages {
			seconds[starts(s.node("core1"), s.began)[1]/time.Second]++
			if late := s.watcher.Figures().Latest; late > 0 {
				t.Errorf("a probe was %s late", late)
			}
		}
		for i, n := range seconds[:5] {
			if n < groups/10 {
				t.Errorf("%d of %d second probes began in second %d: %v", n, groups, i, seconds)
			}
		}
		for _, s := range stages {
			s.stop()
		}
	})
}

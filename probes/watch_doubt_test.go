package probes

import (
	"context"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

func TestEvidenceMarksTheNodeBeforeItReturns(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		s.start()
		s.calm()
		s.node("core1").slow(100 * time.Millisecond)
		at := time.Now()
		s.watcher.Doubt("core1", "connection refused")
		got := s.watcher.Situation() // without waiting for anything
		if suspect := got.View.Of("core1").Suspect; !suspect.Equal(at) || got.Queue != ha.QueueUnsafe {
			s.Errorf("suspect since %s, queue %d", suspect, got.Queue)
		}
		s.pass(100 * time.Millisecond)
		if got := s.now(); !got.View.Of("core1").Suspect.IsZero() || got.Queue != ha.QueueNone {
			s.Errorf("after a good probe: suspect since %s, %s", got.View.Of("core1").Suspect, say(got))
		}
	})
}

// While those who follow are still being told of the first evidence, the next
// waits: a request that were tried again before the front knows it would use up
// its tries.
func TestEvidenceReturnsOnlyWhenAllWhoFollowKnowIt(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		s.start()
		s.calm()
		var early, told bool
		second := make(chan struct{})
		s.watcher.Follow(func(a ha.Situation) {
			if told || a.View.Of("core1").Suspect.IsZero() {
				return
			}
			var returned atomic.Bool
			go func() {
				defer close(second)
				s.watcher.Doubt("core1", "connection refused")
				returned.Store(true)
			}()
			for range 1000 {
				runtime.Gosched()
			}
			early, told = returned.Load(), true
		})
		s.watcher.Doubt("core1", "connection reset")
		<-second
		if early {
			s.Error("the second evidence returned before all were told of the first")
		}
	})
}

func TestTheFirstEvidenceBringsOneProbeAtOnce(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		s.node("core1").slow(20 * time.Millisecond)
		s.start()
		s.calm()
		s.await(time.Minute, func(a ha.Situation) bool { return time.Since(a.View.Of("core1").Last.At) == 20*time.Millisecond })
		s.pass(time.Second)
		at := time.Now()
		for range 10 {
			s.watcher.Doubt("core1", "connection refused")
		}
		s.pass(time.Second)
		if got := starts(s.node("core1"), at); len(got) != 1 || got[0] != 0 {
			s.Errorf("probes began at %v after the evidence, want one at once", got)
		}
	})
}

// From the first evidence to the failover: one probe at once, then one each
// fast interval, however much evidence there is.
func TestEvidenceSavesTheWaitForTheNextProbe(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		s.start()
		s.calm()
		s.node("core1").be(ha.NotAvailable)
		at := time.Now()
		stormEnds := at.Add(5 * time.Second)
		go func() {
			for time.Now().Before(stormEnds) {
				s.watcher.Doubt("core1", "connection refused")
				time.Sleep(time.Millisecond)
			}
		}()
		if took := s.within(10*time.Second, "core2 2: row 3 Stay serving"); took != time.Second {
			s.Errorf("failed over %s after the first evidence, want 1s", took)
		}
		got := starts(s.node("core1"), at)
		if len(got) < 3 || got[0] != 0 || got[1] != 500*time.Millisecond || got[2] != time.Second {
			s.Errorf("probes began at %v", got)
		}
		s.pass(6 * time.Second)
	})
}

// Evidence after a miss brings no second observation of the same moment.
func TestEvidenceAfterAMissBringsNoProbeBeforeItsTime(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		s.start()
		s.calm()
		failed := time.Now()
		s.node("core1").be(ha.NotAvailable)
		s.miss(1)
		s.pass(10 * time.Millisecond)
		s.watcher.Doubt("core1", "connection refused")
		s.within(10*time.Second, "core2 2: row 3 Stay serving")
		first := firstMiss(s, "core1", failed)
		if took := s.now().Traffic.At.Sub(first.At); took != time.Second {
			s.Errorf("failed over %s after the first miss, want 1s", took)
		}
	})
}

func TestAStormOfEvidenceBringsNoMoreThanOneProbeAFastInterval(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		s.node("core1").slow(time.Millisecond)
		s.start()
		s.calm()
		const storm = time.Minute
		began := time.Now()
		for range 2 {
			go func() {
				for time.Since(began) < storm {
					s.watcher.Doubt("core1", "connection reset")
					time.Sleep(3 * time.Millisecond)
				}
			}()
		}
		s.pass(storm + time.Second)
		got := starts(s.node("core1"), began)
		// beside those that the storm brings come the regular ones
		if most := int(storm/s.plan.Rules.FastInterval + storm/s.plan.Rules.Interval + 2); len(got) > most {
			s.Errorf("%d probes in %s, want at most %d", len(got), storm, most)
		}
		if len(got) < 100 {
			s.Errorf("%d probes in %s: a node that fails all the time is looked at every fast interval", len(got), storm)
		}
		s.want("core1 1: row 3 Stay serving; armed to core2")
	})
}

func TestAGoodProbeThatBeganBeforeTheEvidenceDoesNotClearIt(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		s.start()
		s.calm()
		s.node("core1").slow(300 * time.Millisecond)
		s.await(time.Minute, func(a ha.Situation) bool { return a.View.Of("core1").Last.Took > 0 })
		last := s.now().View.Of("core1").Last.At
		s.await(time.Minute, func(ha.Situation) bool { // until the next one is under way
			p := s.node("core1")
			p.mu.Lock()
			defer p.mu.Unlock()
			return len(p.asked) > len(p.read)
		})
		s.pass(100 * time.Millisecond)
		s.watcher.Doubt("core1", "no answer")
		s.await(time.Minute, func(a ha.Situation) bool { return a.View.Of("core1").Last.At.After(last) })
		good := s.now().View.Of("core1")
		if good.Last.State != ha.Active || good.Suspect.IsZero() || !good.Last.At.Before(good.Suspect) {
			s.Fatalf("read %v, begun %s before the evidence; suspect since %s", good.Last.State, good.Suspect.Sub(good.Last.At), good.Suspect)
		}
		s.pass(time.Second)
		if got := s.now().View.Of("core1"); !got.Suspect.IsZero() {
			s.Error("the next good one does not clear it either")
		}
	})
}

func TestSilenceHasEveryRequestWaitForAGoodProbe(t *testing.T) {
	t.Parallel()
	for name, doubted := range map[string]bool{"alone": false, "after other evidence": true} {
		t.Run(name, func(t *testing.T) {
			onStage(t, pair, func(s *stage) {
				s.start()
				s.calm()
				s.node("core1").slow(100 * time.Millisecond)
				at := time.Now()
				if doubted {
					s.watcher.Doubt("core1", "connection reset")
				}
				for range 3 {
					s.watcher.Hush("core1")
				}
				if got := s.watcher.Situation(); got.View.Of("core1").Suspect.IsZero() || got.Queue != ha.QueueAll {
					s.Errorf("suspect since %s, queue %d", got.View.Of("core1").Suspect, got.Queue)
				}
				s.pass(99 * time.Millisecond)
				s.want("core1 1: row 3 Stay serving; queue all; armed to core2")
				s.pass(time.Millisecond)
				s.want("core1 1: row 3 Stay serving; armed to core2")
				if got := starts(s.node("core1"), at); len(got) != 1 || got[0] != 0 {
					s.Errorf("probes began at %v, want one at once", got)
				}
			})
		})
	}
}

func TestANodeThatIsSilentAndDownIsLeft(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		s.start()
		s.calm()
		s.node("core1").stall(time.Hour)
		s.watcher.Hush("core1")
		if took := s.within(10*time.Second, "core2 2: row 3 Stay serving"); took != 6*time.Second {
			s.Errorf("failed over after %s, want 6s: three timeouts", took)
		}
	})
}

func TestFurtherEvidenceWaitsForNobody(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		s.start()
		s.calm()
		s.node("core1").be(ha.NotAvailable)
		s.watcher.Doubt("core1", "connection refused")
		s.register.trouble(func(m *memory) { m.slow = 5 * time.Second })
		s.pass(time.Second) // the loop waits for the register
		began := time.Now()
		s.watcher.Doubt("core1", "connection refused")
		if took := time.Since(began); took > 0 {
			s.Errorf("it waited %s", took)
		}
	})
}

func TestEvidenceHasTheOthersLookedAtToo(t *testing.T) {
	onStage(t, "core1 Active | core2 Standby | dr1 Standby", func(s *stage) {
		s.start()
		s.calm()
		at := time.Now()
		s.watcher.Doubt("core1", "connection refused")
		s.pass(s.plan.Rules.FastInterval)
		for name, p := range s.players {
			if got := p.readings(at); len(got) == 0 {
				s.Errorf("%s was not read within a fast interval", name)
			}
		}
	})
}

func TestEvidenceAgainstANodeThatDoesNotServeQueuesNothing(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		s.start()
		s.calm()
		s.node("core2").slow(100 * time.Millisecond)
		s.watcher.Doubt("core2", "connection refused")
		if got := s.watcher.Situation(); got.View.Of("core2").Suspect.IsZero() || got.Queue != ha.QueueNone {
			s.Errorf("suspect since %s, queue %d", got.View.Of("core2").Suspect, got.Queue)
		}
		s.watcher.Doubt("core9", "connection refused") // a node that left
		s.pass(time.Minute)
		s.want("core1 1: row 3 Stay serving; armed to core2")
	})
}

func TestAStoppedWatcherAnswersAtOnce(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		s.start()
		s.calm()
		s.stop()
		began := time.Now()
		s.watcher.Doubt("core1", "connection refused")
		s.watcher.Hush("core1")
		if got := s.watcher.Readings(); got != nil {
			s.Errorf("readings %v", got)
		}
		if err := s.watcher.Apply(s.Context(), s.plan); err != ErrStopped {
			s.Errorf("apply: %v", err)
		}
		if _, err := s.act("hold", ha.Wish{}); err != ErrStopped {
			s.Errorf("act: %v", err)
		}
		if took := time.Since(began); took > 0 {
			s.Errorf("took %s", took)
		}
		if got := s.watcher.Situation(); got.Target != "core1" {
			s.Errorf("then requests go to %q", got.Target)
		}
	})
}

func TestRunReturnsWhenTheLastProbeHasEndedAndNobodyElseWaitsForIt(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		s.node("core1").slow(1500 * time.Millisecond)
		ctx, cancel := context.WithCancel(s.Context())
		w := NewWatcher("core", s.register, discard)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			w.Run(ctx, s.plan)
		}()
		s.pass(time.Second)
		cancel()
		synctest.Wait()
		began := time.Now()
		w.Doubt("core1", "connection refused")
		if err := w.Apply(context.Background(), s.plan); err != ErrStopped {
			s.Errorf("apply: %v", err)
		}
		if took := time.Since(began); took > 0 {
			s.Errorf("evidence waited %s for a probe", took)
		}
		<-ended
		if got := len(s.node("core1").read); time.Since(s.began) != 1500*time.Millisecond || got != 1 {
			s.Errorf("ended after %s and %d probes", time.Since(s.began), got)
		}
	})
}

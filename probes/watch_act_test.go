package probes

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/understudy-ha/understudy/internal/ha"
)

// code gives the code of a refusal, or "".
func code(err error) ha.Reason {
	var refusal *ha.Refusal
	if !errors.As(err, &refusal) {
		return ""
	}
	return refusal.Code
}

func TestAPersonLeadsTrafficBack(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		s.start()
		s.calm()
		s.node("core1").be(ha.NotAvailable)
		s.within(10*time.Second, "core2 2: row 3 Stay serving")
		s.node("core2").be(ha.Active)
		s.pass(time.Minute)
		if _, err := s.act("resume", ha.Wish{}); code(err) != ha.NotReady {
			s.Errorf("while it is down: %v", err)
		}
		s.node("core1").be(ha.Active)
		s.pass(time.Minute)
		if _, err := s.act("resume", ha.Wish{}); code(err) != ha.DualActive {
			s.Errorf("while it is stale: %v", err)
		}
		s.node("core1").be(ha.Standby)
		s.pass(time.Minute)
		if _, err := s.act("resume", ha.Wish{}); code(err) != ha.NeedsSwap {
			s.Errorf("while it stands by: %v", err)
		}
		s.node("core1").be(ha.Active)
		s.node("core2").be(ha.Standby)
		s.pass(time.Minute)
		s.want("core2 2: row 1 Stay dual_active (core1); alarm dual_active")
		s.must("resume", ha.Wish{})
		s.want("core1 3: row 3 Stay serving; armed to core2")
	})
}

func TestEveryWishIsDoneOrRefused(t *testing.T) {
	onStage(t, "core1 Standby | core2 Active | dr1 Standby", func(s *stage) {
		s.start() // core2 is adopted
		s.pass(20 * time.Second)
		for _, c := range []struct {
			verb string
			wish ha.Wish
			want string // the refusal's code, or what is decided then
		}{
			{"resume", ha.Wish{}, "needs_swap"},
			{"switch", ha.Wish{To: "dr1"}, "needs_swap"},
			{"switch", ha.Wish{To: "core9"}, "bad_wish"},
			{"switch", ha.Wish{To: "core2"}, "already_serving"},
			{"reorder", ha.Wish{Order: []string{"core2"}}, "bad_wish"},
			{"release", ha.Wish{}, "not_held"},
			{"hold", ha.Wish{Epoch: 9}, "stale_epoch"},
			{"hold", ha.Wish{Epoch: 1}, "core2 2: row 3 Stay serving"},
			{"hold", ha.Wish{Owner: "run 7"}, "held"},
			{"resume", ha.Wish{}, "held"},
			{"release", ha.Wish{}, "core2 3: row 3 Stay serving; armed to dr1"},
			{"reorder", ha.Wish{Order: []string{"core2", "core1", "dr1"}}, "core2 4: row 3 Stay serving; armed to core1"},
			{"resume", ha.Wish{}, "already_serving"},
			{"switch", ha.Wish{To: "core1", Force: true}, "core1 5: row 1 Stay dual_active (core2); alarm dual_active; armed to dr1"},
			{"resume", ha.Wish{}, "core2 6: row 3 Stay serving; armed to core1"},
		} {
			_, err := s.act(c.verb, c.wish)
			if err != nil && string(code(err)) != c.want {
				s.Errorf("%s %+v: %v, want %s", c.verb, c.wish, err, c.want)
			}
			if got := say(s.now()); err == nil && got != c.want {
				s.Errorf("%s %+v:\n got %s\nwant %s", c.verb, c.wish, got, c.want)
			}
		}
	})
}

func TestTrafficThatAPersonForcedOntoANodeStaysUntilItMissesAnew(t *testing.T) {
	onStage(t, "core1 Active | core2 NotAvailable | dr1 Standby", func(s *stage) {
		s.start()
		s.calm()
		s.node("core1").be(ha.NotAvailable)
		s.must("switch", ha.Wish{To: "core2", Force: true})
		if took := s.within(10*time.Second, "dr1 3: row 3 Stay serving"); took != time.Second {
			s.Errorf("it left %s after the switch, want 1s: three new misses", took)
		}
		s.node("core2").be(ha.Standby)
		s.pass(time.Minute)
		s.node("core2").be(ha.NotAvailable)
		s.pass(time.Minute)
		s.must("switch", ha.Wish{To: "core2", Force: true})
		s.node("core2").be(ha.Active) // the person knew
		s.pass(time.Minute)
		s.want("core2 4: row 3 Stay serving; armed to dr1")
	})
}

func TestADryRunOnlyTells(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		s.start()
		s.calm()
		s.news()
		wish := ha.Wish{To: "core2", Force: true, Reason: "testing", Actor: "alice"}
		got, err := s.watcher.Act(context.Background(), ha.Switch, wish, true)
		if err != nil || got.Serving != "core2" || got.Epoch != 2 {
			s.Errorf("would be: %s, epoch %d, %v", got.Serving, got.Epoch, err)
		}
		wish.Force = false
		if _, err := s.watcher.Act(context.Background(), ha.Switch, wish, true); code(err) != ha.NeedsSwap {
			s.Errorf("would be refused: %v", err)
		}
		s.want("core1 1: row 3 Stay serving; armed to core2")
		if news, tries := s.news(), s.register.tries(); len(news) > 0 || tries != 1 {
			s.Errorf("told %q, %d saves", news, tries)
		}
	})
}

func TestAWishBeforeTheFirstTrafficIsRefused(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		s.node("core2").slow(time.Second)
		s.start()
		s.pass(100 * time.Millisecond)
		for _, verb := range []string{"resume", "switch", "reorder", "hold", "release"} {
			if _, err := s.act(verb, ha.Wish{To: "core1", Force: true}); code(err) != ha.Starting {
				s.Errorf("%s: %v", verb, err)
			}
		}
	})
}

func TestAWishThatCannotBeStoredChangesNothing(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		s.start()
		s.calm()
		s.news()
		s.register.quietly(func(m *memory) { m.full = errDisk })
		_, err := s.act("switch", ha.Wish{To: "core2", Force: true})
		if !errors.Is(err, errDisk) || !strings.HasPrefix(err.Error(), "store the traffic of group core: ") {
			s.Errorf("got %v", err)
		}
		s.want("core1 1: row 3 Stay serving; armed to core2")
		if news := s.news(); len(news) > 0 {
			s.Errorf("told %q", news)
		}
	})
}

func TestAWishIsGivenUpWithItsContext(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		s.start()
		s.calm()
		s.register.trouble(func(m *memory) { m.slow = 5 * time.Second })
		s.pass(time.Second)
		ctx, cancel := context.WithTimeout(s.Context(), time.Second)
		defer cancel()
		if _, err := s.watcher.Act(ctx, ha.HoldTraffic, ha.Wish{Reason: "testing"}, false); !errors.Is(err, context.DeadlineExceeded) {
			s.Errorf("got %v", err)
		}
		s.pass(time.Minute)
		s.want("core1 1: row 3 Stay serving; armed to core2")
	})
}

// A wish that is done is seen by whoever asks next.
func TestAWishIsInTheSituationWhenActReturns(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		s.start()
		s.calm()
		for epoch := uint64(2); epoch < 20; epoch += 2 {
			s.must("hold", ha.Wish{})
			if got := s.watcher.Situation().Traffic; got.Epoch != epoch || got.Hold == nil {
				s.Errorf("after hold: epoch %d, %v", got.Epoch, got.Hold)
			}
			s.must("release", ha.Wish{})
		}
	})
}

func TestFollowersSeeEachChangeOnceAndInOrder(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		s.node("core1").slow(10 * time.Millisecond)
		s.node("core2").slow(5 * time.Millisecond)
		s.start()
		s.pass(20 * time.Second)
		s.node("core1").be(ha.NotAvailable)
		s.within(10*time.Second, "core2 2")
		s.node("core2").be(ha.Active)
		s.pass(time.Minute)
		s.must("hold", ha.Wish{})
		s.must("release", ha.Wish{})
		want := []string{
			"nobody: row 0 Wait ; queue all",
			"nobody: row 0 Wait starting; queue all",
			"nobody: row 0 Wait starting; queue all", // the first of two nodes is read
			"nobody: row 0 Wait starting; queue all", // and the other one; the first traffic is being stored
			"core1 1: row 3 Stay serving; armed to core2",
			"core1 1: row 4 Wait missing; queue unsafe; armed to core2",
			"core1 1: row 13 Wait confirming (core2); queue all",
			"core1 1: row 7 FailOver failed_over; queue all; armed to core2",
			"core2 2: row 3 Stay serving",
			"core2 2: row 3 Stay serving", // it reads Active
			"core2 3: row 3 Stay serving", // held
			"core2 4: row 3 Stay serving",
		}
		if diff := cmp.Diff(want, s.news()); diff != "" {
			s.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestOneWhoBeginsToFollowIsToldTheRestOnce(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		s.start()
		s.calm()
		var told []uint64
		var stops []func()
		for range 3 {
			stops = append(stops, s.watcher.Follow(func(a ha.Situation) { told = append(told, a.Traffic.Epoch) }))
			s.must("hold", ha.Wish{})
			stops[len(stops)-1]()
			s.must("release", ha.Wish{})
		}
		if want := []uint64{1, 2, 3, 4, 5, 6}; !cmp.Equal(told, want) {
			s.Errorf("told %v, want %v", told, want)
		}
	})
}

func TestReadingsAreTheLastOnesOldestFirst(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		s.start()
		s.pass(time.Hour)
		got := s.watcher.Readings()
		for name, p := range s.players {
			all := p.readings(s.began)
			if diff := cmp.Diff(all[len(all)-keep:], got[name]); diff != "" {
				s.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
	})
}

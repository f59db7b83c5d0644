package probes

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// hall is where watchers of one group that share a register hear one another.
type hall struct {
	mu    sync.Mutex // guards the fields below
	votes map[string]ha.Vote
	puts  int
	ears  map[string]chan struct{}
	deaf  map[string]bool          // watchers that reach nobody
	wrong map[string]time.Duration // by how much clocks go ahead
}

// seat is one watcher's place in a hall, and its register.
type seat struct {
	*memory
	hall *hall
	name string
	size int
}

func newHall() *hall {
	return &hall{votes: map[string]ha.Vote{}, ears: map[string]chan struct{}{}, deaf: map[string]bool{}, wrong: map[string]time.Duration{}}
}

func (s *seat) Name() string { return s.name }

func (s *seat) Watchers() int { return s.size }

func (s *seat) Vote(v ha.Vote) {
	s.hall.mu.Lock()
	defer s.hall.mu.Unlock()
	s.hall.puts++
	v.Watcher, v.Since = s.name, v.Since.Add(s.hall.wrong[s.name])
	v.Nodes = slices.Clone(v.Nodes)
	for i := range v.Nodes {
		v.Nodes[i].At = v.Nodes[i].At.Add(s.hall.wrong[s.name])
	}
	s.hall.votes[s.name] = v
	s.hall.signal()
}

func (h *hall) signal() {
	for name, ear := range h.ears {
		if h.deaf[name] {
			continue
		}
		select {
		case ear <- struct{}{}:
		default:
		}
	}
}

// Save stores what a watcher with a wrong clock would.
func (s *seat) Save(ctx context.Context, was uint64, t ha.Traffic) error {
	s.hall.mu.Lock()
	wrong := s.hall.wrong[s.name]
	s.hall.mu.Unlock()
	t.At, t.Since = t.At.Add(wrong), t.Since.Add(wrong)
	return s.memory.Save(ctx, was, t)
}

func (s *seat) Votes(string) (votes []ha.Vote) {
	s.hall.mu.Lock()
	defer s.hall.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(s.hall.votes)) {
		if name != s.name && !s.hall.deaf[name] && !s.hall.deaf[s.name] {
			votes = append(votes, s.hall.votes[name])
		}
	}
	return votes
}

func (s *seat) Heard(context.Context, string) (<-chan struct{}, error) {
	s.hall.mu.Lock()
	defer s.hall.mu.Unlock()
	s.hall.ears[s.name] = make(chan struct{}, 1)
	return s.hall.ears[s.name], nil
}

// deafen cuts a watcher from the others: their votes are gone for it, and its
// for them.
func (h *hall) deafen(name string, deaf bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.deaf[name] = deaf
	h.signal()
}

func (h *hall) published() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.puts
}

// site is one of several watchers, with its own way to the nodes: the players
// of other sites answer other watchers.
type site struct {
	*Watcher
	stage *stage
}

// sites starts n watchers that share a register, each with a sight of its own.
func sites(t *testing.T, nodes string, n int, f func(h *hall, all []site)) {
	onStage(t, nodes, func(s *stage) {
		h := newHall()
		var all []site
		for i := range n {
			own := newStage(s.T, nodes)
			w := NewWatcher("core", &seat{s.register, h, string(rune('a' + i)), n}, slog.New(slog.DiscardHandler))
			ctx, stop := context.WithCancel(context.Background())
			var running sync.WaitGroup
			running.Go(func() { w.Run(ctx, own.plan) })
			defer running.Wait()
			defer stop()
			all = append(all, site{w, own})
		}
		s.pass(time.Minute + time.Millisecond)
		f(h, all)
	})
}

func serving(all []site) (nodes []string) {
	for _, s := range all {
		nodes = append(nodes, s.Situation().Traffic.Serving)
	}
	return nodes
}

func TestOneWatcherThatIsCutFromTheServingNodeMovesNothing(t *testing.T) {
	sites(t, "core1 Active | core2 Standby", 3, func(_ *hall, all []site) {
		all[0].stage.node("core1").be(ha.NotAvailable)
		all[0].stage.pass(5 * time.Minute)
		for i, s := range all {
			a := s.Situation()
			want := ha.Serving
			if i == 0 {
				want = ha.NoQuorum
			}
			if a.Traffic.Serving != "core1" || a.Decision.Reason != want {
				t.Errorf("watcher %d: %s, %+v", i, a.Traffic.Serving, a.Decision)
			}
		}
		all[0].stage.node("core1").be(ha.Active)
		all[0].stage.pass(10 * time.Second)
		if d := all[0].Situation().Decision; d.Reason != ha.Serving {
			t.Errorf("%+v", d)
		}
	})
}

func TestAMajorityMovesTrafficOnceAndSoon(t *testing.T) {
	sites(t, "core1 Active | core2 Standby", 3, func(_ *hall, all []site) {
		before := all[0].Situation().Traffic.Epoch
		all[0].stage.node("core1").be(ha.NotAvailable)
		all[1].stage.node("core1").be(ha.NotAvailable)
		all[0].stage.node("core2").be(ha.Standby)
		all[0].stage.pass(7500 * time.Millisecond) // an interval, and fall at the fast interval
		if got := serving(all); !slices.Equal(got, []string{"core2", "core2", "core2"}) {
			t.Fatalf("%v", got)
		}
		if epoch := all[2].Situation().Traffic.Epoch; epoch != before+1 {
			t.Errorf("epoch %d after %d", epoch, before)
		}
	})
}

func TestWhatOneMissesTheOthersLookAtWithoutWaitingForTheirInterval(t *testing.T) {
	sites(t, "core1 Active | core2 Standby", 3, func(_ *hall, all []site) {
		for _, s := range all {
			s.stage.node("core1").be(ha.NotAvailable)
		}
		start := time.Now()
		all[0].Doubt("core1", "connection reset") // only this one carries traffic
		all[0].stage.pass(2500 * time.Millisecond)
		if got := serving(all); !slices.Equal(got, []string{"core2", "core2", "core2"}) {
			t.Errorf("%v after %s", got, time.Since(start))
		}
	})
}

func TestAWatcherThatHearsNobodyDecidesNothing(t *testing.T) {
	sites(t, "core1 Active | core2 Standby", 3, func(h *hall, all []site) {
		h.deafen("b", true)
		h.deafen("c", true)
		all[0].stage.pass(10 * time.Second)
		if a := all[0].Situation(); a.ArmedTo != "" || a.ArmedWhy != ha.NoQuorum {
			t.Errorf("armed to %q, %s", a.ArmedTo, a.ArmedWhy)
		}
		for _, s := range all {
			s.stage.node("core1").be(ha.NotAvailable)
		}
		all[0].stage.pass(time.Minute)
		if got := serving(all); !slices.Equal(got, []string{"core1", "core1", "core1"}) {
			t.Fatalf("%v", got)
		}
		h.deafen("c", false)
		all[0].stage.pass(time.Second)
		if got := serving(all); !slices.Equal(got, []string{"core2", "core2", "core2"}) {
			t.Errorf("%v when two hear one another again", got)
		}
	})
}

// A clock that is days off changes what people read, and no decision: whatever
// that watcher says or stores.
func TestAWatcherWithAWrongClockChangesNoDecision(t *testing.T) {
	for _, wrong := range []time.Duration{-72 * time.Hour, 72 * time.Hour} {
		t.Run(wrong.String(), func(t *testing.T) {
			sites(t, "core1 Active | core2 Standby", 3, func(h *hall, all []site) {
				h.mu.Lock()
				h.wrong["a"] = wrong
				h.mu.Unlock()
				be := func(node string, state ha.State) {
					for _, s := range all {
						s.stage.node(node).be(state)
					}
				}
				expect := func(what string, node string, reason ha.Reason, epoch uint64) {
					t.Helper()
					for i, s := range all {
						if a := s.Situation(); a.Traffic.Serving != node || a.Decision.Reason != reason || a.Traffic.Epoch != epoch {
							t.Errorf("%s, watcher %d: %s in epoch %d, %+v", what, i, a.Traffic.Serving, a.Traffic.Epoch, a.Decision)
						}
					}
				}
				all[0].stage.node("core1").be(ha.NotAvailable)
				all[0].stage.pass(time.Minute)
				all[0].stage.node("core1").be(ha.Active)
				all[0].stage.pass(10 * time.Second)
				expect("it alone saw core1 down", "core1", ha.Serving, 1)
				reorder, _ := ha.Acts("reorder") // it stores
				if _, err := all[0].Act(context.Background(), reorder, ha.Wish{Order: []string{"core1", "core2"}, Reason: "a wrong clock", Actor: "ann"}, false); err == nil {
					t.Error("the same order was taken")
				}
				hold, _ := ha.Acts("hold")
				release, _ := ha.Acts("release")
				for _, act := range []ha.Act{hold, release} {
					if _, err := all[0].Act(context.Background(), act, ha.Wish{Reason: "a wrong clock", Actor: "ann"}, false); err != nil {
						t.Fatal(err)
					}
				}
				be("core1", ha.NotAvailable)
				all[0].stage.pass(15 * time.Second)
				expect("core1 is down", "core2", ha.Serving, 4)
			})
		})
	}
}

func TestCalmWatchersPublishNothing(t *testing.T) {
	sites(t, "core1 Active | core2 Standby", 5, func(h *hall, all []site) {
		before := h.published()
		all[0].stage.pass(time.Hour)
		if now := h.published(); now != before {
			t.Errorf("%d votes in an hour", now-before)
		}
	})
}

func TestATrafficThatTheRegisterDoesNotBearOutIsGoneOnBy(t *testing.T) {
	t.Parallel()
	for _, reason := range []ha.Reason{ha.RegisterLost, ha.RegisterBack} {
		t.Run(string(reason), func(t *testing.T) {
			onStage(t, "core1 Active | core2 Standby", func(s *stage) {
				last := traffic(7, "core1", "core1", "core2")
				s.register.trouble(func(m *memory) { m.unread = &ha.Adrift{Reason: reason, Why: "etcd is gone", Last: last} })
				s.start()
				s.calm()
				if a := s.now(); a.Target != "core1" || a.Traffic.Epoch != 7 || !slices.Contains(a.Alarms(), reason) {
					t.Errorf("%s, epoch %d, alarms %v", a.Target, a.Traffic.Epoch, a.Alarms())
				}
				s.node("core1").be(ha.NotAvailable)
				s.pass(time.Minute)
				if a := s.now(); a.Traffic.Serving != "core1" || a.Decision.Reason != reason {
					t.Errorf("%s, %+v", a.Traffic.Serving, a.Decision)
				}
				if n := s.register.tries(); n != 0 {
					t.Errorf("%d times something was to be stored", n)
				}
				s.register.trouble(func(m *memory) { m.unread = nil; m.put(last) })
				s.pass(10 * time.Second)
				if a := s.now(); a.Traffic.Serving != "core2" || a.Traffic.Adrift != "" {
					t.Errorf("%s, %q when the register is back", a.Traffic.Serving, a.Traffic.Adrift)
				}
			})
		})
	}
}

func TestARegisterThatGoesBackUnderARunningWatcherStopsDecisionsUntilAPersonForcesOne(t *testing.T) {
	onStage(t, "core1 Active | core2 Standby", func(s *stage) {
		s.start()
		s.calm()
		now := s.now().Traffic
		back := &ha.Adrift{Reason: ha.RegisterBack, Why: "etcd went back", Last: now}
		s.register.trouble(func(m *memory) { m.unread = back; m.signal() })
		s.pass(time.Second)
		if a := s.now(); !slices.Contains(a.Alarms(), ha.RegisterBack) || a.Target != "core1" {
			t.Errorf("%s, alarms %v", a.Target, a.Alarms())
		}
		if _, err := s.act("hold", ha.Wish{Actor: "ann", Reason: "x"}); !errors.As(err, new(*ha.Adrift)) {
			t.Errorf("hold: %v", err)
		}
		if got, err := s.act("switch", ha.Wish{To: "core1", Force: true, Actor: "ann", Reason: "restored"}); err != nil || got.Epoch != now.Epoch+1 {
			t.Errorf("switch: %+v, %v", got, err)
		}
		if a := s.now(); len(a.Alarms()) != 0 {
			t.Errorf("alarms %v", a.Alarms())
		}
	})
}

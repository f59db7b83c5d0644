package probes

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/understudy-ha/understudy/internal/ha"
)

var (
	status = []ha.Page{ha.StatusPage}
	hapage = []ha.Page{ha.HAStatusPage}
	both   = []ha.Page{ha.StatusPage, ha.HAStatusPage}
	either = []ha.Page{ha.HAStatusPage, ha.StatusPage}
)

// asked checks which pages the last probe of each node asked for.
func (s *stage) asked(want map[string][]ha.Page) {
	s.Helper()
	for name, pages := range want {
		if got := s.node(name).lastAsked(); !slices.Equal(got, pages) {
			s.Errorf("%s was asked %v, want %v (%s)", name, got, pages, say(s.now()))
		}
	}
}

func TestEachNodeIsAskedThePageOfItsPlace(t *testing.T) {
	onStage(t, "core1 Active | core2 Standby | dr1 Standby", func(s *stage) {
		s.start()
		s.calm()
		s.asked(map[string][]ha.Page{"core1": status, "core2": hapage, "dr1": hapage})

		s.node("core1").be(ha.NotAvailable)
		s.within(10*time.Second, "core2 2: row 3 Stay serving")
		s.node("core2").be(ha.Active) // it is promoted
		s.pass(10 * time.Second)
		s.asked(map[string][]ha.Page{"core1": both, "core2": either, "dr1": hapage})

		s.node("core1").be(ha.Standby) // synced and swapped
		s.pass(10 * time.Second)
		if got := s.now().View.Of("core1").Last.State; got != ha.Standby {
			s.Errorf("the old Primary reads %v", got)
		}
		s.must("reorder", ha.Wish{Order: []string{"core2", "core1", "dr1"}})
		s.pass(10 * time.Second)
		s.asked(map[string][]ha.Page{"core1": hapage, "core2": status, "dr1": hapage})
		s.want("core2 3: row 3 Stay serving; armed to core1")

		s.node("core2").be(ha.NotAvailable) // and the other way round
		s.within(10*time.Second, "core1 4: row 3 Stay serving")
		s.pass(10 * time.Second)
		s.asked(map[string][]ha.Page{"core1": either, "core2": both, "dr1": hapage})
	})
}

func TestAStalePrimaryThatComesBackIsSeen(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		s.start()
		s.calm()
		s.node("core1").be(ha.NotAvailable)
		s.within(10*time.Second, "core2 2: row 3 Stay serving")
		s.node("core2").be(ha.Active)
		s.node("core1").be(ha.Active)
		s.pass(time.Hour)
		s.want("core2 2: row 1 Stay dual_active (core1); alarm dual_active; alarm not_armed")
		s.node("core1").be(ha.Standby)
		s.pass(10 * time.Second)
		s.want("core2 2: row 3 Stay serving; alarm not_armed")
	})
}

// replan has the Watcher go by the stage's plan after a change.
func (s *stage) replan(change func(p *Plan)) error {
	s.plan.Nodes = slices.Clone(s.plan.Nodes)
	change(&s.plan)
	return s.watcher.Apply(s.Context(), s.plan)
}

func TestAChangedAddressStartsReadingsAnewAndMovesNothing(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		s.start()
		s.calm()
		s.node("core1").be(ha.NotAvailable)
		s.miss(2)
		old := s.node("core1")
		if err := s.replan(func(p *Plan) {
			p.Nodes[0] = s.cast("core1", ha.NotAvailable)
			p.Nodes[0].Key = "http://elsewhere"
		}); err != nil {
			s.Fatal(err)
		}
		moved := time.Now()
		s.pass(time.Millisecond)
		if got := s.now().View.Of("core1"); got.Misses != 1 || !got.Last.At.Equal(moved) {
			s.Errorf("then it has missed %d readings, the last at %s", got.Misses, got.Last.At)
		}
		if got := s.watcher.Readings()["core1"]; len(got) != 1 {
			s.Errorf("%d readings are kept of the new address", len(got))
		}
		s.within(10*time.Second, "core2 2: row 3 Stay serving")
		if took := time.Since(moved); took != time.Second {
			s.Errorf("failed over %s after the change, want 1s: three misses at the new address", took)
		}
		if got := old.readings(moved.Add(1)); len(got) > 0 {
			s.Errorf("the old address was probed %d times more", len(got))
		}
	})
}

func TestAProbeOfTheOldAddressThatEndsLateIsVoid(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		s.start()
		s.calm()
		s.node("core2").slow(1900 * time.Millisecond)
		s.await(time.Minute, func(ha.Situation) bool {
			p := s.node("core2")
			p.mu.Lock()
			defer p.mu.Unlock()
			return len(p.asked) > len(p.read)
		})
		if err := s.replan(func(p *Plan) {
			p.Nodes[1] = s.cast("core2", ha.NotAvailable)
			p.Nodes[1].Key = "http://elsewhere"
			s.node("core2").stall(time.Hour)
		}); err != nil {
			s.Fatal(err)
		}
		changed := time.Now()
		s.pass(1950 * time.Millisecond)
		if got := s.now().View.Of("core2"); got.Known() {
			s.Errorf("the new address reads %v before a probe of it has ended", got.Last.State)
		}
		s.pass(10 * time.Second)
		for i, at := range starts(s.node("core2"), changed)[1:] {
			if before := starts(s.node("core2"), changed)[i]; at-before < 2*time.Second {
				s.Errorf("two probes at a time: %v", starts(s.node("core2"), changed))
			}
		}
	})
}

func TestAPlanWithoutTheServingNodeIsRefused(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		s.start()
		s.calm()
		was := s.plan
		err := s.replan(func(p *Plan) { p.Nodes = []Node{p.Nodes[1], s.cast("core3", ha.Standby)} })
		if err == nil || !strings.Contains(err.Error(), "traffic is on node core1") {
			s.Errorf("got %v", err)
		}
		s.plan = was
		s.pass(10 * time.Second)
		s.want("core1 1: row 3 Stay serving; armed to core2")
		if got := s.node("core3").readings(s.began); len(got) > 0 {
			s.Error("a node of the refused plan was probed")
		}
		s.node("core1").be(ha.NotAvailable)
		s.within(10*time.Second, "core2 2: row 3 Stay serving")
	})
}

func TestAPlanWhoseOrderCannotBeStoredIsRefused(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		s.start()
		s.calm()
		s.register.quietly(func(m *memory) { m.full = errDisk })
		err := s.replan(func(p *Plan) { p.Nodes = append(p.Nodes, s.cast("dr1", ha.Standby)) })
		if err == nil || !strings.Contains(err.Error(), "store the changed order of group core") {
			s.Errorf("got %v", err)
		}
		s.pass(10 * time.Second)
		if got := s.now(); len(got.View) != 2 || len(got.Traffic.Order) != 2 {
			s.Errorf("then the order is %v", got.Traffic.Order)
		}
	})
}

func TestNodesJoinAndLeave(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		s.start()
		s.calm()
		if err := s.replan(func(p *Plan) { p.Nodes = append(p.Nodes, s.cast("dr1", ha.Standby)) }); err != nil {
			s.Fatal(err)
		}
		s.pass(time.Millisecond)
		s.want("core1 2: row 3 Stay serving; armed to core2")
		if got := s.now().Traffic.Order; !cmp.Equal(got, []string{"core1", "core2", "dr1"}) {
			s.Errorf("order %v", got)
		}
		left := s.node("core2")
		if err := s.replan(func(p *Plan) { p.Nodes = slices.Delete(p.Nodes, 1, 2) }); err != nil {
			s.Fatal(err)
		}
		gone := time.Now()
		s.pass(time.Minute)
		s.want("core1 3: row 3 Stay serving; armed to dr1")
		if got := left.readings(gone); len(got) > 0 {
			s.Errorf("a node that left was probed %d times", len(got))
		}
		if got := s.watcher.Readings(); len(got) != 2 || got["core2"] != nil {
			s.Error("readings of a node that left are kept")
		}
		s.node("core1").be(ha.NotAvailable)
		s.within(10*time.Second, "dr1 4: row 3 Stay serving")
	})
}

func TestTwoProcessesThatAreReloadedAtTheSameInstantAgree(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		a, _ := s.watch(s.plan)
		b, _ := s.watch(s.plan)
		s.pass(10 * time.Second)
		s.register.trouble(func(m *memory) { m.slow = time.Millisecond })
		s.plan.Nodes = append(slices.Clone(s.plan.Nodes), s.cast("dr1", ha.Standby))
		errs := make(chan error, 2)
		for _, w := range []*Watcher{a, b} {
			go func() { errs <- w.Apply(s.Context(), s.plan) }()
		}
		for range 2 {
			if err := <-errs; err != nil {
				s.Error(err)
			}
		}
		s.pass(time.Minute)
		for _, w := range []*Watcher{a, b} {
			if got := say(w.Situation()); got != "core1 2: row 3 Stay serving; armed to core2" {
				s.Error(got)
			}
		}
	})
}

func TestChangedRulesAreInForceAtOnce(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		s.plan.Rules.Interval = time.Hour
		s.start()
		s.pass(3 * time.Hour)
		if err := s.replan(func(p *Plan) { p.Rules = ha.DefaultRules() }); err != nil {
			s.Fatal(err)
		}
		s.node("core1").be(ha.NotAvailable)
		if took := s.within(time.Minute, "core2 2: row 3 Stay serving"); took > 7*time.Second {
			s.Errorf("failed over after %s: the old interval was waited for", took)
		}
		s.node("core2").be(ha.Active)
		if err := s.replan(func(p *Plan) { p.Rules.Fall = 100; p.Nodes = p.Nodes[:2] }); err != nil {
			s.Fatal(err)
		}
		s.node("core2").be(ha.NotAvailable)
		s.pass(30 * time.Second)
		s.want("core2 2: row 4 Wait missing; queue unsafe")
		if got := s.now().Rules.Fall; got != 100 {
			s.Errorf("fall %d", got)
		}
	})
}

func TestTheSamePlanChangesNothing(t *testing.T) {
	onStage(t, pair, func(s *stage) {
		s.start()
		s.calm()
		s.news()
		before := len(s.node("core1").readings(s.began))
		for range 100 {
			if err := s.replan(func(*Plan) {}); err != nil {
				s.Fatal(err)
			}
		}
		if got := s.news(); len(got) > 0 {
			s.Errorf("followers were told %q", got)
		}
		if got := len(s.node("core1").readings(s.began)); got != before {
			s.Errorf("%d probes", got-before)
		}
		longest, probed := time.Duration(0), time.Now()
		for range 600 {
			s.pass(time.Second)
			if err := s.replan(func(*Plan) {}); err != nil {
				s.Fatal(err)
			}
		}
		at := starts(s.node("core1"), probed)
		for i := range at[1:] {
			longest = max(longest, at[i+1]-at[i])
		}
		if longest < 5200*time.Millisecond {
			s.Errorf("no two probes were more than %s apart: reloads bring them forward", longest)
		}
		s.want("core1 1: row 3 Stay serving; armed to core2")
	})
}

package sidecar

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/internal/notify"
	"github.com/understudy-ha/understudy/probes"
)

func TestProgressIsWhatTheRulesPromise(t *testing.T) {
	t.Parallel()
	now := time.Now()
	rules := ha.DefaultRules() // interval 5 s, timeout 2 s
	at := func(turned, core1, core2 time.Duration) ha.Situation {
		v := ha.NewView([]string{"core1", "core2"})
		for i, age := range []time.Duration{core1, core2} {
			if age >= 0 {
				v = v.Observe(ha.Reading{Node: v[i].Node, State: ha.Active, At: now.Add(-age)}, "core1", 3)
			}
		}
		return ha.Situation{At: now.Add(-turned), View: v, Rules: rules}
	}
	const never = -1
	for _, tt := range []struct {
		about string
		s     ha.Situation
		since time.Duration
		want  string // what is missing, empty: nothing
	}{
		{"all is new", at(0, 0, 0), time.Hour, ""},
		{"an interval and a timeout have passed", at(5*time.Second, 7*time.Second, 7*time.Second), time.Hour, ""},
		{"the machine was busy for ten seconds", at(15*time.Second, 15*time.Second, 15*time.Second), time.Hour, ""},
		{"the loop stands still", at(17*time.Second, 17*time.Second, 17*time.Second), time.Hour, "its loop does not turn"},
		{"one node is not read any more", at(0, 0, 21*time.Second), time.Hour, "no reading of node core2 comes"},
		{"it has just begun", at(0, never, never), time.Second, ""},
		{"nothing was ever read", at(0, never, never), time.Minute, "no reading of node core1 comes"},
	} {
		by, what := overdue(tt.s, now.Add(-tt.since), now)
		if by == 0 {
			what = ""
		}
		if what != tt.want {
			t.Errorf("%s: got %q (%s late), want %q", tt.about, what, by, tt.want)
		}
	}
	if by, _ := overdue(ha.Situation{Traffic: ha.Traffic{Group: "mdm"}}, now.Add(-15*time.Second), now); by > 0 {
		t.Errorf("a watcher that waits for its register for 15 s is %s late", by)
	}
}

// looker answers at once, until it hangs for ever.
type looker struct {
	node  string
	hangs atomic.Bool
	end   chan struct{}
}

func (l *looker) Check([]ha.Page) ha.Reading {
	begun := time.Now()
	if l.hangs.Load() {
		<-l.end
	}
	return ha.Reading{Node: l.node, State: ha.Standby, At: begun, Took: time.Since(begun)}
}

// empty is a register without a past.
type empty struct{}

func (empty) Load(context.Context, string) (ha.Traffic, error)           { return ha.Traffic{}, ha.ErrNone }
func (empty) Save(context.Context, uint64, ha.Traffic) error             { return nil }
func (empty) Watch(context.Context, string) (<-chan struct{}, error)     { return nil, nil }
func (empty) History(context.Context, string, int) ([]ha.Traffic, error) { return nil, nil }

func TestAStarvedWatcherAlarmsAndStopsTheFeedingOfTheWatchdog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := slog.New(slog.DiscardHandler)
		var plan probes.Plan
		plan.Rules = ha.DefaultRules()
		var nodes []*looker
		for _, name := range []string{"core1", "core2"} {
			l := &looker{node: name, end: make(chan struct{})}
			nodes = append(nodes, l)
			plan.Nodes = append(plan.Nodes, probes.Node{Name: name, Key: name, Looker: l})
		}
		ctx, cancel := context.WithCancel(t.Context())
		w := &watched{Watcher: probes.NewWatcher("mdm", empty{}, log), since: time.Now(), ended: make(chan struct{})}
		go func() { defer close(w.ended); w.Run(ctx, plan) }()
		g := newGroups(nil, notify.NewCrier(), log)
		g.all["mdm"] = w
		var fed atomic.Int64
		said := make(chan notify.Message, 10)
		var told []notify.Message
		hear := func() []notify.Message {
			for len(said) > 0 {
				told = append(told, <-said)
			}
			return told
		}
		p := &pulse{groups: g, tell: func(m notify.Message) { said <- m }, alive: func() { fed.Add(1) }, every: time.Second, log: log}
		go p.run(ctx)

		time.Sleep(time.Minute)
		synctest.Wait()
		if n := fed.Load(); n < 59 || len(hear()) != 0 {
			t.Fatalf("in a good minute the watchdog was fed %d times, and told was %v", n, told)
		}
		nodes[1].hangs.Store(true) // a probe that ignores its deadline
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if n := fed.Load(); n > 120 || !p.isStale("mdm") {
			t.Errorf("a starved watcher: fed %d times, stale is %t", n, p.isStale("mdm"))
		}
		if hear(); len(told) != 1 || told[0].Event != probes.Stale || told[0].Severity != notify.Alarm || !strings.Contains(told[0].Text, "core2") {
			t.Fatalf("told was %+v", told)
		}
		before := fed.Load()
		nodes[1].hangs.Store(false)
		close(nodes[1].end)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if fed.Load() == before || p.isStale("mdm") {
			t.Error("nothing is said of the watcher that goes on")
		}
		if last := hear()[len(told)-1]; len(told) != 2 || last.Event != notify.Cleared || len(last.Ends) != 1 {
			t.Errorf("told was %+v", told)
		}
		cancel()
		<-w.ended
	})
}

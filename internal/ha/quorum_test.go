package ha_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/understudy-ha/understudy/internal/ha"
)

func TestWatchersAreOneOrOddAndAtLeastThree(t *testing.T) {
	t.Parallel()
	want := map[int]string{-3: "not -3", -1: "not -1", 0: "not 0", 1: "", 2: "one dead watcher would stop every failover", 3: "", 4: "not 4", 5: "", 6: "not 6", 7: ""}
	for n, says := range want {
		got := fmt.Sprint(ha.CheckWatchers(n))
		if (says == "") != (got == "<nil>") || !strings.HasSuffix(got, says) && says != "" {
			t.Errorf("%d watchers: %s, want %q", n, got, says)
		}
	}
}

func TestWatchersDecideByMoreThanHalf(t *testing.T) {
	t.Parallel()
	for watchers, least := range []int{1, 1, 2, 2, 3, 3, 4, 4} {
		r := ha.Rules{Watchers: watchers}
		if r.Majority(least-1, 0) && least > 1 || !r.Majority(least, 0) {
			t.Errorf("of %d watchers the least majority is not %d", watchers, least)
		}
	}
	if r := (ha.Rules{Watchers: 3}); !r.Majority(2, 2) || r.Majority(2, 3) || !r.Majority(3, 3) || r.Majority(3, 5) {
		t.Error("watchers beyond the configured ones do not count")
	}
	if !(ha.Rules{Watchers: 1}).Majority(1, 5) || !(ha.Rules{}).Majority(1, 5) {
		t.Error("a watcher that is configured to be alone does not decide alone")
	}
}

func TestVoicesSayWhatWasRead(t *testing.T) {
	t.Parallel()
	for _, b := range []struct{ nodes, want string }{
		{"nodes: a Active | b Standby", "good"},
		{"nodes: a Standby | b Standby", "good"},
		{"nodes: a missed 1 | b Standby", "missing"},
		{"nodes: a Active, suspect | b Standby", "missing"},
		{"nodes: a unread, suspect | b Standby", "missing"},
		{"nodes: a Active, silent | b Standby", "missing"},
		{"nodes: a down | b Standby", "down"},
		{"nodes: a down, suspect | b Standby", "down"},
		{"nodes: a unread | b Active", ""},
		{"nodes: a Active | b Active\nserving: nobody", ""},
		{"nodes: a Active | b down\nserving: b", "down"},
	} {
		blocks, err := parseTable("x", "A.\n"+b.nodes+"\n=> x\n")
		if err != nil {
			t.Fatal(err)
		}
		s, err := blocks[0].build()
		if err != nil {
			t.Fatal(err)
		}
		got := ha.Voice(s.traffic, s.view, now)
		want := ha.Vote{Group: "core", Epoch: 7, Serving: s.traffic.Serving, Stance: ha.Stance(b.want), Since: now}
		for _, n := range s.view {
			want.Nodes = append(want.Nodes, ha.VotedNode{Node: n.Node, State: n.Last.State, Cause: n.Last.Cause, At: n.Last.At})
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", b.nodes, diff)
		}
	}
}

func TestVoicesThatDifferOnlyInTimesAreTheSame(t *testing.T) {
	t.Parallel()
	vote := func() ha.Vote {
		return ha.Vote{Group: "core", Epoch: 7, Serving: "a", Stance: ha.StanceGood, Since: now, Nodes: []ha.VotedNode{{Node: "a", State: ha.Active, At: now}}}
	}
	for what, change := range map[string]func(v *ha.Vote){
		"":                   func(v *ha.Vote) { v.Since, v.Nodes[0].At = now.Add(1), now.Add(1) },
		"another group":      func(v *ha.Vote) { v.Group = "web" },
		"another epoch":      func(v *ha.Vote) { v.Epoch++ },
		"another serving":    func(v *ha.Vote) { v.Serving = "b" },
		"another stance":     func(v *ha.Vote) { v.Stance = ha.StanceDown },
		"another node":       func(v *ha.Vote) { v.Nodes[0].Node = "b" },
		"another state":      func(v *ha.Vote) { v.Nodes[0].State = ha.Standby },
		"another cause":      func(v *ha.Vote) { v.Nodes[0].Cause = ha.Timeout },
		"a node more":        func(v *ha.Vote) { v.Nodes = append(v.Nodes, ha.VotedNode{Node: "b"}) },
		"not a single node":  func(v *ha.Vote) { v.Nodes = nil },
		"nobody known there": func(v *ha.Vote) { v.Serving = "" },
	} {
		other := vote()
		change(&other)
		if got := vote().Same(other); got != (what == "") {
			t.Errorf("%q: same is %t", what, got)
		}
	}
}

func TestWeighingCountsOnlyTheServingNodeAndChangesNoView(t *testing.T) {
	t.Parallel()
	tr := ha.Traffic{Group: "core", Epoch: 7, Serving: "b"}
	v := ha.NewView([]string{"a", "b", "c"}).Second("a", 9, 9)
	say := func(s ha.Stance) ha.Vote { return ha.Vote{Group: "core", Epoch: 7, Serving: "b", Stance: s} }
	got := v.Weigh(tr, []ha.Vote{say(ha.StanceDown), say(ha.StanceGood), say(ha.StanceMissing), say(ha.StanceUnknown), say("nonsense"), say(ha.StanceDown)})
	if diff := cmp.Diff(ha.View{{Node: "a"}, {Node: "b", Watching: 4, Seconded: 2}, {Node: "c"}}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if v.Of("a").Watching != 9 {
		t.Error("the view that was weighed has changed")
	}
}

func TestNoFailoverWithoutAMajorityThatReadsTheServingNodeDown(t *testing.T) {
	t.Parallel()
	moved, stayed := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		tr, v, rules := drawGroup(t)
		rules.Watchers = rapid.SampledFrom([]int{0, 1, 3, 5, 7}).Draw(t, "watchers")
		rules.LeaseShared = rapid.Bool().Draw(t, "lease shared")
		watching := rapid.IntRange(0, max(0, rules.Watchers+1)).Draw(t, "watching")
		down := rapid.IntRange(0, watching).Draw(t, "down")
		v = v.Second(tr.Serving, watching, down)
		alone := rules
		alone.Watchers = 0
		d, free := ha.Next(tr, v, rules, now), ha.Next(tr, v, alone, now)
		if free.Verb != ha.FailOver {
			if d != free {
				t.Fatalf("%+v, but for one watcher alone %+v", d, free)
			}
			return
		}
		proof := free.Row == 9 && rules.OnPromoted != ha.PromotedFollow && rules.LeaseShared
		agreed := rules.Watchers <= 1 || (1+down)*2 > max(rules.Watchers, 1+watching)
		switch late := now.Sub(v.Of(tr.Serving).DownAt) >= rules.Grace(); {
		case agreed || proof:
			moved++
			if d != free {
				t.Fatalf("%d of %d: %+v, want %+v", 1+down, rules.Watchers, d, free)
			}
		case d.Verb != ha.Wait || d.Row != free.Row || d.About != free.To || d.To != "":
			t.Fatalf("%d of %d: %+v instead of %+v", 1+down, rules.Watchers, d, free)
		case late != (d.Reason == ha.NoQuorum) || late == (d.Reason == ha.Confirming):
			t.Fatalf("late %t: %+v", late, d)
		default:
			stayed++
		}
	})
	if moved == 0 || stayed == 0 {
		t.Errorf("drawn: %d moved, %d stayed", moved, stayed)
	}
}

func TestGraceIsAnIntervalAndFallObservations(t *testing.T) {
	t.Parallel()
	r := ha.Rules{Fall: 3, Interval: 5 * time.Second, FastInterval: 500 * time.Millisecond, Timeout: 2 * time.Second}
	if got := r.Grace(); got != 11*time.Second {
		t.Errorf("grace %s, want 11s", got)
	}
	r.FastInterval = 3 * time.Second
	if got := r.Grace(); got != 14*time.Second {
		t.Errorf("grace %s, want 14s", got)
	}
}

func TestNoWatcherFailsOverWhileMostReadTheNodeGood(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		tr, rules := drawTraffic(t), drawRules(t)
		rules.Watchers, rules.LeaseShared = 3, false
		views := make([]ha.View, 3)
		votes := make([]ha.Vote, 3)
		for i := range views {
			views[i] = drawView(t, tr, rules.Fall)
			votes[i] = ha.Voice(tr, views[i], now)
		}
		downs := 0
		for i := range views {
			if votes[i].Stance == ha.StanceDown {
				downs++
			}
			others := append(append([]ha.Vote{}, votes[:i]...), votes[i+1:]...)
			views[i] = views[i].Weigh(tr, others)
		}
		for i := range views {
			if d := ha.Next(tr, views[i], rules, now); d.Verb == ha.FailOver && downs < 2 {
				t.Fatalf("watcher %d: %+v, but %d of 3 read it down", i, d, downs)
			}
		}
	})
}

func TestATrafficAdriftIsBorneOutAgainByAPersonOnly(t *testing.T) {
	t.Parallel()
	last := ha.Traffic{Group: "core", Epoch: 7, Order: []string{"a", "b"}, Serving: "a", Since: now, At: now, Cause: ha.Started}
	adrift := &ha.Adrift{Reason: ha.RegisterBack, Why: "etcd holds epoch 3", Last: last}
	tr := adrift.Traffic()
	if tr.Adrift != ha.RegisterBack || tr.Serving != "a" || adrift.Last.Adrift != "" || adrift.Error() != "etcd holds epoch 3" {
		t.Errorf("%+v", tr)
	}
	v := ha.NewView(tr.Order).Observe(ha.Reading{Node: "b", State: ha.Active, Epoch: 9, At: now}, "a", 3)
	if _, learned := ha.Learn(tr, v, now); learned {
		t.Error("a traffic adrift learned a node epoch")
	}
	next, err := ha.Switch(tr, v, ha.DefaultRules(), ha.Wish{To: "b", Force: true, Actor: "ann", Reason: "restored"}, now)
	if err != nil || next.Adrift != "" || next.Epoch != 8 || !next.Forced {
		t.Errorf("%+v, %v", next, err)
	}
}

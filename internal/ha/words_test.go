package ha_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/understudy-ha/understudy/internal/ha"
)

func TestWordsReadBackAsWhatTheySay(t *testing.T) {
	t.Parallel()
	type words struct {
		State ha.State
		Verb  ha.Verb
		Alarm ha.Alarm
	}
	for i, want := range []string{
		`{"State":"NotAvailable","Verb":"Wait","Alarm":""}`,
		`{"State":"Standby","Verb":"Stay","Alarm":"notify"}`,
		`{"State":"Active","Verb":"FailOver","Alarm":"alarm"}`,
	} {
		said := words{ha.State(i), ha.Verb(i), ha.Alarm(i)}
		text, err := json.Marshal(said)
		if err != nil || string(text) != want {
			t.Errorf("got %s (%v), want %s", text, err, want)
		}
		var read words
		if err := json.Unmarshal(text, &read); err != nil || read != said {
			t.Errorf("%s reads %+v (%v)", text, read, err)
		}
	}
	for _, text := range []string{`{"State":"Up"}`, `{"Verb":""}`, `{"Alarm":"silent"}`, `{"State":"standby"}`} {
		read := words{ha.Active, ha.FailOver, ha.Alarmed}
		if err := json.Unmarshal([]byte(text), &read); err == nil || !strings.Contains(err.Error(), "unknown") {
			t.Errorf("%s reads %+v (%v)", text, read, err)
		}
		if read.State != 0 && read.Verb != 0 && read.Alarm != 0 {
			t.Errorf("%s leaves %+v, not the zero value", text, read)
		}
	}
	if got := fmt.Sprint(ha.State(9), ha.Verb(9), ha.Alarm(9)); got != "State(9) Verb(9) Alarm(9)" {
		t.Errorf("names of what is not: %s", got)
	}
}

func TestTheZeroValuesAreTheSafeOnes(t *testing.T) {
	t.Parallel()
	var d ha.Decision
	if d.Verb != ha.Wait || ha.State(0).Available() || !ha.Standby.Available() || !ha.Active.Available() {
		t.Error("a zero decision waits and a zero state is not available")
	}
	if (ha.Sight{}).Known() || (ha.Sight{}).Available() || (ha.Sight{}).Down() {
		t.Error("of an empty sight nothing is known")
	}
	if (ha.Sight{Last: ha.Reading{State: ha.Active}}).Available() {
		t.Error("a reading that never was is not available")
	}
	s := sceneOf(t, "core1 Active | core2 Standby")
	never := ha.View{s.view[0], {Node: "core2", Last: ha.Reading{State: ha.Active}}}
	if d := ha.Next(s.traffic, never, s.rules, now); d.Row != 3 {
		t.Errorf("a reading that never was is Active: %+v", d)
	}
}

func TestTheRightPageIsAskedOfTheRightNode(t *testing.T) {
	t.Parallel()
	status, part := ha.StatusPage, ha.HAStatusPage
	for _, c := range []struct {
		order, serving, node string
		want                 []ha.Page
	}{
		{"core1 core2 dr1", "core1", "core1", []ha.Page{status}},
		{"core1 core2 dr1", "core1", "core2", []ha.Page{part}},
		{"core1 core2 dr1", "core1", "dr1", []ha.Page{part}},
		{"core1 core2 dr1", "core2", "core1", []ha.Page{status, part}},
		{"core1 core2 dr1", "core2", "core2", []ha.Page{part, status}},
		{"core1 core2 dr1", "core2", "dr1", []ha.Page{part}},
		{"core1 core2", "", "core1", []ha.Page{status}},
		{"core1 core2", "", "core2", []ha.Page{part}},
		{"core2 core1", "core2", "core2", []ha.Page{status}},
		{"core2 core1", "core2", "core1", []ha.Page{part}},
		{"", "core2", "core1", []ha.Page{part}},
	} {
		if got := ha.Pages(strings.Fields(c.order), c.serving, c.node); !slices.Equal(got, c.want) {
			t.Errorf("%+v: got %v", c, got)
		}
	}
}

func TestAProbeIsDueAnIntervalAfterTheStartAndNotBeforeTheEnd(t *testing.T) {
	t.Parallel()
	rules := ha.DefaultRules()
	slow := rules
	slow.FastInterval = time.Minute
	for _, c := range []struct {
		rules  ha.Rules
		took   time.Duration
		urgent bool
		want   time.Duration
	}{
		{rules, 20 * time.Millisecond, false, 5 * time.Second},
		{rules, 20 * time.Millisecond, true, 500 * time.Millisecond},
		{rules, 2 * time.Second, false, 5 * time.Second},
		{rules, 2 * time.Second, true, 2 * time.Second},
		{rules, 500 * time.Millisecond, true, 500 * time.Millisecond},
		{rules, 6 * time.Second, false, 6 * time.Second},
		{slow, 0, true, 5 * time.Second},
	} {
		if got := c.rules.Due(ha.Reading{At: now, Took: c.took}, c.urgent).Sub(now); got != c.want {
			t.Errorf("took %v, urgent %v: due after %v, want %v", c.took, c.urgent, got, c.want)
		}
	}
}

func TestTheDefaultsAreTheDocumentedOnes(t *testing.T) {
	t.Parallel()
	want := ha.Rules{
		Fall: 3, Rise: 2, PromotionTime: 120 * time.Second,
		Interval: 5 * time.Second, FastInterval: 500 * time.Millisecond, Timeout: 2 * time.Second,
	}
	if diff := cmp.Diff(want, ha.DefaultRules()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := want.Promoted(ha.Reading{}); got != ha.PromotedWait {
		t.Errorf("on_promoted is %s, want wait", got)
	}
}

func TestAStoredTrafficThatCannotBeIsFound(t *testing.T) {
	t.Parallel()
	good := ha.Traffic{Group: "core", Epoch: 1, Order: []string{"core1", "core2"}, Serving: "core2"}
	for want, change := range map[string]func(*ha.Traffic){
		"<nil>":    func(*ha.Traffic) {},
		"no group": func(t *ha.Traffic) { t.Group = "" },
		"no epoch": func(t *ha.Traffic) { t.Epoch = 0 },
		"no order": func(t *ha.Traffic) { t.Order = nil },
		"a node without a name stands in the order": func(t *ha.Traffic) { t.Order = append(t.Order, "") },
		`serving "core3" is not in the order`:       func(t *ha.Traffic) { t.Serving = "core3" },
		"nobody serves and nothing holds":           func(t *ha.Traffic) { t.Serving = "" },
		"a node stands twice in the order":          func(t *ha.Traffic) { t.Order = append(t.Order, "core1") },
	} {
		tr := copyOf(good)
		change(&tr)
		if got := fmt.Sprint(tr.Check()); got != want {
			t.Errorf("%+v: got %s, want %s", tr, got, want)
		}
	}
	held := ha.Traffic{Group: "core", Epoch: 1, Order: []string{"core1"}, Hold: &ha.Hold{}}
	if err := held.Check(); err != nil {
		t.Errorf("a held group may be unknown: %v", err)
	}
}

func TestOnlyTheFiveVerbsAreActs(t *testing.T) {
	t.Parallel()
	for _, verb := range []string{"", "Resume", "promote", "failback"} {
		if act, known := ha.Acts(verb); known || act != nil {
			t.Errorf("%q is a verb", verb)
		}
	}
}

func same(a, b ha.Situation) bool { return a.Same(&b) }

func next(s, before ha.Situation) ha.Situation {
	s.UnarmedSince = s.Unarmed(&before)
	return s
}

func TestASituationIsNotArmedSinceItFirstWasNot(t *testing.T) {
	t.Parallel()
	armed := ha.Situation{At: now, ArmedTo: "core2"}
	unarmed := ha.Situation{At: now.Add(time.Minute), ArmedWhy: ha.NoStandby}
	later := ha.Situation{At: now.Add(time.Hour), ArmedWhy: ha.NoStandby}
	held := ha.Situation{At: now.Add(time.Hour), ArmedWhy: ha.Held, Traffic: ha.Traffic{Hold: &ha.Hold{}}}
	first := next(unarmed, armed)
	for _, c := range []struct {
		what string
		got  ha.Situation
		want time.Time
	}{
		{"armed", next(armed, first), time.Time{}},
		{"no longer armed", first, unarmed.At},
		{"not armed still", next(later, first), unarmed.At},
		{"held", next(held, first), time.Time{}},
		{"armed again", next(ha.Situation{At: now, ArmedTo: "core2", UnarmedSince: now}, first), time.Time{}},
	} {
		if !c.got.UnarmedSince.Equal(c.want) {
			t.Errorf("%s: since %v, want %v", c.what, c.got.UnarmedSince, c.want)
		}
	}
}

func TestASituationDiffersInWhatAFollowerActsOn(t *testing.T) {
	t.Parallel()
	nodes := "core1 Active | core2 Standby"
	base := sceneOf(t, nodes)
	assess := func(s scene, at time.Time) ha.Situation { return ha.Assess(s.traffic, s.view, s.rules, at) }
	here := assess(base, now)
	again := base
	again.view = base.view.Observe(ha.Reading{Node: "core1", State: ha.Active, At: now, Took: time.Second, Page: "other"}, "core1", 3)
	if !same(here, assess(again, now.Add(time.Second))) {
		t.Error("one more reading of the same is the same")
	}
	for what, other := range map[string]scene{
		"another epoch":           func() scene { s := base; s.traffic.Epoch++; return s }(),
		"another node serves":     sceneOf(t, nodes, "serving: core2"),
		"a node went down":        sceneOf(t, "core1 Active | core2 down"),
		"a node was missed":       sceneOf(t, "core1 missed 1 | core2 Standby"),
		"another node was missed": sceneOf(t, "core1 Active | core2 missed 1"),
		"a node is suspect":       sceneOf(t, "core1 Active, suspect | core2 Standby"),
		"another node is suspect": sceneOf(t, "core1 Active | core2 Standby, suspect"),
		"a node is not read":      sceneOf(t, "core1 Active | core2 unread"),
		"another state":           sceneOf(t, "core1 Active | core2 Active"),
		"held":                    sceneOf(t, nodes, "hold: by alice"),
		"overdue":                 sceneOf(t, nodes, "hold: by alice, until 1m ago"),
		"frozen":                  sceneOf(t, nodes, "every request waits for: 5s"),
		"another node":            sceneOf(t, nodes+" | dr1 Standby"),
		"another name":            sceneOf(t, "core1 Active | core3 Standby", "order: core1 core2"),
	} {
		if same(assess(other, now), here) {
			t.Errorf("%s is the same", what)
		}
	}
	down := ha.Sight{Node: "core1", Last: ha.Reading{At: now, Cause: ha.Refused}}
	timeout := down
	timeout.Last.Cause = ha.Timeout
	counted := down
	counted.DownAt = now
	named, known, standby := down, ha.Sight{Node: "core1", Last: ha.Reading{Cause: ha.Refused}}, down
	named.Node, standby.Last.State = "core2", ha.Standby
	for what, s := range map[string]ha.Sight{
		"another cause": timeout, "down now": counted, "another name": named, "read now": known, "another state": standby,
	} {
		if same(ha.Situation{View: ha.View{s}}, ha.Situation{View: ha.View{down}}) {
			t.Errorf("%s is the same", what)
		}
	}
	for what, s := range map[string]ha.Situation{
		"another target":   {Target: "core1"},
		"another armed":    {ArmedTo: "core1"},
		"another reason":   {ArmedWhy: ha.Held},
		"another queueing": {Queue: ha.QueueAll},
		"an alarm":         {At: now, UnarmedSince: now.Add(-time.Hour)},
		"another decision": {Decision: ha.Decision{Row: 3}},
		"a vote":           {Votes: []ha.Vote{{}}},
	} {
		if same(s, ha.Situation{}) {
			t.Errorf("%s is the same", what)
		}
	}
}

func TestASituationDiffersInHowWatchersWouldVote(t *testing.T) {
	t.Parallel()
	vote := ha.Vote{Watcher: "a", Epoch: 7, Serving: "core1", Stance: ha.StanceGood}
	for what, change := range map[string]func(*ha.Vote){
		"":                    func(v *ha.Vote) { v.Since = now; v.Nodes = []ha.VotedNode{{Node: "core1"}} },
		"another watcher":     func(v *ha.Vote) { v.Watcher = "b" },
		"another stance":      func(v *ha.Vote) { v.Stance = ha.StanceDown },
		"another node serves": func(v *ha.Vote) { v.Serving = "core2" },
		"another epoch":       func(v *ha.Vote) { v.Epoch = 8 },
	} {
		other := vote
		change(&other)
		if got := same(ha.Situation{Votes: []ha.Vote{vote}}, ha.Situation{Votes: []ha.Vote{other}}); got != (what == "") {
			t.Errorf("%q: same is %t", what, got)
		}
	}
}

func TestAFailoverThatCannotBeStoredWaitsAndAlarms(t *testing.T) {
	t.Parallel()
	s := sceneOf(t, "core1 down | core2 Standby")
	stuck := ha.Stuck(ha.Assess(s.traffic, s.view, s.rules, now))
	want := ha.Decision{Verb: ha.Wait, Reason: ha.NotStored, Row: 7, About: "core2", Alarm: ha.Alarmed}
	if stuck.Decision != want || stuck.Queue != ha.QueueNone {
		t.Errorf("got %+v, queue %v", stuck.Decision, stuck.Queue)
	}
	s = sceneOf(t, "core1 missed 1 | core2 Standby")
	if a := ha.Assess(s.traffic, s.view, s.rules, now); !same(ha.Stuck(a), a) {
		t.Error("what does not fail over is not stuck")
	}
}

func TestADamagedTrafficSaysWhy(t *testing.T) {
	t.Parallel()
	if got := (&ha.Damaged{Why: "line 3 ends early"}).Error(); got != "stored traffic is damaged: line 3 ends early" {
		t.Error(got)
	}
}

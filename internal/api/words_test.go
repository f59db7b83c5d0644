package api_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/understudy-ha/understudy/internal/api"
	"github.com/understudy-ha/understudy/internal/api/apitest"
	"github.com/understudy-ha/understudy/internal/ha"
)

var update = flag.Bool("update", false, "write the golden files anew")

// stories are situations that the real rule arrives at, by name.
var stories = []struct {
	name string
	tell func(m *apitest.Memory)
}{
	{"starting", func(m *apitest.Memory) {
		m.Add("mdm", []string{"core1", "core2"})
		m.Read("mdm", "core1", ha.Active)
	}},
	{"armed", func(m *apitest.Memory) {
		m.Pair()
		m.Advance(41 * 24 * time.Hour)
	}},
	{"missing", func(m *apitest.Memory) {
		m.Pair()
		m.Read("mdm", "core1", ha.NotAvailable)
	}},
	{"held", func(m *apitest.Memory) {
		m.Pair()
		act(m, "hold", ha.Wish{Actor: "anna", Reason: "upgrade", Until: apitest.Start.Add(time.Hour)})
		m.Advance(2 * time.Hour)
	}},
	{"held_and_down", func(m *apitest.Memory) {
		m.Pair()
		act(m, "hold", ha.Wish{Actor: "anna", Claimed: true, Reason: "upgrade"})
		m.Lose("mdm", "core1")
	}},
	{"confirming", func(m *apitest.Memory) {
		m.Pair()
		for range 3 {
			m.Read("mdm", "core1", ha.NotAvailable)
		}
	}},
	{"failed_over", func(m *apitest.Memory) {
		m.Pair()
		m.Lose("mdm", "core1")
		m.Read("mdm", "core2", ha.Active)
		m.Advance(20 * time.Minute)
	}},
	{"primary_back_as_standby", func(m *apitest.Memory) {
		m.Pair()
		m.Lose("mdm", "core1")
		m.Read("mdm", "core2", ha.Active)
		m.Read("mdm", "core1", ha.Standby)
	}},
	{"dual_active", func(m *apitest.Memory) {
		m.Pair()
		m.Lose("mdm", "core1")
		m.Read("mdm", "core2", ha.Active)
		m.Read("mdm", "core1", ha.Active)
	}},
	{"swapped", func(m *apitest.Memory) {
		m.Pair()
		m.Lose("mdm", "core1")
		m.Read("mdm", "core2", ha.Standby)
		m.Read("mdm", "core1", ha.Active)
	}},
	{"unpromoted", func(m *apitest.Memory) {
		m.Pair()
		m.Lose("mdm", "core1")
		m.Advance(3 * time.Minute)
		m.Read("mdm", "core2", ha.Standby)
	}},
	{"stranded", func(m *apitest.Memory) {
		m.Pair()
		for range 3 {
			m.Read("mdm", "core1", ha.NotAvailable)
			m.Advance(500 * time.Millisecond)
		}
		m.Read("mdm", "core2", ha.Active)
	}},
	{"needs_operator", func(m *apitest.Memory) {
		m.Pair()
		m.Lose("mdm", "core2")
		m.Lose("mdm", "core1")
	}},
	{"no_standby", func(m *apitest.Memory) {
		m.Pair()
		for range 3 {
			m.Read("mdm", "core1", ha.NotAvailable)
			m.Advance(500 * time.Millisecond)
		}
		m.Read("mdm", "core2", ha.NotAvailable)
	}},
	{"all_down", func(m *apitest.Memory) {
		m.Pair()
		m.Lose("mdm", "dr1")
		m.Lose("mdm", "core2")
		m.Lose("mdm", "core1")
	}},
	{"last_in_order", func(m *apitest.Memory) {
		m.Pair()
		act(m, "switch", ha.Wish{To: "dr1", Force: true, Actor: "anna", Reason: "site move"})
		m.Lose("mdm", "dr1")
	}},
	{"unknown", func(m *apitest.Memory) {
		m.Add("mdm", []string{"core1", "core2"})
		m.Read("mdm", "core1", ha.Active)
		m.Read("mdm", "core2", ha.Active)
	}},
	{"not_armed_for_long", func(m *apitest.Memory) {
		m.Pair()
		m.Lose("mdm", "core2")
		m.Advance(11 * time.Minute)
	}},
}

func act(m *apitest.Memory, verb string, w ha.Wish) ha.Traffic {
	t, err := m.Act(context.Background(), "mdm", verb, w, false)
	if err != nil {
		panic(err)
	}
	return t
}

func situation(t *testing.T, m *apitest.Memory) ha.Situation {
	t.Helper()
	s, ok := m.Situation("mdm")
	if !ok {
		t.Fatal("there is no group mdm")
	}
	return s
}

func TestEverySituationHasItsSentences(t *testing.T) {
	t.Parallel()
	for _, story := range stories {
		t.Run(story.name, func(t *testing.T) {
			t.Parallel()
			m := apitest.New()
			story.tell(m)
			g := api.Show(situation(t, m))
			golden(t, story.name, strings.Join([]string{
				"# status", api.Status(g, api.Paint{}),
				"# why", api.Why(g, api.Paint{}),
				"# status -w, not on a terminal", api.StatusLine(g),
				"# status --check", api.CheckLine(g), "",
			}, "\n"))
		})
	}
}

func TestAnUnstorableFailoverSaysSo(t *testing.T) {
	t.Parallel()
	m := apitest.New()
	m.Pair()
	m.Break(context.DeadlineExceeded)
	m.Lose("mdm", "core1")
	g := api.Show(ha.Stuck(situation(t, m)))
	golden(t, "not_stored", api.Status(g, api.Paint{})+api.Why(g, api.Paint{}))
}

func TestAMissingMajorityIsTold(t *testing.T) {
	t.Parallel()
	m := apitest.New()
	m.Pair()
	m.Break(context.DeadlineExceeded)
	m.Lose("mdm", "core1")
	s := situation(t, m)
	s.Rules.Watchers = 3
	for _, at := range []struct {
		name  string
		after time.Duration
	}{{"no_quorum_yet", 0}, {"no_quorum", time.Minute}} {
		now := ha.Assess(s.Traffic, s.View, s.Rules, s.At.Add(at.after))
		now.Votes = votes(now)
		g := api.Show(now)
		golden(t, at.name, api.Status(g, api.Paint{})+api.Why(g, api.Paint{}))
	}
}

// votes are of this watcher, of one that reads the serving node good, and of one
// that has slept through the last change.
func votes(s ha.Situation) []ha.Vote {
	here := ha.Voice(s.Traffic, s.View, s.At.Add(-time.Second))
	other, late := here, here
	here.Watcher, other.Watcher, late.Watcher = "front", "names\x1b[2J", "third"
	other.Stance, late.Epoch, late.Serving = ha.StanceGood, 0, "core2"
	other.Nodes = []ha.VotedNode{{Node: "core1", State: ha.Active, At: s.At}, {Node: "core2"}}
	late.Nodes = nil
	return []ha.Vote{here, other, late}
}

func TestWatchersAreShownWithTheirVotes(t *testing.T) {
	t.Parallel()
	m := apitest.New()
	m.Pair()
	s := situation(t, m)
	if g := api.Show(s); g.Watchers != nil {
		t.Errorf("a watcher that is alone has watchers: %+v", g.Watchers)
	}
	s.Rules.Watchers = 5
	s.Votes = append(votes(s), ha.Vote{Watcher: "young", Since: s.At})
	s.Votes[0].Stance = ha.StanceDown
	w := api.Show(s).Watchers
	got := fmt.Sprintf("%d of %d, %d of %d:", w.Present, w.Configured, w.For, w.Needed)
	for _, v := range w.Votes {
		got += fmt.Sprintf(" %s %s %s %t", v.Watcher, v.Vote, v.Stance, v.Self)
	}
	if want := "4 of 5, 1 of 3: front yes down true names\x1b[2J no good false third none good false young none unknown false"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	golden(t, "watchers", api.Status(api.Show(s), api.Paint{}))
}

func TestHistoryTellsWhoMovedWhatAndWhy(t *testing.T) {
	t.Parallel()
	m := apitest.New()
	m.Pair()
	act(m, "hold", ha.Wish{Actor: "anna", Claimed: true, Reason: "upgrade"})
	act(m, "release", ha.Wish{Actor: "bert", Reason: "done"})
	m.Lose("mdm", "core1")
	act(m, "reorder", ha.Wish{Order: []string{"core2", "core1", "dr1"}, Actor: "anna", Reason: "roles swapped"})
	act(m, "switch", ha.Wish{To: "dr1", Force: true, Actor: "anna", Reason: "test\x1b[2J of the site"})
	var lines []string
	for _, c := range changes(t, m) {
		lines = append(lines, api.HistoryLine(c))
	}
	golden(t, "history", strings.Join(lines, "\n")+"\n")
}

func changes(t *testing.T, m *apitest.Memory) []api.Change {
	t.Helper()
	list, err := client(t, m).History(t.Context(), "mdm", 100)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestTextOfOthersCannotSteerTheTerminal(t *testing.T) {
	t.Parallel()
	m := apitest.New()
	m.Pair()
	s := situation(t, m)
	nasty := "\x1b]0;title\x07\x1b[31mOK\r\nmore\u202eback " + strings.Repeat("x", 500)
	s.View[1].Last.Page = nasty
	s.View[0].Last.Detail, s.View[0].Last.State, s.View[0].Misses = nasty, ha.NotAvailable, 1
	s.Traffic.Hold = &ha.Hold{Owner: nasty, Reason: nasty, Since: s.At}
	g := api.Show(s)
	for _, text := range []string{api.Status(g, api.Paint{}), api.Why(g, api.Paint{}), api.StatusLine(g), api.CheckLine(g)} {
		for _, r := range text {
			if r != '\n' && (r < ' ' || r == 0x7f || r == '\u202e') {
				t.Errorf("got %q in %q, want nothing that a terminal obeys", r, text)
			}
		}
		for _, line := range strings.Split(text, "\n") {
			if n := len([]rune(line)); n > 500 {
				t.Errorf("got a line of %d characters, want it cut", n)
			}
		}
	}
}

func TestTakeoverCountsReadingsApart(t *testing.T) {
	t.Parallel()
	g := api.Group{
		ArmedTo: "b", Nodes: []api.Node{{Name: "b", TookMS: 20}},
		Rules: api.Rules{Fall: 3, IntervalMS: 5000, FastIntervalMS: 500, TimeoutMS: 2000},
	}
	quick, slow := api.Takeover(g)
	if want := 1020 * time.Millisecond; quick != want {
		t.Errorf("a refusing node: got %v, want %v", quick, want)
	}
	if want := 6020 * time.Millisecond; slow != want {
		t.Errorf("a hanging node: got %v, want %v", slow, want)
	}
}

func TestPaintColoursWithoutMovingColumns(t *testing.T) {
	t.Parallel()
	m := apitest.New()
	m.Pair()
	g := api.Show(situation(t, m))
	wrap := func(s string) string { return "<" + s + ">" }
	got := api.Status(g, api.Paint{Good: wrap, Bad: wrap, Faint: wrap})
	plain := strings.NewReplacer("<", "", ">", "").Replace(got)
	if got == plain || plain != api.Status(g, api.Paint{}) {
		t.Errorf("got %q, want colours around the same text", got)
	}
}

// golden compares a text with testdata/NAME.golden.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s: -want +got (write anew with -update):\n%s", path, diff)
	}
}

package notify

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// TestEveryMessageReadsAsWritten compares the words of a message of each kind
// with testdata/words.txt.
func TestEveryMessageReadsAsWritten(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/words.txt")
	if err != nil {
		t.Fatal(err)
	}
	said := everyKind(t)
	for kind := range strings.SplitSeq(strings.TrimSpace(string(data)), "\n\n") {
		lines := strings.Split(kind, "\n")
		if len(lines) != 3 {
			t.Fatalf("a kind has a title, a sentence and what to do: %q", lines)
		}
		got, found := said[lines[0]]
		if !found {
			t.Errorf("nothing was said of %s", lines[0])
			continue
		}
		if got.Text != lines[1] || got.Do != strings.TrimPrefix(lines[2], "do: ") && lines[2] != "do:" {
			t.Errorf("%s\n got %s\n     do: %s\nwant %s\n     %s", lines[0], got.Text, got.Do, lines[1], lines[2])
		}
		delete(said, lines[0])
	}
	for event, m := range said {
		t.Errorf("words.txt has not:\n\n%s\n%s\ndo: %s", event, m.Text, m.Do)
	}
}

func TestEverySentenceIsOneAndNamesItsGroup(t *testing.T) {
	t.Parallel()
	for event, m := range everyKind(t) {
		body, ok := strings.CutPrefix(m.Text, "mdm: ")
		if !ok || !strings.HasSuffix(body, ".") || strings.Contains(body, ". ") || strings.Contains(m.Text+m.Do, "  ") {
			t.Errorf("%s: %q / %q", event, m.Text, m.Do)
		}
	}
}

// everyKind gives the first message of each event that a long day tells.
func everyKind(t *testing.T) map[string]Message {
	t.Helper()
	const well = "core1=Active core2=Standby dr1=Standby"
	const dead = "core1=down core2=Active dr1=Standby"
	said := map[string]Message{}
	for _, day := range [][]string{
		{well, "core1=down core2=Standby", "core1=down core2=Standby", "core1=down", "core2=Standby dr1=Standby", dead, "wait 11m", "restart"},
		{well, "hold 1h", "wait 2h", "core1=down", "core1=down", "core1=down", "release"},
		{well, "core1=Active core2=Active", well, "core1=down", "switch core2 force", "wait 3m", "core2=Active", "reorder core2 core1 dr1"},
		{well, dead, dead, dead, "core2=Active dr1=Standby", "core2=down dr1=down", "core2=down", "core2=down dr1=Standby", "dr1=Standby", "switch dr1", "dr1=down", "dr1=down", "dr1=down"},
		{well, "damage", "switch core2 force", "core1=Active core2=Active", "core1=Standby core2=Active", "core1=Active core2=Standby", "core2=down", "core2=down", "core2=down", "core1=Active", "resume"},
		{"follow", well, "core1=down core2=Standby", "core1=down core2=Active", "core1=down", "core2=Active"},
		{"core1=Standby core2=Active dr1=Standby"},
		{well, "core1=down", "skip core2", "core2=Active@7"},
	} {
		s := newStage()
		for _, line := range day {
			s.play(t, strings.Fields(line))
		}
		for _, m := range s.all {
			if _, known := said[string(m.Event)]; !known {
				said[string(m.Event)] = m
			}
		}
	}
	said[string(ha.NotStored)] = alarm(ha.NotStored, ha.Stuck(ha.Situation{ // a full disk is not one of the day's events
		Traffic:  ha.Traffic{Group: "mdm", Epoch: 1, Order: []string{"core1", "core2"}, Serving: "core1"},
		View:     ha.View{{Node: "core1", Last: ha.Reading{Node: "core1", Cause: ha.Refused}}},
		Decision: ha.Decision{Verb: ha.FailOver, Reason: ha.FailedOver, Row: 7, To: "core2"},
	}))
	said[string(ha.NoQuorum)] = alarm(ha.NoQuorum, ha.Assess( // nor are other watchers among them
		ha.Traffic{Group: "mdm", Epoch: 1, Order: []string{"core1", "core2"}, Serving: "core1"},
		ha.View{
			{Node: "core1", Last: ha.Reading{Node: "core1", Cause: ha.Refused, At: day}, Misses: 3, DownAt: day},
			{Node: "core2", Last: ha.Reading{Node: "core2", State: ha.Standby, At: day.Add(time.Second)}},
		}, ha.Rules{Fall: 3, Watchers: 3}, day.Add(time.Minute)))
	for _, r := range []ha.Reason{ha.RegisterLost, ha.RegisterBack} {
		said[string(r)] = alarm(r, ha.Situation{Traffic: ha.Traffic{Group: "mdm", Epoch: 1, Order: []string{"core1", "core2"}, Serving: "core1", Adrift: r}})
	}
	return said
}

var day = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func TestTheEveryKindListIsWhole(t *testing.T) {
	t.Parallel()
	said := everyKind(t)
	for _, r := range slices.Concat(decisionAlarms, holdAlarms, armingAlarms, []ha.Reason{
		Cleared, ha.Started, ha.Adopted, ha.FailedOver, ha.FollowedPromoted, ha.Resumed, ha.Switched, ha.Reordered, ha.HeldBy, ha.Released, ha.NodeEpoch,
	}) {
		if _, ok := said[string(r)]; !ok {
			t.Errorf("no message has the event %s", r)
		}
	}
}

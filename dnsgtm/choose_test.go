package dnsgtm

import (
	"strings"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

func TestAChoiceFollowsTheDecisionAndNothingElse(t *testing.T) {
	t.Parallel()
	for _, row := range rows(t, "choose.txt") {
		cells := strings.Split(row, "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		g, s := situationOf(t, cells[0], cells[1], cells[2])
		c := Choose(g, s)
		got := strings.Join(c.Nodes, " ")
		if got == "" {
			got = "-"
		}
		if c.Down {
			got += " down"
		}
		if got != cells[3] {
			t.Errorf("%s\ngot %s, want %s", row, got, cells[3])
		}
		for i, when := range []WhenDown{Keep, ServFail, Fixed} {
			words := map[act]string{answerNodes: "nodes", answerFault: "fault", answerFixed: "fixed"}
			if got := words[actOf(when, c)]; got != cells[4+i] {
				t.Errorf("%s\nwhen_down %s: got %s, want %s", row, when, got, cells[4+i])
			}
		}
		wait := s.Decision.Verb == ha.Wait && (c.Down || c.Nodes == nil) && g.Pool == ""
		if (c.Reason != "") != (wait || g.Pool != "" && c.Down) {
			t.Errorf("%s\ngot the reason %q", row, c.Reason)
		}
	}
}

// situationOf reads the first cells of a row.
func situationOf(t *testing.T, target, nodes, decision string) (Group, ha.Situation) {
	t.Helper()
	at := time.Unix(1e9, 0)
	g := Group{Name: "g"}
	s := ha.Situation{At: at, Traffic: ha.Traffic{Group: "g"}}
	switch target {
	case "pool":
		g.Pool = ActiveActive
	case "first":
		g.Pool = ActiveStandby
	case "-":
	default:
		s.Traffic.Serving = target
	}
	for _, word := range strings.Fields(nodes) {
		name, state, _ := strings.Cut(word, "=")
		g.Nodes = append(g.Nodes, Node{Name: name})
		sight := ha.Sight{Node: name}
		switch state {
		case "up":
			sight.Last = ha.Reading{Node: name, State: ha.Active, At: at}
		case "missed":
			sight.Last, sight.Misses = ha.Reading{Node: name, At: at}, 1
		case "down":
			sight.Last, sight.Misses, sight.DownAt = ha.Reading{Node: name, At: at}, 3, at
		case "new":
		default:
			t.Fatalf("unknown state %q", state)
		}
		s.View = append(s.View, sight)
	}
	if verb, reason, is := strings.Cut(decision, " "); is {
		if err := s.Decision.Verb.UnmarshalText([]byte(verb)); err != nil {
			t.Fatal(err)
		}
		s.Decision.Reason = ha.Reason(strings.TrimSpace(reason))
	}
	return g, s
}

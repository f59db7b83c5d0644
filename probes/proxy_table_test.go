package probes

import (
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// A tableCase is one case of testdata/proxy.txt.
type tableCase struct {
	title string
	facts map[string]string
	want  string
}

func readCases(t *testing.T) (cases []tableCase) {
	t.Helper()
	text, err := os.ReadFile("testdata/proxy.txt")
	if err != nil {
		t.Fatal(err)
	}
	known := []string{"nodes", "moves", "hold", "since", "policy", "later", "stuck", "provisional"}
	for block := range strings.SplitSeq(string(text), "\n\n") {
		c := tableCase{facts: map[string]string{}}
		for line := range strings.Lines(block) {
			line = strings.TrimSpace(line)
			key, value, isFact := strings.Cut(line, ": ")
			switch {
			case line == "" || line[0] == '#':
			case c.title == "":
				c.title = line
			case strings.HasPrefix(line, "=> "):
				c.want = line[3:]
			case isFact && slices.Contains(known, key):
				c.facts[key] = value
			default:
				t.Fatalf("%q: %q is no fact", c.title, line)
			}
		}
		if c.title != "" {
			cases = append(cases, c)
		}
	}
	return cases
}

func TestBalancersAreToldWhatTheTableSays(t *testing.T) {
	t.Parallel()
	cases := readCases(t)
	if len(cases) < 35 {
		t.Fatalf("only %d cases", len(cases))
	}
	for _, c := range cases {
		t.Run(c.title, func(t *testing.T) {
			t.Parallel()
			p := quietProxy(t)
			now := time.Now()
			var last ha.Situation
			for _, last = range c.situations(t, now) {
				p.Tell(last)
			}
			later, _ := time.ParseDuration(c.facts["later"])
			got := answersOf(p, last, p.clock.at(now.Add(later)), strings.Contains(c.want, "raw "))
			if got != c.want {
				t.Errorf("\n got %s\nwant %s", got, c.want)
			}
		})
	}
}

// quietProxy is a Proxy that nobody serves. Looking gives it nothing.
func quietProxy(t *testing.T) *Proxy {
	t.Helper()
	c := DefaultProxy()
	c.Look = func(string) (ha.Situation, bool) { return ha.Situation{}, false }
	c.Log = slog.New(slog.DiscardHandler)
	p, err := NewProxy(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Shutdown(t.Context()); err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
	})
	return p
}

// situations builds what the facts of a case lead to, one a move.
func (c tableCase) situations(t *testing.T, now time.Time) (all []ha.Situation) {
	t.Helper()
	rules := ha.DefaultRules()
	rules.OnPromoted = ha.OnPromoted(c.facts["policy"])
	var order []string
	for spec := range strings.SplitSeq(c.facts["nodes"], " | ") {
		name, _, _ := strings.Cut(spec, " ")
		order = append(order, name)
		if strings.Contains(spec, "manual") {
			rules.Manual = append(rules.Manual, name)
		}
	}
	moves := c.facts["moves"]
	if moves == "" {
		moves = order[0] + " started"
	}
	since, err := time.ParseDuration(c.facts["since"])
	if err != nil {
		since = time.Hour
	}
	traffic := ha.Traffic{Group: "mdm", Order: order}
	for move := range strings.SplitSeq(moves, ", ") {
		move, skipped := strings.CutPrefix(move, "+ ")
		if skipped {
			traffic.Epoch++
		}
		words := strings.Fields(move)
		traffic.Serving, traffic.Cause, traffic.Hold = strings.TrimPrefix(words[0], "nobody"), ha.Reason(words[1]), nil
		traffic.Forced, traffic.Since = len(words) > 2, now.Add(-since)
		if traffic.Epoch++; traffic.Cause == ha.Starting {
			traffic.Epoch = 0
		}
		if c.facts["hold"] != "" || traffic.Cause == ha.Unknown {
			traffic.Hold = &ha.Hold{Owner: "alice", Since: now}
		}
		traffic.Provisional = c.facts["provisional"]
		s := ha.Assess(traffic, c.view(t, traffic.Serving, now), rules, now)
		if c.facts["stuck"] != "" {
			s = ha.Stuck(s)
		}
		all = append(all, s)
	}
	return all
}

// view has the nodes as the facts say, the serving one read first and the
// others after it was down.
func (c tableCase) view(t *testing.T, serving string, now time.Time) ha.View {
	t.Helper()
	specs := strings.Split(c.facts["nodes"], " | ")
	var names []string
	for _, spec := range specs {
		name, _, _ := strings.Cut(spec, " ")
		names = append(names, name)
	}
	v := ha.NewView(names)
	read := func(node string, state ha.State, before time.Duration) {
		r := ha.Reading{Node: node, State: state, At: now.Add(-before)}
		switch state {
		case ha.NotAvailable:
			r.Cause = ha.Refused
		case ha.Standby:
			r.Page = "MOBILEIRON-STATUS: OK (Mode: Standby)"
		case ha.Active:
			r.Page = "MOBILEIRON-STATUS: OK"
		}
		v = v.Observe(r, serving, 3)
	}
	for i, spec := range specs {
		if strings.Contains(spec, "promoted") {
			read(names[i], ha.Standby, time.Minute)
		}
	}
	for _, first := range []bool{true, false} {
		for i, spec := range specs {
			_, does, _ := strings.Cut(strings.Split(spec, ",")[0], " ")
			if (names[i] == serving) != first {
				continue
			}
			before := 5 * time.Millisecond
			if first {
				before = 10 * time.Millisecond
			}
			var misses int
			switch _, _ = fmt.Sscanf(does, "missed %d", &misses); does {
			case "down":
				misses = 3
			case "Active":
				read(names[i], ha.Active, 0)
			case "Standby for 30m":
				read(names[i], ha.Standby, 30*time.Minute)
				read(names[i], ha.Standby, 0)
			case "Standby":
				read(names[i], ha.Standby, 0)
			case "unread":
			default:
				if misses == 0 {
					t.Fatalf("%q: %q is no state", c.title, does)
				}
			}
			for m := range misses {
				read(names[i], ha.NotAvailable, before-time.Duration(m)*time.Millisecond)
			}
		}
	}
	return v
}

// answersOf gives all that is answered about the group.
func answersOf(p *Proxy, s ha.Situation, now int64, raw bool) string {
	var said []string
	for _, n := range s.View {
		a := p.find([]byte("/mdm/"+n.Node), now)
		line := fmt.Sprintf("%s %d %s", n.Node, a.status, a.reason)
		if len(a.hold) > 0 {
			line += " held"
		}
		agent := strings.TrimSuffix(string(p.findAgent([]byte("mdm/"+n.Node), now)), "\n")
		if agent == "" {
			agent = "-"
		}
		said = append(said, line+" / "+agent)
	}
	serving := p.find([]byte("/mdm/serving"), now)
	what := strings.TrimSuffix(string(serving.body), "\n")
	if serving.status != 200 {
		what = fmt.Sprint(serving.status, what)
	}
	said = append(said, "serving "+what)
	for _, n := range s.View {
		if raw {
			a := p.find([]byte("/mdm/"+n.Node+"/raw"), now)
			page := strings.TrimSuffix(string(a.body), "\n")
			if a.status != 200 {
				page = string(a.reason)
			}
			said = append(said, fmt.Sprintf("raw %s %d %s", n.Node, a.status, page))
		}
	}
	return strings.Join(said, " | ")
}

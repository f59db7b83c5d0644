package ha_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// A tale is one block of story.txt: what happens to a group, line by line.
type tale struct {
	at    string
	title string
	lines []taleLine
}

type taleLine struct {
	at     string
	offset time.Duration
	events []string
	want   string // empty: not looked at
}

func parseTales(name, text string) (tales []tale, err error) {
	defer catch(&err)
	fresh := true
	for i, line := range strings.Split(text, "\n") {
		at := fmt.Sprintf("%s:%d", name, i+1)
		line = strings.TrimSpace(line)
		switch {
		case line == "":
			fresh = true
			continue
		case line[0] == '#':
			continue
		case fresh:
			tales = append(tales, tale{at: at, title: line})
			fresh = false
			continue
		}
		event, want, _ := strings.Cut(line, "=>")
		offset, event, _ := strings.Cut(strings.TrimSpace(event), " ")
		b := &tales[len(tales)-1]
		b.lines = append(b.lines, taleLine{
			at: at, offset: length(fact{at: at}, offset), events: strings.Split(strings.TrimSpace(event), ", "), want: strings.TrimSpace(want),
		})
	}
	return tales, nil
}

// stage is a group while a tale is told.
type stage struct {
	traffic ha.Traffic
	view    ha.View
	rules   ha.Rules
	clock   time.Time
	said    string // by the last event that says something itself
}

// tell tells a tale and gives what goes otherwise than it says.
func (b tale) tell() (faults []string, err error) {
	s := stage{rules: ha.DefaultRules()}
	defer catch(&err)
	defer func() {
		if r := recover(); r != nil {
			if f, ok := r.(fault); ok {
				panic(f)
			}
			faults = append(faults, fmt.Sprintf("%s: panic: %v", b.at, r))
		}
	}()
	for _, l := range b.lines {
		s.clock, s.said = now.Add(l.offset), ""
		for _, event := range l.events {
			s.do(l, event)
		}
		a := ha.Assess(s.traffic, s.view, s.rules, s.clock)
		s.traffic = ha.Apply(s.traffic, a.Decision, s.view, s.clock)
		got := s.said
		if got == "" {
			got = s.say(a)
		}
		if l.want != "" && got != l.want {
			faults = append(faults, fmt.Sprintf("%s\n got %s\nwant %s", l.at, got, l.want))
		}
	}
	return faults, nil
}

// do lets one thing happen.
func (s *stage) do(l taleLine, event string) {
	f := fact{at: l.at}
	word, rest, _ := strings.Cut(event, " ")
	switch word {
	case "nodes":
		order := strings.Fields(rest)
		s.traffic = ha.Traffic{Group: "core", Epoch: 1, Order: order, Serving: order[0], Since: s.clock, At: s.clock}
		s.view = ha.NewView(order)
		s.said = "-"
	case "policy":
		s.rules.OnPromoted, s.said = ha.OnPromoted(rest), "-"
	case "fall":
		s.rules.Fall, s.said = number(f, rest), "-"
	case "renew":
		s.view = s.view.Keep(s.traffic.Order, []string{rest})
	case "configure":
		s.view = s.view.Keep(strings.Fields(rest), nil)
		var err error
		if s.traffic, _, err = ha.Fit(s.traffic, strings.Fields(rest), s.clock); err != nil {
			fail(l.at, "%v", err)
		}
	case "doubt":
		var news bool
		if s.view, news = s.view.Doubt(rest, s.clock); !news {
			s.said = "no news"
		}
	case "hush":
		var news bool
		if s.view, news = s.view.Hush(rest, s.clock); !news {
			s.said = "no news"
		}
	case "look":
		s.said = s.saySight(s.view.Of(rest))
	case "resume", "switch", "reorder", "hold", "release", "force":
		s.wish(word, strings.Fields(rest))
	default:
		s.observe(f, word, strings.Fields(rest))
	}
}

// observe reads "NODE STATE [safe] [took TIME] [epoch N] [begun TIME ago]".
func (s *stage) observe(f fact, node string, words []string) {
	r := ha.Reading{Node: node, At: s.clock}
	if r.State = stateOf(words[0]); r.State == ha.NotAvailable {
		r.Cause = ha.Cause(words[0])
	}
	if len(words) > 1 && words[1] == "safe" {
		r.Safe, words = true, words[1:]
	}
	for len(words) > 2 {
		switch words[1] {
		case "took":
			r.Took = length(f, words[2])
			s.clock = s.clock.Add(r.Took)
		case "epoch":
			r.Epoch = uint64(number(f, words[2]))
		case "begun":
			r.At = now.Add(length(f, words[2]))
		default:
			fail(f.at, "unknown word %q", words[1])
		}
		words = words[2:]
	}
	s.view = s.view.Observe(ha.Believe(s.traffic, s.view, r), s.traffic.Serving, s.rules.Fall)
	s.traffic, _ = ha.Learn(s.traffic, s.view, s.clock)
}

// wish lets a person act; a refusal is said.
func (s *stage) wish(verb string, words []string) {
	w := ha.Wish{Actor: "alice", Reason: "story", Order: words}
	if verb == "force" {
		w.Force, verb, words = true, words[0], words[1:]
	}
	if len(words) > 0 {
		w.To = words[len(words)-1]
	}
	act, _ := ha.Acts(verb)
	next, err := act(s.traffic, s.view, s.rules, w, s.clock)
	var r *ha.Refusal
	if errors.As(err, &r) {
		s.said = "refused " + string(r.Code)
		return
	}
	s.traffic = next
}

// say tells who served, what was decided, and what is wanted of the probes.
func (s *stage) say(a ha.Situation) string {
	line := a.Traffic.Serving + ": " + sayRuling(a)
	if ha.Urgent(a.Traffic, a.View, s.clock) {
		line += "; fast"
	}
	for _, seen := range a.View {
		if ha.Wanted(a.Traffic, a.View, seen.Node) {
			line += "; wants " + seen.Node
		}
	}
	return line
}

func (s *stage) saySight(seen ha.Sight) string {
	if !seen.Known() {
		return "unread"
	}
	since := func(t time.Time) string { return t.Sub(now).String() }
	line := fmt.Sprintf("%v since %s", seen.Last.State, since(seen.Since))
	if seen.Passes > 0 {
		line += fmt.Sprintf(", passed %d", seen.Passes)
	}
	if seen.Misses > 0 {
		line += fmt.Sprintf(", missed %d", seen.Misses)
	}
	if seen.Down() {
		line += ", down since " + since(seen.DownAt)
	}
	if !seen.Suspect.IsZero() {
		line += ", suspect since " + since(seen.Suspect)
	}
	if seen.Silent {
		line += ", silent"
	}
	return line + fmt.Sprintf(", at the miss %v", seen.AtMiss)
}

func readTales(t testing.TB) []tale {
	t.Helper()
	text, err := os.ReadFile("testdata/story.txt")
	if err != nil {
		t.Fatal(err)
	}
	tales, err := parseTales("story.txt", string(text))
	if err != nil {
		t.Fatal(err)
	}
	return tales
}

func TestAGroupLivesAsTheStoriesTell(t *testing.T) {
	t.Parallel()
	for _, b := range readTales(t) {
		t.Run(b.title, func(t *testing.T) {
			t.Parallel()
			faults, err := b.tell()
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range faults {
				t.Error(f)
			}
		})
	}
}

package notify

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// TestTheStoriesAreToldAsWritten plays every story of testdata/told.txt
// through the real rule and compares what people would be told.
func TestTheStoriesAreToldAsWritten(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/told.txt")
	if err != nil {
		t.Fatal(err)
	}
	stories := strings.Split(string(data), "\n## ")[1:]
	if len(stories) < 10 {
		t.Fatalf("found only %d stories", len(stories))
	}
	for _, story := range stories {
		title, body, _ := strings.Cut(story, "\n")
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			s := newStage()
			for line := range strings.Lines(body) {
				do, want, found := strings.Cut(strings.TrimSpace(line), "|")
				if !found {
					continue
				}
				got := s.play(t, strings.Fields(do))
				if want := strings.TrimSpace(want); strings.Join(got, "; ") != want {
					t.Errorf("%s\n got %q\nwant %q", strings.TrimSpace(do), strings.Join(got, "; "), want)
				}
			}
		})
	}
}

// stage is a group of three nodes before the real rule, on a clock of its own.
type stage struct {
	traffic ha.Traffic
	view    ha.View
	rules   ha.Rules
	now     time.Time
	told    Told
	begun   bool
	all     []Message // everything told, for tests of texts
}

func newStage() *stage {
	s := &stage{rules: ha.DefaultRules(), now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	s.view = ha.NewView([]string{"core1", "core2", "dr1"})
	s.rules.Manual = []string{"dr1"}
	return s
}

// play does one line of a story and gives what it tells.
func (s *stage) play(t *testing.T, words []string) []string {
	t.Helper()
	wish := ha.Wish{Actor: "alice", Reason: "because", Force: slices.Contains(words, "force")}
	act := func(do ha.Act) {
		next, err := do(s.traffic, s.view, s.rules, wish, s.now)
		if err != nil {
			t.Fatalf("%v: %v", words, err)
		}
		s.traffic = next
	}
	switch words[0] {
	case "wait":
		d, err := time.ParseDuration(words[1])
		if err != nil {
			t.Fatal(err)
		}
		s.now = s.now.Add(d)
	case "restart":
		s.told, s.view = Told{}, ha.NewView([]string{"core1", "core2", "dr1"})
	case "damage":
		s.traffic = ha.Lost("mdm", s.traffic.Order, s.traffic.Epoch, "the file is cut short", s.now)
	case "skip": // a change that is made and not looked at
		s.traffic = ha.Apply(s.traffic, ha.Decision{Verb: ha.FailOver, Reason: ha.FailedOver, To: words[1]}, s.view, s.now)
		return nil
	case "follow":
		s.rules.OnPromoted = ha.PromotedFollow
		return nil
	case "hold":
		if len(words) > 1 {
			d, _ := time.ParseDuration(words[1])
			wish.Until = s.now.Add(d)
		}
		act(ha.HoldTraffic)
	case "release":
		act(ha.Release)
	case "resume":
		act(ha.Resume)
	case "switch":
		wish.To = words[1]
		act(ha.Switch)
	case "reorder":
		wish.Order = words[1:]
		act(ha.Reorder)
	default:
		s.round(t, words)
	}
	return s.look()
}

// round observes readings NODE=STATE, five seconds later; NODE=STATE@N carries
// node epoch N.
func (s *stage) round(t *testing.T, readings []string) {
	t.Helper()
	s.now = s.now.Add(5 * time.Second)
	for _, word := range readings {
		node, state, _ := strings.Cut(word, "=")
		r := ha.Reading{Node: node, At: s.now}
		if name, epoch, found := strings.Cut(state, "@"); found {
			state = name
			_, _ = fmt.Sscan(epoch, &r.Epoch)
		}
		switch state {
		case "down":
			r.Cause = ha.Refused
		default:
			if err := r.State.UnmarshalText([]byte(state)); err != nil {
				t.Fatal(err)
			}
		}
		s.view = s.view.Observe(r, s.traffic.Serving, s.rules.Fall)
	}
}

// look begins, decides, applies and learns as a shell does, and gives what
// each look tells.
func (s *stage) look() (told []string) {
	if !s.begun {
		if first, ok := ha.Begin("mdm", []string{"core1", "core2", "dr1"}, s.view, s.now); ok {
			s.traffic, s.begun = first, true
		}
	}
	if s.begun && s.traffic.Serving != "" {
		s.traffic, _ = ha.Learn(s.traffic, s.view, s.now)
	}
	for range 2 {
		situation := ha.Assess(s.traffic, s.view, s.rules, s.now)
		var messages []Message
		s.told, messages = Describe(s.told, situation)
		for _, m := range messages {
			told = append(told, brief(m))
		}
		s.all = append(s.all, messages...)
		s.traffic = ha.Apply(s.traffic, situation.Decision, s.view, s.now)
	}
	return told
}

// brief gives the parts of a message that a story names.
func brief(m Message) string {
	words := []string{string(m.Event), string(m.Severity)}
	if m.From != "" {
		words = append(words, m.From+">"+m.To)
	}
	switch {
	case len(m.Ends) > 3:
		words = append(words, "ends all else")
	case len(m.Ends) > 0:
		for _, r := range m.Ends {
			words = append(words, "-"+string(r))
		}
	}
	return strings.Join(words, " ")
}

func TestNothingIsToldOfAGroupWithoutTraffic(t *testing.T) {
	t.Parallel()
	told, messages := Describe(Told{}, ha.Assess(ha.Traffic{}, nil, ha.DefaultRules(), time.Now()))
	if told != (Told{}) || messages != nil {
		t.Errorf("got %+v and %v, want nothing", told, messages)
	}
}

func TestTwoProcessesGiveOneKeyToOneChange(t *testing.T) {
	t.Parallel()
	winner := ha.Traffic{Group: "mdm", Epoch: 2, Order: []string{"a", "b"}, Serving: "b", Cause: ha.FailedOver, At: time.Now()}
	follower := winner
	follower.At = winner.At.Round(0).In(time.FixedZone("elsewhere", 3600)) // read from the file
	if a, b := changeKey(winner), changeKey(follower); a != b {
		t.Errorf("got %q and %q, want the same", a, b)
	}
}

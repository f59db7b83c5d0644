package ha_test

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// now is the instant at which every case of a table is judged.
var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// A block is one case of a table: a sentence, facts ("key: value", one a
// line) and, after "=>", what must come of it. Blocks are parted by empty
// lines; lines that begin with # are for the reader.
type block struct {
	at    string // file and line of the sentence
	title string
	facts []fact
	want  string
}

type fact struct {
	at         string
	key, value string
}

// fault is what the parsers panic with; readTable turns it into an error.
type fault struct{ at, what string }

func (f fault) Error() string { return f.at + ": " + f.what }

func fail(at, format string, args ...any) { panic(fault{at, fmt.Sprintf(format, args...)}) }

// catch turns a fault into an error.
func catch(err *error) {
	switch f := recover().(type) {
	case nil:
	case fault:
		*err = f
	default:
		panic(f)
	}
}

func readTable(t *testing.T, name string) []block {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	blocks, err := parseTable(name, string(text))
	if err != nil {
		t.Fatal(err)
	}
	return blocks
}

func parseTable(name, text string) (blocks []block, err error) {
	defer catch(&err)
	var b *block
	finish := func() {
		if b != nil && b.want == "" {
			fail(b.at, "%q says nothing after =>", b.title)
		}
		b = nil
	}
	titles := map[string]string{}
	for i, line := range strings.Split(text, "\n") {
		at := fmt.Sprintf("%s:%d", name, i+1)
		line = strings.TrimSpace(line)
		key, value, isFact := strings.Cut(line, ":")
		want, isWant := strings.CutPrefix(line, "=>")
		switch {
		case line == "":
			finish()
		case line[0] == '#':
		case b == nil:
			if titles[line] != "" {
				fail(at, "%q stands at %s already", line, titles[line])
			}
			titles[line] = at
			blocks = append(blocks, block{at: at, title: line})
			b = &blocks[len(blocks)-1]
		case b.want != "":
			fail(at, "a line after => (is an empty line missing?)")
		case isWant:
			b.want = strings.TrimSpace(want)
		case isFact:
			b.facts = append(b.facts, fact{at, strings.TrimSpace(key), strings.TrimSpace(value)})
		default:
			fail(at, "%q is no fact (key: value)", line)
		}
	}
	finish()
	return blocks, nil
}

// scene is what the facts of a block build.
type scene struct {
	traffic ha.Traffic
	rules   ha.Rules
	view    ha.View
	later   ha.View // the facts of "later:", if there are any
	unarmed time.Duration
	stuck   bool
	others  []ha.Vote // what the other watchers say
	ask     fact      // what a person or the start asks for
	with    fact
}

// build reads all facts of a block.
func (b block) build() (s scene, err error) {
	defer catch(&err)
	s.rules = ha.DefaultRules()
	s.traffic = ha.Traffic{Group: "core", Epoch: 7, Since: now.Add(-time.Hour), At: now.Add(-time.Hour), Cause: ha.Started}
	for _, f := range b.facts {
		if f.key == "nodes" { // the first in order serves if nothing else is said
			s.traffic.Order = nodeNames(f)
			s.traffic.Serving = s.traffic.Order[0]
		}
	}
	if len(s.traffic.Order) == 0 {
		fail(b.at, "no nodes: line")
	}
	for _, f := range b.facts {
		s.take(f)
	}
	for _, f := range b.facts { // the view rests on who serves and on the rules
		switch f.key {
		case "nodes":
			s.view = s.look(f)
		case "later":
			s.later = s.look(f)
		}
	}
	s.view = s.view.Weigh(s.traffic, s.others)
	return s, nil
}

// take reads one fact that is not a view.
func (s *scene) take(f fact) {
	switch f.key {
	case "nodes", "later":
	case "serving":
		s.traffic.Serving = f.value
		if f.value == "nobody" {
			s.traffic.Serving, s.traffic.Cause = "", ha.Unknown
		}
	case "order":
		s.traffic.Order = strings.Fields(f.value)
	case "since":
		s.traffic.Since = now.Add(-length(f, f.value))
	case "hold":
		s.traffic.Hold = hold(f)
	case "policy":
		s.rules.OnPromoted = ha.OnPromoted(f.value)
	case "fall":
		s.rules.Fall = number(f, f.value)
	case "every request waits for":
		s.traffic.QueueUntil = now.Add(length(f, f.value))
	case "not armed for":
		s.unarmed = length(f, f.value)
	case "register":
		switch f.value {
		case "cannot be written":
			s.stuck = true
		case "cannot be reached":
			s.traffic.Adrift = ha.RegisterLost
		case "went back":
			s.traffic.Adrift = ha.RegisterBack
		default:
			fail(f.at, "unknown state of the register %q", f.value)
		}
	case "seen epoch":
		node, n, _ := strings.Cut(f.value, " ")
		if s.traffic.NodeEpochs == nil {
			s.traffic.NodeEpochs = map[string]uint64{}
		}
		s.traffic.NodeEpochs[node] = uint64(number(f, n))
	case "watchers":
		s.rules.Watchers = number(f, f.value)
	case "other watchers":
		s.others = votes(f, s.traffic)
	case "lease":
		s.rules.LeaseShared = f.value == "in the same register"
	case "ask":
		s.ask = f
	case "with":
		s.with = f
	default:
		fail(f.at, "unknown fact %q", f.key)
	}
}

// hold reads "by OWNER[, until AGO ago|until IN][, outage until AGO ago|outage
// until IN][, because TEXT]".
func hold(f fact) *ha.Hold {
	h := &ha.Hold{Since: now.Add(-30 * time.Minute), Reason: "patching"}
	for _, part := range strings.Split(f.value, ", ") {
		word, rest, _ := strings.Cut(part, " ")
		switch {
		case word == "by":
			h.Owner = rest
		case word == "because":
			h.Reason = rest
		case word == "until":
			h.Until = moment(f, rest)
		case word == "outage":
			h.OutageUntil = moment(f, strings.TrimPrefix(rest, "until "))
		default:
			fail(f.at, "unknown part of a hold %q", part)
		}
	}
	return h
}

// moment reads "AGO ago" or "IN".
func moment(f fact, text string) time.Time {
	if ago, is := strings.CutSuffix(text, " ago"); is {
		return now.Add(-length(f, ago))
	}
	return now.Add(length(f, text))
}

// votes reads "STANCE[, of an earlier epoch|of a later epoch|of NODE] | ...".
func votes(f fact, t ha.Traffic) (all []ha.Vote) {
	for part := range strings.SplitSeq(f.value, "|") {
		words := strings.Split(strings.TrimSpace(part), ", ")
		v := ha.Vote{Group: t.Group, Epoch: t.Epoch, Serving: t.Serving, Stance: ha.Stance(words[0])}
		switch v.Stance {
		case ha.StanceGood, ha.StanceMissing, ha.StanceDown:
		case "unread":
			v.Stance = ha.StanceUnknown
		default:
			fail(f.at, "%q is no stance", words[0])
		}
		for _, w := range words[1:] {
			switch node, ok := strings.CutPrefix(w, "of "); {
			case w == "of an earlier epoch":
				v.Epoch--
			case w == "of a later epoch":
				v.Epoch++
			case w == "of another group":
				v.Group = "another"
			case ok:
				v.Serving = node
			default:
				fail(f.at, "unknown part of a vote %q", w)
			}
		}
		all = append(all, v)
	}
	return all
}

func nodeNames(f fact) []string {
	var names []string
	for part := range strings.SplitSeq(f.value, "|") {
		name, _, _ := strings.Cut(strings.TrimSpace(part), " ")
		names = append(names, name)
	}
	return names
}

// story is what the readings of one node were, as the words of a table tell it.
type story struct {
	node   string
	state  string // Active, Standby, down, missed, unread
	misses int
	length time.Duration // for how long it has been in that state; 0: not said
	was    string        // what it read two hours ago; "": not said
	fresh  string        // of the last reading: "" (now), old, at once
	once   bool          // it was not read before the last reading
	epoch  uint64
	safe   bool
	doubt  bool
	hush   bool
}

// look gives the View after the readings that a nodes: line tells of.
func (s *scene) look(f fact) ha.View {
	var stories []story
	down := now // when the serving node went down
	for part := range strings.SplitSeq(f.value, "|") {
		st := s.story(f.at, strings.TrimSpace(part))
		if st.node == s.traffic.Serving && st.state == "down" {
			down = now.Add(-st.length)
		}
		stories = append(stories, st)
	}
	var readings []ha.Reading
	view := ha.NewView(nodeNames(f))
	for _, st := range stories {
		readings = append(readings, s.readings(st, down)...)
	}
	slices.SortStableFunc(readings, func(a, b ha.Reading) int { return cmp.Compare(a.At.UnixNano(), b.At.UnixNano()) })
	for _, r := range readings {
		view = view.Observe(ha.Believe(s.traffic, view, r), s.traffic.Serving, s.rules.Fall)
	}
	for _, st := range stories {
		if st.doubt {
			view, _ = view.Doubt(st.node, now)
		}
		if st.hush {
			view, _ = view.Hush(st.node, now)
		}
	}
	return view
}

// story reads "NODE STATE[, fact]...".
func (s *scene) story(at, text string) story {
	parts := strings.Split(text, ", ")
	words := strings.Fields(parts[0])
	if len(words) < 2 {
		fail(at, "%q is not a node and its state", text)
	}
	f := fact{at: at}
	st := story{node: words[0], state: words[1]}
	switch {
	case len(words) == 2:
	case len(words) == 3 && st.state == "missed":
		st.misses = number(f, words[2])
	case len(words) == 4 && words[2] == "for":
		st.length = length(f, words[3])
	default:
		fail(at, "%q is not a state", parts[0])
	}
	switch st.state {
	case "Active", "Standby", "unread":
	case "down":
		st.misses = s.rules.Fall
		st.length = cmp.Or(st.length, 10*time.Second)
	case "missed":
		if st.misses < 1 || st.misses >= s.rules.Fall {
			fail(at, "missed %d with fall %d: say down", st.misses, s.rules.Fall)
		}
	default:
		fail(at, "unknown state %q", st.state)
	}
	for _, p := range parts[1:] {
		word, rest, _ := strings.Cut(p, " ")
		switch {
		case p == "manual":
			s.rules.Manual = append(s.rules.Manual, st.node)
		case p == "suspect":
			st.doubt = true
		case p == "silent":
			st.hush = true
		case p == "old", p == "at once":
			st.fresh = p
		case p == "safe":
			st.safe = true
		case p == "read once":
			st.once = true
		case word == "was":
			st.was = rest
		case word == "epoch":
			st.epoch = uint64(number(f, rest))
		default:
			fail(at, "unknown fact %q of node %s", p, st.node)
		}
	}
	return st
}

const (
	took = 20 * time.Millisecond
	fast = 500 * time.Millisecond
)

// readings gives the readings of a node, oldest first. down is when the
// serving node went down.
func (s *scene) readings(st story, down time.Time) []ha.Reading {
	if st.state == "unread" {
		return nil
	}
	var all []ha.Reading
	add := func(state ha.State, at time.Time) {
		r := ha.Reading{Node: st.node, State: state, At: at, Took: took, Epoch: st.epoch, Safe: st.safe}
		if state == ha.NotAvailable {
			r.Cause = ha.Refused
		}
		all = append(all, r)
	}
	last := now.Add(-took)
	switch st.fresh {
	case "old":
		last = down.Add(-time.Millisecond)
	case "at once":
		last = down
	}
	state, missing := ha.NotAvailable, st.misses > 0
	if !missing {
		state = stateOf(st.state)
	}
	switch {
	case st.once, st.was == "unread", st.was == "" && st.length > 0:
	case st.was != "":
		add(stateOf(st.was), now.Add(-2*time.Hour))
	case missing && st.node == s.traffic.Serving:
		add(ha.Active, now.Add(-2*time.Hour))
	case missing:
		add(ha.Standby, now.Add(-2*time.Hour))
	default:
		add(state, now.Add(-2*time.Hour))
	}
	switch {
	case missing:
		end := last
		if st.state == "down" {
			end = now.Add(-st.length - took)
		}
		for i := st.misses - 1; i >= 0; i-- {
			add(state, end.Add(-time.Duration(i)*fast))
		}
		if end.Equal(last) {
			return all
		}
	case st.length > 0:
		add(state, now.Add(-st.length))
	}
	add(state, last)
	return all
}

func stateOf(word string) ha.State {
	switch word {
	case "Active":
		return ha.Active
	case "Standby":
		return ha.Standby
	}
	return ha.NotAvailable
}

func number(f fact, text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		fail(f.at, "%q is no number", text)
	}
	return n
}

func length(f fact, text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		fail(f.at, "%q is no length of time", text)
	}
	return d
}

func TestAFaultInATableIsNamedWithItsLine(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{"A.\nnodes: a Active\n", `x:1: "A." says nothing after =>`},
		{"A.\nnodes: a Active\n=> x\nhold: by me\n", "x:4: a line after => (is an empty line missing?)"},
		{"A.\n=> x\n\nA.\n=> y\n", `x:4: "A." stands at x:1 already`},
		{"A.\nnonsense\n=> x\n", `x:2: "nonsense" is no fact (key: value)`},
		{"A.\n=> x\n", "x:1: no nodes: line"},
		{"A.\nnodes: a Active\nholt: by me\n=> x\n", `x:3: unknown fact "holt"`},
		{"A.\nnodes: a Passive\n=> x\n", `x:2: unknown state "Passive"`},
		{"A.\nnodes: a\n=> x\n", `x:2: "a" is not a node and its state`},
		{"A.\nnodes: a Active, manuel\n=> x\n", `x:2: unknown fact "manuel" of node a`},
		{"A.\nnodes: a missed 3\n=> x\n", "x:2: missed 3 with fall 3: say down"},
		{"A.\nnodes: a Active for long\n=> x\n", `x:2: "long" is no length of time`},
	} {
		blocks, err := parseTable("x", c.text)
		if err == nil {
			_, err = blocks[len(blocks)-1].build()
		}
		if got := fmt.Sprint(err); got != c.want {
			t.Errorf("%q:\n got %s\nwant %s", c.text, got, c.want)
		}
	}
}

package ha_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/understudy-ha/understudy/internal/ha"
)

// wish reads the "ask:" and "with:" facts of a block.
func (s scene) wish() (act ha.Act, w ha.Wish, err error) {
	defer catch(&err)
	w = ha.Wish{Epoch: s.traffic.Epoch, Actor: "alice", Reason: "testing"}
	verb, rest, _ := strings.Cut(s.ask.value, " ")
	act, known := ha.Acts(verb)
	if !known {
		fail(s.ask.at, "unknown verb %q", verb)
	}
	switch verb {
	case "switch":
		w.To = strings.TrimPrefix(rest, "to ")
	case "reorder":
		w.Order = strings.Fields(rest)
	case "hold", "freeze":
		if until, is := strings.CutPrefix(rest, "outage until "); is {
			w.Outage = moment(s.ask, until)
		} else if rest != "" {
			w.Until = moment(s.ask, strings.TrimPrefix(rest, "until "))
		}
	}
	if s.with.at == "" {
		return act, w, nil
	}
	for _, part := range strings.Split(s.with.value, ", ") {
		word, rest, _ := strings.Cut(part, " ")
		switch {
		case part == "force":
			w.Force = true
		case part == "no reason":
			w.Reason = ""
		case part == "any epoch":
			w.Epoch = 0
		case word == "epoch":
			w.Epoch = uint64(number(s.with, rest))
		case part == "a name that is not proven":
			w.Claimed = true
		case word == "owner":
			w.Owner = rest
		default:
			fail(s.with.at, "unknown %q", part)
		}
	}
	return act, w, nil
}

// answer says in one line what came of a wish.
func answer(b block) (line string, err error) {
	s, err := b.build()
	if err != nil {
		return "", err
	}
	act, w, err := s.wish()
	if err != nil {
		return "", err
	}
	defer func() {
		if r := recover(); r != nil {
			line = fmt.Sprint("panic: ", r)
		}
	}()
	next, refusal := act(s.traffic, s.view, s.rules, w, now)
	if refusal != nil {
		return sayRefusal(s.traffic, next, refusal), nil
	}
	return sayTraffic(s.traffic, next), nil
}

func sayRefusal(before, after ha.Traffic, err error) string {
	var r *ha.Refusal
	switch {
	case !errors.As(err, &r):
		return "an error that is no Refusal: " + err.Error()
	case r.What == "" || r.Why == "" || r.Do == "" || r.Read == "":
		return fmt.Sprintf("a Refusal that does not say all: %+v", r)
	case !cmp.Equal(before, after):
		return "refused, but the traffic changed: " + cmp.Diff(before, after)
	}
	return fmt.Sprintf("refused %s: %s", r.Code, r.Why)
}

// sayTraffic puts a new Traffic into the words of wish.txt and start.txt.
func sayTraffic(before, t ha.Traffic) string {
	serves := t.Serving + " serves"
	if t.Serving == "" {
		serves = "nobody serves"
	}
	parts := []string{fmt.Sprintf("%s: %s", t.Cause, serves), fmt.Sprintf("epoch %d", t.Epoch)}
	add := func(if_ bool, format string, args ...any) {
		if if_ {
			parts = append(parts, fmt.Sprintf(format, args...))
		}
	}
	add(t.Since.Equal(now), "since now")
	add(!t.Since.Equal(now) && (t.Serving != before.Serving || !t.Since.Equal(before.Since)), "since another time")
	add(!cmp.Equal(before.Order, t.Order), "order %s", strings.Join(t.Order, " "))
	add(t.Actor != "", "by %s", t.Actor)
	add(t.Claimed, "not proven")
	add(t.Words != "", "%q", t.Words)
	add(t.Forced, "forced")
	if h := t.Hold; h != nil {
		add(true, "held by %s", h.Owner)
		add(!h.Until.IsZero(), "until %v from now", h.Until.Sub(now))
		add(!h.OutageUntil.IsZero(), "outage until %v from now", h.OutageUntil.Sub(now))
		add(h.Since.Equal(now), "since now: %s", h.Reason)
		add(!h.Since.Equal(now) && before.Hold != nil && h.Reason != before.Hold.Reason, "since before: %s", h.Reason)
	}
	add(now.Before(t.QueueUntil), "every request waits")
	for _, n := range t.Order {
		_, known := t.NodeEpochs[n]
		add(known && t.NodeEpochs[n] != before.NodeEpochs[n], "%s showed epoch %d", n, t.NodeEpochs[n])
		add(!known && before.NodeEpochs[n] != 0, "what %s showed is forgotten", n)
	}
	add(!t.At.Equal(now) && t.Epoch != before.Epoch, "made at another time")
	if err := t.Check(); err != nil {
		parts = append(parts, "impossible: "+err.Error())
	}
	return strings.Join(parts, ", ")
}

func TestAPersonsWishIsGrantedOrRefusedWithTheFact(t *testing.T) {
	t.Parallel()
	for _, b := range readTable(t, "wish.txt") {
		t.Run(b.title, func(t *testing.T) {
			t.Parallel()
			got, err := answer(b)
			if err != nil {
				t.Fatal(err)
			}
			if got != b.want {
				t.Errorf("%s\n got %s\nwant %s", b.at, got, b.want)
			}
		})
	}
}

func TestAWishChangesNothingItWasGiven(t *testing.T) {
	t.Parallel()
	for _, b := range readTable(t, "wish.txt") {
		s, err := b.build()
		if err != nil {
			t.Fatal(err)
		}
		same, _ := b.build()
		act, w, err := s.wish()
		if err != nil {
			t.Fatal(err)
		}
		next, _ := act(s.traffic, s.view, s.rules, w, now)
		spoil(next)
		if diff := cmp.Diff(same.traffic, s.traffic); diff != "" {
			t.Errorf("%s: the traffic it was given changed (-before +after):\n%s", b.at, diff)
		}
		if diff := cmp.Diff(same.view, s.view); diff != "" {
			t.Errorf("%s: the view it was given changed (-before +after):\n%s", b.at, diff)
		}
	}
}

// spoil writes into what a new Traffic must not share with the one before.
func spoil(t ha.Traffic) {
	for i := range t.Evidence {
		t.Evidence[i].Node = "spoiled"
	}
	if t.At.Equal(now) && len(t.Order) > 0 {
		t.Order[0] = "spoiled"
	}
}

func TestEvidenceIsTheLastReadingOfEveryNode(t *testing.T) {
	t.Parallel()
	s := sceneOf(t, "core1 down | core2 Standby | dr1 unread")
	next := ha.Apply(s.traffic, ha.Next(s.traffic, s.view, s.rules, now), s.view, now)
	want := []ha.Reading{s.view.Of("core1").Last, s.view.Of("core2").Last}
	if diff := cmp.Diff(want, next.Evidence); diff != "" {
		t.Errorf("evidence of a failover (-want +got):\n%s", diff)
	}
	held, err := ha.HoldTraffic(next, s.view, s.rules, ha.Wish{Actor: "alice", Reason: "testing"}, now)
	if diff := cmp.Diff(want, held.Evidence); err != nil || diff != "" {
		t.Errorf("evidence of a hold (-want +got): %v\n%s", err, diff)
	}
}

// sceneOf gives the scene of a nodes: line, with further facts.
func sceneOf(t testing.TB, nodes string, more ...string) scene {
	t.Helper()
	blocks, err := parseTable("here", strings.Join(slices.Concat([]string{"Here.", "nodes: " + nodes}, more, []string{"=> -"}), "\n"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := blocks[0].build()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestARefusalNamesWhatDidNotHappenAndWhy(t *testing.T) {
	t.Parallel()
	s := sceneOf(t, "core1 Active | core2 Standby")
	_, err := ha.Switch(s.traffic, s.view, s.rules, ha.Wish{To: "core2", Reason: "testing"}, now)
	want := "core: traffic was not switched to core2: core2 is in Standby and core1 serves well; a Standby does not serve clients"
	if err == nil || err.Error() != want {
		t.Errorf("\n got %v\nwant %s", err, want)
	}
	for _, r := range []*ha.Refusal{ha.NotStarted("core"), ha.Overtaken("core", 9)} {
		if r.What == "" || r.Why == "" || r.Do == "" || r.Read == "" {
			t.Errorf("%+v does not say all", r)
		}
	}
	if got := ha.NotStarted("core").Code; got != ha.Starting {
		t.Errorf("NotStarted has code %s", got)
	}
	if got := ha.Overtaken("core", 9); got.Code != ha.StaleEpoch || !strings.Contains(got.Why, "epoch 9") {
		t.Errorf("Overtaken is %+v", got)
	}
}

func TestNoRulesMakeANodeThatIsDownATarget(t *testing.T) {
	t.Parallel()
	s := sceneOf(t, "core1 down | core2 down")
	s.rules.Rise = 0
	var r *ha.Refusal
	if _, err := ha.Switch(s.traffic, s.view, s.rules, ha.Wish{To: "core2", Reason: "testing"}, now); !errors.As(err, &r) || r.Code != ha.NotReady {
		t.Errorf("got %v", err)
	}
}

func TestAHoldIsOverdueAfterItsEndOnly(t *testing.T) {
	t.Parallel()
	var none *ha.Hold
	for _, c := range []struct {
		hold *ha.Hold
		want bool
	}{
		{none, false},
		{&ha.Hold{}, false},
		{&ha.Hold{Until: now}, false},
		{&ha.Hold{Until: now.Add(time.Nanosecond)}, false},
		{&ha.Hold{Until: now.Add(-time.Nanosecond)}, true},
	} {
		if got := c.hold.Overdue(now); got != c.want {
			t.Errorf("%+v: overdue %v, want %v", c.hold, got, c.want)
		}
	}
}

func TestANodeThatNobodyWatchesIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	traffic := ha.Traffic{Group: "core", Epoch: 1, Order: []string{"core1", "core9"}, Serving: "core1"}
	view := ha.NewView([]string{"core1"}).Observe(ha.Reading{Node: "core1", Cause: ha.Refused, At: now}, "core1", 1)
	want := ha.Decision{Verb: ha.Wait, Reason: ha.NoStandby, Row: 13, About: "core9", Alarm: ha.Alarmed}
	if got := ha.Next(traffic, view, ha.Rules{Fall: 1}, now); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

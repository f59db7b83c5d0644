package ha_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/understudy-ha/understudy/internal/ha"
)

// nodes are the names that properties draw from.
var nodes = []string{"core1", "core2", "dr1", "dr2"}

// drawRules draws rules that can be.
func drawRules(t *rapid.T) ha.Rules {
	r := ha.DefaultRules()
	r.Fall = rapid.SampledFrom([]int{1, 2, 2, 3, 4}).Draw(t, "fall")
	r.Rise = rapid.IntRange(1, 3).Draw(t, "rise")
	r.PromotionTime = time.Duration(rapid.IntRange(0, 20).Draw(t, "promotion time")) * time.Second
	r.OnPromoted = rapid.SampledFrom([]ha.OnPromoted{"", ha.PromotedWait, ha.PromotedFollow, ha.PromotedFollow, ha.PromotedEpoch}).Draw(t, "policy")
	r.Manual = rapid.SliceOfN(rapid.SampledFrom(nodes), 0, 2).Draw(t, "manual")
	return r
}

// drawTraffic draws a Traffic that can be stored, of one to four nodes.
func drawTraffic(t *rapid.T) ha.Traffic {
	order := rapid.Permutation(nodes).Draw(t, "order")[:rapid.SampledFrom([]int{1, 2, 3, 3, 4, 4}).Draw(t, "size")]
	tr := ha.Traffic{
		Group: "core", Epoch: rapid.Uint64Range(1, 1<<40).Draw(t, "epoch"), Order: slices.Clone(order),
		Serving: order[rapid.SampledFrom([]int{0, 0, 0, 1, 2, 3}).Draw(t, "place")%len(order)],
		Since:   now.Add(-time.Duration(rapid.IntRange(0, 40).Draw(t, "since")) * time.Second), At: now, Cause: ha.Started,
	}
	if rapid.IntRange(0, 9).Draw(t, "held") == 0 {
		tr.Hold = &ha.Hold{Owner: "alice", Reason: "why", Since: now}
	}
	if rapid.IntRange(0, 19).Draw(t, "unknown") == 0 {
		tr.Serving, tr.Hold = "", &ha.Hold{Owner: "understudy", Reason: "why", Since: now}
	}
	if rapid.IntRange(0, 4).Draw(t, "freeze") == 0 {
		tr.QueueUntil = now.Add(time.Duration(rapid.IntRange(-2, 2).Draw(t, "freeze for")) * time.Second)
	}
	if rapid.Bool().Draw(t, "epochs") {
		tr.NodeEpochs = map[string]uint64{}
		for _, n := range order {
			tr.NodeEpochs[n] = rapid.Uint64Range(0, 4).Draw(t, "seen epoch")
		}
	}
	if rapid.IntRange(0, 3).Draw(t, "acted") == 0 {
		tr.Actor, tr.Words, tr.Claimed, tr.Forced = "bob", "why", true, true
	}
	return tr
}

// drawReading draws a reading that began at the given time.
func drawReading(t *rapid.T, node string, at time.Time) ha.Reading {
	r := ha.Reading{
		Node: node, State: ha.State(rapid.SampledFrom([]int{0, 0, 1, 1, 2, 2}).Draw(t, "state")), At: at,
		Took:  time.Duration(rapid.IntRange(0, 2).Draw(t, "took")) * time.Second / 2,
		Epoch: rapid.Uint64Range(0, 4).Draw(t, "epoch"), Safe: rapid.IntRange(0, 3).Draw(t, "safe") == 0,
	}
	if r.State == ha.NotAvailable {
		r.Cause = ha.Timeout
	}
	return r
}

// drawView draws what a watcher can have seen of the nodes of a Traffic: of
// each node some readings of any kind and then a run of one kind, long enough
// to make it down or not. Often the serving node and some after it are lost.
func drawView(t *rapid.T, tr ha.Traffic, fall int) ha.View {
	var readings []ha.Reading
	serving := slices.Index(tr.Order, tr.Serving)
	lost := serving + rapid.IntRange(0, 3).Draw(t, "lost")
	for i, n := range tr.Order {
		for range rapid.IntRange(0, 2).Draw(t, "early") {
			at := now.Add(-time.Duration(rapid.IntRange(30, 60).Draw(t, "at")) * time.Second)
			readings = append(readings, drawReading(t, n, at))
			if n != tr.Serving && rapid.Bool().Draw(t, "stood by") {
				readings[len(readings)-1].State = ha.Standby
			}
		}
		last := drawReading(t, n, now)
		run := rapid.IntRange(0, 5).Draw(t, "run")
		if i >= serving && i < lost {
			last.State, last.Cause, run = ha.NotAvailable, ha.Refused, max(run, fall)
		}
		ago := rapid.IntRange(1, 8).Draw(t, "last at")
		if i == serving {
			ago += 3
		}
		last.At = now.Add(-time.Duration(ago) * time.Second)
		for k := range run {
			readings = append(readings, last)
			readings[len(readings)-1].At = last.At.Add(-time.Duration(k) * time.Second)
		}
	}
	slices.SortStableFunc(readings, func(a, b ha.Reading) int { return a.At.Compare(b.At) })
	v := ha.NewView(tr.Order)
	for _, r := range readings {
		v = v.Observe(ha.Believe(tr, v, r), tr.Serving, fall)
		if rapid.IntRange(0, 9).Draw(t, "doubt") == 0 {
			v, _ = v.Doubt(rapid.SampledFrom(tr.Order).Draw(t, "node"), r.At)
		}
		if rapid.IntRange(0, 9).Draw(t, "hush") == 0 {
			v, _ = v.Hush(rapid.SampledFrom(tr.Order).Draw(t, "node"), r.At)
		}
	}
	return v
}

// drawGroup draws all of the above.
func drawGroup(t *rapid.T) (ha.Traffic, ha.View, ha.Rules) {
	tr, rules := drawTraffic(t), drawRules(t)
	return tr, drawView(t, tr, rules.Fall), rules
}

// row gives the row of the truth table of design that fits first, told in the
// words of that table rather than as the code walks it.
func row(tr ha.Traffic, v ha.View, rules ha.Rules) int {
	serving := v.Of(tr.Serving)
	place := slices.Index(tr.Order, tr.Serving)
	after := tr.Order[place+1:]
	reads := func(n string, s ha.State) bool { return v.Of(n).Known() && v.Of(n).Last.State == s }
	fresh := func(n string) bool { return v.Of(n).Known() && !v.Of(n).Last.At.Before(serving.DownAt) }
	ready := func(n string) bool { return reads(n, ha.Standby) && fresh(n) }
	active := func(n string) bool { return reads(n, ha.Active) && fresh(n) }
	down := func(n string) bool { return v.Of(n).Misses >= rules.Fall && fresh(n) }
	manual := func(n string) bool { return slices.Contains(rules.Manual, n) }
	is := func(i int, what func(string) bool) bool { return i < len(after) && what(after[i]) }
	first := 0 // the first node after the serving one that is not down
	for first < len(after) && down(after[first]) {
		first++
	}
	proven := func(n string) bool {
		return (rules.OnPromoted == ha.PromotedEpoch || rules.OnPromoted == "" && v.Of(n).Last.Safe) &&
			!slices.ContainsFunc(tr.Order, func(o string) bool {
				return o != n && max(tr.NodeEpochs[o], v.Of(o).Last.Epoch) >= v.Of(n).Last.Epoch
			})
	}
	followed := is(0, proven) || rules.OnPromoted == ha.PromotedFollow && is(0, func(n string) bool { return v.Of(n).AtMiss == ha.Standby })
	isActive := func(n string) bool {
		return n != tr.Serving && (reads(n, ha.Active) || v.Of(n).Last.Cause == ha.Stale)
	}
	standby := now.Sub(serving.Since) > rules.PromotionTime && now.Sub(tr.Since) > rules.PromotionTime
	rows := []bool{
		0:  tr.Serving == "",
		1:  serving.Available() && slices.ContainsFunc(tr.Order, isActive),
		2:  serving.Available() && serving.Last.State == ha.Standby && standby,
		3:  serving.Available(),
		4:  serving.Misses < rules.Fall,
		5:  tr.Hold != nil,
		6:  len(after) == 0,
		7:  is(0, ready) && !is(0, manual),
		8:  is(0, ready),
		9:  is(0, active) && followed && !is(0, manual),
		10: is(first, active),
		11: first > 0 && is(first, ready) && !is(first, manual),
		12: first > 0 && is(first, ready),
		13: true,
	}
	return slices.Index(rows, true)
}

func TestTheFirstRowThatFitsDecides(t *testing.T) {
	t.Parallel()
	seen := [14]int{}
	rapid.Check(t, func(t *rapid.T) {
		tr, v, rules := drawGroup(t)
		d := ha.Next(tr, v, rules, now)
		if want := row(tr, v, rules); d.Row != want {
			t.Fatalf("row %d (%+v), want %d", d.Row, d, want)
		}
		if again := ha.Next(tr, v, rules, now); again != d {
			t.Fatalf("%+v, then %+v of the same", d, again)
		}
		seen[d.Row]++
	})
	t.Logf("drawn of each row: %v", seen)
	if slices.Contains(seen[:], 0) {
		t.Errorf("a row was never drawn: %v", seen)
	}
}

func TestTrafficMovesOnlyDownTheOrderAndOnlyOntoAReadyNode(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		tr, v, rules := drawGroup(t)
		d := ha.Next(tr, v, rules, now)
		if d.Verb != ha.FailOver {
			if next := ha.Apply(tr, d, v, now); !cmp.Equal(next, tr) {
				t.Fatalf("%+v changed the traffic: %s", d, cmp.Diff(tr, next))
			}
			return
		}
		from, to := slices.Index(tr.Order, tr.Serving), slices.Index(tr.Order, d.To)
		serving, target := v.Of(tr.Serving), v.Of(d.To)
		switch {
		case to <= from:
			t.Fatalf("%+v goes up the order", d)
		case tr.Hold != nil:
			t.Fatalf("%+v while held", d)
		case serving.Misses < rules.Fall:
			t.Fatalf("%+v after %d misses", d, serving.Misses)
		case target.Last.At.Before(serving.DownAt) || !target.Known():
			t.Fatalf("%+v on an old reading", d)
		case slices.Contains(rules.Manual, d.To):
			t.Fatalf("%+v to a node for a person only", d)
		case target.Last.State != ha.Standby && (d.Row != 9 || to != from+1 || rules.OnPromoted == ha.PromotedWait || rules.OnPromoted == "" && !target.Last.Safe):
			t.Fatalf("%+v onto a node that reads %v", d, target.Last.State)
		}
		for _, between := range tr.Order[from+1 : to] {
			if v.Of(between).Misses < rules.Fall {
				t.Fatalf("%+v past %s, which is not down", d, between)
			}
		}
		next := ha.Apply(tr, d, v, now)
		if next.Serving != d.To || next.Epoch != tr.Epoch+1 || !next.Since.Equal(now) || next.Cause != d.Reason || next.Actor != "" || next.Words != "" || next.Forced || next.Claimed {
			t.Fatalf("%+v led to %+v", d, next)
		}
		if again := ha.Next(next, v, rules, now); again.Verb == ha.FailOver {
			t.Fatalf("%+v, then %+v without a new reading", d, again)
		}
	})
}

// The times of readings are of this process and follow no clock that is set;
// those of a stored Traffic are the wall's, which may have been.
func TestAClockThatWasSetMovesNoTrafficAndHoldsNoRequest(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		tr, v, rules := drawGroup(t)
		tr.QueueUntil = time.Time{}
		want := ha.Next(tr, v, rules, now)
		queue := ha.Queue(tr, want, v, now)
		jump := time.Duration(rapid.SampledFrom([]int{-1, 1}).Draw(t, "back or forth")*rapid.IntRange(1, 1000).Draw(t, "hours")) * time.Hour
		tr.Since, tr.At = tr.Since.Add(jump), tr.At.Add(jump)
		if tr.Hold != nil {
			hold := *tr.Hold
			hold.Since, hold.Until = hold.Since.Add(jump), now.Add(jump)
			tr.Hold = &hold
		}
		tr.QueueUntil = now.Add(jump)
		got := ha.Next(tr, v, rules, now)
		if got != want && (got.Row > 3 || want.Row > 3 || got.Verb != ha.Stay || want.Verb != ha.Stay) {
			t.Fatalf("%+v, and after a jump of %s %+v", want, jump, got)
		}
		if waits := ha.Queue(tr, got, v, now); waits != queue {
			t.Fatalf("queue %d, and after a jump of %s %d", queue, jump, waits)
		}
	})
}

func TestOnlyAnActivePageOfProfileSafeIsNotBelievedAndOnlyBelowAnEpochThatWasSeen(t *testing.T) {
	t.Parallel()
	refused := 0
	rapid.Check(t, func(t *rapid.T) {
		tr, v, _ := drawGroup(t)
		said := drawReading(t, rapid.SampledFrom(tr.Order).Draw(t, "node"), now)
		got := ha.Believe(tr, v, said)
		seen := uint64(0)
		for _, s := range v {
			seen = max(seen, s.Last.Epoch, tr.NodeEpochs[s.Node])
		}
		over := said.Safe && said.State == ha.Active && said.Epoch > 0 && said.Epoch < seen
		if !over {
			if got != said {
				t.Fatalf("%+v became %+v", said, got)
			}
			return
		}
		if got.State != ha.NotAvailable || got.Cause != ha.Stale || got.Detail == "" || got.Epoch != said.Epoch {
			t.Fatalf("%+v is believed after epoch %d: %+v", said, seen, got)
		}
		refused++
	})
	if refused == 0 {
		t.Error("no page was refused")
	}
}

func TestAFlapOfFewerMissesThanFallNeverMoves(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		tr, rules := drawTraffic(t), drawRules(t)
		v, missed := ha.NewView(tr.Order), 0
		for i := range rapid.IntRange(1, 40).Draw(t, "readings") {
			r := drawReading(t, rapid.SampledFrom(tr.Order).Draw(t, "node"), now.Add(time.Duration(i)*time.Second))
			if r.Node == tr.Serving {
				if missed++; r.State.Available() || missed >= rules.Fall {
					r.State, missed = ha.Active, 0
				}
			}
			v = v.Observe(r, tr.Serving, rules.Fall)
			if d := ha.Next(tr, v, rules, r.End()); d.Verb == ha.FailOver {
				t.Fatalf("reading %d: %+v", i, d)
			}
		}
	})
}

func TestASightIsWhatItsReadingsWere(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		tr, fall := drawTraffic(t), rapid.IntRange(1, 4).Draw(t, "fall")
		v := ha.NewView(tr.Order)
		history := map[string][]ha.Reading{}
		atMiss := map[string]ha.State{}
		for i := range rapid.IntRange(1, 30).Draw(t, "readings") {
			r := drawReading(t, rapid.SampledFrom(nodes).Draw(t, "node"), now.Add(time.Duration(i)*time.Second))
			before := slices.Clone(v)
			next := v.Observe(r, tr.Serving, fall)
			if !slices.Equal(before, v) {
				t.Fatalf("Observe changed the view it was given: %s", cmp.Diff(before, v))
			}
			v = next
			if !slices.Contains(tr.Order, r.Node) {
				if !slices.Equal(before, v) {
					t.Fatalf("a stranger's reading changed the view: %s", cmp.Diff(before, v))
				}
				continue
			}
			was := history[r.Node]
			first := r.State == ha.NotAvailable && (len(was) == 0 || was[len(was)-1].State.Available())
			history[r.Node] = append(was, r)
			if r.Node == tr.Serving && first {
				for _, n := range tr.Order {
					atMiss[n] = v.Of(n).Last.State
				}
			}
			for _, s := range v {
				want := sight(s.Node, history[s.Node], fall)
				want.AtMiss, want.Noted = atMiss[s.Node], s.Node == tr.Serving && want.Misses > 0
				if s != want {
					t.Fatalf("reading %d (-want +got):\n%s", i, cmp.Diff(want, s))
				}
			}
		}
	})
}

// sight gives the Sight of a node from all its readings, oldest first.
func sight(node string, readings []ha.Reading, fall int) ha.Sight {
	s := ha.Sight{Node: node}
	if len(readings) == 0 {
		return s
	}
	s.Last = readings[len(readings)-1]
	run := 0 // readings at the end that are alike in being available or not
	for _, r := range slices.Backward(readings) {
		if r.State.Available() != s.Last.State.Available() {
			break
		}
		run++
	}
	for _, r := range slices.Backward(readings) {
		if r.State != s.Last.State {
			break
		}
		s.Since = r.At
	}
	if s.Last.State.Available() {
		s.Passes = run
		return s
	}
	if s.Misses = run; run >= fall {
		s.DownAt = readings[len(readings)-run+fall-1].End()
	}
	return s
}

func TestEverythingWaitsOnlyForADecisionOrAFreeze(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		tr, v, rules := drawGroup(t)
		d, serving := ha.Next(tr, v, rules, now), v.Of(tr.Serving)
		pending := d.Verb == ha.FailOver || d.Reason == ha.Confirming || d.Reason == ha.Starting
		doubtful := tr.Serving != "" && !serving.Down() && (serving.Misses > 0 || !serving.Suspect.IsZero())
		want := ha.QueueNone
		switch {
		case tr.QueueUntil.After(now) || pending || serving.Silent && !serving.Down():
			want = ha.QueueAll
		case doubtful:
			want = ha.QueueUnsafe
		}
		if got := ha.Queue(tr, d, v, now); got != want {
			t.Fatalf("%+v: queue %v, want %v", d, got, want)
		}
	})
}

func TestArmedTellsWhereTrafficWouldGo(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		tr, v, rules := drawGroup(t)
		to, why := ha.Armed(tr, v, rules, now)
		if (to == "") == (why == "") {
			t.Fatalf("armed to %q because of %q", to, why)
		}
		if to != "" {
			if d := ha.Next(tr, lose(tr, v, rules), rules, now.Add(time.Hour)); d.Verb != ha.FailOver || d.To != to {
				t.Fatalf("armed to %s, but %+v", to, d)
			}
		}
		if tr.Serving == "" {
			return
		}
		lost := slices.Clone(v) // the same readings, but all of now, and the serving node down
		for i := range lost {
			if lost[i].Node == tr.Serving {
				lost[i].Last.State, lost[i].DownAt = ha.NotAvailable, cmpOr(lost[i].DownAt, now)
				lost[i].Last.At = now
			} else if lost[i].Known() && !v.Of(tr.Serving).Down() {
				lost[i].Last.At = now
			}
		}
		d := ha.Next(tr, lost, rules, now)
		if moves := d.Row == 7 || d.Row == 11; moves != (to != "") || (moves && d.To != to) || (!moves && d.Reason != why) {
			t.Fatalf("armed to %q (%s), but down it is %+v", to, why, d)
		}
	})
}

func cmpOr(t, other time.Time) time.Time {
	if t.IsZero() {
		return other
	}
	return t
}

// lose gives the view after the serving node has gone down and every other
// node has been read again as before.
func lose(tr ha.Traffic, v ha.View, rules ha.Rules) ha.View {
	lost := v
	for i := range rules.Fall {
		lost = lost.Observe(ha.Reading{Node: tr.Serving, Cause: ha.Refused, At: now.Add(time.Duration(i) * time.Second)}, tr.Serving, rules.Fall)
	}
	for _, s := range v {
		if s.Known() && s.Node != tr.Serving {
			r := s.Last
			r.At = now.Add(time.Minute)
			lost = lost.Observe(r, tr.Serving, rules.Fall)
		}
	}
	return lost
}

// drawWild draws values that cannot be, to be survived all the same.
func drawWild(t *rapid.T) (ha.Traffic, ha.View, ha.Rules) {
	name := rapid.SampledFrom(append([]string{"", "stranger"}, nodes...))
	times := rapid.SampledFrom([]time.Time{{}, now, now.Add(-time.Minute), now.Add(time.Minute)})
	tr := ha.Traffic{
		Group: name.Draw(t, "group"), Epoch: rapid.Uint64().Draw(t, "epoch"), Order: rapid.SliceOfN(name, 0, 4).Draw(t, "order"),
		Serving: name.Draw(t, "serving"), Since: times.Draw(t, "since"), QueueUntil: times.Draw(t, "freeze"), Provisional: name.Draw(t, "provisional"),
	}
	if rapid.Bool().Draw(t, "held") {
		tr.Hold = &ha.Hold{Until: times.Draw(t, "until")}
	}
	var v ha.View
	for range rapid.IntRange(0, 5).Draw(t, "nodes") {
		v = append(v, ha.Sight{
			Node: name.Draw(t, "node"), Misses: rapid.IntRange(-1, 5).Draw(t, "misses"), Passes: rapid.IntRange(-1, 5).Draw(t, "passes"),
			Last:  ha.Reading{Node: name.Draw(t, "of"), State: ha.State(rapid.IntRange(0, 4).Draw(t, "state")), At: times.Draw(t, "at")},
			Since: times.Draw(t, "since"), DownAt: times.Draw(t, "down"), Suspect: times.Draw(t, "suspect"), AtMiss: ha.State(rapid.IntRange(0, 3).Draw(t, "at miss")),
		})
	}
	rules := drawRules(t)
	rules.Fall = rapid.IntRange(-1, 3).Draw(t, "fall")
	return tr, v, rules
}

func TestNothingPanicsWhateverItIsGiven(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		tr, v, rules := drawWild(t)
		a := ha.Assess(tr, v, rules, now)
		tr.Epoch |= 1 // a Traffic that passes Check moves down only, whatever the view is
		if a.Decision.Verb == ha.FailOver && tr.Check() == nil && slices.Index(tr.Order, a.Decision.To) <= slices.Index(tr.Order, tr.Serving) {
			t.Fatalf("%+v goes up the order", a.Decision)
		}
		_ = fmt.Sprint(a.Decision.Verb, a.Decision.Alarm, a.Alarms(), same(a, ha.Stuck(next(a, a))))
		_ = ha.Apply(tr, a.Decision, v, now).Check()
		w := ha.Wish{To: a.Decision.To, Order: tr.Order, Reason: "why", Force: rapid.Bool().Draw(t, "force"), Until: now.Add(time.Hour)}
		for _, verb := range []string{"resume", "switch", "reorder", "hold", "release"} {
			act, _ := ha.Acts(verb)
			_, _ = act(tr, v, rules, w, now)
		}
		_, _ = ha.Begin("core", tr.Order, v, now)
		_, _ = ha.Learn(tr, v, now)
		_, _, _ = ha.Fit(tr, rapid.SliceOfN(rapid.SampledFrom(nodes), 0, 4).Draw(t, "configured"), now)
		_ = ha.Target(ha.Provide(tr, v), v)
		_ = ha.Wanted(tr, v.Keep(tr.Order, nil), tr.Serving)
		_ = v.Observe(ha.Reading{Node: tr.Serving}, tr.Serving, rules.Fall)
		for _, n := range append(tr.Order, "stranger") {
			_ = ha.Pages(tr.Order, tr.Serving, n)
		}
	})
}

// copyOf gives a Traffic that shares nothing with t.
func copyOf(t ha.Traffic) ha.Traffic {
	t.Order, t.Evidence, t.NodeEpochs = slices.Clone(t.Order), slices.Clone(t.Evidence), maps.Clone(t.NodeEpochs)
	if t.Hold != nil {
		hold := *t.Hold
		t.Hold = &hold
	}
	return t
}

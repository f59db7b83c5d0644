package ha_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/understudy-ha/understudy/internal/ha"
)

// drawWish draws a wish for a group.
func drawWish(t *rapid.T, tr ha.Traffic) ha.Wish {
	return ha.Wish{
		To:     rapid.SampledFrom(tr.Order).Draw(t, "to"),
		Order:  rapid.Permutation(tr.Order).Draw(t, "new order"),
		Epoch:  rapid.SampledFrom([]uint64{tr.Epoch, tr.Epoch, tr.Epoch, 0, tr.Epoch + 1}).Draw(t, "shown"),
		Actor:  "alice",
		Reason: rapid.SampledFrom([]string{"why", "why", "why", ""}).Draw(t, "reason"),
		Force:  rapid.IntRange(0, 3).Draw(t, "force") == 0,
		Until:  rapid.SampledFrom([]time.Time{{}, now, now.Add(time.Hour)}).Draw(t, "until"),
	}
}

func TestAMoveWithoutForceNeverGoesToADoubtfulNode(t *testing.T) {
	t.Parallel()
	granted := 0
	rapid.Check(t, func(t *rapid.T) {
		tr, v, rules := drawGroup(t)
		w := drawWish(t, tr)
		w.Force, w.Reason, w.Epoch = false, "why", tr.Epoch
		resume := rapid.Bool().Draw(t, "resume")
		act := ha.Switch
		if resume {
			act, w.To = ha.Resume, tr.Order[0]
		}
		target, serving := v.Of(w.To), v.Of(tr.Serving)
		onlyActive, oneActive := target.Last.State == ha.Active, false
		for _, s := range v {
			oneActive = oneActive || (s.Node != w.To && s.Known() && s.Last.State == ha.Active)
		}
		onlyActive = onlyActive && !oneActive
		settled := serving.Misses == 0 && serving.Known() || serving.Misses >= rules.Fall
		safe := tr.Serving != "" && tr.Hold == nil && tr.Serving != w.To &&
			target.Known() && target.Passes >= rules.Rise && settled &&
			(onlyActive || target.Last.State == ha.Standby && serving.Misses >= rules.Fall)
		next, err := act(tr, v, rules, w, now)
		if safe != (err == nil) {
			t.Fatalf("safe %v, but the answer is %v", safe, err)
		}
		if err != nil {
			return
		}
		granted++
		if next.Serving != w.To || next.Epoch != tr.Epoch+1 || !next.Since.Equal(now) || next.Forced || !next.QueueUntil.IsZero() {
			t.Fatalf("led to %+v", next)
		}
	})
	if granted < 20 {
		t.Errorf("only %d were granted", granted)
	}
}

func TestEveryChangeIsOneEpochLaterPossibleAndSharesNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		tr, v, rules := drawGroup(t)
		was, seen := copyOf(tr), slices.Clone(v)
		verb := rapid.SampledFrom([]string{"resume", "switch", "reorder", "hold", "release", "apply", "learn", "fit"}).Draw(t, "verb")
		next, changed := tr, false
		switch verb {
		case "apply":
			d := ha.Next(tr, v, rules, now)
			next, changed = ha.Apply(tr, d, v, now), d.Verb == ha.FailOver
		case "learn":
			next, changed = ha.Learn(tr, v, now)
		case "fit":
			var err error
			next, changed, err = ha.Fit(tr, drawConfigured(t), now)
			changed = changed && err == nil
		default:
			act, _ := ha.Acts(verb)
			var err error
			next, err = act(tr, v, rules, drawWish(t, tr), now)
			changed = err == nil
			var refusal *ha.Refusal
			if err != nil && !errors.As(err, &refusal) {
				t.Fatalf("%s: an error that is no Refusal: %v", verb, err)
			}
		}
		switch {
		case !changed && !cmp.Equal(was, next):
			t.Fatalf("%s changed nothing, but: %s", verb, cmp.Diff(was, next))
		case !changed:
			return
		case next.Epoch != was.Epoch+1 && (was.Serving != "" || next.Epoch <= was.Epoch):
			t.Fatalf("%s led from epoch %d to %d", verb, was.Epoch, next.Epoch)
		case next.Check() != nil:
			t.Fatalf("%s led to what cannot be: %v", verb, next.Check())
		case !next.At.Equal(now):
			t.Fatalf("%s was made at %v", verb, next.At)
		case verb != "apply" && verb != "resume" && verb != "switch" && (next.Serving != was.Serving || !next.Since.Equal(was.Since)):
			t.Fatalf("%s moved traffic", verb)
		case (next.Hold == nil) != (was.Hold == nil) && verb != "hold" && verb != "release" && was.Serving != "":
			t.Fatalf("%s touched the hold", verb)
		}
		target := v.Of(next.Serving).Last
		for n, e := range was.NodeEpochs {
			overruled := next.Forced && target.Cause == ha.Stale && e > target.Epoch
			if next.NodeEpochs[n] < e && !overruled {
				t.Fatalf("%s forgot epoch %d of %s", verb, e, n)
			}
		}
		for i := range next.Order {
			next.Order[i] = "spoiled"
		}
		for i := range next.Evidence {
			next.Evidence[i].Node = "spoiled"
		}
		if !cmp.Equal(was, tr) || !slices.Equal(seen, v) {
			t.Fatalf("%s wrote into what it was given: %s %s", verb, cmp.Diff(was, tr), cmp.Diff(seen, v))
		}
	})
}

// drawConfigured draws the order of a configuration.
func drawConfigured(t *rapid.T) []string {
	return rapid.Permutation(nodes).Draw(t, "configured")[:rapid.IntRange(1, len(nodes)).Draw(t, "configured size")]
}

func TestAnOrderThatIsFittedIsTheConfiguredNodesInTheStoredOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		tr, configured := drawTraffic(t), drawConfigured(t)
		next, differs, err := ha.Fit(tr, configured, now)
		if missing := tr.Serving != "" && !slices.Contains(configured, tr.Serving); missing != (err != nil) {
			t.Fatalf("serving node missing: %v, error %v", missing, err)
		}
		if err != nil {
			return
		}
		sorted := func(names []string) []string { return slices.Sorted(slices.Values(names)) }
		only := func(of, in []string) []string {
			return slices.DeleteFunc(slices.Clone(of), func(n string) bool { return !slices.Contains(in, n) })
		}
		switch {
		case !slices.Equal(sorted(next.Order), sorted(configured)):
			t.Fatalf("%v fitted to %v is %v", tr.Order, configured, next.Order)
		case !slices.Equal(only(next.Order, tr.Order), only(tr.Order, configured)):
			t.Fatalf("%v fitted to %v is %v: the stored order is lost", tr.Order, configured, next.Order)
		case differs == slices.Equal(next.Order, tr.Order):
			t.Fatalf("%v fitted to %v is %v, differs %v", tr.Order, configured, next.Order, differs)
		case slices.Equal(only(tr.Order, configured), only(configured, tr.Order)) && !slices.Equal(next.Order, configured):
			t.Fatalf("%v agrees with %v but is fitted to %v", tr.Order, configured, next.Order)
		}
		if again, differs, err := ha.Fit(next, configured, now); differs || err != nil || !cmp.Equal(again, next) {
			t.Fatalf("fitted again it differs: %s", cmp.Diff(next, again))
		}
	})
}

func TestAFirstStartNeverGuessesBetweenTwoActiveNodes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		tr, v, _ := drawGroup(t)
		var active []ha.Sight
		whole := true
		for _, s := range v {
			whole = whole && s.Known()
			if s.Known() && s.Last.State == ha.Active {
				active = append(active, s)
			}
		}
		begun, ok := ha.Begin("core", tr.Order, v, now)
		if ok != whole {
			t.Fatalf("every node read: %v, begun: %v", whole, ok)
		}
		if !ok {
			return
		}
		want := tr.Order[0]
		switch len(active) {
		case 0:
		case 1:
			want = active[0].Node
		default:
			slices.SortFunc(active, func(a, b ha.Sight) int { return int(b.Last.Epoch) - int(a.Last.Epoch) })
			want = active[0].Node
			if active[len(active)-1].Last.Epoch == 0 || active[0].Last.Epoch == active[1].Last.Epoch {
				want = ""
			}
		}
		if begun.Serving != want || begun.Epoch != 1 || begun.Check() != nil || (want == "") != (begun.Hold != nil) {
			t.Fatalf("%d Active; got %+v, want %q to serve", len(active), begun, want)
		}
		if target := ha.Target(ha.Provide(begun, v), v); target != want {
			t.Fatalf("requests go to %q, want %q", target, want)
		}
		lost := ha.Provide(ha.Lost("core", tr.Order, 9, "why", now), v)
		if target := ha.Target(lost, v); (len(active) == 1) != (target != "") {
			t.Fatalf("%d Active and the file is lost: requests go to %q", len(active), target)
		}
	})
}

//go:build linux

package integration

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/upgrade"
)

// exact says whether figures are held to their bounds, as by make bench: the
// machine has nothing else to do, and nothing watches for data races. Otherwise
// they are only printed.
func exact() bool { return os.Getenv("UNDERSTUDY_FIGURES") != "" }

// took gives how long each step of a run took, without its waiting for people.
func took(all []upgrade.Entry) map[string]time.Duration {
	steps, began := map[string]time.Duration{}, map[string]time.Time{}
	for _, e := range all {
		switch e.What {
		case upgrade.Starts:
			began[e.Step] = e.At
		case upgrade.Is:
			steps[e.Step] = e.At.Sub(began[e.Step])
		}
	}
	return steps
}

// TestFigureOfASwitchoverUnderAThousandRequests swaps the roles of a pair that
// copies its data, and back, under 1,000 requests a second through the front:
// not one that may be sent again fails, and none waits longer than the final
// sync, the stop and the start take, and a second.
func TestFigureOfASwitchoverUnderAThousandRequests(t *testing.T) {
	s := startCopyingSite(t)
	s.configure("switchover")
	pause := 10 * time.Millisecond
	if exact() {
		pause = 1600 * time.Microsecond // twice, and some ticks are lost
	}
	file, _ := s.plan("switchover")
	began := time.Now()
	l, more := s.front.pour(pause, "/", plainGet, plainHead, remove, emptyPut), s.front.pour(pause, "/", plainGet, plainHead, remove, emptyPut)
	l.awaitAnswers(t, 200, "core1")
	s.must(12, "apply", file)
	l.awaitAnswers(t, 200, "core2")
	there := append(l.taken(), more.taken()...)
	half := time.Now()
	s.must(0, "approve", "--reason", "maintenance done")
	l.awaitAnswers(t, 200, "core1")
	answers := append(l.end(), more.end()...)
	back := slices.DeleteFunc(slices.Clone(answers), func(a answer) bool { return a.begun.Before(half) })
	rate := float64(len(answers)) / time.Since(began).Seconds()
	s.expectWhole("1.0", "core1")
	bad := slices.DeleteFunc(slices.Clone(answers), func(a answer) bool { return a.err == nil && a.status == 200 })
	if len(bad) > 0 {
		t.Errorf("%d of %d requests failed, the first: %v", len(bad), len(answers), bad[0])
	}
	t.Logf("%d requests, %.0f a second, %d failed", len(answers), rate, len(bad))
	steps := took(s.journal())
	for name, part := range map[string][]answer{"Swap/": there, "Back/": back} {
		sync, stop, start := steps[name+"FinalSync"], steps[name+"StepDown"], steps[name+"TakeOver"]
		longest := gap(part)
		t.Logf("%s longest time without an answer %v: final sync %v, stop %v, start %v, the rest %v", name, ms(longest), ms(sync), ms(stop), ms(start), ms(longest-sync-stop-start))
		if longest > sync+stop+start+time.Second && exact() {
			t.Errorf("%s clients had no answer for %v", name, longest)
		}
	}
}

func ms(d time.Duration) time.Duration { return d.Round(time.Millisecond) }

// TestFigureOfADocumentedUpgrade upgrades a pair twice under load: in the first
// run, the rehearsal, and in the second the outage lies in the announced window
// and is as long as the plan said; and the run itself costs little.
func TestFigureOfADocumentedUpgrade(t *testing.T) {
	s := startSite(t, "documented")
	l := s.front.pour(5*time.Millisecond, "/", plainGet)
	l.awaitAnswers(t, 20, "core1")
	for _, version := range []string{"2.0", "3.0"} {
		s.to = version
		s.configure("documented")
		file, said := s.plan("upgrade")
		announced := time.Duration(0)
		if version == "3.0" {
			announced = lastOutage(t, s)
			if !strings.Contains(said, fmt.Sprintf("about %s, as in 1 earlier runs", announced.Round(100*time.Millisecond))) {
				t.Errorf("the plan does not announce %v:\n%s", announced, said)
			}
		}
		before := len(l.taken())
		s.must(12, "apply", file)
		s.must(0, "approve", "--reason", "the window is open")
		l.awaitAnswers(t, 20, "core1")
		s.expectWhole(version, "core1")
		from, until := window(s.journal())
		answers := l.taken()[before:]
		for _, a := range answers {
			if bad := a.err != nil || a.status != 200; bad && (a.begun.Before(from) || a.begun.After(until)) {
				t.Fatalf("a request failed outside of the announced outage, %v to %v: %v", from, until, a)
			}
		}
		was := lastOutage(t, s)
		t.Logf("%s: announced %v, by the node's word %v, clients had no answer for %v", version, ms(announced), ms(was), ms(gap(answers)))
		if off := (was - announced).Abs(); announced > 0 && exact() && off > 2*time.Second && off > announced/5 {
			t.Errorf("the outage was announced as %v and was %v", announced, was)
		}
		over := s.overhead()
		t.Logf("%s: the run took %v longer than its commands; its steps:%s", version, ms(over), longest(took(s.journal())))
		if over > 2*time.Second && exact() {
			t.Errorf("its own overhead is %v", over)
		}
	}
}

// window gives from when until when the outage is announced: the step of it.
func window(all []upgrade.Entry) (from, until time.Time) {
	for _, e := range all {
		switch {
		case e.Step != "UpgradePrimary/Upgrade":
		case e.What == upgrade.Starts:
			from = e.At
		case e.What == upgrade.Is:
			until = e.At
		}
	}
	return from, until
}

// longest says which steps took longest.
func longest(steps map[string]time.Duration) string {
	var names []string
	for name := range steps {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return int(steps[b] - steps[a]) })
	var b strings.Builder
	for _, name := range names[:min(8, len(names))] {
		fmt.Fprintf(&b, "  %s %v", name, ms(steps[name]))
	}
	return b.String()
}

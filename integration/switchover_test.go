//go:build linux

package integration

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/upgrade"
)

// TestStoryASwitchoverUnderLoadLosesNoRequest swaps the roles of a real pair and
// back while clients ask, and counts what they saw.
func TestStoryASwitchoverUnderLoadLosesNoRequest(t *testing.T) {
	t.Parallel()
	s := startSite(t, "switchover")
	file, said := s.plan("switchover")
	if !strings.Contains(said, "Swap/TakeOver") || strings.Contains(said, "OUTAGE") {
		t.Errorf("the plan says\n%s", said)
	}
	pause := 4 * time.Millisecond
	if soak() {
		pause = time.Millisecond
	}
	l := s.front.pour(pause, "/", plainGet, plainHead)
	l.awaitAnswers(t, 50, "core1")
	said = s.must(12, "apply", file)
	if !strings.Contains(said, "Do the maintenance") {
		t.Errorf("at the gate:\n%s", said)
	}
	l.awaitAnswers(t, 50, "core2")
	if d := dig(t, s.dns, "mdm.example.com"); d != "192.0.2.11" {
		t.Errorf("the name is %q after the swap", d)
	}
	if s.core1.status().State != ha.Standby || s.core2.status().State != ha.Active {
		t.Error("the roles have not swapped")
	}
	first := l.taken()
	s.must(0, "approve", "--reason", "maintenance done")
	l.awaitAnswers(t, 50, "core1")
	answers := l.end()
	s.expectWhole("1.0", "core1")
	bad := slices.DeleteFunc(slices.Clone(answers), func(a answer) bool { return a.err == nil && a.status == 200 })
	if len(bad) > 0 {
		t.Errorf("%d of %d requests failed, the first: %v", len(bad), len(answers), bad[0])
	}
	both := 0
	for i, a := range answers {
		if i > 0 && a.begun.Before(answers[i-1].end) && a.node != answers[i-1].node {
			both++
		}
	}
	t.Logf("%d requests, %d failed; longest time without an answer: %v on the way, %v over both ways", len(answers), len(bad), gap(first).Round(time.Millisecond), gap(answers).Round(time.Millisecond))
	t.Log(swapTimes(s.journal()))
	if longest := gap(answers); longest > 5*time.Second && soak() || longest > patience {
		t.Errorf("the longest gap is %v", longest)
	}
}

// swapTimes says how long each step of the swaps took.
func swapTimes(all []upgrade.Entry) string {
	var b strings.Builder
	began := map[string]time.Time{}
	for _, e := range all {
		switch e.What {
		case upgrade.Starts:
			began[e.Step] = e.At
		case upgrade.Is:
			if took := e.At.Sub(began[e.Step]); strings.Contains(e.Step, "/") {
				fmt.Fprintf(&b, "%s %dms  ", e.Step, took.Milliseconds())
			}
		}
	}
	return b.String()
}

// TestStoryAnAbortedSwitchoverGoesBack stops a switchover in the middle of the
// swap, by kill -9, and aborts it.
func TestStoryAnAbortedSwitchoverGoesBack(t *testing.T) {
	t.Parallel()
	s := startSite(t, "switchover")
	file, _ := s.plan("switchover")
	l := s.front.pour(10*time.Millisecond, "/", plainGet)
	killed := s.killAt(file, "Swap/TakeOver")
	said := s.must(0, "status")
	if killed && (!strings.Contains(said, "Its process has died at Swap/") || !strings.Contains(said, "understudy upgrade continue --state-dir")) {
		t.Errorf("the status after a kill:\n%s", said)
	}
	said = s.must(23, "abort", "--reason", "not tonight")
	if !strings.Contains(said, "This is undone, in this order:") {
		t.Errorf("abort says\n%s", said)
	}
	l.awaitAnswers(t, 20, "core1")
	answers := l.end()
	s.expectWhole("1.0", "core1")
	bad := slices.DeleteFunc(slices.Clone(answers), func(a answer) bool { return a.err == nil && a.status == 200 })
	if len(bad) > 0 {
		t.Errorf("%d of %d requests failed, the first: %v", len(bad), len(answers), bad[0])
	}
}

// killAt begins a run and kills its process, as kill -9 does, as soon as a step
// has begun.
func (s *site) killAt(file, step string) bool {
	s.t.Helper()
	return s.killed(step, "upgrade", "apply", file)
}

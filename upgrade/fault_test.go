package upgrade

import (
	"context"
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/internal/config"
)

var kinds = []config.RunKind{config.RunDocumented, config.RunSwitchover, config.RunRepair}

// deedsOf gives every deed that a whole run of a kind carries out.
func deedsOf(t *testing.T, kind config.RunKind) (end string, deeds []string) {
	t.Helper()
	p := newPair()
	if state, _ := through(t, p, planFor(p, kind), t.TempDir(), mortal{}); state != Succeeded {
		t.Fatalf("%s ended %s", kind, state)
	}
	return p.end(), slices.Sorted(maps.Keys(p.deeds))
}

func TestALostAnswerIsSettledByALookAndNeverByDoingItAgain(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		want, deeds := deedsOf(t, kind)
		for _, deed := range deeds {
			p := newPair()
			p.lose[deed] = true
			state, _ := through(t, p, planFor(p, kind), t.TempDir(), mortal{})
			if diff := cmp.Diff(want, p.end()); state != Succeeded || diff != "" {
				t.Errorf("%s, the answer to %s is lost: %s %s", kind, deed, state, diff)
			}
			if p.deeds[deed] != 1 && (strings.Contains(deed, "upgrade") || strings.Contains(deed, "sync")) {
				t.Errorf("%s: %s was done %d times", kind, deed, p.deeds[deed])
			}
		}
		t.Logf("%s: %d lost answers", kind, len(deeds))
	}
}

func TestARefusedDeedStopsTheRunWhichGoesOnWhenItIsMended(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		want, deeds := deedsOf(t, kind)
		for _, deed := range deeds {
			p, dir := newPair(), t.TempDir()
			plan := planFor(p, kind)
			p.refuse[deed] = "not today"
			state, c := through(t, p, plan, dir, mortal{})
			if state != Incomplete || !strings.Contains(c.Why, deed+" was refused: not today") {
				t.Errorf("%s, %s is refused: %s, %s", kind, deed, state, c.Why)
			}
			delete(p.refuse, deed)
			state, _ = through(t, p, plan, dir, mortal{})
			if diff := cmp.Diff(want, p.end()); state != Succeeded || diff != "" {
				t.Errorf("%s, %s was refused once: %s %s", kind, deed, state, diff)
			}
		}
	}
}

// abort says in a run's journal that it is to be undone.
func abort(t *testing.T, dir string) {
	t.Helper()
	j, err := OpenJournal(filepath.Join(dir, "journal"), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if err := j.Add(entry(Aborts, "", "by", "anna", "reason", "enough")); err != nil {
		t.Fatal(err)
	}
}

// untouched is the end of a pair but for what an abort cannot take back.
func untouched(p *pair) string {
	return strings.NewReplacer("version 2.0", "version 1.0", "upgrades 0 1", "upgrades 0 0", "count 7", "count N").Replace(p.end())
}

func TestARunThatIsAbortedLeavesThePairAsItFoundIt(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		want := untouched(newPair())
		for _, deed := range onlyUndoable(t, kind) {
			for _, killed := range []int{0, 3} { // an abort that is killed goes on too
				p, dir := newPair(), t.TempDir()
				plan := planFor(p, kind)
				p.refuse[deed] = "not today"
				if state, _ := through(t, p, plan, dir, mortal{}); state != Incomplete {
					t.Fatalf("%s: %s", deed, state)
				}
				abort(t, dir)
				delete(p.refuse, deed)
				state, _ := through(t, p, plan, dir, mortal{left: killed, how: "torn"})
				if diff := cmp.Diff(want, untouched(p)); state != Aborted || diff != "" {
					t.Errorf("%s, aborted at %s: %s %s", kind, deed, state, diff)
				}
			}
		}
	}
}

// onlyUndoable gives the deeds up to the first irreversible step.
func onlyUndoable(t *testing.T, kind config.RunKind) (deeds []string) {
	t.Helper()
	p, dir := newPair(), t.TempDir()
	plan := planFor(p, kind)
	through(t, p, plan, dir, mortal{})
	j, err := OpenJournal(filepath.Join(dir, "journal"), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	for i, e := range j.all {
		if Fold(j.all[:i+1]).Committed(plan.Steps()) != "" || strings.HasPrefix(e.Step, "ReleaseTraffic") {
			break
		}
		if e.What == Intends && !strings.HasPrefix(e.Step, "Back/") {
			deeds = append(deeds, e.Fact("deed"))
		}
	}
	if len(deeds) < 5 {
		t.Fatalf("only %v", deeds)
	}
	return slices.Compact(slices.Sorted(slices.Values(deeds)))
}

func TestAFailedStepIsUndoneByItselfIfThePlanSaysSo(t *testing.T) {
	t.Parallel()
	p, dir := newPair(), t.TempDir()
	plan := planFor(p, config.RunDocumented)
	plan.Config.OnFailure = config.FailUndo
	p.refuse["core2 upgrade 2.0"] = "the package is broken"
	if state, _ := through(t, p, plan, dir, mortal{}); state != RolledBack {
		t.Errorf("it ended %s", state)
	}
	if diff := cmp.Diff(newPair().end(), p.end()); diff != "" {
		t.Error(diff)
	}

	p, dir = newPair(), t.TempDir()
	p.refuse["core1 upgrade 2.0"] = "the package is broken"
	state, c := through(t, p, plan, dir, mortal{})
	if state != Incomplete || !p.routers["front"].Held || p.nodes["core1"].Lock == nil {
		t.Errorf("after the point of no return: %s, %s\n%s", state, c.Why, p.end())
	}
}

func TestANodeThatRebootsInTheMiddleIsWaitedFor(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		want, _ := deedsOf(t, kind)
		p := newPair()
		plan, dir := planFor(p, kind), t.TempDir()
		for name := range p.nodes {
			p.nodes[name].later(4, func() { p.nodes[name].reboot = 9 })
		}
		state, _ := through(t, p, plan, dir, mortal{})
		if diff := cmp.Diff(want, p.end()); state != Succeeded || diff != "" {
			t.Errorf("%s: %s %s", kind, state, diff)
		}
	}
}

func TestARouterThatSaysItHoldsAndDoesNotStopsTheRun(t *testing.T) {
	t.Parallel()
	p := newPair()
	plan := planFor(p, config.RunDocumented)
	plan.Config.Timeouts.Step = 300 * time.Millisecond
	h := p.hands()
	h.Routers["lb"] = liar{routerOf{p, "lb"}}
	j, err := OpenJournal(filepath.Join(t.TempDir(), "journal"), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if err := j.Add(entry(Begins, "", "run", "run", "plan", "p", "number", "1")); err != nil {
		t.Fatal(err)
	}
	r := &Runner{Plan: plan, Hands: h, Journal: j, Clock: time.Now, Poll: time.Microsecond}
	state, err := r.Run(context.Background())
	c := Fold(j.all)
	if state != Incomplete || err != nil || !strings.Contains(c.Why, "HoldTraffic: not within 300ms: lb is not held yet") {
		t.Errorf("got %s, %v, %s", state, err, c.Why)
	}
	if p.deeds["core2 download 2.0"] != 0 {
		t.Error("the run went on")
	}
}

// liar takes every deed and does none.
type liar struct{ routerOf }

func (liar) Do(context.Context, Deed) error { return nil }

func TestValidationThatFailsAndVersionsThatDifferStopTheRun(t *testing.T) {
	t.Parallel()
	for what, spoil := range map[string]func(*pair){
		"validate failed on core2: 3 tests": func(p *pair) { p.spoil = func(n *fakeNode, j *Job) { j.State, j.Said = JobFailed, "3 tests" } },
		"tells version 1.9, not 2.0 yet":    func(p *pair) { p.wrong = "1.9" },
		"core1 counts 7 and core2 8":        func(p *pair) { p.miscount = "8" },
	} {
		p := newPair()
		spoil(p)
		plan := planFor(p, config.RunDocumented)
		plan.Config.Timeouts.Upgrade, plan.Config.Timeouts.Step = 200*time.Millisecond, 200*time.Millisecond
		state, c := through(t, p, plan, t.TempDir(), mortal{})
		if state != Incomplete || !strings.Contains(c.Why, what) {
			t.Errorf("%s: got %s, %s", what, state, c.Why)
		}
		if !p.routers["front"].Held {
			t.Errorf("%s: the hold was given up", what)
		}
	}
}

// Two people answer the same question in the portals of both nodes: one answer
// counts, and neither is asked for again.
func TestAnswersGivenAtNodesAreHeardOnce(t *testing.T) {
	t.Parallel()
	p, dir := newPair(), t.TempDir()
	plan := planFor(p, config.RunDocumented)
	if state, _ := live(t, p, plan, dir, mortal{}); state != Waiting {
		t.Fatal(state)
	}
	if c := p.nodes["core1"].copy.Course; c == nil || c.State != "waiting" || c.Asks == "" || c.At != "UpgradePrimary/Upgrade" || len(c.Back) == 0 {
		t.Fatalf("a node is told %+v", c)
	}
	for name, number := range map[string]uint64{"core1": 4, "core2": 7} {
		p.nodes[name].said = []nodeapi.RunAnswer{{Number: number, Step: "UpgradePrimary/Upgrade", By: "anna", Reason: "at " + name}}
	}
	state, _ := live(t, p, plan, dir, mortal{})
	j, err := OpenJournal(filepath.Join(dir, "journal"), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	count := map[string]int{}
	for _, e := range j.all {
		count[e.What]++
	}
	if state != Succeeded || count[Approves] != 1 || count[Passes] != 1 {
		t.Errorf("it ended %s, with %v", state, count)
	}
	for name, n := range p.nodes {
		if len(n.said) != 0 || n.copy.Course.State != "succeeded" {
			t.Errorf("%s: answers %v, course %s", name, n.said, n.copy.Course.State)
		}
	}
}

func TestAProcessWhoseRunWasTakenOverDoesNothingMore(t *testing.T) {
	t.Parallel()
	p, dir := newPair(), t.TempDir()
	plan := planFor(p, config.RunDocumented)
	if state, _ := live(t, p, plan, dir, mortal{}); state != Waiting {
		t.Fatal(state)
	}
	p.nodes["core2"].copy.Number = 9
	before := p.end()
	j, err := OpenJournal(filepath.Join(dir, "journal"), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if err := j.Approve("UpgradePrimary/Upgrade", "anna", "go"); err != nil {
		t.Fatal(err)
	}
	r := &Runner{Plan: plan, Hands: p.hands(), Journal: j, Clock: time.Now, Poll: time.Microsecond, Keeper: &Keeper{Host: "desk", Every: time.Hour}}
	_, err = r.Run(context.Background())
	var over *TakenOver
	if !errors.As(err, &over) || !strings.HasPrefix(err.Error(), "core2: another process") {
		t.Errorf("got %v", err)
	}
	if diff := cmp.Diff(before, p.end()); diff != "" {
		t.Error(diff)
	}
}

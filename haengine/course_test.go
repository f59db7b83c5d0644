package haengine

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
)

// tells gives what a process of run a tells.
func tells(number uint64, from int, lines ...string) nodeapi.RunCopy {
	return nodeapi.RunCopy{
		Run: "a", Number: number, From: from, Lines: lines,
		Course: &nodeapi.Course{State: "running", At: "HoldTraffic", Host: "desk"},
	}
}

// goneBy says whether an error tells a process that it has to end.
func goneBy(err error) bool {
	var past *over
	return errors.As(err, &past)
}

func TestACopyIsKeptOfTheRunWithTheLockAndOfNobodyElse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r, _ := newRuns(t, dir, Lists{})
	if _, err := r.keep(tells(3, 1, "1 begins"), time.Now()); err == nil || goneBy(err) {
		t.Errorf("before the lock: %v; it must be told to go on", err)
	}
	if err := lockOf(r, "a", 3); err != nil {
		t.Fatal(err)
	}
	first := tells(3, 1, "1 begins", "2 starts")
	first.Plan, first.Before = json.RawMessage(`{"schema":1}`), json.RawMessage(`{}`)
	for _, q := range []nodeapi.RunCopy{first, tells(3, 3, "3 intends"), tells(3, 9, "9 lost"), tells(3, 3, "3 intends", "4 did")} {
		if _, err := r.keep(q, time.Now()); err != nil {
			t.Fatal(err)
		}
		r, _ = newRuns(t, dir, Lists{}) // a restarted engine has it
	}
	got := r.copied()
	if want := []string{"1 begins", "2 starts", "3 intends", "4 did"}; !slices.Equal(got.Lines, want) || string(got.Plan) != `{"schema":1}` || got.Number != 3 {
		t.Errorf("got %+v", got)
	}
	if _, err := r.keep(tells(5, 3, "3 another way"), time.Now()); err != nil {
		t.Errorf("a process that has taken the run over: %v", err)
	}
	if got := r.copied(); len(got.Lines) != 3 || r.holder().Number != 5 {
		t.Errorf("after it was taken over: %+v, lock %+v", got, r.holder())
	}
	if _, err := r.keep(tells(3, 5, "5 too late"), time.Now()); !goneBy(err) {
		t.Errorf("the process that was replaced: %v", err)
	}
	if _, err := r.keep(nodeapi.RunCopy{Run: "b", Number: 9}, time.Now()); err == nil {
		t.Error("a run without the lock was heard")
	}
	if _, err := r.keep(tells(5, 4, strings.Repeat("x", mostCopied)), time.Now()); err == nil || len(r.copied().Lines) != 3 {
		t.Errorf("a copy without end: %v", err)
	}
	if err := r.change(func(k *keptRuns) error { return k.yield(nodeapi.RunRequest{Run: "a", Number: 5}) }); err != nil {
		t.Fatal(err)
	}
	if _, err := r.keep(tells(5, 4, "4 ends"), time.Now()); err != nil {
		t.Errorf("its last words, after the lock is given back: %v", err)
	}
	if err := r.closeCopy(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.keep(tells(5, 5, "5"), time.Now()); !goneBy(err) {
		t.Errorf("a process whose lock a person has freed: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, copyFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r, _ = newRuns(t, dir, Lists{}); r.copied().Run != "" {
		t.Error("a damaged copy was read")
	}
}

func TestAnswersOfPeopleWaitForTheProcessOfTheRun(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	ask := func(path string, q any) error { return d.Ask(t.Context(), http.MethodPost, path, q, nil) }
	if err := ask("lock", nodeapi.RunRequest{Run: "a", Number: 3, Reason: "night work"}); err != nil {
		t.Fatal(err)
	}
	q := tells(3, 1, "1 begins")
	q.Course.State, q.Course.At, q.Course.Asks = "waiting", "UpgradePrimary/Upgrade", "The outage begins."
	if _, err := d.Keep(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	for want, no := range map[string]nodeapi.RunRequest{
		"asks nothing at \"HoldTraffic\"": {Run: "a", Step: "HoldTraffic", Reason: "x"},
		"a reason":                        {Run: "a", Step: "UpgradePrimary/Upgrade"},
		"a step or abort":                 {Run: "a", Reason: "x"},
		"does not have the lock":          {Run: "b", Step: "UpgradePrimary/Upgrade", Reason: "x"},
	} {
		if err := ask("run/answer", no); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %v, want %q", no, err, want)
		}
	}
	for range 2 { // a person who presses twice says it once
		if err := ask("run/answer", nodeapi.RunRequest{Run: "a", Step: "UpgradePrimary/Upgrade", Reason: "the window is open"}); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := d.Keep(t.Context(), nodeapi.RunCopy{Run: "a", Number: 3})
	if err != nil || len(kept.Answers) != 1 || kept.Answers[0].By != "anna" || kept.Answers[0].Reason != "the window is open" {
		t.Fatalf("got %+v, %v", kept, err)
	}
	if s := d.e.Status(); s.Run == nil || s.Run.Asks != "The outage begins." || !strings.Contains(strings.Join(s.Warnings, " "), "It asks at UpgradePrimary/Upgrade: The outage begins.") {
		t.Errorf("the status says %+v, %v", s.Run, s.Warnings)
	}
	if kept, err = d.Keep(t.Context(), nodeapi.RunCopy{Run: "a", Number: 3, Heard: []uint64{kept.Answers[0].Number}}); err != nil || len(kept.Answers) != 0 {
		t.Errorf("after it was heard: %+v, %v", kept, err)
	}
	q = nodeapi.RunCopy{Run: "a", Number: 3, Course: &nodeapi.Course{State: "running", At: "UpgradePrimary/Upgrade", NoReturn: "UpgradePrimary/Upgrade"}}
	if _, err = d.Keep(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	if err := ask("run/answer", nodeapi.RunRequest{Run: "a", Abort: true, Reason: "x"}); err == nil || !strings.Contains(err.Error(), "there is no way back from it") {
		t.Errorf("an abort after the point of no return: %v", err)
	}
	if err := ask("lock", nodeapi.RunRequest{Run: "a", Number: 4, Reason: "x"}); err == nil || !strings.Contains(err.Error(), "was heard a moment ago") {
		t.Errorf("another machine while the process is at work: %v", err)
	}
	if err := ask("lock", nodeapi.RunRequest{Run: "a", Number: 4, Reason: "x", Force: true}); err != nil {
		t.Errorf("with force: %v", err)
	}
	if err := ask("lock", nodeapi.RunRequest{Release: true, Force: true}); err != nil {
		t.Fatal(err)
	}
	var refused *nodeapi.Refused
	if _, err := d.Keep(t.Context(), nodeapi.RunCopy{Run: "a", Number: 4}); !errors.As(err, &refused) || refused.Code != http.StatusGone {
		t.Errorf("after a person has freed the lock: %v", err)
	}
}

func TestPeopleAreToldOnceThatTheProcessOfARunIsGone(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	ask := func(q nodeapi.RunRequest) {
		t.Helper()
		if err := d.Ask(t.Context(), http.MethodPost, "lock", q, nil); err != nil {
			t.Fatal(err)
		}
	}
	// looks lets the owner look when the process was heard some time ago, and gives
	// the alarms and the notes so far.
	looks := func(ago time.Duration) (alarms, notes int) {
		t.Helper()
		d.e.runs.mu.Lock()
		d.e.runs.heard = time.Now().Add(-ago)
		lock := *d.e.runs.kept.Lock
		lock.Since = d.e.runs.heard
		d.e.runs.kept.Lock = &lock
		d.e.runs.mu.Unlock()
		if _, err := d.e.run(t.Context(), func() Outcome { d.e.watchRun(time.Now()); return Outcome{} }); err != nil {
			t.Fatal(err)
		}
		d.post.mu.Lock()
		defer d.post.mu.Unlock()
		for _, said := range d.post.told {
			switch said {
			case "alarm run-silent":
				alarms++
			case "info run-silent":
				notes++
			}
		}
		return alarms, notes
	}
	ask(nodeapi.RunRequest{Run: "a", Number: 3, Reason: "night work"})
	if _, err := d.Keep(t.Context(), tells(3, 1, "1 begins")); err != nil {
		t.Fatal(err)
	}
	if alarms, _ := looks(silence / 2); alarms != 0 {
		t.Error("an alarm before its time")
	}
	for range 3 {
		if alarms, _ := looks(2 * silence); alarms != 1 {
			t.Errorf("%d alarms, want one", alarms)
		}
	}
	s := d.e.Status()
	if s.Run == nil || !s.Run.Silent || !strings.Contains(strings.Join(s.Warnings, " "), "ALARM: its process should be at work at HoldTraffic and is not heard any more. On desk: understudy upgrade continue") {
		t.Errorf("the status says %+v, %v", s.Run, s.Warnings)
	}
	if _, err := d.Keep(t.Context(), tells(3, 2, "2 goes-on")); err != nil {
		t.Fatal(err)
	}
	if alarms, notes := looks(0); alarms != 1 || notes != 1 || d.e.Status().Run.Silent {
		t.Errorf("when it is heard again: %d alarms, %d notes", alarms, notes)
	}
	q := tells(3, 3, "3 waits")
	q.Course.State, q.Course.Asks = "waiting", "The outage begins."
	if _, err := d.Keep(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	if alarms, _ := looks(time.Hour); alarms != 1 {
		t.Error("a run that waits for a person has told so, and is no alarm")
	}
}

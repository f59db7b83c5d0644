package haengine

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
)

// newRuns gives what an engine knows of runs, in a directory of its own.
func newRuns(t *testing.T, dir string, lists Lists) (*runs, *sync.WaitGroup) {
	t.Helper()
	tasks := new(sync.WaitGroup)
	if lists.Timeout == 0 {
		lists.Timeout = time.Minute
	}
	r, err := openRuns(dir, lists, save, tasks)
	if err != nil {
		t.Fatal(err)
	}
	return r, tasks
}

func lockOf(r *runs, run string, number uint64) error {
	return r.change(func(k *keptRuns) error {
		return k.take(nodeapi.RunRequest{Run: run, Number: number, Reason: "night work"}, "anna", false, time.Now())
	})
}

func TestOnlyOneRunHasTheLockAndItsNumberOnlyGrows(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r, _ := newRuns(t, dir, Lists{})
	release := func(run string, number uint64, force bool) error {
		return r.change(func(k *keptRuns) error {
			return k.yield(nodeapi.RunRequest{Run: run, Number: number, Force: force})
		})
	}
	for _, c := range []struct {
		what string
		do   func() error
		want string // of the refusal, empty: granted
	}{
		{"a takes it", func() error { return lockOf(r, "a", 3) }, ""},
		{"a takes it again: the answer was lost", func() error { return lockOf(r, "a", 3) }, ""},
		{"b wants it", func() error { return lockOf(r, "b", 4) }, "the run a has the lock since"},
		{"b gives a's back", func() error { return release("b", 4, false) }, "the run a has the lock, not b"},
		{"a gives it back", func() error { return release("a", 3, false) }, ""},
		{"a gives it back again", func() error { return release("a", 3, false) }, ""},
		{"a late request of a", func() error { return lockOf(r, "a", 3) }, "the number 3 of the run a is over"},
		{"b takes it", func() error { return lockOf(r, "b", 4) }, ""},
		{"a person ends b's", func() error { return release("", 0, true) }, ""},
	} {
		err := c.do()
		if why, refused := isRefusal(err); c.want == "" && err != nil || c.want != "" && (!refused || !strings.Contains(why, c.want)) {
			t.Errorf("%s: got %v, want %q", c.what, err, c.want)
		}
		r, _ = newRuns(t, dir, Lists{}) // a restarted engine knows it
	}
}

func TestAJobRunsOnceForARunAndOnlyWithTheLock(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mark := filepath.Join(dir, "mark")
	r, tasks := newRuns(t, dir, Lists{Upgrade: []string{"sh", "-c", `echo "$0" >> "$1"; echo upgraded to $0`, "${VERSION}", mark}, Validate: []string{"false"}})
	ended := func(nodeapi.Job) {}
	ask := nodeapi.RunRequest{Run: "a", Number: 1, Do: "upgrade", Version: "2.0"}
	if why, _ := isRefusal(r.start(context.Background(), ask, ended)); why != "the run a does not have the lock of this node" {
		t.Errorf("without the lock: %q", why)
	}
	if err := lockOf(r, "a", 1); err != nil {
		t.Fatal(err)
	}
	for range 3 { // duplicate requests
		if err := r.start(context.Background(), ask, ended); err != nil {
			t.Error(err)
		}
	}
	tasks.Wait()
	text, err := os.ReadFile(mark)
	if err != nil || string(text) != "2.0\n" {
		t.Errorf("it was started with %q, %v", text, err)
	}
	jobs := r.show().Jobs
	if len(jobs) != 1 || jobs[0].State != nodeapi.JobDone || jobs[0].Said != "upgraded to 2.0" {
		t.Errorf("got %+v", jobs)
	}
	for _, bad := range []nodeapi.RunRequest{
		{Run: "a", Number: 1, Do: "rm", Version: "2.0"},
		{Run: "a", Number: 1, Do: "upgrade", Version: "-rf"},
		{Run: "a", Number: 1, Do: "upgrade", Version: "2.0 && reboot"},
		{Run: "a", Number: 1, Do: "upgrade", Version: "2.0", Digest: "$(x)"},
	} {
		if err := r.start(context.Background(), bad, ended); err == nil {
			t.Errorf("%+v was taken", bad)
		}
	}
	validate := nodeapi.RunRequest{Run: "a", Number: 1, Do: "validate", Version: "2.0"}
	for range 2 { // one that failed may be begun again
		if err := r.start(context.Background(), validate, ended); err != nil {
			t.Fatal(err)
		}
		tasks.Wait()
	}
	if jobs = r.show().Jobs; len(jobs) != 3 || jobs[2].State != nodeapi.JobFailed || jobs[1].State != nodeapi.JobFailed {
		t.Errorf("got %+v", jobs)
	}
}

func TestAJobThatHangsIsEnded(t *testing.T) {
	t.Parallel()
	r, tasks := newRuns(t, t.TempDir(), Lists{Download: []string{"sleep", "600"}, Timeout: 50 * time.Millisecond})
	if err := lockOf(r, "a", 1); err != nil {
		t.Fatal(err)
	}
	if err := r.start(context.Background(), nodeapi.RunRequest{Run: "a", Number: 1, Do: "download", Version: "2.0"}, func(nodeapi.Job) {}); err != nil {
		t.Fatal(err)
	}
	tasks.Wait()
	if j := r.show().Jobs[0]; j.State != nodeapi.JobFailed || !strings.Contains(j.Said, "not done within job_timeout 50ms") {
		t.Errorf("got %+v", j)
	}
}

func TestAJobThatRanWhenTheEngineEndedIsInterrupted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r, tasks := newRuns(t, dir, Lists{Upgrade: []string{"sleep", "600"}})
	if err := lockOf(r, "a", 1); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	if err := r.start(ctx, nodeapi.RunRequest{Run: "a", Number: 1, Do: "upgrade", Version: "2.0"}, func(nodeapi.Job) {}); err != nil {
		t.Fatal(err)
	}
	cancel()
	tasks.Wait()
	again, _ := newRuns(t, dir, Lists{})
	jobs, was := again.show().Jobs, r.show()
	if len(jobs) != 1 || jobs[0].State != nodeapi.JobInterrupted || again.show().ID != was.ID {
		t.Errorf("got %+v", again.show())
	}
}

func TestADamagedFileOfRunsIsALockThatOnlyAPersonEnds(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, runFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	r, _ := newRuns(t, dir, Lists{})
	if why, _ := isRefusal(lockOf(r, "a", 9)); !strings.Contains(why, "is damaged") {
		t.Errorf("got %q", why)
	}
}

// A kill between the two must not leave a node that is paused and that nobody
// holds: nothing would ever end that.
func TestANodeActsByItselfAgainBeforeTheLockIsGone(t *testing.T) {
	t.Parallel()
	var d *desk
	checked := false
	d = newDeskOf(t, func(c *Config) {
		c.store = func(path string, value any) error {
			if k, is := value.(keptRuns); is && k.Lock == nil && k.Fence > 0 {
				checked = true
				if d.e.now.Load().Member.Blocked {
					t.Error("the lock is given back while the node is paused")
				}
			}
			return save(path, value)
		}
	})
	ask := func(q nodeapi.RunRequest) {
		t.Helper()
		if err := d.Ask(t.Context(), http.MethodPost, "lock", q, nil); err != nil {
			t.Fatal(err)
		}
	}
	ask(nodeapi.RunRequest{Run: "a", Number: 3, Reason: "night work"})
	if !d.e.Status().Paused {
		t.Error("a node that a run holds acts by itself")
	}
	ask(nodeapi.RunRequest{Run: "a", Number: 3, Release: true})
	if d.e.Status().Paused || !checked {
		t.Errorf("after the release: paused %t, checked %t", d.e.Status().Paused, checked)
	}
}

func TestWhatACommandWarnsOfIsNoVersion(t *testing.T) {
	t.Parallel()
	r, _ := newRuns(t, t.TempDir(), Lists{})
	told := r.ask(t.Context(), map[string][]string{
		"release": {"sh", "-c", "echo warning: old file format >&2; echo 1.0"}, "count": {"sh", "-c", "echo 7; echo no such table >&2; exit 1"},
	})
	if told["release"].Value != "1.0" || told["count"].Value != "" || !strings.Contains(told["count"].Fault, "no such table") {
		t.Errorf("got %+v", told)
	}
}

package haengine

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
)

// Lists are the argument lists that a run may have a node start, each by its
// name: these, and nothing else. ${VERSION} and ${DIGEST} in them are replaced.
type Lists struct {
	Download, Upgrade, Validate []string
	Timeout                     time.Duration // of each
}

// of gives the list for a job.
func (l Lists) of(do string) (line []string, known bool) {
	switch do {
	case "download":
		return l.Download, true
	case "upgrade":
		return l.Upgrade, true
	case "validate":
		return l.Validate, true
	}
	return nil, false
}

const (
	runFile  = "run.json"
	mostJobs = 32
	fresh    = time.Second // how long what a command says may be shown again
)

// runs is what an engine knows of runs. Its file is replaced before anything is
// done, so that a restarted engine knows its lock.
type runs struct {
	path  string
	store func(string, any) error
	lists Lists
	tasks *sync.WaitGroup

	mu     sync.Mutex // guards the fields below
	kept   keptRuns
	copy   keptCopy
	heard  time.Time // when the process of the run was heard last
	silent bool      // it should be at work and is not heard
	said   *tail     // of the job that runs, nil: none
	told   map[string]nodeapi.Told
	toldAt time.Time
}

// keptRuns is the file.
type keptRuns struct {
	ID     string        `json:"id"`
	Fence  uint64        `json:"fence"`
	Lock   *nodeapi.Lock `json:"lock"`
	Paused bool          `json:"paused"` // a person had paused the node before the lock
	Jobs   []nodeapi.Job `json:"jobs"`
	Told   bool          `json:"told"` // people were told that the process of the run is silent
}

// openRuns reads the file, and makes one with a name for this engine if there is
// none. A job that ran when the engine ended is interrupted.
func openRuns(dir string, lists Lists, store func(string, any) error, tasks *sync.WaitGroup) (*runs, error) {
	r := &runs{path: filepath.Join(dir, runFile), store: store, lists: lists, tasks: tasks, told: map[string]nodeapi.Told{}, heard: time.Now()}
	found, err := load(r.path, &r.kept)
	var damaged *Damaged
	if errors.As(err, &damaged) { // nobody knows who has the lock: a person does
		r.kept = keptRuns{Lock: &nodeapi.Lock{Run: "unknown", By: "nobody", Reason: damaged.Error(), Since: time.Now().UTC()}}
	} else if err != nil {
		return nil, err
	}
	if err := r.openCopy(); err != nil {
		return nil, err
	}
	changed := !found
	if r.kept.ID == "" {
		r.kept.ID, changed = rand.Text(), true
	}
	for i, j := range r.kept.Jobs {
		if j.State == nodeapi.JobRuns {
			r.kept.Jobs[i].State, r.kept.Jobs[i].Said, changed = nodeapi.JobInterrupted, "the engine ended while it ran", true
		}
	}
	if changed {
		return r, store(r.path, r.kept)
	}
	return r, nil
}

// holder gives who has the lock, nil if nobody.
func (r *runs) holder() *nodeapi.Lock {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.kept.Lock
}

// yields gives the lock that a request may take back, nil if there is none, and
// says whether the node had been paused before it.
func (r *runs) yields(q nodeapi.RunRequest) (held *nodeapi.Lock, paused bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.kept
	err = k.yield(q)
	return r.kept.Lock, r.kept.Paused, err
}

// change stores what do makes of the kept value, and puts it into force.
func (r *runs) change(do func(*keptRuns) error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := r.kept
	next.Jobs = slices.Clone(r.kept.Jobs)
	if err := do(&next); err != nil {
		return err
	}
	if err := r.store(r.path, next); err != nil {
		return fmt.Errorf("store the run: %w", err)
	}
	r.kept = next
	return nil
}

// refusal is the error of something that is not done now.
type refusal struct{ why string }

func (r *refusal) Error() string { return r.why }

func refuse(format string, args ...any) error { return &refusal{fmt.Sprintf(format, args...)} }

// take gives the lock to a run; again to the one that has it, and to a process
// that goes on with it under a higher number. A number that is not above every
// one before belongs to a run that is over, or to a process that was replaced.
func (k *keptRuns) take(q nodeapi.RunRequest, by string, paused bool, now time.Time) error {
	switch l := k.Lock; {
	case l != nil && l.Run == q.Run && l.Number == q.Number:
		return nil
	case l != nil && l.Run == q.Run && q.Number > k.Fence:
		next := *l
		next.Number, next.By = q.Number, by
		k.Lock, k.Fence = &next, q.Number
		return nil
	case l != nil:
		return refuse("the run %s has the lock since %s (%s)", l.Run, l.Since.UTC().Format(time.RFC3339), l.Reason)
	case q.Number <= k.Fence:
		return refuse("the number %d of the run %s is over: %d was given to a later one", q.Number, q.Run, k.Fence)
	}
	k.Lock = &nodeapi.Lock{Run: q.Run, Number: q.Number, By: by, Reason: q.Reason, Since: now.UTC()}
	k.Fence, k.Paused, k.Told = q.Number, paused, false
	return nil
}

// yield gives the lock back; nobody's lock is nobody's fault.
func (k *keptRuns) yield(q nodeapi.RunRequest) error {
	if l := k.Lock; l != nil && (l.Run != q.Run || l.Number != q.Number) && !q.Force {
		return refuse("the run %s has the lock, not %s", l.Run, q.Run)
	}
	k.Lock = nil
	return nil
}

// version is what a version may look like: it becomes part of an argument.
var version = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z.+~:_-]{0,127}$`)

// start begins a job of the run that has the lock. One that it has begun before
// is not begun again, unless it failed.
func (r *runs) start(ctx context.Context, q nodeapi.RunRequest, ended func(nodeapi.Job)) error {
	line, known := r.lists.of(q.Do)
	switch {
	case !known:
		return wrong(fmt.Sprintf("%.40q is nothing that a run can have done", q.Do), "Say download, upgrade or validate.")
	case !version.MatchString(q.Version) || q.Digest != "" && !version.MatchString(q.Digest):
		return wrong("version and digest are letters, digits and . + ~ : _ -", "")
	}
	again := false
	job := nodeapi.Job{Do: q.Do, Run: q.Run, Version: q.Version, State: nodeapi.JobRuns, Began: time.Now().UTC()}
	err := r.change(func(k *keptRuns) error {
		if l := k.Lock; l == nil || l.Run != q.Run || l.Number != q.Number {
			return refuse("the run %s does not have the lock of this node", q.Run)
		}
		for _, j := range slices.Backward(k.Jobs) {
			switch {
			case j.Do == q.Do && j.Run == q.Run && j.State != nodeapi.JobFailed:
				again = true
				return nil
			case j.State == nodeapi.JobRuns:
				return refuse("%s runs for %s", j.Do, j.Run)
			}
		}
		if len(line) == 0 { // the node has nothing to do for it
			job.State, job.Ended, job.Said = nodeapi.JobDone, job.Began, "no list app."+q.Do+" is configured"
			if q.Do == "upgrade" {
				return refuse("no list app.upgrade is configured in node.yaml")
			}
		}
		k.Jobs = append(k.Jobs, job)
		k.Jobs = k.Jobs[max(0, len(k.Jobs)-mostJobs):]
		return nil
	})
	if err != nil || again || job.State != nodeapi.JobRuns {
		return err
	}
	said := new(tail)
	r.mu.Lock()
	r.said = said
	r.mu.Unlock()
	r.tasks.Go(func() { ended(r.work(ctx, job, filled(line, q), said)) })
	return nil
}

// filled puts version and digest into a list.
func filled(line []string, q nodeapi.RunRequest) []string {
	fill := strings.NewReplacer("${VERSION}", q.Version, "${DIGEST}", q.Digest)
	out := make([]string, len(line))
	for i, word := range line {
		out[i] = fill.Replace(word)
	}
	return out
}

// work runs a job to its end and stores what came of it.
func (r *runs) work(ctx context.Context, job nodeapi.Job, line []string, said *tail) nodeapi.Job {
	limited, cancel := context.WithTimeoutCause(ctx, r.lists.Timeout, fmt.Errorf("not done within job_timeout %v", r.lists.Timeout))
	defer cancel()
	text, err := executeTo(limited, said, line)
	job.State, job.Said, job.Ended = nodeapi.JobDone, text, time.Now().UTC()
	if err != nil {
		job.State, job.Said = nodeapi.JobFailed, err.Error()
	}
	if ctx.Err() != nil { // the engine ends; it says so when it starts again
		return job
	}
	err = r.change(func(k *keptRuns) error {
		for i, j := range slices.Backward(k.Jobs) {
			if j.State == nodeapi.JobRuns {
				k.Jobs[i] = job
				break
			}
		}
		return nil
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said, r.toldAt = nil, time.Time{}
	if err != nil { // what is not stored is at least shown
		job.State, job.Said = nodeapi.JobInterrupted, err.Error()
	}
	return job
}

// show gives what is known, without what commands say.
func (r *runs) show() nodeapi.Run {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.kept
	run := nodeapi.Run{ID: k.ID, Now: time.Now().UTC(), Fence: k.Fence, Lock: k.Lock, Jobs: slices.Clone(k.Jobs)}
	run.Silent, run.Answers = r.silent, []nodeapi.RunAnswer{}
	if c := r.copy; c.Course != nil && (k.Lock == nil || k.Lock.Run == c.Run) {
		run.Course, run.Heard, run.Answers = c.Course, r.heard.UTC(), append(run.Answers, c.Answers...)
	}
	for i, j := range run.Jobs {
		if j.State == nodeapi.JobRuns && r.said != nil {
			run.Jobs[i].Said = r.said.String()
		}
	}
	return run
}

// ask gives what commands of the node say, at most fresh old.
func (r *runs) ask(ctx context.Context, lines map[string][]string) map[string]nodeapi.Told {
	r.mu.Lock()
	if told := r.told; time.Since(r.toldAt) < fresh {
		r.mu.Unlock()
		return told
	}
	r.mu.Unlock()
	told := map[string]nodeapi.Told{}
	for name, line := range lines {
		if len(line) == 0 {
			continue
		}
		text, err := output(ctx, line)
		if err != nil {
			told[name] = nodeapi.Told{Fault: err.Error()}
			continue
		}
		told[name] = nodeapi.Told{Value: firstOf(text)}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.told, r.toldAt = told, time.Now()
	return told
}

// firstOf gives the first line of what a command said.
func firstOf(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return strings.TrimSpace(line)
}

// isRefusal says whether an error is one, and its sentence.
func isRefusal(err error) (string, bool) {
	var r *refusal
	if errors.As(err, &r) {
		return r.why, true
	}
	return "", false
}

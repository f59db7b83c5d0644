package haengine

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/internal/ha"
)

// fenced does something only for the run that has the lock, if one has.
func (c *control) fenced(do func(context.Context, nodeapi.Request, string) (Outcome, error)) func(context.Context, nodeapi.Request, string) (Outcome, error) {
	return func(ctx context.Context, q nodeapi.Request, who string) (Outcome, error) {
		if l := c.runs.holder(); l != nil && (l.Run != q.Run || l.Number != q.Number) {
			return Outcome{Refused: fmt.Sprintf("the run %s has the lock since %s (%s); see: understudy upgrade status", l.Run, l.Since.Format(time.RFC3339), l.Reason)}, nil
		}
		return do(ctx, q, who)
	}
}

// showRun tells what the node knows of runs.
func (c *control) showRun(w http.ResponseWriter, r *http.Request) {
	give(w, http.StatusOK, c.runNow(r.Context()))
}

func (c *control) runNow(ctx context.Context) nodeapi.Run {
	s := c.now.Load()
	run := c.runs.show()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	told := c.runs.ask(ctx, map[string][]string{"release": c.Version, "count": c.Count})
	run.Release, run.Count = told["release"], told["count"]
	c.compares(&run)
	run.Syncing = s.Member.Syncing
	_, none := c.Door.(NoDoor)
	run.Door = !none
	run.Scheduled = s.Member.Enabled && s.Member.Scheduled
	if run.Scheduled {
		next := s.Settings.schedule().Upcoming(run.Now)
		run.Next = next[:]
	}
	return run
}

// runAct reads a request about runs, has it done, and tells what is so then.
func (c *control) runAct(do func(context.Context, nodeapi.RunRequest, string) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var q nodeapi.RunRequest
		if err := decode(w, r, mostAsked, &q); err != nil {
			give(w, http.StatusBadRequest, nodeapi.Fault{Why: "the request is not understood: " + err.Error()})
			return
		}
		var err error
		if q.Run == "" && !q.Force {
			err = wrong("run is missing: which run asks", "")
		} else {
			err = do(r.Context(), q, c.who(r))
		}
		if !c.failedRun(w, err) {
			give(w, http.StatusOK, c.runNow(r.Context()))
		}
	}
}

// failedRun tells why something about a run was not done; false: it was.
func (c *control) failedRun(w http.ResponseWriter, err error) bool {
	var bad *badRequest
	var past *over
	why, refused := isRefusal(err)
	switch {
	case err == nil:
		return false
	case refused:
		give(w, http.StatusConflict, nodeapi.Fault{Why: why})
	case errors.As(err, &past):
		give(w, http.StatusGone, nodeapi.Fault{Why: past.why})
	case errors.As(err, &bad):
		give(w, http.StatusBadRequest, bad.Fault)
	default:
		give(w, http.StatusServiceUnavailable, nodeapi.Fault{Why: err.Error()})
	}
	return true
}

// runAnswer keeps a person's answer for the process of the run.
func (c *control) runAnswer(ctx context.Context, q nodeapi.RunRequest, who string) error {
	if err := c.runs.answer(q, who, time.Now()); err != nil {
		return err
	}
	what := "approves " + q.Step
	if q.Abort {
		what = "wants it undone"
	}
	_, err := c.run(ctx, func() Outcome {
		c.note(fmt.Sprintf("%s answers the run %s: %s: %s", who, q.Run, what, q.Reason))
		return Outcome{}
	})
	return err
}

// lock gives the lock to a run, or takes it back. While it is held nothing
// happens by itself; a pause that a person had made before stays afterwards.
func (c *control) lock(ctx context.Context, q nodeapi.RunRequest, who string) error {
	if q.Release {
		return c.release(ctx, q, who)
	}
	if now := c.runs.show(); now.Lock != nil && now.Lock.Run == q.Run && now.Lock.Number < q.Number && !q.Force && c.runs.works() {
		return refuse("the process of the run %s on %s was heard a moment ago; end it there first", q.Run, hostOf(now.Course))
	}
	paused := c.now.Load().Member.Blocked
	if err := c.runs.change(func(k *keptRuns) error { return k.take(q, who, paused, time.Now()) }); err != nil {
		return err
	}
	_, err := c.Say(ctx, ha.Event{On: ha.OnBlock}, who, "the run "+q.Run+" takes the lock")
	return err
}

// release takes the lock back. The node acts by itself again before the lock is
// gone: who is killed in between does both once more.
func (c *control) release(ctx context.Context, q nodeapi.RunRequest, who string) error {
	held, paused, err := c.runs.yields(q)
	if err != nil || held == nil {
		return err
	}
	if !paused {
		if _, err := c.Say(ctx, ha.Event{On: ha.OnUnblock}, who, "the run "+held.Run+" gives the lock back"); err != nil {
			return err
		}
	}
	if q.Force { // a process that still is at work is told so
		if err := c.runs.closeCopy(); err != nil {
			return err
		}
	}
	return c.runs.change(func(k *keptRuns) error { return k.yield(q) })
}

// app starts one of the node's own lists for the run that has the lock.
func (c *control) app(ctx context.Context, q nodeapi.RunRequest, who string) error {
	var err error
	_, ended := c.run(ctx, func() Outcome {
		if err = c.runs.start(c.Engine.ctx, q, c.jobEnded); err == nil {
			c.note(fmt.Sprintf("%s has %s %s done for the run %s", who, q.Do, q.Version, q.Run))
		}
		return Outcome{}
	})
	return errors.Join(err, ended)
}

// jobEnded writes down what came of a job.
func (c *control) jobEnded(j nodeapi.Job) {
	c.Log.Info("a job of a run has ended", "job", j.Do, "version", j.Version, "run", j.Run, "state", j.State, "said", j.Said)
	c.send(func() { c.note(fmt.Sprintf("%s %s for the run %s: %s", j.Do, j.Version, j.Run, j.State)) })
}

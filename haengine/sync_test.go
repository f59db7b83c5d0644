package haengine

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/internal/ha"
)

// copyist is replication as a test wants it: a run takes some time, asks whether
// it may go live, and takes some more.
type copyist struct {
	mu         sync.Mutex // guards the fields below
	began      []time.Time
	takes      time.Duration // until it asks
	commits    time.Duration // from then on
	live       int
	unfinished bool
	recovered  int
	broken     int // how often Recover fails
}

func (c *copyist) Run(ctx context.Context, o SyncOrder) nodeapi.Sync {
	c.mu.Lock()
	s := nodeapi.Sync{Started: time.Now().UTC(), From: "core1", Result: nodeapi.Success}
	c.began = append(c.began, time.Now())
	takes, commits := c.takes, c.commits
	c.mu.Unlock()
	select {
	case <-time.After(takes):
	case <-ctx.Done():
		s.At, s.Result, s.Detail = time.Now().UTC(), "Cancelled", context.Cause(ctx).Error()
		return s
	}
	if err := o.Allow(ctx, 5); err != nil {
		s.At, s.Result, s.Detail = time.Now().UTC(), "Failure", err.Error()
		return s
	}
	time.Sleep(commits) // a commit is not ended by anybody
	c.mu.Lock()
	c.live++
	c.mu.Unlock()
	o.Over()
	s.At = time.Now().UTC()
	return s
}

func (c *copyist) Recover(context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.recovered++; c.recovered <= c.broken {
		return errors.New("the database is down")
	}
	c.unfinished = false
	return nil
}

func (c *copyist) Unfinished() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.unfinished
}

func (c *copyist) Rollback(context.Context, uint64) (nodeapi.Rolled, error) {
	return nodeapi.Rolled{Generation: 4}, nil
}

func (c *copyist) Look() (*nodeapi.SyncNow, *nodeapi.SyncTaken) { return nil, nil }
func (c *copyist) Loss() nodeapi.Loss                           { return nodeapi.Loss{Datasets: 1} }

// newCopyRig gives a stand-by whose peer serves at epoch 5.
func newCopyRig(t *testing.T, c *copyist) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir(), peer: &twin{sight: serving(5)}, app: &play{told: make(chan ha.On, 64)}, door: new(latch), post: new(pillar), base: time.Now().Add(-time.Hour), copies: c}
	r.start()
	r.enable(ha.Secondary)
	r.want(ha.InStandby, ha.Standby)
	return r
}

// asks is Run Sync Now, by the API.
func (r *rig) asks(t *testing.T, body string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	q := httptest.NewRequest("POST", "/ha/v1/sync", strings.NewReader(body))
	r.Control(func(*http.Request) string { return "anna" }).ServeHTTP(w, q)
	synctest.Wait()
	return w.Code, w.Body.String()
}

func TestSyncsRunAtStartTimeAndEveryRunEveryFromThere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &copyist{takes: time.Minute}
		r := newCopyRig(t, c)
		time.Sleep(time.Until(time.Now().Truncate(24 * time.Hour).Add(38*time.Hour + 10*time.Minute))) // 14:10
		c.mu.Lock()
		c.began = nil
		c.mu.Unlock()
		saved := time.Now().UTC()
		r.saves(map[string]string{"StartTime": "13:00", "Run Every": "2 hours"})
		want := time.Date(saved.Year(), saved.Month(), saved.Day()+1, 13, 0, 0, 0, time.UTC) // HA best practice: the next day
		next := r.Status().Schedule.Next
		if len(next) != 3 || !next[0].Equal(want) || !next[1].Equal(want.Add(2*time.Hour)) {
			t.Errorf("next are %v, want %v first", next, want)
		}
		time.Sleep(time.Until(want.Add(5 * time.Hour)))
		synctest.Wait()
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.began) != 3 {
			t.Fatalf("began at %v", c.began)
		}
		for i, at := range c.began {
			if late := at.Sub(want.Add(time.Duration(i) * 2 * time.Hour)); late < 0 || late > 2*tick {
				t.Errorf("run %d began %v late", i, late)
			}
		}
		if s := r.Status(); s.LastSync == nil || s.LastSync.Result != nodeapi.Success || s.LastSync.Duration() < nodeapi.Span(time.Minute) {
			t.Errorf("got %+v", s.LastSync)
		}
	})
}

func TestASyncThatIsDueWhileOneRunsIsSkippedAndWrittenDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &copyist{takes: 90 * time.Minute}
		r := newCopyRig(t, c)
		r.saves(map[string]string{"StartTime": "00:00", "Run Every": "1 hours"})
		time.Sleep(time.Until(r.Status().Schedule.Next[1]) + 2*time.Second)
		synctest.Wait()
		all := r.history.syncs()
		if len(all) != 1 || all[0].Result != nodeapi.Overlap {
			t.Errorf("got %+v", all)
		}
		if code, said := r.asks(t, `{"host":"core1"}`); code != 409 || !strings.Contains(said, "a sync runs already") {
			t.Errorf("got %d %s", code, said)
		}
		time.Sleep(time.Hour)
		if all = r.history.syncs(); all[1].Result != nodeapi.Success {
			t.Errorf("got %+v", all)
		}
		if w := r.Status().Warnings; !strings.Contains(strings.Join(w, " "), "Run Every longer") {
			t.Errorf("no warning: %q", w)
		}
	})
}

func TestASyncThatIsDueWhileARunHasTheLockIsSkippedAndWrittenDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &copyist{takes: time.Minute}
		r := newCopyRig(t, c)
		r.saves(map[string]string{"StartTime": "00:00", "Run Every": "1 hours"})
		first := r.Status().Schedule.Next[0]
		for i, paused := range []bool{true, false} {
			run := nodeapi.RunRequest{Run: "night", Number: uint64(i + 1), Reason: "upgrade"}
			change := func(do func(*keptRuns) error) {
				if err := r.runs.change(do); err != nil {
					t.Fatal(err)
				}
			}
			change(func(k *keptRuns) error {
				return k.take(run, "anna", false, time.Now())
			})
			if paused { // as the lock does; between lock and pause it must hold too
				r.say(ha.OnBlock)
			}
			time.Sleep(time.Until(first) + 2*time.Second)
			synctest.Wait()
			all := r.history.syncs()
			if last := all[len(all)-1]; last.Result != nodeapi.Locked || !strings.Contains(last.Detail, "the run night has the lock") {
				t.Errorf("paused %v: got %+v", paused, all)
			}
			change(func(k *keptRuns) error { return k.yield(run) })
			if paused {
				r.say(ha.OnUnblock)
			}
			first = first.Add(time.Hour)
		}
		time.Sleep(time.Until(first) + 2*time.Minute)
		synctest.Wait()
		all := r.history.syncs()
		if len(all) != 3 || all[2].Result != nodeapi.Success {
			t.Errorf("got %+v", all)
		}
	})
}

func TestARunIsToldThoughTheSettingsWereNeverSaved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newCopyRig(t, &copyist{takes: time.Minute})
		if !r.now.Load().Settings.Saved.IsZero() {
			t.Fatal("they were saved")
		}
		w := httptest.NewRecorder()
		r.Control(func(*http.Request) string { return "anna" }).ServeHTTP(w, httptest.NewRequest("GET", "/ha/v1/run", nil))
		var run nodeapi.Run
		if err := json.Unmarshal(w.Body.Bytes(), &run); err != nil || len(run.Next) == 0 {
			t.Errorf("got %d %q, %v", w.Code, w.Body, err)
		}
	})
}

// A mode that a person gives leaves the schedule stopped (EPMM guide, Table 5);
// saving the settings starts it, and nothing else does that.
func TestSavingTheSettingsStartsTheScheduleThatAModeHasStopped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newCopyRig(t, &copyist{takes: time.Minute})
		next := func() int { return len(r.Status().Schedule.Next) }
		if next() == 0 {
			t.Fatal("the schedule does not run")
		}
		r.say(ha.OnModeSecondary)
		r.restart()
		synctest.Wait()
		if n := next(); n != 0 {
			t.Errorf("after the command it has %d runs ahead", n)
		}
		time.Sleep(3 * time.Hour)
		if all := r.history.syncs(); len(all) != 0 {
			t.Errorf("it has run: %+v", all)
		}
		r.saves(map[string]string{"run every": "1 hours"})
		r.restart() // it is kept
		synctest.Wait()
		if next() == 0 {
			t.Error("it does not run after the settings were saved")
		}
		time.Sleep(25 * time.Hour)
		if len(r.history.syncs()) == 0 {
			t.Error("no sync has run")
		}
		r.say(ha.OnDisable)
		r.saves(map[string]string{"run every": "2 hours"})
		if m := r.now.Load().Member; m.Scheduled || m.Enabled {
			t.Errorf("saving has enabled something: %+v", m.Kept)
		}
	})
}

func TestAPromotionEndsASyncOrWaitsForItsCommit(t *testing.T) {
	t.Parallel()
	for _, one := range []struct {
		takes, commits time.Duration
		result         string
		live           int
	}{
		{time.Hour, 0, "Cancelled", 0},
		{2 * time.Second, 20 * time.Second, nodeapi.Success, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := &copyist{takes: one.takes, commits: one.commits}
			r := newCopyRig(t, c)
			if code, said := r.asks(t, `{"host":"core1"}`); code != 200 || !strings.Contains(said, `"phase":"begin"`) {
				t.Fatalf("got %d %s", code, said)
			}
			time.Sleep(3 * time.Second)
			r.peer.set(Sight{}, errDown)
			r.say(ha.OnModePrimary)
			began := time.Now()
			for range 120 {
				time.Sleep(time.Second)
				if got, _ := r.State(); got == ha.Active {
					break
				}
			}
			r.want(ha.InActive, ha.Active)
			if waited := time.Since(began); one.live > 0 && waited < 15*time.Second {
				t.Errorf("Active after %v, while a copy went live", waited)
			}
			all := r.history.syncs()
			if len(all) != 1 || all[0].Result != one.result || c.live != one.live {
				t.Errorf("got %+v, live %d times", all, c.live)
			}
			if code, said := r.asks(t, `{"host":"core1"}`); code != 409 || !strings.Contains(said, "only a Standby replicates") {
				t.Errorf("got %d %s", code, said)
			}
		})
	}
}

func TestNothingStartsBeforeACommitThatWasCutOffIsEnded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &copyist{takes: time.Second}
		r := newCopyRig(t, c)
		r.peer.set(Sight{}, errDown)
		r.say(ha.OnModePrimary)
		time.Sleep(time.Minute)
		r.want(ha.InActive, ha.Active)
		r.stop()
		c.unfinished, c.broken, c.recovered = true, 3, 0
		r.app.did = nil
		r.start()
		time.Sleep(2 * recoverBetween)
		r.want(ha.InStarting, ha.NotAvailable)
		r.app.mu.Lock()
		did := r.app.did
		r.app.mu.Unlock()
		if len(did) > 0 {
			t.Errorf("the application: %v", did)
		}
		time.Sleep(time.Minute)
		r.want(ha.InActive, ha.Active)
	})
}

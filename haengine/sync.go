package haengine

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/internal/ha"
)

// Copier copies the peer's data: package replicate, behind what a node's wiring
// makes of it. Its methods may be called by several goroutines.
type Copier interface {
	// Run is one sync, from beginning to end. ctx ends it until its commit.
	Run(ctx context.Context, o SyncOrder) nodeapi.Sync

	// Recover ends what a crash has left: a commit is rolled forward, the rest is
	// discarded. After an error it may be called again.
	Recover(ctx context.Context) error

	// Unfinished says whether a commit has begun and not ended.
	Unfinished() bool

	// Rollback puts an older generation of the copy into force.
	Rollback(ctx context.Context, to uint64) (nodeapi.Rolled, error)

	// Look tells how far the run is, nil if none goes on, and who has fetched from
	// here last, nil if nobody has. It never waits.
	Look() (*nodeapi.SyncNow, *nodeapi.SyncTaken)
}

// SyncOrder is what a sync is to do.
type SyncOrder struct {
	By      string // who asked for it; empty: the schedule
	Accept  bool   // a person has looked at what the guards found
	Discard bool   // what only this node has is given up

	// Allow is called when everything is ready to go live, with the epoch of the
	// node that it came from; an error says why not.
	Allow func(ctx context.Context, epoch uint64) error

	// Over is called when what was allowed is over: in force, or given up. It is
	// not as long as Unfinished.
	Over func()
}

// syncing is what the engine knows of syncs. Its owner is Run's goroutine, but
// for next.
type syncing struct {
	order   SyncOrder // of the event that is being told
	cancel  context.CancelCauseFunc
	verdict error // of the commit that was asked about

	verifying bool // the application runs here to be looked at
	next      atomic.Pointer[time.Time]
}

// errEndSync is why a sync ends before its time.
var errEndSync = fmt.Errorf("this node has something more important to do: %w", context.Canceled)

// recoverBetween is how long the next try to end a commit waits.
const recoverBetween = 2 * time.Second

// boot gives the event with which an engine begins.
func (e *Engine) boot() ha.Event {
	return ha.Event{On: ha.OnBoot, Committing: e.Copier != nil && e.Copier.Unfinished()}
}

// finishCommit ends what a crash has left, as often as it takes, and tells.
func (e *Engine) finishCommit(task) {
	e.do(func(ctx context.Context) func() {
		e.recover(ctx)
		return func() { e.step(ha.Event{On: ha.OnCommitDone}) }
	})
}

// recover tries until it has succeeded or the engine ends.
func (e *Engine) recover(ctx context.Context) {
	for {
		err := e.Copier.Recover(ctx)
		if err == nil || ctx.Err() != nil {
			return
		}
		e.Log.Error("a sync that was cut off cannot be ended, so nothing may start here", "error", err)
		select {
		case <-time.After(recoverBetween):
		case <-ctx.Done():
			return
		}
	}
}

// runSync copies from the peer in a goroutine of its own.
func (e *Engine) runSync(t task) {
	t.out.Sync = true
	if e.Copier == nil {
		e.note("a sync was asked for: " + NoDataset)
		e.synced(nodeapi.Sync{At: time.Now().UTC(), From: e.PeerName, Result: "Failed: " + NoDataset})
		e.pending = append(e.pending, ha.Event{On: ha.OnSyncEnded})
		return
	}
	ctx, cancel := context.WithCancelCause(e.ctx)
	o := e.sync.order
	o.Allow, o.Over = e.allowCommit, func() { e.hear(ha.OnCommitDone) }
	e.sync.cancel = cancel
	e.note("a sync begins" + by(o.By))
	e.do(func(life context.Context) func() {
		s := e.Copier.Run(ctx, o)
		cancel(nil)
		if e.Copier.Unfinished() {
			e.recover(life)
			e.hear(ha.OnCommitDone)
		}
		s.By = o.By
		return func() {
			e.sync.cancel = nil
			e.note(fmt.Sprintf("the sync has ended: %s %s", s.Result, s.Detail))
			e.synced(s)
			e.step(ha.Event{On: ha.OnSyncEnded})
		}
	})
}

func by(who string) string {
	if who == "" {
		return ", as scheduled"
	}
	return ", for " + who
}

// allowCommit asks the machine whether a copy may go live.
func (e *Engine) allowCommit(ctx context.Context, epoch uint64) error {
	answer := make(chan error, 1)
	e.send(func() {
		e.sync.verdict = errors.New("this node decides nothing just now")
		e.step(ha.Event{On: ha.OnCommitAsked, Epoch: epoch})
		answer <- e.sync.verdict
	})
	select {
	case err := <-answer:
		return err
	case <-e.ctx.Done():
		return errEnded
	case <-ctx.Done():
		// The machine may have said yes meanwhile, and then waits for an end.
		e.send(func() { e.step(ha.Event{On: ha.OnCommitDone}) })
		return context.Cause(ctx)
	}
}

func (e *Engine) allow(task) { e.sync.verdict = nil }

func (e *Engine) deny(t task) { e.sync.verdict = errors.New(e.machine.Row(t.MemberAct).Why) }

// cancelSync ends the sync that runs, unless its commit has begun.
func (e *Engine) cancelSync(task) {
	if e.sync.cancel != nil {
		e.sync.cancel(errEndSync)
	}
}

// skipSync enters into the Sync History that the last one still runs.
func (e *Engine) skipSync(task) {
	now := time.Now().UTC()
	e.note("a sync is skipped, for the last one still runs")
	e.synced(nodeapi.Sync{At: now, Started: now, From: e.PeerName, Result: nodeapi.Overlap, Detail: "the last one still runs; a longer Run Every leaves idle time between them"})
}

// skipFor enters into the Sync History that a run has the lock, where a sync would
// have begun otherwise. People are not told: what a run does is no failure.
func (e *Engine) skipFor(l *nodeapi.Lock, now time.Time) {
	if m := e.member; !standingBy(m.Phase) && m.Phase != ha.InSuspect || !m.Scheduled {
		return
	}
	why := fmt.Sprintf("the run %s has the lock since %s (%s)", l.Run, l.Since.Format(time.RFC3339), l.Reason)
	e.note("a sync is skipped: " + why)
	err := e.history.sync(nodeapi.Sync{At: now.UTC(), Started: now.UTC(), From: e.PeerName, Result: nodeapi.Locked, Detail: why + "; the next one is due when it has given it back"})
	if err != nil {
		e.Log.Error("the Sync History cannot be written", "error", err)
	}
}

// schedule gives the times at which syncs are due.
func (s Settings) schedule() ha.Schedule {
	saved := s.Saved
	if saved.IsZero() {
		saved = time.Unix(0, 0) // never saved: as if somebody had, long ago
	}
	return ha.Schedule{StartTime: time.Duration(s.StartTime) * time.Minute, RunEvery: s.RunEvery, Saved: saved}
}

// plan sets when the next sync is due.
func (e *Engine) plan(now time.Time) {
	next := e.settings.schedule().Next(now)
	e.sync.next.Store(&next)
}

// due tells the machine when a sync is. One that came while the engine did not
// run is not made up for.
func (e *Engine) due() {
	now := time.Now().Round(0)
	next := e.sync.next.Load()
	if e.Copier == nil || e.broken != "" || next == nil || now.Before(*next) {
		return
	}
	e.plan(now)
	if e.sync.verifying {
		e.note("a sync is skipped, for the application is looked at")
		return
	}
	if l := e.runs.holder(); l != nil {
		e.skipFor(l, now)
		return
	}
	e.step(ha.Event{On: ha.OnSyncDue})
}

// scheduled gives the next runs, if the schedule runs, and its idle time.
func (e *Engine) scheduled(s *Snapshot, last *nodeapi.Sync) nodeapi.Schedule {
	d := nodeapi.Schedule{Next: []time.Time{}}
	if e.Copier == nil {
		return d
	}
	plan := s.Settings.schedule()
	if m := s.Member; m.Enabled && m.Scheduled && !m.Blocked && m.Last != ha.Active {
		for _, at := range plan.Upcoming(time.Now().Round(0)) {
			d.Next = append(d.Next, at.UTC())
		}
	}
	if last != nil && !last.Started.IsZero() {
		d.Idle = plan.Idle(last.At.Sub(last.Started))
	}
	return d
}

// syncStatus fills in what a Status says of syncs.
func (e *Engine) syncStatus(d *nodeapi.Status, s *Snapshot) {
	if syncs := e.history.syncs(); len(syncs) > 0 {
		d.LastSync = &syncs[len(syncs)-1]
	}
	d.Loss = e.costs()
	d.Schedule = e.scheduled(s, d.LastSync)
	if e.Copier == nil {
		return
	}
	d.Sync, d.Taken = e.Copier.Look()
	if d.Sync == nil && s.Member.Syncing {
		d.Sync = &nodeapi.SyncNow{Phase: "begin"}
	}
	if last := d.LastSync; last != nil && last.Duration() > 0 && d.Schedule.Idle < leastIdle {
		d.Warnings = append(d.Warnings, fmt.Sprintf("The last sync took %v of Run Every, %v: set Run Every longer, so that syncs do not overlap.", last.Duration(), s.Settings.RunEvery))
	}
}

// leastIdle is the part of Run Every that should be left between two syncs (HA
// best practice recommendations).
const leastIdle = 0.5

// sync is Run Sync Now, and the command failover sync (EPMM guide, Table 5). Its
// gates are the machine's.
func (c *control) sync(ctx context.Context, q nodeapi.Request, who string) (Outcome, error) {
	if q.Host != c.PeerName && (c.IsPeer == nil || !c.IsPeer(q.Host)) {
		return Outcome{}, wrong(fmt.Sprintf("%.80q is not the peer of this node", q.Host), "Name "+c.PeerName+".")
	}
	out, err := c.run(ctx, func() Outcome {
		if c.Engine.sync.verifying {
			return Outcome{Refused: "the application runs here to be looked at (failover validate); when it is stopped again"}
		}
		c.note(fmt.Sprintf("%s says %v %s", who, ha.OnSyncAsked, q.Reason))
		c.Engine.sync.order = SyncOrder{By: who, Accept: q.Accept, Discard: q.Discard}
		defer func() { c.Engine.sync.order = SyncOrder{} }()
		return c.step(ha.Event{On: ha.OnSyncAsked})
	})
	if out.Sync && c.Copier == nil {
		out.Refused = NoDataset
	}
	return out, err
}

// rollback puts an older generation into force on a node that stands by.
func (c *control) rollback(w http.ResponseWriter, r *http.Request, q nodeapi.Request) {
	who := c.who(r)
	s := c.now.Load()
	switch m := s.Member; {
	case c.Copier == nil:
		give(w, http.StatusConflict, nodeapi.Fault{Why: NoDataset})
		return
	case m.Phase != ha.InStandby && m.Phase != ha.InSuspect && m.Phase != ha.InHeld && m.Phase != ha.InOff || m.Last == ha.Active:
		give(w, http.StatusConflict, nodeapi.Fault{Why: "this node is " + m.Phase.String() + ": only a stand-by goes back to an older generation", Do: "On the stand-by: failover rollback, then failover mode primary there if it is to serve"})
		return
	}
	c.note(fmt.Sprintf("%s rolls back to generation %d %s", who, q.To, q.Reason))
	back, err := c.Copier.Rollback(r.Context(), q.To)
	if err != nil {
		give(w, http.StatusConflict, nodeapi.Fault{Why: err.Error(), Do: "See the generations: failover status"})
		return
	}
	c.Log.Warn("an older generation is in force", "actor", who, "generation", back.Generation)
	c.note(fmt.Sprintf("generation %d is in force", back.Generation))
	give(w, http.StatusOK, back)
}

// Facts are what this node tells another one before data is copied.
type Facts struct {
	Release string // of the application; empty: no command tells it
	Epoch   uint64 // the highest at which a node is known to have served
	Active  bool
	Standby bool
}

// releaseTime bounds the command that tells the application's release.
const releaseTime = 20 * time.Second

// Facts tells how this node is as one that is copied from, or copies.
func (e *Engine) Facts(ctx context.Context) (Facts, error) {
	m := e.now.Load().Member
	f := Facts{
		Epoch:   max(m.Served, m.Seen),
		Active:  m.Phase == ha.InActive || m.Phase == ha.InOff && m.Last != ha.Standby,
		Standby: m.Phase == ha.InStandby || m.Phase == ha.InSuspect || m.Phase == ha.InHeld || m.Phase == ha.InDeciding,
	}
	if len(e.Version) == 0 {
		return f, nil
	}
	ctx, cancel := context.WithTimeout(ctx, releaseTime)
	defer cancel()
	out, err := output(ctx, e.Version)
	if err != nil {
		return f, fmt.Errorf("the release of the application is not known, for the command version fails: %w", err)
	}
	f.Release = strings.TrimSpace(string(out))
	return f, nil
}

package probes

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// loop is what the goroutine of a Watcher owns.
type loop struct {
	*Watcher
	ctx     context.Context
	plan    Plan
	traffic ha.Traffic
	view    ha.View
	stored  error                // why the last Save failed, nil if it did not
	blocked bool                 // the register could not be read or written at the start and is tried again
	next    map[string]*schedule // by node
	recent  recent
	timer   *time.Timer
	probing sync.WaitGroup
}

// schedule says when a node is probed next.
type schedule struct {
	key    string
	due    time.Time
	busy   bool          // a probe is under way
	kicked time.Time     // when evidence last brought a probe forward
	phase  time.Duration // added once after the first reading, so that groups spread over the interval
}

// Run watches the group by plan until ctx ends. It returns when the last probe
// has ended.
func (w *Watcher) Run(ctx context.Context, plan Plan) {
	defer close(w.done)
	l := &loop{Watcher: w, ctx: ctx, next: map[string]*schedule{}, recent: recent{}, timer: time.NewTimer(0)}
	defer l.timer.Stop()
	l.load()
	if err := l.apply(plan); err != nil {
		w.log.Error("the configuration does not fit the stored traffic", "error", err)
		l.adopt(plan)
	}
	changes, err := w.register.Watch(ctx, w.group)
	if err != nil {
		w.log.Error("the register cannot be watched; changes by other processes are seen late", "error", err)
	}
	for ctx.Err() == nil {
		l.decide()
		l.probe()
		select {
		case <-ctx.Done():
		case <-l.timer.C:
		case r := <-w.readings:
			l.observe(r)
		case o := <-w.orders:
			o.do(l)
			l.decide()
			close(o.done)
		case _, open := <-changes:
			if !open {
				changes = nil
				break
			}
			l.reload()
		}
	}
	go func() { // readings that nobody waits for any more
		for range w.readings {
		}
	}()
	l.probing.Wait()
	close(w.readings)
}

// load takes the stored Traffic into force.
func (l *loop) load() {
	t, err := l.register.Load(l.ctx, l.group)
	var damaged *ha.Damaged
	l.blocked = false
	switch {
	case err == nil:
		l.traffic = t
	case errors.Is(err, ha.ErrNone):
		l.traffic = ha.Traffic{Group: l.group}
	case errors.As(err, &damaged):
		l.log.Error("the stored traffic cannot be read; the group is held", "error", err)
		l.traffic = ha.Lost(l.group, l.plan.names(), damaged.Floor, damaged.Why, time.Now())
	default:
		l.log.Error("the register cannot be read; the group is held and it is tried again", "error", err)
		l.wait(err)
	}
}

// wait holds the group until the register works again.
func (l *loop) wait(err error) {
	l.traffic = ha.Lost(l.group, l.plan.names(), 0, err.Error(), time.Now())
	l.blocked = true
}

// retry loads anew what could not be loaded or stored at the start.
func (l *loop) retry() {
	_, err := l.register.Load(l.ctx, l.group)
	var damaged *ha.Damaged
	if err == nil || errors.Is(err, ha.ErrNone) || errors.As(err, &damaged) {
		l.load()
	}
}

// reload takes over what another process has stored. A Traffic that cannot be
// read any more leaves the one in force as it is: it is known to have held.
func (l *loop) reload() {
	t, err := l.register.Load(l.ctx, l.group)
	switch {
	case errors.Is(err, ha.ErrNone) && l.traffic.Epoch > 0 && l.traffic.Serving != "":
		l.log.Warn("the stored traffic is gone; storing it again", "epoch", l.traffic.Epoch)
		if err := l.register.Save(l.ctx, 0, l.traffic); err != nil {
			l.log.Error("traffic cannot be stored", "error", err)
		}
	case errors.Is(err, ha.ErrNone):
	case err != nil:
		l.log.Error("the register cannot be read; traffic stays as it was", "error", err)
	case t.Epoch > l.traffic.Epoch || l.blocked:
		l.traffic, l.stored, l.blocked = t, nil, false
	case t.Epoch < l.traffic.Epoch:
		l.log.Error("the register went back; traffic stays as it was", "epoch", l.traffic.Epoch, "stored", t.Epoch)
	}
}

// apply takes a new plan into force, or says why it does not fit.
func (l *loop) apply(p Plan) error {
	if l.traffic.Epoch > 0 {
		t, changed, err := ha.Fit(l.traffic, p.names(), time.Now())
		if err != nil {
			return err
		}
		if changed && l.traffic.Serving != "" {
			if err := l.save(t); err != nil {
				return fmt.Errorf("store the changed order of group %s: %w", l.group, err)
			}
		}
	}
	l.adopt(p)
	return nil
}

// adopt makes p the plan; readings of nodes at another address begin anew.
func (l *loop) adopt(p Plan) {
	var anew []string
	next := map[string]*schedule{}
	for _, n := range p.Nodes {
		was := l.next[n.Name]
		if was != nil && was.key == n.Key {
			next[n.Name] = was
			continue
		}
		anew = append(anew, n.Name)
		next[n.Name] = &schedule{key: n.Key, due: time.Now(), phase: rand.N(max(p.Rules.Interval, 1))} // #nosec G404 -- spread, not secrecy
	}
	l.plan, l.next = p, next
	l.view = l.view.Keep(p.names(), anew)
	if l.traffic.Epoch == 0 || l.traffic.Serving == "" {
		l.traffic.Order = p.names()
	}
}

// observe takes in one reading.
func (l *loop) observe(r ha.Reading) {
	s := l.next[r.Node]
	if s == nil {
		return
	}
	s.busy = false
	l.figures.count(r)
	l.recent.add(r)
	l.view = l.view.Observe(r, l.traffic.Serving, l.plan.Rules.Fall)
	s.due = l.plan.Rules.Due(r, ha.Urgent(l.traffic, l.view))
	if !ha.Urgent(l.traffic, l.view) {
		s.due = s.due.Add(jitter(l.plan.Rules.Interval) - s.phase)
		s.phase = 0
	}
	if ha.Urgent(l.traffic, l.view) {
		l.hurry()
	}
}

// hurry brings the other nodes' probes forward to the fast interval.
func (l *loop) hurry() {
	now := time.Now()
	for _, sight := range l.view {
		if s := l.next[sight.Node]; s != nil && sight.Known() {
			due := l.plan.Rules.Due(sight.Last, true)
			if due.Before(now) {
				due = now
			}
			if due.Before(s.due) {
				s.due = due
			}
		}
	}
}

// doubt notes that live traffic to a node has failed. Only news brings a probe
// forward, and not more often than the fast interval.
func (l *loop) doubt(node, why string, at time.Time) {
	view, news := l.view.Doubt(node, at)
	s := l.next[node]
	if !news || s == nil {
		return
	}
	l.view = view
	l.log.Warn("live traffic failed", "node", node, "why", why)
	if now := time.Now(); now.Sub(s.kicked) >= l.plan.Rules.FastInterval {
		s.kicked, s.due = now, now
	}
	l.hurry()
}

// probe starts the probes that are due and sets the timer for the next one.
func (l *loop) probe() {
	now := time.Now()
	wake := now.Add(l.plan.Rules.Interval)
	for i := range l.plan.Nodes {
		n := &l.plan.Nodes[i]
		s := l.next[n.Name]
		if s.busy {
			continue
		}
		if ha.Wanted(l.traffic, l.view, n.Name) {
			s.due = now
		}
		if s.due.After(now) {
			if s.due.Before(wake) {
				wake = s.due
			}
			continue
		}
		s.busy = true
		l.figures.late(now.Sub(s.due))
		l.start(n.Looker, ha.Pages(l.traffic.Order, l.traffic.Serving, n.Name))
	}
	if q := l.traffic.QueueUntil; q.After(now) && q.Before(wake) {
		wake = q
	}
	l.timer.Reset(wake.Sub(now))
}

func (l *loop) start(looker Looker, pages []ha.Page) {
	l.probing.Go(func() { l.readings <- looker.Check(pages) })
}

// decide brings Traffic to where the rule has it and publishes the Situation.
func (l *loop) decide() {
	if l.ctx.Err() != nil {
		return
	}
	if l.blocked {
		l.retry()
	}
	l.begin()
	l.traffic = ha.Provide(l.traffic, l.view)
	if t, learned := ha.Learn(l.traffic, l.view, time.Now()); learned && l.traffic.Serving != "" {
		_ = l.save(t)
	}
	s := l.assess()
	for range 3 { // each turn follows another process's change
		if s.Decision.Verb != ha.FailOver {
			break
		}
		err := l.save(ha.Apply(l.traffic, s.Decision, l.view, s.At))
		s = l.assess()
		if err != nil && !errors.Is(err, ha.ErrStale) {
			break
		}
	}
	s = ha.Stuck(s) // a failover that is still due could not be stored
	l.publish(s.After(l.Situation()))
}

func (l *loop) assess() ha.Situation {
	return ha.Assess(l.traffic, l.view, l.plan.Rules, time.Now())
}

// begin makes the first Traffic of a group once every node has been read.
func (l *loop) begin() {
	if l.traffic.Epoch > 0 || l.traffic.Hold != nil {
		return
	}
	t, ok := ha.Begin(l.group, l.plan.names(), l.view, time.Now())
	if !ok {
		return
	}
	if l.plan.Observe && t.Hold == nil {
		t.Hold = &ha.Hold{Owner: "configuration", Reason: "observe", Since: t.At}
	}
	if err := l.save(t); err != nil && !errors.Is(err, ha.ErrStale) {
		l.wait(err)
	}
}

// save stores t in place of the Traffic in force and takes it into force. If
// another process was first, its Traffic comes into force instead.
func (l *loop) save(t ha.Traffic) error {
	err := l.register.Save(l.ctx, l.traffic.Epoch, t)
	switch {
	case err == nil:
		l.traffic, l.stored = t, nil
	case errors.Is(err, ha.ErrStale):
		l.reload()
	default:
		if l.stored == nil {
			l.log.Error("traffic cannot be stored, so it does not move", "error", err)
		}
		l.stored = err
	}
	return err
}

// act does a person's wish.
func (l *loop) act(act ha.Act, wish ha.Wish, dryRun bool) (ha.Traffic, error) {
	if l.traffic.Epoch == 0 && l.traffic.Hold == nil {
		return l.traffic, ha.NotStarted(l.group)
	}
	t, err := act(l.traffic, l.view, l.plan.Rules, wish, time.Now())
	if err != nil || dryRun {
		return t, err
	}
	switch err := l.save(t); {
	case errors.Is(err, ha.ErrStale):
		return l.traffic, ha.Overtaken(l.group, l.traffic.Epoch)
	case err != nil:
		return l.traffic, fmt.Errorf("store the traffic of group %s: %w", l.group, err)
	}
	return t, nil
}

// jitter is up to a tenth of the interval, either way.
func jitter(interval time.Duration) time.Duration {
	tenth := interval / 10
	if tenth <= 0 {
		return 0
	}
	return rand.N(2*tenth+1) - tenth // #nosec G404 -- spread, not secrecy
}

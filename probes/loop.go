package probes

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
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
	blocked bool                 // the register could not be read, or not take the first Traffic: it is tried again
	opening *opening             // the first Traffic is being stored; nil if it is not
	first   *ha.Traffic          // the first Traffic, while the register does not take it
	unfit   bool                 // the order in force may not be the plan's: it is tried again
	changes <-chan struct{}      // the register's; nil while it cannot be watched: it is tried again
	deaf    bool                 // that has been logged
	choir                        // the other watchers, where there are any
	next    map[string]*schedule // by node
	recent  recent
	timer   *time.Timer
	probing sync.WaitGroup
}

// opening is the first Traffic of a group, on its way to the register. With
// thousands of groups that start at once it may take seconds; the loop probes
// meanwhile.
type opening struct {
	ha.Traffic
	over chan error
}

// schedule says when a node is probed next.
type schedule struct {
	key    string
	due    time.Time
	busy   bool          // a probe is under way
	kicked time.Time     // to when evidence last brought a probe forward
	phase  time.Duration // taken off once after the first reading, so that groups spread over the interval
}

// found is what a probe learned for a schedule; it is void if the node has
// another by now.
type found struct {
	*schedule
	ha.Reading
}

// Run watches the group by plan until ctx ends. It returns when the last probe
// has ended. A Watcher runs once.
func (w *Watcher) Run(ctx context.Context, plan Plan) {
	l := &loop{Watcher: w, ctx: ctx, next: map[string]*schedule{}, recent: recent{}, timer: time.NewTimer(0)}
	defer l.timer.Stop()
	l.watch() // before load, so that no change is missed between the two
	l.join()
	l.adopt(plan)
	l.load()
	l.decide()
	for ctx.Err() == nil {
		l.probe()
		select {
		case <-ctx.Done():
			continue
		case <-l.timer.C:
			if l.traffic.QueueUntil.IsZero() {
				continue // time alone decides nothing that the next reading would not
			}
		case f := <-w.found:
			l.observe(f)
		case err := <-l.opened():
			l.open(err)
		case o := <-w.orders:
			o.do(l)
			l.decide()
			close(o.done)
			continue
		case _, open := <-l.changes:
			if !open {
				l.changes = nil
				break
			}
			l.reload()
		case _, open := <-l.heard:
			l.listen(open)
		}
		l.decide()
	}
	close(w.done)
	go func() {
		l.probing.Wait()
		close(w.found)
	}()
	for range w.found { // what nobody waits for any more
		continue
	}
}

// apply takes a new plan into force, or says why it does not fit.
func (l *loop) apply(p Plan) error {
	if err := l.fit(p); err != nil {
		return err
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
	if !slices.Equal(l.plan.Names(), p.Names()) {
		l.first = nil // another start
	}
	sooner := p.Rules.Interval < l.plan.Rules.Interval
	l.plan, l.next = p, next
	l.count()
	l.view = l.view.Keep(p.Names(), anew)
	maps.DeleteFunc(l.recent, func(node string, _ *ring) bool { return next[node] == nil || slices.Contains(anew, node) })
	l.unfit = true
	if sooner {
		l.hurry(ha.Urgent(l.traffic, l.view, time.Now()))
	}
}

// observe takes in one reading.
func (l *loop) observe(f found) {
	r, s := ha.Believe(l.traffic, l.view, f.Reading), f.schedule
	if l.next[r.Node] != s {
		return
	}
	s.busy = false
	l.figures.count(r)
	l.recent.add(r)
	l.view = l.view.Observe(r, l.traffic.Serving, l.plan.Rules.Fall)
	if ha.Urgent(l.traffic, l.view, time.Now()) {
		s.due = l.plan.Rules.Due(r, true)
		l.hurry(true)
		return
	}
	every := l.plan.Rules.Interval
	s.due = later(r.End(), l.plan.Rules.Due(r, false).Add(jitter(every)-s.phase))
	s.due = s.due.Add(together(s.due, every))
	s.phase = 0
}

// hurry brings probes forward to when the rules want them at the latest.
func (l *loop) hurry(urgent bool) {
	now := time.Now()
	for _, sight := range l.view {
		if s := l.next[sight.Node]; s != nil && sight.Known() {
			s.due = earlier(s.due, later(now, l.plan.Rules.Due(sight.Last, urgent)))
		}
	}
}

// doubt notes that live traffic to a node has failed. Only news brings a probe
// of a node that has missed none forward, and not more often than the fast
// interval.
func (l *loop) doubt(node, why string, view ha.View, news bool) {
	s := l.next[node]
	if !news || s == nil {
		return
	}
	l.view = view
	l.log.Warn("live traffic failed", "node", node, "why", why)
	kick := later(time.Now(), s.kicked.Add(l.plan.Rules.FastInterval))
	if view.Of(node).Misses == 0 && kick.Before(s.due) {
		s.kicked, s.due = kick, kick
	}
	l.hurry(true)
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
		l.start(n.Looker, s, ha.Pages(l.traffic.Order, l.traffic.Serving, n.Name))
	}
	if q := l.traffic.QueueUntil; l.traffic.Waits(now) && q.Before(wake) {
		wake = q
	}
	l.timer.Reset(wake.Sub(now))
}

// grid is how far apart calm probes start: those of all groups start at the
// same instants, for each time that the process wakes up costs as much as ten
// probes do.
func grid(interval time.Duration) time.Duration {
	return min(interval/25, 200*time.Millisecond)
}

// together is how much later than t a calm probe starts.
func together(t time.Time, interval time.Duration) time.Duration {
	step := grid(interval)
	if step <= 0 {
		return 0
	}
	return (step - time.Duration(t.UnixNano())%step) % step
}

func (l *loop) start(looker Looker, s *schedule, pages []ha.Page) {
	l.probing.Go(func() { l.found <- found{s, looker.Check(pages)} })
}

// decide brings Traffic to where the rule has it and publishes the Situation.
func (l *loop) decide() {
	if l.ctx.Err() != nil {
		return
	}
	l.mend()
	l.begin()
	l.learn()
	s := l.assess()
	if s.Decision.Verb == ha.FailOver {
		s = l.failOver(s)
	}
	l.publish(s)
	l.vote()
}

// learn takes in what a reading tells beside a node's state.
func (l *loop) learn() {
	l.traffic = ha.Provide(l.traffic, l.view)
	if t, learned := ha.Learn(l.traffic, l.view, time.Now()); learned && l.traffic.Serving != "" {
		_ = l.save(t)
	}
}

// failOver stores the failover that s decides, and gives the Situation after
// it. What others store meanwhile is followed for some turns.
func (l *loop) failOver(s *ha.Situation) *ha.Situation {
	for range turns {
		if s.Decision.Verb != ha.FailOver {
			break
		}
		if l.Situation().Decision.Reason != ha.NotStored {
			l.publish(s) // requests wait while it is being stored
		}
		err := l.save(ha.Apply(l.traffic, s.Decision, l.view, s.At))
		s = l.assess()
		if err != nil && !errors.Is(err, ha.ErrStale) {
			break
		}
	}
	stuck := ha.Stuck(*s) // a failover that is still due could not be stored
	return &stuck
}

func (l *loop) assess() *ha.Situation {
	l.weigh()
	s := ha.Assess(l.traffic, l.view, l.plan.Rules, time.Now())
	s.UnarmedSince = s.Unarmed(l.situation.Load())
	s.Votes = l.say()
	return &s
}

// begin makes the first Traffic of a group once every node has been read.
func (l *loop) begin() {
	if l.traffic.Epoch > 0 || l.traffic.Hold != nil || l.opening != nil {
		return
	}
	t, ok := ha.Begin(l.group, l.plan.Names(), l.view, time.Now())
	if !ok {
		return
	}
	if l.plan.Observe && t.Hold == nil {
		t.Hold = &ha.Hold{Owner: "configuration", Reason: "observe", Since: t.At}
	}
	o := &opening{t, make(chan error, 1)}
	l.opening = o
	l.probing.Go(func() { o.over <- l.write(0, o.Traffic) })
}

// opened gives what came of storing the first Traffic; nil if none is stored.
func (l *loop) opened() <-chan error {
	if l.opening == nil {
		return nil
	}
	return l.opening.over
}

// open takes the first Traffic into force, or what is stored in its place. It
// may have been read from the register before.
func (l *loop) open(err error) {
	t := l.opening.Traffic
	l.opening = nil
	if l.traffic.Epoch > 0 || l.traffic.Hold != nil {
		return
	}
	if err := l.kept(t, err); err != nil && !errors.Is(err, ha.ErrStale) {
		l.wait(err)
		l.first = &t // of a later View less may be known than of this one
	}
	l.unfit = true // the plan may be another by now
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
	was := l.traffic.Serving
	switch err := l.save(t); {
	case errors.Is(err, ha.ErrStale):
		return l.traffic, ha.Overtaken(l.group, l.traffic.Epoch)
	case err != nil:
		return l.traffic, fmt.Errorf("store the traffic of group %s: %w", l.group, err)
	case t.Serving != was && l.view.Of(t.Serving).Misses > 0: // forced
		l.anew(t.Serving)
	}
	return t, nil
}

// jitter is up to a tenth of the interval, either way, less what together may
// add to it.
func jitter(interval time.Duration) time.Duration {
	tenth := interval / 10
	if tenth <= 0 {
		return 0
	}
	return rand.N(2*tenth-grid(interval)+1) - tenth // #nosec G404 -- spread, not secrecy
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

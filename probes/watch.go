package probes

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// Register keeps Traffic. Several processes may share one.
type Register interface {
	// Load gives the stored Traffic; ha.ErrNone if none is stored, *ha.Damaged
	// if what is stored cannot be read.
	Load(ctx context.Context, group string) (ha.Traffic, error)
	// Save stores t durably if the stored epoch is was (0: none stored), and
	// adds it to the history; ha.ErrStale if it is another.
	Save(ctx context.Context, was uint64, t ha.Traffic) error
	// Watch gives a channel that receives after every change by anyone.
	Watch(ctx context.Context, group string) (<-chan struct{}, error)
	// History gives the newest limit Traffics, oldest first.
	History(ctx context.Context, group string, limit int) ([]ha.Traffic, error)
}

// Looker probes one node. *Checker is one.
type Looker interface {
	// Check asks for pages and gives one Reading, within the node's timeout.
	Check(pages []ha.Page) ha.Reading
}

// Node is a node as a Watcher is told of it. Key changes when readings of the
// old Looker say nothing of the new one (another address).
type Node struct {
	Name   string
	Key    string
	Looker Looker
}

// Plan is what a Watcher goes by; it may be replaced while the Watcher runs.
type Plan struct {
	Nodes   []Node // in the configured order of succession
	Rules   ha.Rules
	Observe bool // a first start begins held
}

// Names gives the nodes in the configured order of succession.
func (p Plan) Names() []string {
	names := make([]string, len(p.Nodes))
	for i, n := range p.Nodes {
		names[i] = n.Name
	}
	return names
}

// Watcher watches one group. Make it with NewWatcher, start Run in a goroutine
// of its own; all other methods may be called from any.
type Watcher struct {
	group    string
	register Register
	log      *slog.Logger
	figures  figures

	found  chan found
	orders chan order
	done   chan struct{} // closed when the loop has ended and takes no more orders

	situation atomic.Pointer[ha.Situation]

	mu        sync.Mutex // guards the field below; held while followers are told
	followers []*follower
}

// follower is told of each Situation that differs from the one before.
type follower struct{ tell func(ha.Situation) }

// order is something that the loop does between two readings.
type order struct {
	do   func(*loop)
	done chan struct{}
}

// ErrStopped is the error of a Watcher that does not run any more.
var ErrStopped = errors.New("the watcher of this group has stopped")

// NewWatcher gives a Watcher of a group that keeps its Traffic in register.
func NewWatcher(group string, register Register, log *slog.Logger) *Watcher {
	w := &Watcher{
		group: group, register: register, log: log.With("group", group),
		found: make(chan found), orders: make(chan order), done: make(chan struct{}),
	}
	w.situation.Store(&ha.Situation{Traffic: ha.Traffic{Group: group}, Queue: ha.QueueAll})
	return w
}

// Group is the name of the group.
func (w *Watcher) Group() string { return w.group }

// Situation gives what is known and decided now.
func (w *Watcher) Situation() ha.Situation { return *w.situation.Load() }

// Follow has tell called with every Situation that differs from the one
// before, first with the present one, until the returned function is called.
// All calls but the first are made by the Watcher's loop: tell must not block,
// and ask nothing of the Watcher but its Situation.
func (w *Watcher) Follow(tell func(ha.Situation)) (stop func()) {
	f := &follower{tell: tell}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.followers = append(w.followers, f)
	tell(w.Situation())
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.followers = slices.DeleteFunc(w.followers, func(o *follower) bool { return o == f })
	}
}

// Doubt tells that live traffic to a node has failed: a reason to look, never
// a decision. When it returns the node is suspect in the Situation, and all
// who follow know it.
func (w *Watcher) Doubt(node, why string) {
	if !w.told().View.Of(node).Suspect.IsZero() {
		return
	}
	at := time.Now()
	_ = w.ask(context.Background(), func(l *loop) {
		view, news := l.view.Doubt(node, at)
		l.doubt(node, why, view, news)
	})
}

// Hush tells that a node leaves every request unanswered: evidence too, and
// until a good reading settles it all requests wait.
func (w *Watcher) Hush(node string) {
	at := time.Now()
	_ = w.ask(context.Background(), func(l *loop) {
		view, news := l.view.Hush(node, at)
		l.doubt(node, "requests are out and none is answered", view, news)
	})
}

// Act does what a person or a run wishes: the verb is one of [ha.Acts]. With
// dryRun it only says what would be. The error is a *ha.Refusal, or says that
// the new Traffic could not be stored.
func (w *Watcher) Act(ctx context.Context, act ha.Act, wish ha.Wish, dryRun bool) (t ha.Traffic, err error) {
	if e := w.ask(ctx, func(l *loop) { t, err = l.act(act, wish, dryRun) }); e != nil {
		return ha.Traffic{}, e
	}
	return t, err
}

// Apply replaces the plan. The error says why the plan does not fit the stored
// Traffic; then the old one stays in force.
func (w *Watcher) Apply(ctx context.Context, p Plan) (err error) {
	if e := w.ask(ctx, func(l *loop) { err = l.apply(p) }); e != nil {
		return e
	}
	return err
}

// History gives the newest limit Traffics of the group, oldest first.
func (w *Watcher) History(ctx context.Context, limit int) ([]ha.Traffic, error) {
	return w.register.History(ctx, w.group, limit)
}

// Readings gives the last readings of every node, oldest first.
func (w *Watcher) Readings() (readings map[string][]ha.Reading) {
	_ = w.ask(context.Background(), func(l *loop) { readings = l.recent.all() })
	return readings
}

// ask has the loop do something and waits for it.
func (w *Watcher) ask(ctx context.Context, do func(*loop)) error {
	o := order{do, make(chan struct{})}
	select {
	case w.orders <- o:
	case <-w.done:
		return ErrStopped
	case <-ctx.Done():
		return ctx.Err()
	}
	<-o.done
	return nil
}

// told gives the Situation, once all who follow have been told of it.
func (w *Watcher) told() *ha.Situation {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.situation.Load()
}

// publish makes s the Situation and tells the followers if it is news.
func (w *Watcher) publish(s *ha.Situation) {
	w.mu.Lock() // before the swap, so that one who begins to follow is told of s once
	defer w.mu.Unlock()
	before := w.situation.Swap(s)
	if s.Same(before) {
		return
	}
	w.report(before, s)
	for _, f := range w.followers {
		f.tell(*s)
	}
}

// report logs and counts what changed.
func (w *Watcher) report(before, s *ha.Situation) {
	switch {
	case s.Traffic.Epoch == before.Traffic.Epoch || s.Traffic.Epoch == 0:
	case before.At.IsZero():
		w.log.Info("traffic found", "serving", s.Traffic.Serving, "epoch", s.Traffic.Epoch, "cause", s.Traffic.Cause)
	default:
		w.figures.transitions.Add(1)
		w.log.Info("traffic changed", "serving", s.Traffic.Serving, "from", before.Traffic.Serving,
			"epoch", s.Traffic.Epoch, "cause", s.Traffic.Cause, "actor", s.Traffic.Actor, "reason", s.Traffic.Words)
	}
	if s.Traffic.Serving != before.Traffic.Serving && s.Traffic.Actor == "" && before.Traffic.Serving != "" {
		w.figures.failovers.Add(1)
	}
	for _, a := range s.Alarms() {
		if !slices.Contains(before.Alarms(), a) {
			w.log.Error("a person is needed", "reason", a, "row", s.Decision.Row, "serving", s.Traffic.Serving, "node", s.Decision.About)
		}
	}
	for _, now := range s.View {
		if was := before.View.Of(now.Node); now.Known() && (was.Last.State != now.Last.State || !was.Known()) {
			w.log.Info("node changed", "node", now.Node, "state", now.Last.State, "cause", now.Last.Cause, "detail", now.Last.Detail)
		}
	}
}

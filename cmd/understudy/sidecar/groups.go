package sidecar

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/internal/notify"
	"github.com/understudy-ha/understudy/probes"
)

// groups are the groups that are watched. They are what the API shows.
type groups struct {
	register shared
	crier    *notify.Crier
	log      *slog.Logger
	meter    func(io.Writer)                         // writes the figures that are not of one group
	planned  func(group string, now time.Time) error // is asked before a person moves traffic; nil: nobody
	names    *names                                  // the name server's part

	mu  sync.RWMutex // guards the field below
	all map[string]*watched
}

// watched is a group and what runs for it.
type watched struct {
	*probes.Watcher
	plan   probes.Plan
	since  time.Time
	cancel context.CancelFunc
	ended  chan struct{}
}

func newGroups(r shared, c *notify.Crier, log *slog.Logger) *groups {
	return &groups{register: r, crier: c, log: log, all: map[string]*watched{}}
}

// prepare puts the plans into force in the groups that are watched already,
// which is what can fail, and gives how to go on or back. One of the two must
// be called.
func (g *groups) prepare(ctx context.Context, plans map[string]probes.Plan) (commit, abort func(), err error) {
	var applied []string
	abort = func() {
		for _, name := range applied {
			if err := g.find(name).Apply(context.Background(), g.find(name).plan); err != nil {
				g.log.Error("the plan of a group could not be taken back", "group", name, "error", err)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(plans)) {
		w := g.find(name)
		if w == nil {
			err = g.fits(ctx, name, plans[name])
		} else if err = w.Apply(ctx, plans[name]); err == nil {
			applied = append(applied, name)
		}
		if err != nil {
			abort()
			return nil, nil, err
		}
	}
	return func() { g.commit(plans) }, abort, nil
}

// fits says whether the stored Traffic of a group allows a plan.
func (g *groups) fits(ctx context.Context, name string, p probes.Plan) error {
	t, err := g.register.Load(ctx, name)
	if err != nil { // none, damaged or unreadable: the watcher says so and holds
		return nil
	}
	_, _, err = ha.Fit(t, p.Names(), time.Now())
	return err
}

// commit ends what is watched no more, and starts what is new.
func (g *groups) commit(plans map[string]probes.Plan) {
	g.mu.Lock()
	var gone []*watched
	for name, w := range g.all {
		if p, stays := plans[name]; stays {
			w.plan = p
			continue
		}
		gone = append(gone, w)
		delete(g.all, name)
	}
	for name, p := range plans {
		if g.all[name] == nil {
			g.all[name] = g.start(name, p)
		}
	}
	g.mu.Unlock()
	for _, w := range gone {
		w.stop()
	}
}

func (g *groups) start(name string, p probes.Plan) *watched {
	ctx, cancel := context.WithCancel(context.Background())
	w := &watched{
		Watcher: probes.NewWatcher(name, g.register, g.log), plan: p, since: time.Now(), cancel: cancel, ended: make(chan struct{}),
	}
	w.Follow(g.crier.Hear)
	go func() {
		defer close(w.ended)
		w.Run(ctx, p)
	}()
	return w
}

// stop ends the watcher and waits for it.
func (w *watched) stop() {
	w.cancel()
	<-w.ended
}

func (g *groups) close() {
	g.mu.Lock()
	all := slices.Collect(maps.Values(g.all))
	clear(g.all)
	g.mu.Unlock()
	for _, w := range all {
		w.cancel()
	}
	for _, w := range all {
		<-w.ended
	}
}

func (g *groups) find(name string) *watched {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.all[name]
}

// Names gives the groups' names, sorted.
func (g *groups) Names() []string {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return slices.Sorted(maps.Keys(g.all))
}

// Situation gives a group's Situation.
func (g *groups) Situation(name string) (ha.Situation, bool) {
	if w := g.find(name); w != nil {
		return w.Watcher.Situation(), true
	}
	return ha.Situation{}, false
}

// Act does a person's wish.
func (g *groups) Act(ctx context.Context, name, verb string, wish ha.Wish, dryRun bool) (ha.Traffic, error) {
	w := g.find(name)
	act, known := ha.Acts(verb)
	if w == nil || !known {
		return ha.Traffic{}, &ha.Refusal{Code: ha.BadWish, What: name + ": nothing was changed", Why: "there is no such group or verb", Do: "Look at the groups.", Read: "understudy status"}
	}
	if moves := verb == "resume" || verb == "switch"; moves && !dryRun && !wish.Force && g.planned != nil {
		if _, err := w.Watcher.Act(ctx, act, wish, true); err != nil {
			return ha.Traffic{}, err
		}
		if err := g.planned(name, time.Now()); err != nil {
			return ha.Traffic{}, err
		}
	}
	return w.Watcher.Act(ctx, act, wish, dryRun)
}

// History gives a group's newest Traffics, oldest first.
func (g *groups) History(ctx context.Context, name string, limit int) ([]ha.Traffic, error) {
	w := g.find(name)
	if w == nil {
		return nil, fmt.Errorf("group %s is not watched any more", name)
	}
	t, err := w.Watcher.History(ctx, limit)
	if errors.Is(err, ha.ErrNone) {
		return nil, nil
	}
	return t, err
}

// Subscribe gives every Situation that is news.
func (g *groups) Subscribe(ctx context.Context) <-chan ha.Situation { return g.crier.Subscribe(ctx) }

// Readings gives the last readings of every node of a group.
func (g *groups) Readings(name string) map[string][]ha.Reading {
	if w := g.find(name); w != nil {
		return w.Watcher.Readings()
	}
	return nil
}

// WriteMetrics writes the counters of every group and of the process.
func (g *groups) WriteMetrics(to io.Writer) {
	figures := map[string]probes.Figures{}
	for _, name := range g.Names() {
		if w := g.find(name); w != nil {
			figures[name] = w.Figures()
		}
	}
	probes.WriteFigures(to, figures)
	if g.meter != nil {
		g.meter(to)
	}
}

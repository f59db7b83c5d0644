package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/understudy-ha/understudy/internal/config"
	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/probes"
)

// groups holds what outlives a reload: one *group a state directory and name.
var groups = caddy.NewUsagePool()

// registers holds one register a place.
var registers = caddy.NewUsagePool()

// openRegister is a register as the pool keeps it.
type openRegister struct{ shared }

// Destruct closes the register.
func (r openRegister) Destruct() error { return r.Close() }

// group is a watched group. The configurations that want it, old and new, each
// have a claim on it while they run; the newest one's is in force.
type group struct {
	name    string
	place   place
	store   *lateRegister
	watcher *probes.Watcher
	route   *route

	mu     sync.Mutex // guards the fields below
	claims []claim
	doors  map[*Policy]time.Duration // how long each lets a request wait
	cancel context.CancelFunc        // nil: not running
	ended  chan struct{}             // closed when the watcher has ended
}

// claim is what one configuration wants of a group.
type claim struct {
	by      *App
	plan    probes.Plan
	address map[string]string // by node: host:port for traffic
}

func newGroup(at place, name string) *group {
	g := &group{name: name, place: at, store: new(lateRegister)}
	g.watcher = probes.NewWatcher(name, g.store, slog.New(caddyLog{}))
	g.route = newRoute(g.watcher.Doubt)
	return g
}

// enter puts a configuration's claim into force. The first one starts the
// watcher. The error says why the configuration does not fit; then nothing has
// changed.
func (g *group) enter(c claim) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.cancel == nil {
		if err := g.open(); err != nil {
			return err
		}
		if err := g.fits(c.plan); err != nil {
			return err
		}
		g.start(c)
	} else if err := g.watcher.Apply(context.Background(), c.plan); err != nil {
		return err
	}
	g.claims = append(g.claims, c)
	g.route.place(c.address, g.watcher.Situation())
	return nil
}

// fits says whether the stored Traffic allows a plan.
func (g *group) fits(p probes.Plan) error {
	t, err := g.store.Load(context.Background(), g.name)
	if err != nil { // none, damaged or unreadable: the watcher says so and holds
		return nil
	}
	_, _, err = ha.Fit(t, p.Names(), time.Now())
	return err
}

func (g *group) start(c claim) {
	ctx, cancel := context.WithCancel(context.Background())
	g.cancel, g.ended = cancel, make(chan struct{})
	g.route.place(c.address, g.watcher.Situation())
	g.watcher.Follow(g.route.tell)
	g.watcher.Follow(hear)
	present.add(g)
	go func() {
		defer close(g.ended)
		g.watcher.Run(ctx, c.plan)
	}()
}

// leave takes a configuration's claim back. If it was in force the one before
// it is again: a reload that failed half way changes nothing.
func (g *group) leave(by *App) {
	g.mu.Lock()
	defer g.mu.Unlock()
	was := len(g.claims)
	g.claims = slices.DeleteFunc(g.claims, func(c claim) bool { return c.by == by })
	if len(g.claims) == 0 || len(g.claims) == was {
		return
	}
	newest := g.claims[len(g.claims)-1]
	if err := g.watcher.Apply(context.Background(), newest.plan); err != nil {
		caddy.Log().Named("understudy").Error(err.Error())
		return
	}
	g.route.place(newest.address, g.watcher.Situation())
}

// Destruct ends the watcher and closes the group's connections.
func (g *group) Destruct() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.cancel != nil {
		sweep.remove(g)
		present.remove(g)
		g.cancel()
		<-g.ended
		g.route.stop()
	}
	if g.store.opened.Load() == nil {
		return nil
	}
	_, err := registers.Delete(g.place)
	return err
}

// open opens the group's register, once for all groups of a place.
func (g *group) open() error {
	if g.store.opened.Load() != nil {
		return nil
	}
	value, _, err := registers.LoadOrNew(g.place, func() (caddy.Destructor, error) {
		r, err := g.place.open()
		return openRegister{r}, err
	})
	if err != nil {
		return err
	}
	opened := value.(openRegister)
	g.store.opened.Store(&opened)
	return nil
}

// groupOf gives a group of the configuration that is being loaded.
func groupOf(ctx caddy.Context, name string) (*group, error) {
	mod, err := ctx.AppIfConfigured("understudy")
	switch {
	case errors.Is(err, caddy.ErrNotConfigured):
		return nil, errors.New("there is no group: the global option understudy { … } is missing")
	case err != nil:
		return nil, err
	}
	a := mod.(*App)
	if g := a.running[name]; g != nil {
		return g, nil
	}
	return nil, fmt.Errorf("there is no group %q; the configuration has %v", name, a.names())
}

// addresses gives where the traffic of each node goes.
func (g *Group) addresses() map[string]string {
	address := map[string]string{}
	for _, n := range g.Nodes {
		if u, why := config.Base(n.URL); why == "" {
			address[n.Name] = u.Host
		}
	}
	return address
}

// plan gives what the watcher of the group goes by.
func (g *Group) plan() (probes.Plan, error) {
	c := g.plain()
	rules := c.Rules()
	var targets []probes.Target
	for _, n := range c.Nodes {
		targets = append(targets, probes.Target{
			Node: n.Name, URL: n.Pages(), Host: c.Probe.Host, Profile: c.Probe.Pages,
			Timeout: rules.Timeout, ResolveEvery: rules.Interval, CAFile: c.Probe.TLSCA, Insecure: c.Probe.TLSInsecure,
		})
	}
	return probes.NewPlan(targets, rules, c.Observe)
}

// let notes a door of a configuration, until that ends.
func (g *group) let(ctx context.Context, p *Policy) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.doors == nil {
		g.doors = map[*Policy]time.Duration{}
	}
	g.doors[p] = max(0, time.Duration(p.QueueTimeout))
	context.AfterFunc(ctx, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.doors, p)
	})
}

// queueTimeout gives how long the least patient door lets a request wait.
func (g *group) queueTimeout() (least time.Duration, door bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, d := range g.doors {
		if !door || d < least {
			least, door = d, true
		}
	}
	return least, door
}

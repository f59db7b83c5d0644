package caddymodule

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"runtime/debug"
	"slices"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/understudy-ha/understudy/internal/ha"
)

func init() {
	caddy.RegisterModule(App{})
	caddy.RegisterModule(Policy{})
	caddy.RegisterModule(Transport{})
	caddy.RegisterModule(Replayable{})
	caddy.RegisterModule(Handler{})
	caddy.RegisterModule(Admin{})
}

// App keeps an application that runs as an active server and its stand-by
// reachable: it watches groups of nodes and decides which node of each gets
// the clients.
type App struct {
	// StateDir is where Traffic is kept. Default: understudy under Caddy's data
	// directory. Processes that share it share one decision.
	StateDir string `json:"state_dir,omitempty"`
	// Etcd is the register that several hosts share. With it StateDir keeps only
	// what this host last knew.
	Etcd *Etcd `json:"etcd,omitempty"`
	// Groups are the groups by name.
	Groups map[string]*Group `json:"groups,omitempty"`
	// Notify says who is told of a transition or alarm.
	Notify *Notify `json:"notify,omitempty"`
	// PeerKey is a file with this front's key towards the nodes' engines.
	PeerKey string `json:"peer_key,omitempty"`

	running map[string]*group
	claims  map[string]claim
	ctx     caddy.Context
	herald  *herald
	// consoles are the handlers that show these groups.
	consoles []*Console
	untell   func()      // ends what tells the nodes' engines
	tidy     *time.Timer // gives back memory after the start
}

// CaddyModule gives the module's identity.
func (App) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "understudy", New: func() caddy.Module { return new(App) }}
}

// Provision checks the configuration and finds the groups. It starts nothing.
func (a *App) Provision(ctx caddy.Context) error {
	a.ctx = ctx
	if a.StateDir == "" {
		a.StateDir = filepath.Join(caddy.AppDataDir(), "understudy")
	}
	if err := a.check().error(); err != nil {
		return err
	}
	for _, w := range a.warnings() {
		ctx.Slogger().Warn("unwise configuration", "at", w.path, "why", w.text)
	}
	a.running, a.claims = map[string]*group{}, map[string]claim{}
	for name, config := range a.Groups {
		plan, err := config.plan()
		if err != nil {
			return fmt.Errorf("understudy: group %s: %w", name, err)
		}
		a.claims[name] = claim{by: a, plan: plan, address: config.addresses()}
	}
	for name := range a.Groups {
		value, _, err := groups.LoadOrNew(groupKey{a.place(), name}, func() (caddy.Destructor, error) {
			return newGroup(a.place(), name), nil
		})
		if err != nil {
			return err
		}
		g := value.(*group)
		a.running[name] = g
		if _, _, err := ha.Fit(g.watcher.Situation().Traffic, a.claims[name].plan.Names(), time.Now()); err != nil {
			return fmt.Errorf("understudy: %w", err) // before any server has taken a connection for this configuration
		}
	}
	return registerCollector(ctx)
}

// groupKey names a group in the pool.
type groupKey struct {
	place
	name string
}

// Start puts this configuration into force in every group. It changes nothing
// if it does not fit one of them.
func (a *App) Start() error {
	var err error
	if a.herald, err = newHerald(a); err != nil { // first: an alarm may be in force from the first moment on
		return err
	}
	for _, name := range a.names() {
		if err := a.running[name].enter(a.claims[name]); err != nil {
			_ = a.Stop()
			return fmt.Errorf("understudy: %w", err)
		}
	}
	for _, c := range a.consoles {
		if err := c.open(a); err != nil {
			_ = a.Stop()
			return err
		}
	}
	if a.untell, err = a.openCourier(); err != nil {
		_ = a.Stop()
		return err
	}
	a.tidy = time.AfterFunc(15*time.Second, debug.FreeOSMemory) // a third of what a thousand groups hold is left from loading them
	return nil
}

// Stop takes this configuration out of force. The groups go on for the one
// that takes its place.
func (a *App) Stop() error {
	if a.herald != nil {
		a.herald.stop()
		a.herald = nil
	}
	if a.untell != nil {
		a.untell()
		a.untell = nil
	}
	if a.tidy != nil {
		a.tidy.Stop()
	}
	for _, g := range a.running {
		g.leave(a)
	}
	return nil
}

// Cleanup gives the groups back; those that nobody wants any more end.
func (a *App) Cleanup() error {
	_ = a.Stop()
	var errs []error
	for name := range a.running {
		_, err := groups.Delete(groupKey{a.place(), name})
		errs = append(errs, err)
	}
	a.running = nil
	return errors.Join(errs...)
}

// names gives the groups' names, sorted.
func (a *App) names() []string { return slices.Sorted(maps.Keys(a.Groups)) }

var (
	_ caddy.App          = (*App)(nil)
	_ caddy.Provisioner  = (*App)(nil)
	_ caddy.CleanerUpper = (*App)(nil)
)

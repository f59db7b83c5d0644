package sidecar

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"github.com/understudy-ha/understudy/internal/config"
	"github.com/understudy-ha/understudy/probes"
)

// gate is where load balancers ask: the probe proxy, if there is one, and its
// listeners by protocol and address, which outlive a reload that keeps them.
// Only the goroutine of Sidecar.Run changes it.
type gate struct {
	groups *groups
	log    *slog.Logger
	now    atomic.Pointer[probes.Proxy]
	open   map[place]net.Listener
	stops  map[string]func() // by group: ends the proxy's following
}

// place is a protocol and an address.
type place struct {
	agent   bool
	address string
}

func newGate(g *groups, log *slog.Logger) *gate {
	return &gate{groups: g, log: log, open: map[place]net.Listener{}, stops: map[string]func(){}}
}

// proxy gives the proxy, nil if there is none.
func (g *gate) proxy() *probes.Proxy { return g.now.Load() }

func proxyConfig(c *config.ProbeProxy, look *groups, log *slog.Logger) probes.ProxyConfig {
	p := probes.DefaultProxy()
	p.Look, p.Log, p.MaxAge, p.Allow = look.Situation, log, c.MaxAge, c.Allow
	if c.Conns > 0 {
		p.Limits.Conns = c.Conns
	}
	p.Limits.PerAddr, p.Limits.Rate = c.PerAddr, c.Rate
	return p
}

func placesOf(c *config.ProbeProxy) []place {
	var all []place
	if c != nil {
		for _, a := range c.Listen {
			all = append(all, place{false, a})
		}
		for _, a := range c.Agent {
			all = append(all, place{true, a})
		}
	}
	return all
}

// prepare opens the listeners that are new and gives how to go on or back. One
// of the two must be called.
func (g *gate) prepare(ctx context.Context, c *config.ProbeProxy) (commit, abort func(), err error) {
	fresh := map[place]net.Listener{}
	proxy := g.proxy()
	abort = func() {
		for _, l := range fresh {
			_ = l.Close()
		}
		if proxy != nil && proxy != g.proxy() {
			_ = proxy.Shutdown(context.Background())
		}
	}
	for _, at := range placesOf(c) {
		if g.open[at] != nil {
			continue
		}
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", at.address)
		if err != nil {
			abort()
			return nil, nil, fmt.Errorf("listen for load balancers: %w", err)
		}
		fresh[at] = l
	}
	if c != nil && proxy == nil {
		if proxy, err = probes.NewProxy(proxyConfig(c, g.groups, g.log)); err != nil {
			abort()
			return nil, nil, fmt.Errorf("probe proxy: %w", err)
		}
	} else if c != nil {
		if err := proxyConfig(c, g.groups, g.log).Check(); err != nil {
			abort()
			return nil, nil, fmt.Errorf("probe proxy: %w", err)
		}
	}
	return func() { g.commit(c, proxy, fresh) }, abort, nil
}

func (g *gate) commit(c *config.ProbeProxy, proxy *probes.Proxy, fresh map[place]net.Listener) {
	if c == nil {
		g.close()
		return
	}
	if err := proxy.Apply(proxyConfig(c, g.groups, g.log)); err != nil {
		g.log.Error("the probe proxy keeps its configuration", "error", err)
	}
	g.now.Store(proxy)
	g.follow()
	wanted := map[place]bool{}
	for _, at := range placesOf(c) {
		wanted[at] = true
	}
	for at, l := range g.open {
		if !wanted[at] {
			_ = l.Close()
			delete(g.open, at)
		}
	}
	for at, l := range fresh {
		g.open[at] = l
		go g.serve(proxy, at, l)
	}
}

func (g *gate) serve(p *probes.Proxy, at place, l net.Listener) {
	serve := p.Serve
	if at.agent {
		serve = p.ServeAgent
	}
	if err := serve(l); err != nil {
		g.log.Debug("a listener for load balancers has ended", "address", at.address, "error", err)
	}
}

// follow has the proxy told of every group that is watched, and of no other.
func (g *gate) follow() {
	p := g.proxy()
	for name, stop := range g.stops {
		if g.groups.find(name) == nil {
			stop()
			delete(g.stops, name)
			p.Forget(name)
		}
	}
	for _, name := range g.groups.Names() {
		if w := g.groups.find(name); g.stops[name] == nil && w != nil {
			g.stops[name] = w.Follow(p.Tell)
		}
	}
}

// close ends the proxy, if there is one.
func (g *gate) close() {
	p := g.now.Swap(nil)
	for name, stop := range g.stops {
		stop()
		delete(g.stops, name)
	}
	clear(g.open) // the proxy closes them
	if p == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_ = p.Shutdown(ctx)
}

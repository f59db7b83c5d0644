package sidecar

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/understudy-ha/understudy/dnsgtm"
	"github.com/understudy-ha/understudy/internal/config"
	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/probes"
)

// names is the name server, if there is one, and the pools that only it needs.
// Only the goroutine of Sidecar.Run changes it.
type names struct {
	groups *groups
	log    *slog.Logger
	now    atomic.Pointer[dnsgtm.Server]
	config dnsgtm.Config     // in force
	stops  map[string]func() // by group: ends the server's following
	pools  map[string]func() // by pool: ends its watching
	shown  atomic.Pointer[[]watchedPool]

	offered  *dnsgtm.Server  // that another process may take over
	taken    <-chan struct{} // closed when it has; nil: nothing is offered
	withdraw func()          // ends the offer
}

func newNames(g *groups, log *slog.Logger) *names {
	return &names{groups: g, log: log, stops: map[string]func(){}, pools: map[string]func(){}}
}

// server gives the name server, nil if there is none.
func (n *names) server() *dnsgtm.Server { return n.now.Load() }

// prepare starts the name server, or puts the new configuration into the one
// that runs, and gives how to go on or back. One of the two must be called.
func (n *names) prepare(ctx context.Context, p *parts) (commit, abort func(), err error) {
	server := n.server()
	switch {
	case p.config.DNS == nil:
		return n.close, func() {}, nil
	case server == nil:
		if server, err = n.start(ctx, p.names); err != nil {
			return nil, nil, fmt.Errorf("name server: %w", err)
		}
		abort = func() { _ = server.Close() }
	case !sameSockets(n.config, p.names):
		return nil, nil, fmt.Errorf("where the name server listens cannot be changed by a reload; restart the sidecar")
	default:
		if err := server.Reload(p.names); err != nil {
			return nil, nil, fmt.Errorf("name server: %w", err)
		}
		abort = func() {
			if err := server.Reload(n.config); err != nil {
				n.log.Error("the name server's configuration could not be taken back", "error", err)
			}
		}
	}
	return func() { n.commit(server, p) }, abort, nil
}

// start starts a name server.
func (n *names) start(ctx context.Context, c dnsgtm.Config) (*dnsgtm.Server, error) {
	server, err := n.newServer(c)
	if err != nil {
		return nil, err
	}
	if err := server.Start(context.WithoutCancel(ctx)); err != nil {
		_ = server.Close()
		return nil, err
	}
	return server, nil
}

// newServer gives a name server that knows what is known of the groups.
func (n *names) newServer(c dnsgtm.Config) (*dnsgtm.Server, error) {
	if err := os.MkdirAll(c.StateDir, 0o770); err != nil { // #nosec G301 -- the group shares state_dir
		return nil, err
	}
	server, err := dnsgtm.New(c, n.log)
	if err != nil {
		return nil, err
	}
	for _, name := range n.groups.Names() {
		if s, ok := n.groups.Situation(name); ok {
			server.Tell(s)
		}
	}
	n.recall(c, server)
	return server, nil
}

// recallTime is how long a name server that starts waits for the register.
const recallTime = time.Second

// recall tells a server who served last of the groups that are not watched yet,
// so that its first answer is not a failure. What the register does not give in
// time is told later.
func (n *names) recall(c dnsgtm.Config, server *dnsgtm.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), recallTime)
	defer cancel()
	for _, g := range c.Groups {
		if _, watched := n.groups.Situation(g.Name); watched || g.Pool != "" {
			continue
		}
		if t, err := n.groups.register.Load(ctx, g.Name); err == nil {
			server.Tell(ha.Situation{Traffic: t})
		}
	}
}

func sameSockets(a, b dnsgtm.Config) bool {
	tls := func(t *dnsgtm.TLS) []string {
		if t == nil {
			return nil
		}
		return t.Listen
	}
	return slices.Equal(a.Listen, b.Listen) && slices.Equal(tls(a.TLS), tls(b.TLS))
}

// commit has the server told of every group that is watched, and of every pool.
func (n *names) commit(server *dnsgtm.Server, p *parts) {
	n.config = p.names
	n.now.Store(server)
	n.offer(server)
	for name, stop := range n.stops {
		if n.groups.find(name) == nil {
			stop()
			delete(n.stops, name)
		}
	}
	for _, name := range n.groups.Names() {
		if w := n.groups.find(name); n.stops[name] == nil && w != nil {
			n.stops[name] = w.Follow(func(s ha.Situation) {
				if !s.At.IsZero() { // it has begun to watch
					server.Tell(s)
				}
			})
		}
	}
	n.endPools() // their readings are quickly made again
	var shown []watchedPool
	for _, name := range slices.Sorted(maps.Keys(p.pools)) {
		plan := p.pools[name]
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan struct{})
		n.pools[name] = func() { cancel(); <-ended }
		pool := &probes.Pool{Group: name, Plan: plan, Tell: server.Tell}
		shown = append(shown, watchedPool{pool, p.config.Pools[name].Policy})
		go func() {
			defer close(ended)
			pool.Run(ctx)
		}()
	}
	n.shown.Store(&shown)
}

func (n *names) endPools() {
	n.shown.Store(nil)
	for name, stop := range n.pools {
		stop()
		delete(n.pools, name)
	}
}

// close ends the name server, if there is one.
func (n *names) close() {
	n.endPools()
	for name, stop := range n.stops {
		stop()
		delete(n.stops, name)
	}
	if n.withdraw != nil {
		n.withdraw()
		n.offered, n.taken, n.withdraw = nil, nil, nil
	}
	if server := n.now.Swap(nil); server != nil {
		if err := server.Close(); err != nil {
			n.log.Error("the name server did not end in order", "error", err)
		}
	}
}

// lower lowers the TTLs of a group's names before a planned switch. Its error
// is a *ha.Refusal that says when the switch may be asked for again.
func (n *names) lower(group string, now time.Time) error {
	server := n.server()
	if server == nil {
		return nil
	}
	ready := server.Lower(group, now)
	if !ready.After(now) {
		return nil
	}
	at := ready.UTC().Format("15:04:05")
	return &ha.Refusal{
		Code: "ttl_ramp", What: group + ": traffic stays for the moment",
		Why:  "the TTL of its names has just been lowered, and resolvers may go by the old one until " + at + " UTC",
		Do:   "Ask for the same again after " + at + " UTC; with --force it is done at once.",
		Read: "docs/reference/dns.md",
	}
}

// namesOf gives the name server's configuration.
func namesOf(c *config.Sidecar) dnsgtm.Config {
	d, n := c.DNS, dnsgtm.Default()
	n.Listen, n.StateDir = d.Listen, filepath.Join(c.StateDir, "dns")
	if len(d.TLS.Listen) > 0 {
		n.TLS = &dnsgtm.TLS{Listen: d.TLS.Listen, CertFile: d.TLS.Cert, KeyFile: d.TLS.Key}
	}
	n.NSID, n.Version, n.Why, n.Cookies = d.NSID, d.Version, d.Why, d.Cookies
	set(&n.UDPSize, uint16(min(d.UDPSize, 1<<16-1))) // #nosec G115 -- bounded here
	set(&n.Rate.PerSecond, d.Rate.PerSecond)
	set(&n.Rate.Slip, d.Rate.Slip)
	set(&n.Rate.V4, d.Rate.V4)
	set(&n.Rate.V6, d.Rate.V6)
	n.Rate.Exempt = d.Rate.Exempt
	set(&n.TCP.Connections, d.TCP.Connections)
	set(&n.TCP.Idle, d.TCP.Idle)
	set(&n.TCP.Whole, d.TCP.Message)
	for _, name := range c.Names() {
		g := dnsgtm.Group{Name: name}
		for _, node := range c.Groups[name].Nodes {
			g.Nodes = append(g.Nodes, dnsgtm.Node{Name: node.Name, Addresses: node.Addresses})
		}
		n.Groups = append(n.Groups, g)
	}
	for name, p := range c.Pools {
		g := dnsgtm.Group{Name: name, Pool: dnsgtm.Pool(p.Policy)}
		for _, node := range p.Nodes {
			g.Nodes = append(g.Nodes, dnsgtm.Node{Name: node.Name, Addresses: node.Addresses, Weight: node.Weight})
		}
		n.Groups = append(n.Groups, g)
	}
	for _, k := range d.Keys {
		n.Keys = append(n.Keys, dnsgtm.Key{Name: k.Name, Algorithm: k.Algorithm, File: k.File})
	}
	for _, z := range d.Zones {
		n.Zones = append(n.Zones, zoneOf(z))
	}
	return n
}

func zoneOf(z config.Zone) dnsgtm.Zone {
	zone := dnsgtm.Zone{Name: z.Name, File: z.File, Sign: z.Sign}
	for _, d := range z.Dynamic {
		zone.Names = append(zone.Names, dnsgtm.Name{
			Name: d.Name, Group: d.Group, TTL: d.TTL, RampTTL: d.RampTTL,
			Records: d.Records, WhenDown: dnsgtm.WhenDown(d.WhenDown), Fixed: d.Fixed,
		})
	}
	for _, p := range z.Allow {
		zone.Allow = append(zone.Allow, dnsgtm.Peer{Network: p.Network, Key: p.Key})
	}
	for _, p := range z.Notify {
		zone.Notify = append(zone.Notify, dnsgtm.Peer{Address: p.Address, Key: p.Key})
	}
	return zone
}

// set takes over a value that was given.
func set[T comparable](to *T, given T) {
	if given != *new(T) {
		*to = given
	}
}

// misnamed gives what is wrong with the name server's part of a configuration,
// each fault at the place that it is about.
func misnamed(c *config.Sidecar, faults dnsgtm.Faults) (f config.Faults) {
	for _, fault := range faults {
		path := "dns"
		for i, z := range c.DNS.Zones {
			if z.Name != fault.Zone || fault.Zone == "" {
				continue
			}
			path = fmt.Sprintf("dns/zones/%d", i)
			for k, d := range z.Dynamic {
				if d.Name == fault.Name && fault.Name != "" {
					path = fmt.Sprintf("dns/zones/%d/dynamic/%d", i, k)
				}
			}
		}
		what := fault.What
		switch {
		case fault.File != "" && fault.Line > 0:
			what = fmt.Sprintf("%s:%d: %s", fault.File, fault.Line, what)
		case fault.File != "":
			what = fault.File + ": " + what
		}
		f.Add(path, "%s", what)
	}
	return f
}

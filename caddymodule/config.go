package caddymodule

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/understudy-ha/understudy/internal/config"
	"github.com/understudy-ha/understudy/internal/ha"
)

// Group is one application's nodes.
type Group struct {
	// Nodes are the nodes in order of succession: Primary, Secondary, DR.
	Nodes []*Node `json:"nodes"`
	// Probe says how the nodes are probed.
	Probe Probe `json:"probe,omitzero"`
	// OnPromoted says what happens when the next node has promoted itself
	// before it was seen in Standby: wait (default), follow or epoch.
	OnPromoted string `json:"on_promoted,omitempty"`
	// PromotionTime is how long a serving node may read Standby before that
	// alarms. Default 2m.
	PromotionTime caddy.Duration `json:"promotion_time,omitempty"`
	// Observe has a group that starts for the first time begin held.
	Observe bool `json:"observe,omitempty"`
	// LeaseShared says that the nodes' lease is in the same register as the
	// Traffic: a newer node epoch is proof then, and needs no majority of watchers.
	LeaseShared bool `json:"lease_shared,omitempty"`
}

// Node is one server of a group; its name never changes.
type Node struct {
	// Name is the node's name.
	Name string `json:"name"`
	// URL is where clients' requests go: scheme, host and port.
	URL string `json:"url"`
	// Probe is where the two pages are, if not at URL.
	Probe string `json:"probe,omitempty"`
	// Peer is where the node's engine listens, if one runs there.
	Peer string `json:"peer,omitempty"`
	// Manual nodes are chosen by a person only.
	Manual bool `json:"manual,omitempty"`
}

// Probe says how the nodes of a group are probed.
type Probe struct {
	// Profile is epmm (the documented pages, default) or generic: the paths and
	// strings below.
	Profile string `json:"profile,omitempty"`
	// Interval is from the start of one probe of a node to the next. Default 5s.
	Interval caddy.Duration `json:"interval,omitempty"`
	// FastInterval is the same while the serving node has missed one. Default 500ms.
	FastInterval caddy.Duration `json:"fast_interval,omitempty"`
	// Timeout is of one probe, over all its phases. Default 2s.
	Timeout caddy.Duration `json:"timeout,omitempty"`
	// Fall is how many missed readings in a row make a node down. Default 3.
	Fall int `json:"fall,omitempty"`
	// Rise is how many good readings in a row a person's target needs. Default 2.
	Rise int `json:"rise,omitempty"`
	// Host is the Host header and TLS server name. Default: the URL's host.
	Host string `json:"host,omitempty"`
	// TLSCA is a PEM file of the authorities that the nodes' certificates are
	// checked against, instead of the system's.
	TLSCA string `json:"tls_ca,omitempty"`
	// TLSInsecure has any certificate accepted.
	TLSInsecure bool `json:"tls_insecure,omitempty"`

	PrimaryPath   string `json:"primary_path,omitempty"`
	PrimaryExpect string `json:"primary_expect,omitempty"`
	StandbyPath   string `json:"standby_path,omitempty"`
	StandbyExpect string `json:"standby_expect,omitempty"`
	ActingExpect  string `json:"acting_expect,omitempty"`
}

// fault is something wrong with a configuration, and where: groups/mdm,
// groups/mdm/nodes/1/url and the like.
type fault struct {
	path string
	text string
}

type faults []fault

func (f *faults) add(path, format string, args ...any) {
	*f = append(*f, fault{path, fmt.Sprintf(format, args...)})
}

func (f *faults) take(found config.Faults) {
	for _, one := range found {
		*f = append(*f, fault{one.Path, one.Text})
	}
}

// error gives all faults as one error, or nil.
func (f faults) error() error {
	var errs []error
	for _, one := range f {
		errs = append(errs, fmt.Errorf("understudy: %s: %s", one.path, one.text))
	}
	return errors.Join(errs...)
}

// check gives every fault of the app's configuration.
func (a *App) check() faults {
	var f faults
	for _, name := range slices.Sorted(maps.Keys(a.Groups)) {
		path := "groups/" + name
		if why := config.CheckName(name); why != "" {
			f.add(path, "%s", why)
		}
		if a.Groups[name] == nil {
			f.add(path, "the group is empty")
			continue
		}
		a.Groups[name].check(path, &f)
	}
	if a.Notify != nil {
		a.Notify.check("notify", &f)
	}
	if a.Etcd != nil {
		a.Etcd.check("etcd", &f)
	}
	return f
}

func (g *Group) check(path string, f *faults) { f.take(g.plain().Check(path)) }

// plain gives the group as every file says it.
func (g *Group) plain() config.Group {
	c := config.Group{
		Probe: config.Probe{
			Profile: g.Probe.Profile, Interval: time.Duration(g.Probe.Interval), FastInterval: time.Duration(g.Probe.FastInterval),
			Timeout: time.Duration(g.Probe.Timeout), Fall: g.Probe.Fall, Rise: g.Probe.Rise, Host: g.Probe.Host,
			TLSCA: g.Probe.TLSCA, TLSInsecure: g.Probe.TLSInsecure, Pages: g.Probe.profile(),
		},
		OnPromoted: ha.OnPromoted(g.OnPromoted), PromotionTime: time.Duration(g.PromotionTime), Observe: g.Observe, LeaseShared: g.LeaseShared,
	}
	for _, n := range g.Nodes {
		c.Nodes = append(c.Nodes, config.Node{Name: n.Name, URL: n.URL, ProbeURL: n.Probe, Peer: n.Peer, Manual: n.Manual})
	}
	return c
}

func (p *Probe) profile() ha.Profile {
	return ha.Profile{
		PrimaryPath: p.PrimaryPath, PrimaryExpect: p.PrimaryExpect,
		StandbyPath: p.StandbyPath, StandbyExpect: p.StandbyExpect, ActingExpect: p.ActingExpect,
	}
}

// warnings names what is legal but unwise.
func (a *App) warnings() faults {
	var f faults
	for _, name := range slices.Sorted(maps.Keys(a.Groups)) {
		f.take(a.Groups[name].plain().Warnings("groups/" + name))
	}
	return f
}

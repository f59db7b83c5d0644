package caddymodule

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

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

// error gives all faults as one error, or nil.
func (f faults) error() error {
	var errs []error
	for _, one := range f {
		errs = append(errs, fmt.Errorf("understudy: %s: %s", one.path, one.text))
	}
	return errors.Join(errs...)
}

var nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

// checkName says what is wrong with the name of a group or node.
func checkName(name string) string {
	switch {
	case name == "serving" || name == "raw":
		return fmt.Sprintf("the name %q is reserved; choose another", name)
	case !nameForm.MatchString(name):
		return fmt.Sprintf("the name %q must be 1 to 63 letters, digits, dots, dashes or underscores, and begin with a letter or digit", name)
	}
	return ""
}

// check gives every fault of the app's configuration.
func (a *App) check() faults {
	var f faults
	for _, name := range slices.Sorted(maps.Keys(a.Groups)) {
		path := "groups/" + name
		if why := checkName(name); why != "" {
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
	return f
}

func (g *Group) check(path string, f *faults) {
	if len(g.Nodes) < 2 {
		f.add(path, "a group needs at least two nodes, a Primary and its Secondary; it has %d", len(g.Nodes))
	}
	names, probed, schemes := map[string]bool{}, map[string]string{}, map[string]bool{}
	for i, n := range g.Nodes {
		at := fmt.Sprintf("%s/nodes/%d", path, i)
		if why := checkName(n.Name); why != "" {
			f.add(at, "%s", why)
		}
		if names[n.Name] {
			f.add(at, "the node name %q stands twice", n.Name)
		}
		names[n.Name] = true
		u, why := parseBase(n.URL)
		if why != "" {
			f.add(at, "%s", why)
			continue
		}
		schemes[u.Scheme] = true
		for _, other := range []string{n.Probe, n.Peer} {
			if _, why := parseBase(cmp.Or(other, n.URL)); why != "" {
				f.add(at, "%s", why)
			}
		}
		probe, _ := parseBase(cmp.Or(n.Probe, n.URL))
		if probe == nil {
			continue
		}
		if first, twice := probed[probe.Host]; twice {
			f.add(at, "node %s is probed at %s, as node %s is; two nodes of a group cannot share a probe address", n.Name, probe.Host, first)
		}
		probed[probe.Host] = n.Name
	}
	if len(schemes) > 1 {
		f.add(path, "all nodes of a group must have the same scheme, http or https")
	}
	if p := ha.OnPromoted(g.OnPromoted); !slices.Contains([]ha.OnPromoted{"", ha.PromotedWait, ha.PromotedFollow, ha.PromotedEpoch}, p) {
		f.add(path+"/on_promoted", "on_promoted is wait, follow or epoch, not %q", g.OnPromoted)
	}
	if g.PromotionTime < 0 {
		f.add(path+"/promotion_time", "promotion_time must be above zero")
	}
	g.Probe.check(path+"/probe", f)
}

func (p *Probe) check(path string, f *faults) {
	for _, d := range []struct {
		name  string
		value caddy.Duration
	}{{"interval", p.Interval}, {"fast_interval", p.FastInterval}, {"timeout", p.Timeout}} {
		if d.value < 0 || (d.value > 0 && d.value < caddy.Duration(10*time.Millisecond)) {
			f.add(path+"/"+d.name, "%s must be at least 10ms, not %s", d.name, time.Duration(d.value))
		}
	}
	if p.Fall < 0 || p.Fall > 1000 {
		f.add(path+"/fall", "fall must be between 1 and 1000, not %d", p.Fall)
	}
	if p.Rise < 0 || p.Rise > 1000 {
		f.add(path+"/rise", "rise must be between 1 and 1000, not %d", p.Rise)
	}
	switch p.Profile {
	case "", "epmm":
		if (p.profile() != ha.Profile{}) {
			f.add(path, "the paths and strings of a probe need: profile generic")
		}
	case "generic":
		if err := p.profile().Check(); err != nil {
			f.add(path, "%s", err)
		}
		if p.profile().Documented() {
			f.add(path, "profile generic needs primary_path, primary_expect, standby_path, standby_expect and acting_expect")
		}
	default:
		f.add(path+"/profile", "the profile is epmm or generic, not %q", p.Profile)
	}
	if p.TLSCA != "" && p.TLSInsecure {
		f.add(path, "tls_ca and tls_insecure contradict one another")
	}
}

func (p *Probe) profile() ha.Profile {
	return ha.Profile{
		PrimaryPath: p.PrimaryPath, PrimaryExpect: p.PrimaryExpect,
		StandbyPath: p.StandbyPath, StandbyExpect: p.StandbyExpect, ActingExpect: p.ActingExpect,
	}
}

// rules gives the group's rules, defaults filled in.
func (g *Group) rules() ha.Rules {
	r := ha.DefaultRules()
	r.Interval = cmp.Or(time.Duration(g.Probe.Interval), r.Interval)
	r.FastInterval = cmp.Or(time.Duration(g.Probe.FastInterval), r.FastInterval)
	r.Timeout = cmp.Or(time.Duration(g.Probe.Timeout), r.Timeout)
	r.Fall, r.Rise = cmp.Or(g.Probe.Fall, r.Fall), cmp.Or(g.Probe.Rise, r.Rise)
	r.PromotionTime = cmp.Or(time.Duration(g.PromotionTime), r.PromotionTime)
	r.OnPromoted = cmp.Or(ha.OnPromoted(g.OnPromoted), r.OnPromoted)
	for _, n := range g.Nodes {
		if n.Manual {
			r.Manual = append(r.Manual, n.Name)
		}
	}
	return r
}

// warnings names what is legal but unwise.
func (a *App) warnings() faults {
	var f faults
	for _, name := range slices.Sorted(maps.Keys(a.Groups)) {
		g, path := a.Groups[name], "groups/"+name+"/probe"
		r := g.rules()
		if r.Interval < r.Timeout {
			f.add(path, "interval %s is below timeout %s: a node that hangs is probed less often than it seems", r.Interval, r.Timeout)
		}
		if r.FastInterval > r.Interval {
			f.add(path, "fast_interval %s is above interval %s and has no effect", r.FastInterval, r.Interval)
		}
		for _, s := range []string{g.Probe.PrimaryExpect, g.Probe.StandbyExpect, g.Probe.ActingExpect} {
			if strings.Contains(s, `\`) || strings.Contains(s, ".*") || strings.HasPrefix(s, "^") || strings.HasSuffix(s, "$") {
				f.add(path, "%q looks like a regular expression, but it is compared to the letter", s)
			}
		}
	}
	return f
}

// parseBase reads the base URL of a node, or says what is wrong with it.
func parseBase(s string) (*url.URL, string) {
	u, err := url.Parse(s)
	switch {
	case s == "":
		return nil, "a node needs an address like https://192.0.2.10"
	case err != nil || u.Hostname() == "" || (u.Scheme != "http" && u.Scheme != "https"):
		return nil, fmt.Sprintf("%q is not an address like https://192.0.2.10:443", s)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "" || (u.Path != "" && u.Path != "/"):
		return nil, fmt.Sprintf("%q must be a scheme, a host and a port, nothing else", s)
	}
	if u.Port() == "" {
		port := "80"
		if u.Scheme == "https" {
			port = "443"
		}
		u.Host = net.JoinHostPort(u.Hostname(), port)
	}
	u.Path = ""
	return u, ""
}

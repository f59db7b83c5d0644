package config

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// Group is one application's nodes, as every file says it. The zero value of a
// field that has a default means the default.
type Group struct {
	Nodes         []Node // in order of succession: Primary, Secondary, DR
	Probe         Probe
	OnPromoted    ha.OnPromoted
	PromotionTime time.Duration
	Observe       bool // a first start begins held
	LeaseShared   bool // the nodes' lease is in the same register as the Traffic
}

// Node is one server of a group; its name never changes.
type Node struct {
	Name      string
	URL       string       // where clients' requests go: scheme, host and port
	ProbeURL  string       // where the two pages are, if not at URL
	Peer      string       // where the node's engine listens, empty: none runs there
	Addresses []netip.Addr // what a name server answers
	Manual    bool         // only a person may choose it
}

// Pages is where the node's two pages are.
func (n Node) Pages() string { return cmp.Or(n.ProbeURL, n.URL) }

// Probe says how the nodes of a group are probed.
type Probe struct {
	Profile                         string // epmm, generic, or empty: epmm
	Interval, FastInterval, Timeout time.Duration
	Fall, Rise                      int
	Host                            string
	TLSCA                           string
	TLSInsecure                     bool
	Pages                           ha.Profile // with profile generic
}

var nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

// CheckName says what is wrong with the name of a group or node, or nothing.
func CheckName(name string) string {
	switch {
	case name == "serving" || name == "raw":
		return fmt.Sprintf("the name %q is reserved; choose another", name)
	case !nameForm.MatchString(name):
		return fmt.Sprintf("the name %q must be 1 to 63 letters, digits, dots, dashes or underscores, and begin with a letter or digit", short(name))
	}
	return ""
}

// Check gives every fault of the group at path.
func (g Group) Check(path string) (f Faults) {
	if len(g.Nodes) < 2 {
		f.Add(path, "a group needs at least two nodes, a Primary and its Secondary; it has %d", len(g.Nodes))
	}
	names, probed, schemes := map[string]bool{}, map[string]string{}, map[string]bool{}
	for i, n := range g.Nodes {
		at := fmt.Sprintf("%s/nodes/%d", path, i)
		if why := CheckName(n.Name); why != "" {
			f.Add(at+"/name", "%s", why)
		}
		if names[n.Name] {
			f.Add(at+"/name", "the node name %q stands twice", n.Name)
		}
		names[n.Name] = true
		u, why := Base(n.URL)
		if why != "" {
			f.Add(at+"/url", "%s", why)
			continue
		}
		schemes[u.Scheme] = true
		if _, why := Base(cmp.Or(n.Peer, n.URL)); why != "" {
			f.Add(at+"/peer", "%s", why)
		}
		pages, why := Base(n.Pages())
		if why != "" {
			f.Add(at+"/probe_url", "%s", why)
			continue
		}
		if first, twice := probed[pages.Host]; twice {
			f.Add(at, "node %s is probed at %s, as node %s is; two nodes of a group cannot share a probe address", n.Name, pages.Host, first)
		}
		probed[pages.Host] = n.Name
	}
	if len(schemes) > 1 {
		f.Add(path, "all nodes of a group must have the same scheme, http or https")
	}
	if !slices.Contains([]ha.OnPromoted{"", ha.PromotedWait, ha.PromotedFollow, ha.PromotedEpoch}, g.OnPromoted) {
		f.Add(path+"/on_promoted", "on_promoted is wait, follow or epoch, not %q", g.OnPromoted)
	}
	if g.PromotionTime < 0 {
		f.Add(path+"/promotion_time", "promotion_time must be above zero")
	}
	return append(f, g.Probe.check(path+"/probe")...)
}

func (p Probe) check(path string) (f Faults) {
	for _, d := range []struct {
		name  string
		value time.Duration
	}{{"interval", p.Interval}, {"fast_interval", p.FastInterval}, {"timeout", p.Timeout}} {
		if d.value < 0 || (d.value > 0 && d.value < 10*time.Millisecond) {
			f.Add(path+"/"+d.name, "%s must be at least 10ms, not %s", d.name, d.value)
		}
	}
	if p.Fall < 0 || p.Fall > 1000 {
		f.Add(path+"/fall", "fall must be between 1 and 1000, not %d", p.Fall)
	}
	if p.Rise < 0 || p.Rise > 1000 {
		f.Add(path+"/rise", "rise must be between 1 and 1000, not %d", p.Rise)
	}
	switch p.Profile {
	case "", "epmm":
		if (p.Pages != ha.Profile{}) {
			f.Add(path, "the paths and strings of a probe need: profile generic")
		}
	case "generic":
		if err := p.Pages.Check(); err != nil {
			f.Add(path, "%s", err)
		}
		if p.Pages.Documented() {
			f.Add(path, "profile generic needs primary_path, primary_expect, standby_path, standby_expect and acting_expect")
		}
	default:
		f.Add(path+"/profile", "the profile is epmm or generic, not %q", short(p.Profile))
	}
	if p.TLSCA != "" && p.TLSInsecure {
		f.Add(path, "tls_ca and tls_insecure contradict one another")
	}
	return f
}

// Rules gives the group's rules, defaults filled in.
func (g Group) Rules() ha.Rules {
	r := ha.DefaultRules()
	r.Interval = cmp.Or(g.Probe.Interval, r.Interval)
	r.FastInterval = cmp.Or(g.Probe.FastInterval, r.FastInterval)
	r.Timeout = cmp.Or(g.Probe.Timeout, r.Timeout)
	r.Fall, r.Rise = cmp.Or(g.Probe.Fall, r.Fall), cmp.Or(g.Probe.Rise, r.Rise)
	r.PromotionTime = cmp.Or(g.PromotionTime, r.PromotionTime)
	r.OnPromoted = cmp.Or(g.OnPromoted, r.OnPromoted)
	r.LeaseShared = g.LeaseShared
	for _, n := range g.Nodes {
		if n.Manual {
			r.Manual = append(r.Manual, n.Name)
		}
	}
	return r
}

// Warnings names what is legal but unwise in the group at path.
func (g Group) Warnings(path string) (f Faults) {
	path += "/probe"
	r := g.Rules()
	if r.Interval < r.Timeout {
		f.Add(path, "interval %s is below timeout %s: a node that hangs is probed less often than it seems", r.Interval, r.Timeout)
	}
	if r.FastInterval > r.Interval {
		f.Add(path, "fast_interval %s is above interval %s and has no effect", r.FastInterval, r.Interval)
	}
	for _, s := range []string{g.Probe.Pages.PrimaryExpect, g.Probe.Pages.StandbyExpect, g.Probe.Pages.ActingExpect} {
		if strings.Contains(s, `\`) || strings.Contains(s, ".*") || strings.HasPrefix(s, "^") || strings.HasSuffix(s, "$") {
			f.Add(path, "%q looks like a regular expression, but it is compared to the letter", s)
		}
	}
	return f
}

// Names gives the nodes in the configured order of succession.
func (g Group) Names() []string {
	names := make([]string, len(g.Nodes))
	for i, n := range g.Nodes {
		names[i] = n.Name
	}
	return names
}

// Base reads the base URL of a node, with its port, or says what is wrong with
// it.
func Base(s string) (*url.URL, string) {
	u, err := url.Parse(s)
	switch {
	case s == "":
		return nil, "a node needs an address like https://192.0.2.10"
	case strings.Contains(s, "@"):
		return nil, "the address of a node must not carry a user or a password"
	case err != nil || u.Hostname() == "" || (u.Scheme != "http" && u.Scheme != "https"):
		return nil, fmt.Sprintf("%q is not an address like https://192.0.2.10:443", short(s))
	case u.RawQuery != "" || u.Fragment != "" || (u.Path != "" && u.Path != "/"):
		return nil, fmt.Sprintf("%q must be a scheme, a host and a port, nothing else", short(s))
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

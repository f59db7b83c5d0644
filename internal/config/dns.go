package config

import (
	"fmt"
	"net/netip"
	"time"
)

// DNS is the name server's part of a sidecar.yaml. What is zero or empty has
// the name server's own default.
type DNS struct {
	Listen  []string
	TLS     DNSTLS
	NSID    string
	Version string
	Why     []netip.Prefix // who may ask why an answer is what it is
	Cookies string         // file of cookie secrets
	UDPSize int
	Rate    Rate
	TCP     DNSTCP
	Keys    []TSIG
	Zones   []Zone
}

// DNSTLS is DNS over TLS.
type DNSTLS struct {
	Listen    []string
	Cert, Key string
}

// Rate bounds replies over UDP to one network.
type Rate struct {
	PerSecond int
	Slip      int
	V4, V6    int // bits of a network
	Exempt    []netip.Prefix
}

// DNSTCP bounds what connections may take.
type DNSTCP struct {
	Connections int
	Idle        time.Duration
	Message     time.Duration
}

// TSIG is a key that transfers and notifications may name.
type TSIG struct{ Name, Algorithm, File string }

// Zone is a zone: what is static in a file, and the names that follow groups.
type Zone struct {
	Name    string
	File    string // RFC 1035 text
	Dynamic []Dynamic
	Allow   []NamePeer // who may transfer it
	Notify  []NamePeer // who is told of a change
	Sign    []string   // key files, K*.private
}

// NamePeer is another name server.
type NamePeer struct {
	Network netip.Prefix   // in allow
	Address netip.AddrPort // in notify
	Key     string
}

// Dynamic is a name whose records are those of a group's serving node.
type Dynamic struct {
	Name     string // within the zone; @ is the zone itself
	Group    string
	TTL      time.Duration
	RampTTL  time.Duration
	Records  []string
	WhenDown string
	Fixed    []netip.Addr
}

// Pool is a group without a latched decision: companions that all serve.
type Pool struct {
	Policy string // active_active or active_standby
	Nodes  []PoolNode
	Probe  Probe
}

// PoolNode is one server of a Pool.
type PoolNode struct {
	Node
	Weight int
}

func (s *Sidecar) readDNS(v value) {
	d := new(DNS)
	keys{
		"listen":   list(one(&d.Listen, listen)),
		"tls":      keys{"listen": list(one(&d.TLS.Listen, listen)), "cert": file(&d.TLS.Cert), "key": file(&d.TLS.Key)}.read,
		"nsid":     text(&d.NSID),
		"version":  text(&d.Version),
		"why":      list(one(&d.Why, prefix)),
		"cookies":  file(&d.Cookies),
		"udp_size": count(&d.UDPSize),
		"rate": keys{
			"per_second": count(&d.Rate.PerSecond), "slip": count(&d.Rate.Slip),
			"v4": count(&d.Rate.V4), "v6": count(&d.Rate.V6), "exempt": list(one(&d.Rate.Exempt, prefix)),
		}.read,
		"tcp":   keys{"connections": count(&d.TCP.Connections), "idle": duration(&d.TCP.Idle), "message": duration(&d.TCP.Message)}.read,
		"keys":  list(one(&d.Keys, readTSIG)),
		"zones": list(one(&d.Zones, readZone)),
	}.read(v)
	s.DNS = d
}

func readTSIG(k *TSIG) take {
	return keys{"name": text(&k.Name), "algorithm": text(&k.Algorithm), "file": file(&k.File)}.read
}

func readZone(z *Zone) take {
	return keys{
		"name":    text(&z.Name),
		"file":    file(&z.File),
		"dynamic": list(one(&z.Dynamic, readDynamic)),
		"allow":   list(one(&z.Allow, readPeer)),
		"notify":  list(one(&z.Notify, readPeer)),
		"sign":    list(one(&z.Sign, file)),
	}.read
}

func readPeer(p *NamePeer) take {
	return keys{"network": prefix(&p.Network), "address": place53(&p.Address), "key": text(&p.Key)}.read
}

func readDynamic(d *Dynamic) take {
	return keys{
		"name": text(&d.Name), "group": text(&d.Group), "ttl": duration(&d.TTL), "ttl_ramp": duration(&d.RampTTL),
		"records": texts(&d.Records), "when_down": choice(&d.WhenDown, "keep", "servfail", "fixed"), "fixed": addresses(&d.Fixed),
	}.read
}

// place53 reads an address with a port, which may be left out.
func place53(to *netip.AddrPort) take {
	return func(v value) {
		var one string
		if text(&one)(v); one == "" {
			return
		}
		if a, err := netip.ParseAddr(one); err == nil {
			*to = netip.AddrPortFrom(a, 53)
			return
		}
		at, err := netip.ParseAddrPort(one)
		if err != nil {
			v.fault("%s %q is not an address like 192.0.2.53, 192.0.2.53:5353 or \"[2001:db8::53]:53\"", v.name(), short(one))
			return
		}
		*to = at
	}
}

func readPool(p *Pool) take {
	return keys{
		"kind":   choice(new(string), "pool"),
		"policy": choice(&p.Policy, "active_active", "active_standby"),
		"nodes":  list(func(v value) { p.Nodes = append(p.Nodes, readPoolNode(v)) }),
		"probe":  readProbe(&p.Probe),
	}.read
}

func readPoolNode(v value) (n PoolNode) {
	keys{
		"name":      text(&n.Name),
		"url":       text(&n.URL),
		"probe_url": text(&n.ProbeURL),
		"addresses": addresses(&n.Addresses),
		"weight":    count(&n.Weight),
	}.read(v)
	return n
}

// checkDNS gives what can be said without the name server.
func (s *Sidecar) checkDNS() (f Faults) {
	for name, p := range s.Pools {
		at := "groups/" + name
		switch {
		case s.DNS == nil:
			f.Add(at, "groups of kind pool are for the name server; give dns, or leave %s out", name)
		case len(p.Nodes) == 0:
			f.Add(at, "a pool needs at least one node")
		}
		f = append(f, p.check(at)...)
	}
	if s.DNS == nil {
		return f
	}
	if len(s.DNS.Listen)+len(s.DNS.TLS.Listen) == 0 {
		f.Add("dns", "the name server listens nowhere; give listen")
	}
	if len(s.DNS.Zones) == 0 {
		f.Add("dns", "the name server has no zone; give zones")
	}
	for i, z := range s.DNS.Zones {
		for k, d := range z.Dynamic {
			_, pair := s.Groups[d.Group]
			if _, pool := s.Pools[d.Group]; d.Group != "" && !pair && !pool {
				f.Add(fmt.Sprintf("dns/zones/%d/dynamic/%d/group", i, k), "there is no group %q", d.Group)
			}
		}
	}
	return f
}

// check gives what is wrong with a pool's own words.
func (p Pool) check(at string) (f Faults) {
	if p.Policy == "" {
		f.Add(at, "policy is missing: active_active or active_standby")
	}
	seen := map[string]bool{}
	for i, n := range p.Nodes {
		node := fmt.Sprintf("%s/nodes/%d", at, i)
		if why := CheckName(n.Name); why != "" {
			f.Add(node, "%s", why)
		} else if seen[n.Name] {
			f.Add(node, "node %s stands twice", n.Name)
		}
		seen[n.Name] = true
		if len(n.Addresses) == 0 {
			f.Add(node, "node %s has no addresses, so that the name server has nothing to answer", n.Name)
		}
		if _, why := Base(n.Pages()); why != "" {
			f.Add(node, "%s", why)
		}
	}
	return append(f, p.Probe.check(at+"/probe")...)
}

// addresses reads a node's addresses.
func addresses(to *[]netip.Addr) take { return list(one(to, address)) }

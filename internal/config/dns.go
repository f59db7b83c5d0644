package config

import (
	"net/netip"
	"time"
)

// DNS is the name server's part of a sidecar.yaml.
type DNS struct {
	Listen []string
	Zones  []Zone
}

// Zone is a zone: what is static in a file, and the names that follow groups.
type Zone struct {
	Name    string
	File    string // RFC 1035 text
	Dynamic []Dynamic
}

// Dynamic is a name whose addresses are those of a group's serving node.
type Dynamic struct {
	Name  string // within the zone; @ is the zone itself
	Group string
	TTL   time.Duration
}

// Pool is a group without a latched decision: companions that all serve.
type Pool struct {
	Policy string
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
		"listen": list(one(&d.Listen, listen)),
		"zones":  list(func(v value) { d.Zones = append(d.Zones, readZone(v)) }),
	}.read(v)
	s.DNS = d
}

func readZone(v value) (z Zone) {
	keys{
		"name":    text(&z.Name),
		"file":    file(&z.File),
		"dynamic": list(func(v value) { z.Dynamic = append(z.Dynamic, readDynamic(v)) }),
	}.read(v)
	return z
}

func readDynamic(v value) (d Dynamic) {
	keys{"name": text(&d.Name), "group": text(&d.Group), "ttl": duration(&d.TTL)}.read(v)
	return d
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

// checkDNS refuses what is read and not built yet.
func (s *Sidecar) checkDNS() (f Faults) {
	if s.DNS != nil {
		f.Add("dns", "the name server is not built yet; leave dns out")
	}
	for name := range s.Pools {
		f.Add("groups/"+name, "groups of kind pool come with the name server, which is not built yet; leave %s out", name)
	}
	return f
}

// addresses reads a node's addresses.
func addresses(to *[]netip.Addr) take { return list(one(to, address)) }

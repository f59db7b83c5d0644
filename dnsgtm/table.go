package dnsgtm

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"runtime/debug"
	"slices"
	"strconv"
	"time"

	"github.com/miekg/dns"
)

// table is a configuration that has been read whole and found good.
type table struct {
	config Config
	zones  map[string]*zone // by canonical name
	nodes  map[string]*node // names that the fast path may look up, by wire form
	keys   keyring
}

// Check tells everything that is wrong with the configuration and the files
// that it names, at the given time; nil if nothing is.
func (c Config) Check(now time.Time) Faults {
	_, faults := newTable(c, now, nil)
	return faults
}

// newTable reads all that a configuration names; static records of a zone that
// an earlier table has come from there, to be signed anew.
func newTable(c Config, now time.Time, from *table) (*table, Faults) {
	t := &table{config: c, zones: map[string]*zone{}, nodes: map[string]*node{}}
	faults := c.checkGroups()
	faults = append(faults, c.checkNumbers()...)
	keys, more := readKeys(c.Keys)
	t.keys = keys
	faults = append(faults, more...)
	if from == nil {
		faults = append(faults, c.checkListeners()...)
	}
	if len(c.Zones) == 0 {
		faults = append(faults, Fault{What: "there are no zones to serve"})
	}
	for _, z := range c.Zones {
		var lines []line
		var more Faults
		if from == nil {
			lines, more = readZone(z)
		} else {
			lines = from.linesOf(z)
		}
		faults = append(faults, more...)
		read, more := c.makeZone(z, lines, keys, now)
		faults = append(faults, more...)
		switch {
		case read == nil:
		case t.zones[read.apex] != nil:
			faults = append(faults, Fault{Zone: z.Name, What: "is configured twice"})
		default:
			t.zones[read.apex] = read
		}
	}
	if len(faults) > 0 {
		return nil, faults
	}
	t.index()
	if len(t.nodes) > manyNames {
		debug.FreeOSMemory() // reading took several times as much as what is kept
	}
	return t, nil
}

// manyNames is from how many names on memory is given back after reading.
const manyNames = 10_000

// checkListeners looks at where is listened, and at what is needed there.
func (c *Config) checkListeners() Faults {
	var faults Faults
	addresses := c.Listen
	if c.TLS != nil {
		addresses = append(slices.Clone(addresses), c.TLS.Listen...)
		if _, err := tls.LoadX509KeyPair(c.TLS.CertFile, c.TLS.KeyFile); err != nil {
			faults = append(faults, badCertificate(c.TLS, err))
		}
	}
	if len(c.Listen) == 0 {
		faults = append(faults, Fault{What: "there is no address to listen on"})
	}
	for _, a := range addresses {
		host, port, err := net.SplitHostPort(a)
		number, bad := strconv.ParseUint(port, 10, 16)
		if _, wrong := netip.ParseAddr(host); err != nil || bad != nil || number > 65535 || host != "" && wrong != nil {
			faults = append(faults, Fault{What: fmt.Sprintf("listen %q: want an address and a port, such as 0.0.0.0:53 or [::]:53", a)})
		}
	}
	if _, err := readCookies(c.Cookies); err != nil {
		faults = append(faults, Fault{File: c.Cookies, What: err.Error()})
	}
	return faults
}

func badCertificate(t *TLS, err error) Fault {
	return Fault{File: t.CertFile, What: "the certificate and its key cannot be used: " + quoteCut(cause(err))}
}

// linesOf gives the static records of a zone but those that are made here.
func (t *table) linesOf(config Zone) (lines []line) {
	apex, _ := canonical(config.Name)
	z := t.zones[apex]
	if z == nil {
		return nil
	}
	for _, n := range z.nodes {
		for _, s := range n.sets {
			for _, rr := range s.rrs {
				if z.signer == nil || n.name != apex || !keyTypes[s.rtype()] {
					lines = append(lines, line{rr: dns.Copy(rr), file: config.File})
				}
			}
		}
	}
	return lines
}

// makeZone makes one zone of its static records and all else that belongs to
// it.
func (c *Config) makeZone(config Zone, lines []line, keys keyring, now time.Time) (*zone, Faults) {
	z, faults := newZone(config, lines)
	if z == nil {
		return nil, faults
	}
	r := reader{zone: z, first: places(z, lines)}
	r.bind(c)
	r.faults = append(r.faults, checkPeers(config, keys)...)
	faults = append(faults, r.faults...)
	if len(faults) > 0 || z.soa == nil {
		return z, faults
	}
	if len(config.Sign) > 0 {
		if z.signer, faults = newSigner(z, now); len(faults) > 0 {
			return z, faults
		}
	}
	z.finish()
	return z, nil
}

// places gives where each set of a zone begins.
func places(z *zone, lines []line) map[*set]line {
	first := map[*set]line{}
	for _, l := range lines {
		if n := z.nodes[l.rr.Header().Name]; n != nil {
			if s := of(n.sets, l.rr.Header().Rrtype); s != nil {
				if _, known := first[s]; !known {
					first[s] = l
				}
			}
		}
	}
	return first
}

// finish makes everything of a good zone that can be made in advance.
func (z *zone) finish() {
	z.arrange()
	if z.signer != nil {
		z.signer.signZone(z)
	}
	for _, n := range z.order {
		if n.cut == nil && n.dyn == 0 {
			n.fast = packSets(n.sets)
		}
	}
	for _, b := range z.names {
		for _, node := range b.group.Nodes {
			b.of(state{node.Name, seconds(b.TTL)})
		}
	}
}

// index makes what the fast path looks up: every name that we have authority
// for, and delegations, so that it sees them and leaves them alone. A name in
// two zones belongs to the lower one.
func (t *table) index() {
	for _, z := range t.zones {
		for _, n := range z.nodes {
			if n.cut != nil && n.cut != n {
				continue
			}
			if other := t.nodes[n.wire]; other == nil || len(other.zone.apex) < len(z.apex) {
				t.nodes[n.wire] = n
			}
		}
	}
}

// zoneOf gives the zone that has authority for a canonical name, nil if there
// is none. A DS record belongs to the zone above, if we have it.
func (t *table) zoneOf(name string, qtype uint16) *zone {
	var below *zone
	for at := name; ; at = parent(at) {
		if z := t.zones[at]; z != nil {
			if qtype != dns.TypeDS || at != name || below != nil {
				return z
			}
			below = z
		}
		if at == "." {
			return below
		}
	}
}

func (c *Config) checkGroups() Faults {
	var faults Faults
	seen := map[string]bool{}
	for _, g := range c.Groups {
		fault := func(format string, args ...any) {
			faults = append(faults, Fault{What: fmt.Sprintf("group %s: ", g.Name) + fmt.Sprintf(format, args...)})
		}
		if seen[g.Name] {
			fault("stands twice")
		}
		seen[g.Name] = true
		if len(g.Nodes) == 0 {
			fault("has no nodes")
		}
		if g.Pool != "" && g.Pool != ActiveActive && g.Pool != ActiveStandby {
			fault("policy %q: %s or %s", g.Pool, ActiveActive, ActiveStandby)
		}
		for _, n := range g.Nodes {
			if n.Weight < 0 || n.Weight > mostWeight {
				fault("node %s: weight %d: 1 to %d", n.Name, n.Weight, mostWeight)
			}
		}
	}
	return faults
}

// mostWeight is the largest weight of a node.
const mostWeight = 100

func (c *Config) checkNumbers() Faults {
	var faults Faults
	fault := func(format string, args ...any) {
		faults = append(faults, Fault{What: fmt.Sprintf(format, args...)})
	}
	if c.UDPSize < dns.MinMsgSize || c.UDPSize > 4096 {
		fault("UDP size %d: 512 to 4096 bytes, 1232 pass everywhere", c.UDPSize)
	}
	if len(c.NSID) > 128 {
		fault("NSID has %d bytes, 128 are the most", len(c.NSID))
	}
	if c.TCP.Connections < 1 || c.TCP.Idle <= 0 || c.TCP.Whole <= 0 {
		fault("TCP wants at least one connection and times above 0")
	}
	if r := c.Rate; r.PerSecond < 0 || r.Slip < 0 || r.V4 < 1 || r.V4 > 32 || r.V6 < 1 || r.V6 > 64 {
		fault("rate limit: numbers from 0, an IPv4 network of 1 to 32 bits and an IPv6 network of 1 to 64")
	}
	if c.Workers < 0 || c.Workers > 1024 {
		fault("workers %d: 0 to 1024", c.Workers)
	}
	return faults
}

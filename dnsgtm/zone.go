package dnsgtm

import (
	"cmp"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/miekg/dns"
)

// set is all records of one name and type, and their signatures. It is never
// changed once it is in a zone.
type set struct {
	rrs  []dns.RR
	sigs []dns.RR
}

func (s *set) rtype() uint16 { return s.rrs[0].Header().Rrtype }

// node is one name of a zone, also one that has nothing itself but stands
// above others.
type node struct {
	name  string // canonical
	wire  string // the same in wire form
	zone  *zone
	sets  []*set // static ones, by type
	dyn   int    // 1 + the place in zone.names; 0: not dynamic
	cut   *node  // the highest delegation at or above it; nil: we have authority
	wild  *node  // *.name
	dname bool   // names below it lie elsewhere
	nsec  *set   // of a name that is not dynamic, in a signed zone
	fast  []packed
}

// zone is one zone as it was loaded. Everything but now and told stays as it is
// until the next reload.
type zone struct {
	config Zone
	apex   string // canonical
	wire   string // the same in wire form
	soa    *dns.SOA
	nodes  map[string]*node // by canonical name
	order  []*node          // names with records, glue too, in DNSSEC's order
	chain  []*node          // those of order that have an NSEC
	names  []*binding
	signer *signer // nil: not signed

	now  atomic.Pointer[version]
	told *version // the last one with a serial of its own; guarded by the Server's lock
}

// version is what a zone says at one moment. It is never changed.
type version struct {
	serial  uint32
	soa     *set      // as it is answered
	denial  *set      // as it stands in negative answers, with the negative TTL
	names   []*answer // of zone.names
	decided bool      // every name has records, so that a transfer is whole
	past    []change  // that led here, the oldest first
	nays    nays
}

// answer is what one dynamic name says at one moment.
type answer struct {
	sets  []*set // by type; for transfers also where fault is set
	fault bool   // SERVFAIL goes out
	why   string // for people: the group and the reason, if the answer may not help
	ede   []byte // the same as an EDNS option
	nsec  *set
	fast  []packed
	turns []*answer // in a pool with weights: one of these is said, in turn; the rest is for transfers
}

// turn gives what is said to the query of a number.
func (a *answer) turn(number uint32) *answer {
	if len(a.turns) == 0 {
		return a
	}
	return a.turns[number%uint32(len(a.turns))] // #nosec G115 -- at most mostWeight times the nodes
}

// sets gives the records of a node in this version, as transfers have them.
func (v *version) sets(n *node) []*set {
	if n.dyn == 0 {
		return v.setsWith(n, nil)
	}
	return v.setsWith(n, v.names[n.dyn-1])
}

// setsWith gives the static records of a node, with the version's SOA in place
// of the loaded one, and the dynamic ones of an answer, nil for none.
func (v *version) setsWith(n *node, now *answer) []*set {
	sets := n.sets
	if n == n.zone.nodes[n.zone.apex] {
		sets = slices.Clone(sets)
		for i, s := range sets {
			if s.rtype() == dns.TypeSOA {
				sets[i] = v.soa
			}
		}
	}
	if now == nil {
		return sets
	}
	return merge(sets, now.sets)
}

func merge(a, b []*set) []*set {
	if len(a) == 0 {
		return b
	}
	sets := append(slices.Clone(a), b...)
	sortSets(sets)
	return sets
}

// nsec gives the NSEC of a node in this version, nil if it has none.
func (v *version) nsec(n *node) *set {
	if n.dyn > 0 {
		return v.names[n.dyn-1].nsec
	}
	return n.nsec
}

// find gives the node of a name, or nil and the closest one above it.
func (z *zone) find(name string) (n, above *node) {
	if n = z.nodes[name]; n != nil {
		return n, n
	}
	for above == nil {
		name = parent(name)
		above = z.nodes[name]
	}
	return nil, above
}

// of gives the set of a type, nil if there is none.
func of(sets []*set, t uint16) *set {
	for _, s := range sets {
		if s.rtype() == t {
			return s
		}
	}
	return nil
}

// covering gives the node whose NSEC covers a name that has none itself.
func (z *zone) covering(wire string) *node {
	i, _ := slices.BinarySearchFunc(z.chain, wire, func(n *node, w string) int { return compareNames(n.wire, w) })
	return z.chain[(i+len(z.chain)-1)%len(z.chain)]
}

// newZone gives a zone of records and the faults in them. It has no version
// yet.
func newZone(config Zone, lines []line) (*zone, Faults) {
	apex, err := canonical(config.Name)
	if err != nil {
		return nil, Faults{{Zone: config.Name, What: "is not a domain name"}}
	}
	z := &zone{config: config, apex: apex, nodes: map[string]*node{}}
	z.wire = z.add(apex).wire
	r := reader{zone: z, first: map[*set]line{}}
	for _, l := range lines {
		r.take(l)
	}
	for s := range r.first {
		if len(s.rrs) > 1 {
			settle(s)
		}
	}
	z.arrange()
	r.judge()
	return z, r.faults
}

// add gives the node of a canonical name, and makes it and those above it if
// need be.
func (z *zone) add(name string) *node {
	if n := z.nodes[name]; n != nil {
		return n
	}
	wire, _ := wireName(name)
	n := &node{name: name, wire: wire, zone: z}
	z.nodes[name] = n
	if name == z.apex {
		return n
	}
	above := z.add(parent(name))
	if strings.HasPrefix(name, "*.") {
		above.wild = n
	}
	return n
}

// arrange finds the delegations and the order of the names, after all have
// been added.
func (z *zone) arrange() {
	z.order = z.order[:0]
	for _, n := range z.nodes {
		slices.SortFunc(n.sets, func(a, b *set) int { return cmp.Compare(a.rtype(), b.rtype()) })
		n.cut = z.cutOf(n.name)
		n.dname = of(n.sets, dns.TypeDNAME) != nil
		if len(n.sets) > 0 || n.dyn > 0 {
			z.order = append(z.order, n)
		}
	}
	slices.SortFunc(z.order, func(a, b *node) int { return compareNames(a.wire, b.wire) })
}

// cutOf gives the highest delegation at or above a name.
func (z *zone) cutOf(name string) (cut *node) {
	for ; name != z.apex; name = parent(name) {
		if n := z.nodes[name]; n != nil && of(n.sets, dns.TypeNS) != nil {
			cut = n
		}
	}
	return cut
}

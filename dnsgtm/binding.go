package dnsgtm

import (
	"fmt"
	"slices"
	"time"

	"github.com/miekg/dns"
)

// binding is one dynamic name and the answers that it can give. Those of every
// single node are made, and signed, when the zone is loaded.
type binding struct {
	Name
	owner string
	node  *node
	group *Group
	made  map[state]*answer // guarded by the Server's lock
}

// state is what decides the records of a dynamic name.
type state struct {
	nodes string // Choice.key; empty: the fixed addresses
	ttl   uint32
}

// bind adds the dynamic names of the zone's configuration. Faults name the
// binding, or the record of the zone file that stands against it.
func (r *reader) bind(c *Config) {
	z := r.zone
	owners := map[string]bool{}
	for _, n := range z.config.Names {
		b, faults := r.binding(c, n)
		r.faults = append(r.faults, faults...)
		if b == nil {
			continue
		}
		if owners[b.owner] {
			r.faults = append(r.faults, Fault{Zone: z.config.Name, Name: n.Name, What: "stands twice among the dynamic names"})
			continue
		}
		owners[b.owner] = true
		b.node = z.add(b.owner)
		z.names = append(z.names, b)
		b.node.dyn = len(z.names)
		r.against(b)
	}
}

// binding checks one dynamic name by itself, for every node.
func (r *reader) binding(c *Config, n Name) (*binding, Faults) {
	z := r.zone
	var faults Faults
	fault := func(format string, args ...any) {
		faults = append(faults, Fault{Zone: z.config.Name, Name: n.Name, What: fmt.Sprintf(format, args...)})
	}
	owner, err := n.owner(z.apex)
	switch {
	case err != nil:
		fault("%v", err)
		return nil, faults
	case !below(owner, z.apex):
		fault("%s lies outside the zone %s", owner, z.apex)
		return nil, faults
	}
	g := c.group(n.Group)
	if g == nil {
		fault("there is no group %q", n.Group)
		return nil, faults
	}
	checkTTL(n, fault)
	switch n.WhenDown {
	case "", Keep, ServFail:
		if len(n.Fixed) > 0 {
			fault("fixed addresses are for when_down fixed")
		}
	case Fixed:
		if len(n.Fixed) == 0 {
			fault("when_down fixed wants addresses")
		}
	default:
		fault("when_down %q: keep, servfail or fixed", n.WhenDown)
	}
	for _, node := range g.Nodes {
		if _, err := n.records(owner, *g, node); err != nil {
			fault("%v", err)
		}
	}
	return &binding{Name: n, owner: owner, group: g, made: map[state]*answer{}}, faults
}

func checkTTL(n Name, fault func(string, ...any)) {
	switch {
	case n.TTL < time.Second:
		fault("TTL %s: the least is 1s, for some resolvers take less for an error and some for none", n.TTL)
	case n.TTL%time.Second != 0:
		fault("TTL %s: whole seconds only", n.TTL)
	case n.TTL/time.Second > mostTTL:
		fault("TTL %s is too large", n.TTL)
	}
	if r := n.RampTTL; r != 0 && (r < time.Second || r%time.Second != 0 || r >= n.TTL) {
		fault("TTL ramp %s: whole seconds, at least 1s and less than the TTL %s", r, n.TTL)
	}
}

// against looks for static records that a dynamic name cannot stand beside.
func (r *reader) against(b *binding) {
	dynamic := b.types()
	for _, s := range b.node.sets {
		t := s.rtype()
		switch {
		case slices.Contains(dynamic, t):
			r.fault(r.first[s], "%s has static %s records and is a dynamic name of group %s: remove one of them", b.owner, dns.TypeToString[t], b.Group)
		case t == dns.TypeCNAME, slices.Contains(dynamic, dns.TypeCNAME):
			r.fault(r.first[s], "%s has static %s records and is a dynamic name of group %s, and one of them is a CNAME, which stands alone", b.owner, dns.TypeToString[t], b.Group)
		case t == dns.TypeNS && b.owner != r.zone.apex:
			r.fault(r.first[s], "%s is delegated and is a dynamic name of group %s", b.owner, b.Group)
		}
	}
	what := ""
	switch above := r.zone.cutOf(parentIn(b.owner, r.zone.apex)); {
	case above != nil:
		what = fmt.Sprintf("%s is delegated to other servers, so that nobody asks here for names below it", above.name)
	case slices.Contains(dynamic, dns.TypeCNAME) && b.owner == r.zone.apex:
		what = "a CNAME cannot stand at the zone's own name, beside its SOA"
	case slices.Contains(dynamic, dns.TypeCNAME) && len(dynamic) > 1:
		what = "has a CNAME and other records: a CNAME stands alone"
	}
	if what != "" {
		r.faults = append(r.faults, Fault{Zone: r.zone.config.Name, Name: b.Name.Name, What: what})
	}
}

func parentIn(name, apex string) string {
	if name == apex {
		return apex
	}
	return parent(name)
}

// types gives every type that the name may have in some state.
func (b *binding) types() []uint16 {
	var types []uint16
	for _, node := range b.group.Nodes {
		rrs, _ := b.records(b.owner, *b.group, node)
		for _, rr := range rrs {
			types = append(types, rr.Header().Rrtype)
		}
	}
	for _, rr := range addresses(b.owner, b.TTL, b.Fixed) {
		types = append(types, rr.Header().Rrtype)
	}
	slices.Sort(types)
	return slices.Compact(types)
}

// answer gives what the name says for a Choice with a TTL.
func (b *binding) answer(c Choice, ttl time.Duration) *answer {
	what := actOf(b.WhenDown, c)
	if len(c.Nodes) == 0 && what == answerFault {
		return &answer{fault: true, why: b.why(c), ede: edeOption(b.why(c)), nsec: b.of(state{ttl: seconds(ttl)}).nsec}
	}
	s := state{nodes: c.key(), ttl: seconds(ttl)}
	if what == answerFixed {
		s.nodes = ""
	}
	a := *b.of(s)
	if what == answerNodes && !c.Down {
		for _, node := range turns(*b.group, c.Nodes) {
			a.turns = append(a.turns, b.of(state{node, s.ttl}))
		}
	}
	if a.fault = what == answerFault; a.fault {
		a.fast = nil
	}
	if a.why = b.why(c); a.why != "" {
		a.ede = edeOption(a.why)
	}
	return &a
}

// why gives the words for people, empty while all is well.
func (b *binding) why(c Choice) string {
	if c.Reason == "" {
		return ""
	}
	return b.group.Name + ": " + string(c.Reason)
}

// of gives the answer of a state, made at the first time.
func (b *binding) of(s state) *answer {
	if a := b.made[s]; a != nil {
		return a
	}
	var a *answer
	if full := (state{s.nodes, seconds(b.TTL)}); full != s { // signatures are for the full TTL; a lower one stays valid
		a = b.of(full)
		if low := b.twin(s.ttl, lowered(a.sets, s.ttl)); low != nil {
			a = low
		} else {
			a = b.pack(lowered(a.sets, s.ttl), a.nsec)
		}
	} else {
		a = b.make(s)
	}
	b.made[s] = a
	return a
}

// make makes and signs the answer of a state with the full TTL.
func (b *binding) make(s state) *answer {
	sets := setsOf(b.recordsOf(s.nodes))
	if twin := b.twin(s.ttl, sets); twin != nil {
		return twin
	}
	signer := b.node.zone.signer
	if signer == nil {
		return b.pack(sets, nil)
	}
	signer.signAll(sets)
	return b.pack(sets, signer.nsec(b.node, merge(b.node.sets, sets)))
}

func (b *binding) pack(sets []*set, nsec *set) *answer {
	return &answer{sets: sets, nsec: nsec, fast: packSets(merge(b.node.sets, sets))}
}

// twin gives the answer of another state with the same records, so that a move
// between them is no change: nodes of one site may share addresses.
func (b *binding) twin(ttl uint32, sets []*set) *answer {
	for s, a := range b.made {
		if s.ttl == ttl && slices.EqualFunc(a.sets, sets, sameRecords) {
			return a
		}
	}
	return nil
}

func sameRecords(a, b *set) bool { return slices.EqualFunc(a.rrs, b.rrs, dns.IsDuplicate) }

// recordsOf gives the records of some nodes together, those of the first one
// first, or the fixed addresses.
func (b *binding) recordsOf(nodes string) []dns.RR {
	if nodes == "" {
		return addresses(b.owner, b.TTL, b.Fixed)
	}
	var rrs []dns.RR
	for _, node := range b.group.Nodes {
		if !slices.Contains(splitKey(nodes), node.Name) {
			continue
		}
		more, _ := b.records(b.owner, *b.group, node) // was checked
		for _, rr := range more {
			if !slices.ContainsFunc(rrs, func(o dns.RR) bool { return dns.IsDuplicate(o, rr) }) {
				rrs = append(rrs, rr)
			}
		}
	}
	return rrs
}

// setsOf sorts records of one name into sets.
func setsOf(rrs []dns.RR) []*set {
	var sets []*set
	for _, rr := range rrs {
		s := of(sets, rr.Header().Rrtype)
		if s == nil {
			s = &set{}
			sets = append(sets, s)
		}
		s.rrs = append(s.rrs, rr)
	}
	sortSets(sets)
	return sets
}

// lowered gives the sets with a lower TTL.
func lowered(sets []*set, ttl uint32) []*set {
	low := make([]*set, len(sets))
	for i, s := range sets {
		low[i] = &set{lowerAll(s.rrs, ttl), lowerAll(s.sigs, ttl)}
	}
	return low
}

func lowerAll(rrs []dns.RR, ttl uint32) []dns.RR {
	low := make([]dns.RR, len(rrs))
	for i, rr := range rrs {
		low[i] = dns.Copy(rr)
		low[i].Header().Ttl = min(rr.Header().Ttl, ttl)
	}
	return low
}

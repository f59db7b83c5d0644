package dnsgtm

import (
	"fmt"
	"slices"

	"github.com/miekg/dns"
)

// reader puts the records of a zone file into a zone and judges them.
type reader struct {
	zone   *zone
	first  map[*set]line // where each set begins
	faults Faults
}

// ours are the types that we make ourselves when we sign.
var ours = map[uint16]bool{
	dns.TypeRRSIG: true, dns.TypeNSEC: true, dns.TypeNSEC3: true, dns.TypeNSEC3PARAM: true,
}

// keyTypes are those that a signed zone has at its own name.
var keyTypes = map[uint16]bool{dns.TypeDNSKEY: true, dns.TypeCDS: true, dns.TypeCDNSKEY: true}

func (r *reader) fault(l line, format string, args ...any) {
	r.faults = append(r.faults, l.fault(r.zone.config.Name, format, args...))
}

// take adds one record.
func (r *reader) take(l line) {
	h := l.rr.Header()
	name, err := canonical(h.Name)
	switch {
	case err != nil:
		r.fault(l, "%s is not a domain name", h.Name)
		return
	case ours[h.Rrtype]:
		r.fault(l, "%s records are made here: remove it, and give the zone's key files to have it signed", dns.TypeToString[h.Rrtype])
		return
	case len(r.zone.config.Sign) > 0 && keyTypes[h.Rrtype]:
		r.fault(l, "%s records are made here of the zone's key files: remove it", dns.TypeToString[h.Rrtype])
		return
	case h.Ttl > mostTTL:
		r.fault(l, "the TTL %d is larger than %d", h.Ttl, mostTTL)
		return
	}
	h.Name = name
	n := r.zone.add(name)
	s := of(n.sets, h.Rrtype)
	if s == nil {
		s = &set{}
		n.sets = append(n.sets, s)
		r.first[s] = l
	}
	s.rrs = append(s.rrs, l.rr)
}

// settle ends the reading of a set: records that stand twice count once, and of
// different TTLs the lowest holds for all (RFC 2181, 5.2).
func settle(s *set) {
	lowest := s.rrs[0].Header().Ttl
	for _, rr := range s.rrs {
		lowest = min(lowest, rr.Header().Ttl)
	}
	seen := make(map[string]bool, len(s.rrs))
	buf := make([]byte, dns.MaxMsgSize)
	s.rrs = slices.DeleteFunc(s.rrs, func(rr dns.RR) bool {
		rr.Header().Ttl = lowest
		n, err := dns.PackRR(rr, buf, 0, nil, false)
		twice := err == nil && seen[string(buf[:n])]
		seen[string(buf[:n])] = true
		return twice
	})
}

// judge looks at the zone as a whole, name by name in its order.
func (r *reader) judge() {
	z := r.zone
	top := z.nodes[z.apex]
	soa, ns := of(top.sets, dns.TypeSOA), of(top.sets, dns.TypeNS)
	switch {
	case soa == nil && len(r.faults) == 0:
		r.faults = append(r.faults, Fault{File: z.config.File, Zone: z.config.Name, What: "there is no SOA record for " + z.apex})
	case soa != nil && len(soa.rrs) > 1:
		r.fault(r.first[soa], "there are %d SOA records: a zone has one", len(soa.rrs))
	}
	if ns == nil && soa != nil {
		r.fault(r.first[soa], "there is no NS record for %s", z.apex)
	}
	if soa != nil {
		z.soa, _ = soa.rrs[0].(*dns.SOA)
	}
	for _, n := range z.order {
		r.judgeNode(n)
	}
}

func (r *reader) judgeNode(n *node) {
	apex := n.name == r.zone.apex
	if cname := of(n.sets, dns.TypeCNAME); cname != nil {
		l := r.first[cname]
		switch {
		case apex:
			r.fault(l, "a CNAME cannot stand at the zone's own name, beside its SOA")
		case len(n.sets) > 1:
			r.fault(l, "%s has a CNAME and other records: a CNAME stands alone", n.name)
		case len(cname.rrs) > 1:
			r.fault(l, "%s has %d CNAME records: one is the most", n.name, len(cname.rrs))
		}
	}
	if dname := of(n.sets, dns.TypeDNAME); dname != nil && len(dname.rrs) > 1 {
		r.fault(r.first[dname], "%s has %d DNAME records: one is the most", n.name, len(dname.rrs))
	}
	if soa := of(n.sets, dns.TypeSOA); soa != nil && !apex {
		r.fault(r.first[soa], "the SOA record of %s is not at the zone's own name %s", n.name, r.zone.apex)
	}
	if ns := of(n.sets, dns.TypeNS); ns != nil {
		r.judgeServers(n, ns)
	}
}

// judgeServers wants an address for each name server that only this zone can
// give one for.
func (r *reader) judgeServers(n *node, ns *set) {
	if n.cut != nil && n.cut != n {
		return // hidden below a higher delegation
	}
	for _, rr := range ns.rrs {
		target, err := canonical(rr.(*dns.NS).Ns)
		if err != nil || !below(target, r.zone.apex) {
			continue
		}
		t, above := r.zone.find(target)
		switch cut := above.cut; {
		case t != nil && (of(t.sets, dns.TypeA) != nil || of(t.sets, dns.TypeAAAA) != nil || t.dyn > 0):
		case n.cut == nil && cut != nil, cut != nil && cut != n: // another zone's
		case t == nil && above.wild != nil && cut == nil:
		case r.zone.bound(target):
		default:
			r.fault(r.first[ns], "%s has the name server %s, which has no address in this zone", n.name, target)
		}
	}
}

// bound says whether the configuration binds a name of the zone to a group.
func (z *zone) bound(name string) bool {
	for _, n := range z.config.Names {
		if owner, err := n.owner(z.apex); err == nil && owner == name {
			return true
		}
	}
	return false
}

// owner gives the absolute name, in canonical spelling.
func (n Name) owner(apex string) (string, error) {
	name := n.Name
	switch {
	case name == "":
		return "", fmt.Errorf("a dynamic name is empty: write @ for the zone's own")
	case name == "@":
		name = apex
	case !dns.IsFqdn(name) && apex == ".":
		name += "."
	case !dns.IsFqdn(name):
		name += "." + apex
	}
	return canonical(name)
}

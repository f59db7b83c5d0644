package dnsgtm

import (
	"strings"

	"github.com/miekg/dns"
)

// mostLinks is how many CNAMEs of a chain are followed.
const mostLinks = 16

// found is what a zone has for one question.
type found struct {
	rcode     int
	foreign   bool // the first name is delegated: no authority
	answer    []dns.RR
	authority []dns.RR
	extra     []dns.RR // glue, without which a referral is of no use
	why       string   // EDE text
	version   *version
}

// asking is one walk through a zone.
type asking struct {
	*found
	z      *zone
	v      *version
	asked  string // the question's name in its own spelling
	qtype  uint16
	turn   uint32
	signed bool // DNSSEC records are wanted, and the zone has them
}

// look answers a question out of a zone: exact names, wildcards (RFC 4592),
// delegations, and chains of CNAMEs as long as they stay inside. turn is the
// number of the query.
func (z *zone) look(q dns.Question, do bool, turn uint32) found {
	v := z.now.Load()
	f := found{version: v}
	a := asking{found: &f, z: z, v: v, asked: q.Name, qtype: q.Qtype, turn: turn, signed: do && z.signer != nil}
	name, _ := canonical(q.Name)
	seen := map[string]bool{}
	for range mostLinks {
		seen[name] = true
		next := a.step(name, len(seen) == 1)
		if next == "" || !below(next, z.apex) || seen[next] {
			break
		}
		name = next
	}
	return f
}

// now gives what a dynamic name says to this query, nil if n is not one.
func (a *asking) now(n *node) *answer {
	if n.dyn == 0 {
		return nil
	}
	return a.v.names[n.dyn-1].turn(a.turn)
}

// sets and nsec give the records of a node for this query.
func (a *asking) sets(n *node) []*set { return a.v.setsWith(n, a.now(n)) }

func (a *asking) nsec(n *node) *set {
	if now := a.now(n); now != nil {
		return now.nsec
	}
	return n.nsec
}

// step answers for one name, and gives the next one of a chain, else "".
func (a *asking) step(name string, first bool) string {
	n, above := a.z.find(name)
	if cut := above.cut; cut != nil && !(n == cut && a.qtype == dns.TypeDS) {
		a.foreign = first
		a.refer(cut)
		return ""
	}
	if n == nil {
		if dname := of(a.sets(above), dns.TypeDNAME); dname != nil {
			return a.redirect(dname, name)
		}
		if above.wild == nil {
			a.rcode = dns.RcodeNameError
			a.deny(name, above)
			return ""
		}
		return a.take(above.wild, name)
	}
	return a.take(n, name)
}

// besideCNAME are the types that are answered though the name has a CNAME.
var besideCNAME = map[uint16]bool{dns.TypeCNAME: true, dns.TypeANY: true, dns.TypeNSEC: true, dns.TypeRRSIG: true}

// take answers with the records of a node for a name: its own, or one that a
// wildcard stands for.
func (a *asking) take(n *node, name string) string {
	if now := a.now(n); now != nil {
		a.why = now.why
		if now.fault {
			a.rcode, a.answer, a.authority = dns.RcodeServerFailure, nil, nil
			return ""
		}
	}
	sets := a.sets(n)
	if cname := of(sets, dns.TypeCNAME); cname != nil && !besideCNAME[a.qtype] {
		a.give(cname, n, name)
		next, _ := canonical(cname.rrs[0].(*dns.CNAME).Target)
		return next
	}
	one := of(sets, a.qtype)
	switch {
	case a.qtype == dns.TypeANY && len(sets) > 0: // RFC 8482, 4.1: one set is enough
		one = sets[0]
	case a.qtype == dns.TypeNSEC:
		one = a.nsec(n)
	case a.qtype == dns.TypeRRSIG && len(sets) > 0 && len(sets[0].sigs) > 0:
		one = &set{rrs: sets[0].sigs}
	}
	if one == nil {
		a.denyType(n, name)
		return ""
	}
	a.give(one, n, name)
	return ""
}

// give adds a set to the answer. Where a wildcard was filled in, the proof that
// the name itself does not exist goes with it (RFC 4035, 3.1.3.3).
func (a *asking) give(s *set, n *node, name string) {
	owner := respell(name, a.asked)
	for _, rr := range s.rrs {
		a.answer = append(a.answer, spelled(rr, owner))
	}
	if !a.signed {
		return
	}
	for _, rr := range s.sigs {
		a.answer = append(a.answer, spelled(rr, owner))
	}
	if n.name != name {
		wire, _ := wireName(name)
		a.prove(a.z.covering(wire))
	}
}

// redirect follows a DNAME (RFC 6672).
func (a *asking) redirect(dname *set, name string) string {
	rr := dname.rrs[0].(*dns.DNAME)
	a.answer = append(a.answer, dname.rrs...)
	if a.signed {
		a.answer = append(a.answer, dname.sigs...)
	}
	target := strings.TrimSuffix(name, rr.Hdr.Name) + rr.Target
	if rr.Target == "." {
		target = strings.TrimSuffix(name, rr.Hdr.Name)
	}
	next, err := canonical(target)
	if err != nil {
		a.rcode = dns.RcodeYXDomain
		return ""
	}
	a.answer = append(a.answer, &dns.CNAME{
		Hdr:    dns.RR_Header{Name: respell(name, a.asked), Rrtype: dns.TypeCNAME, Class: dns.ClassINET, Ttl: rr.Hdr.Ttl},
		Target: next,
	})
	return next
}

// deny says that a name does not exist: the SOA, and when signed that neither
// the name nor a wildcard in its place does.
func (a *asking) deny(name string, above *node) {
	a.sayDenial()
	if !a.signed {
		return
	}
	wire, _ := wireName(name)
	a.prove(a.z.covering(wire))
	a.prove(a.z.covering("\x01*" + above.wire))
}

// denyType says that a name has no records of the type.
func (a *asking) denyType(n *node, name string) {
	a.sayDenial()
	if !a.signed {
		return
	}
	if a.nsec(n) == nil { // a name without records has none, but those around it prove that
		a.prove(a.z.covering(n.wire))
	} else {
		a.prove(n)
	}
	if n.name != name { // a wildcard stood in
		wire, _ := wireName(name)
		a.prove(a.z.covering(wire))
	}
}

func (a *asking) sayDenial() {
	owner := respell(a.z.apex, a.asked)
	for _, rr := range a.v.denial.rrs {
		a.authority = append(a.authority, spelled(rr, owner))
	}
	if a.signed {
		for _, rr := range a.v.denial.sigs {
			a.authority = append(a.authority, spelled(rr, owner))
		}
	}
}

// prove adds the NSEC of a node, once.
func (a *asking) prove(n *node) {
	s := a.nsec(n)
	if s == nil {
		return
	}
	for _, rr := range a.authority {
		if rr == s.rrs[0] {
			return
		}
	}
	a.authority = append(append(a.authority, s.rrs...), s.sigs...)
}

// refer points to the servers of a delegated zone, with the addresses that
// only we can give, and when signed with the DS or the proof that there is
// none (RFC 4035, 3.1.4).
func (a *asking) refer(cut *node) {
	owner := respell(cut.name, a.asked)
	for _, rr := range of(cut.sets, dns.TypeNS).rrs {
		a.authority = append(a.authority, spelled(rr, owner))
		target, err := canonical(rr.(*dns.NS).Ns)
		if err != nil || !below(target, a.z.apex) {
			continue
		}
		if n, _ := a.z.find(target); n != nil && n.cut != nil {
			for _, s := range n.sets {
				if t := s.rtype(); t == dns.TypeA || t == dns.TypeAAAA {
					a.extra = append(a.extra, s.rrs...)
				}
			}
		}
	}
	if !a.signed {
		return
	}
	if ds := of(cut.sets, dns.TypeDS); ds != nil {
		a.authority = append(append(a.authority, ds.rrs...), ds.sigs...)
	} else {
		a.prove(cut)
	}
}

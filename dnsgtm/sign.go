package dnsgtm

import (
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// How long signatures hold: from a while before now, for clocks that are
// wrong, and until half of their time has passed they are made anew.
const (
	signedBefore = time.Hour
	signedFor    = 14 * 24 * time.Hour
)

// signer signs the records of one zone. Nothing is signed for a query.
type signer struct {
	apex      string
	keys      []signingKey
	from, to  uint32    // of signatures
	renew     time.Time // when to make everything anew
	denialTTL uint32    // of NSEC (RFC 9077)
}

// signAll signs sets that are not signed yet.
func (s *signer) signAll(sets []*set) {
	for _, one := range sets {
		s.sign(one)
	}
}

// sign signs one set, with the keys that sign keys or with those that sign the
// rest.
func (s *signer) sign(one *set) {
	if one.sigs != nil {
		return
	}
	t := one.rtype()
	aboutKeys := t == dns.TypeDNSKEY || t == dns.TypeCDS || t == dns.TypeCDNSKEY
	for _, k := range s.keys {
		if k.active && (aboutKeys && k.signsKeys || !aboutKeys && k.signsRest) {
			sig := &dns.RRSIG{
				Hdr:       dns.RR_Header{Ttl: one.rrs[0].Header().Ttl},
				Algorithm: k.public.Algorithm, KeyTag: k.public.KeyTag(), SignerName: s.apex,
				Inception: s.from, Expiration: s.to,
			}
			if sig.Sign(k.private, one.rrs) == nil {
				one.sigs = append(one.sigs, sig)
			}
		}
	}
}

// signZone adds the zone's keys, signs all that is static and lays the chain of
// NSEC records, but for dynamic names.
func (s *signer) signZone(z *zone) {
	top := z.nodes[z.apex]
	for _, one := range s.keySets(z) {
		if have := of(top.sets, one.rtype()); have == nil {
			top.sets = append(top.sets, one)
		} else {
			have.rrs = append(have.rrs, one.rrs...)
		}
	}
	sortSets(top.sets)
	for _, n := range z.order {
		if n.cut == nil || n.cut == n {
			z.chain = append(z.chain, n)
		}
	}
	var half sync.WaitGroup
	for part := range slices.Chunk(z.chain, max(1, (len(z.chain)+workers()-1)/workers())) {
		half.Go(func() {
			for _, n := range part {
				s.signNode(n)
			}
		})
	}
	half.Wait()
}

// signNode signs what a name has. Of a delegation only the DS is ours; the SOA
// is signed with each version.
func (s *signer) signNode(n *node) {
	for _, one := range n.sets {
		t := one.rtype()
		if t == dns.TypeSOA || n.cut != nil && t != dns.TypeDS {
			continue
		}
		s.sign(one)
	}
	if n.dyn == 0 {
		n.nsec = s.nsec(n, n.sets)
	}
}

// nsec makes the signed NSEC of a name that has the given sets.
func (s *signer) nsec(n *node, sets []*set) *set {
	at, found := slices.BinarySearchFunc(n.zone.chain, n.wire, func(o *node, w string) int { return compareNames(o.wire, w) })
	if !found {
		return nil
	}
	types := []uint16{dns.TypeRRSIG, dns.TypeNSEC}
	for _, one := range sets {
		if t := one.rtype(); n.cut == nil || t == dns.TypeNS || t == dns.TypeDS {
			types = append(types, t)
		}
	}
	slices.Sort(types)
	one := &set{rrs: []dns.RR{&dns.NSEC{
		Hdr:        dns.RR_Header{Name: n.name, Rrtype: dns.TypeNSEC, Class: dns.ClassINET, Ttl: s.denialTTL},
		NextDomain: n.zone.chain[(at+1)%len(n.zone.chain)].name,
		TypeBitMap: types,
	}}}
	s.sign(one)
	return one
}

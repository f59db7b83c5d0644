package dnsgtm

import (
	"iter"
	"slices"

	"github.com/miekg/dns"
)

// change is what became different from one serial to the next.
type change struct {
	from, to uint32
	old, new []dns.RR // the SOA and its signature
	gone     []dns.RR
	come     []dns.RR
}

func (c change) size() int { return len(c.gone) + len(c.come) + len(c.old) + len(c.new) }

// How much of its past a zone remembers for IXFR.
const (
	mostChanges = 1000
	mostPast    = 100000 // records
)

// records gives every record of a version in the order of a transfer, but the
// SOA at the end.
func (z *zone) records(v *version) iter.Seq[dns.RR] {
	return func(yield func(dns.RR) bool) {
		if !each(yield, v.soa) {
			return
		}
		for _, n := range z.order {
			for _, s := range v.sets(n) {
				if s != v.soa && !each(yield, s) {
					return
				}
			}
			if s := v.nsec(n); s != nil && !each(yield, s) {
				return
			}
		}
	}
}

func each(yield func(dns.RR) bool, s *set) bool {
	for _, rr := range s.rrs {
		if !yield(rr) {
			return false
		}
	}
	for _, rr := range s.sigs {
		if !yield(rr) {
			return false
		}
	}
	return true
}

// soaOf gives the SOA of a serial as it is answered and as it stands in
// negative answers (RFC 2308, 3), both signed.
func (z *zone) soaOf(serial uint32) (soa, denial *set) {
	rr := *z.soa
	rr.Hdr.Name, rr.Serial = z.apex, serial
	soa = &set{rrs: []dns.RR{&rr}}
	if z.signer != nil {
		z.signer.sign(soa)
	}
	return soa, lowered([]*set{soa}, min(rr.Minttl, rr.Hdr.Ttl))[0]
}

// next gives the version that follows old when the dynamic names say names.
// serial is old's when no transfer would differ.
func (z *zone) next(old *version, names []*answer, serial uint32) *version {
	v := &version{serial: serial, names: names, decided: !slices.ContainsFunc(names, func(a *answer) bool { return a.sets == nil })}
	if old != nil && old.serial == serial {
		v.soa, v.denial, v.nays, v.past = old.soa, old.denial, old.nays, old.past
		return v
	}
	v.soa, v.denial = z.soaOf(serial)
	v.nays = z.packNays(v)
	return v
}

// differs says whether a transfer of two versions of one zone would differ, but
// for the serial.
func differs(old, next []*answer) bool {
	return !slices.EqualFunc(old, next, func(a, b *answer) bool { return slices.Equal(a.sets, b.sets) })
}

// since gives the change from one version to the next, both of this zone.
func (z *zone) since(old, next *version) change {
	c := change{from: old.serial, to: next.serial, old: all(old.soa), new: all(next.soa)}
	for i := range next.names {
		was, is := old.names[i], next.names[i]
		if slices.Equal(was.sets, is.sets) {
			continue
		}
		c.gone = append(c.gone, allOf(was)...)
		c.come = append(c.come, allOf(is)...)
	}
	return c
}

// compare gives the change from one version to the next where they are of two
// loads of a zone.
func compare(from *zone, old *version, to *zone, next *version) change {
	c := change{from: old.serial, to: next.serial, old: all(old.soa), new: all(next.soa)}
	had := map[string]dns.RR{}
	buf := make([]byte, dns.MaxMsgSize)
	key := func(rr dns.RR) string { return string(packOne(rr, buf)) }
	for rr := range from.records(old) {
		had[key(rr)] = rr
	}
	for _, rr := range c.old {
		delete(had, key(rr))
	}
	for rr := range to.records(next) {
		k := key(rr)
		if had[k] != nil {
			delete(had, k)
		} else if !slices.Contains(c.new, rr) {
			c.come = append(c.come, rr)
		}
	}
	for _, rr := range had {
		c.gone = append(c.gone, rr)
	}
	return c
}

func all(s *set) []dns.RR { return append(slices.Clone(s.rrs), s.sigs...) }

func allOf(a *answer) []dns.RR {
	var rrs []dns.RR
	for _, s := range a.sets {
		rrs = append(rrs, all(s)...)
	}
	if a.nsec != nil {
		rrs = append(rrs, all(a.nsec)...)
	}
	return rrs
}

// remember gives the past of a zone one change longer, as much as fits.
func remember(past []change, c change) []change {
	past = append(slices.Clip(past), c)
	size := 0
	for i, one := range slices.Backward(past) {
		size += one.size()
		if size > mostPast || len(past)-i > mostChanges {
			return slices.Clone(past[i+1:])
		}
	}
	return past
}

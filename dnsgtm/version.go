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

// difference is what one load of a zone has and another has not.
type difference struct{ gone, come []dns.RR }

// differenceOf compares records, whatever their order.
func differenceOf(from, to iter.Seq[dns.RR]) (d difference) {
	had := map[string]dns.RR{}
	buf := make([]byte, dns.MaxMsgSize)
	for rr := range from {
		had[string(packOne(rr, buf))] = rr
	}
	for rr := range to {
		key := packOne(rr, buf)
		if had[string(key)] == nil {
			d.come = append(d.come, rr)
		}
		delete(had, string(key))
	}
	for _, rr := range had {
		d.gone = append(d.gone, rr)
	}
	return d
}

// differences compares what is static in the zones that two tables have. It
// takes its time, and is done before the lock is taken.
func differences(from, to *table) map[string]difference {
	all := map[string]difference{}
	for apex, z := range to.zones {
		if was := from.zones[apex]; was != nil {
			all[apex] = differenceOf(was.static(), z.static())
		}
	}
	return all
}

// static gives every record of a zone that is the same in all its versions.
func (z *zone) static() iter.Seq[dns.RR] {
	return func(yield func(dns.RR) bool) {
		for _, n := range z.order {
			for _, s := range n.sets {
				if s.rtype() != dns.TypeSOA && !each(yield, s) {
					return
				}
			}
			if n.nsec != nil && !each(yield, n.nsec) {
				return
			}
		}
	}
}

// dynamic gives every record of a version that follows a group.
func (v *version) dynamic() iter.Seq[dns.RR] {
	return func(yield func(dns.RR) bool) {
		for _, a := range v.names {
			for _, rr := range allOf(a) {
				if !yield(rr) {
					return
				}
			}
		}
	}
}

// reloaded gives the change from one version to the next where they are of two
// loads of a zone, with the given difference in what is static.
func reloaded(old, next *version, static difference) change {
	moving := differenceOf(old.dynamic(), next.dynamic())
	return change{
		from: old.serial, to: next.serial, old: all(old.soa), new: all(next.soa),
		gone: append(slices.Clip(static.gone), moving.gone...), come: append(slices.Clip(static.come), moving.come...),
	}
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

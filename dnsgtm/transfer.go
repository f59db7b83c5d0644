package dnsgtm

import (
	"iter"
	"log/slog"
	"slices"

	"github.com/miekg/dns"
)

// envelope is about how large a message of a transfer becomes.
const envelope = 16 << 10

// wantsTransfer says whether a query over TCP asks for a zone or what changed
// in it.
func (x *exchange) wantsTransfer() bool {
	if len(x.q.Question) != 1 || !x.from.stream || x.edns.malformed || x.edns.version > 0 {
		return false
	}
	t := x.q.Question[0].Qtype
	return x.q.Question[0].Qclass == dns.ClassINET && (t == dns.TypeAXFR || t == dns.TypeIXFR)
}

// requested gives the zone of a transfer, or the rcode of the refusal.
func (x *exchange) requested() (*zone, int) {
	if x.tsig = x.prove(); x.tsig != nil && x.tsig.rcode != 0 {
		return nil, dns.RcodeNotAuth
	}
	name, err := canonical(x.q.Question[0].Name)
	if err != nil {
		return nil, dns.RcodeFormatError
	}
	z := x.t.zones[name]
	key := ""
	if x.tsig != nil {
		key = x.tsig.key
	}
	if z == nil || !z.allowed(x.from.addr.Addr(), key) {
		return nil, dns.RcodeRefused
	}
	return z, 0
}

// transfer sends a zone, or its changes, in as many messages as it takes (RFC
// 5936; RFC 1995).
func (x *exchange) transfer(send func([]byte) error) error {
	z, rcode := x.requested()
	var v *version
	if z != nil {
		if v = z.now.Load(); !v.decided {
			rcode = dns.RcodeServerFailure // secondaries keep what they have
		}
	}
	if rcode != 0 {
		x.s.figures.refused.Add(1)
		x.s.logRarely(slog.LevelWarn, "transfer refused", "zone", quoteCut(x.q.Question[0].Name), "to", x.from.addr.String(), "rcode", dns.RcodeToString[rcode])
		return send(x.send(refuse(rcode)))
	}
	records := z.whole(v)
	if serial, asked := x.serial(); asked {
		records = z.incremental(v, serial)
	}
	x.s.figures.transfers.Add(1)
	return x.stream(records, send)
}

// serial gives the serial that an IXFR query has already.
func (x *exchange) serial() (uint32, bool) {
	if x.q.Question[0].Qtype != dns.TypeIXFR || len(x.q.Ns) != 1 {
		return 0, false
	}
	soa, is := x.q.Ns[0].(*dns.SOA)
	if !is {
		return 0, false
	}
	return soa.Serial, true
}

// whole gives the records of a full transfer.
func (z *zone) whole(v *version) iter.Seq[dns.RR] {
	return func(yield func(dns.RR) bool) {
		for rr := range z.records(v) {
			if !yield(rr) {
				return
			}
		}
		yield(v.soa.rrs[0])
	}
}

// incremental gives the records of a transfer from a serial on: the SOA alone
// if that is ours or newer, the changes if they are remembered, else the whole.
func (z *zone) incremental(v *version, serial uint32) iter.Seq[dns.RR] {
	if !later(v.serial, serial) {
		return slices.Values(v.soa.rrs)
	}
	at := slices.IndexFunc(v.past, func(c change) bool { return c.from == serial })
	if at < 0 {
		return z.whole(v)
	}
	return func(yield func(dns.RR) bool) {
		if !yield(v.soa.rrs[0]) {
			return
		}
		for _, c := range v.past[at:] {
			for _, part := range [][]dns.RR{c.old, c.gone, c.new, c.come} {
				for _, rr := range part {
					if !yield(rr) {
						return
					}
				}
			}
		}
		yield(v.soa.rrs[0])
	}
}

// stream packs records into messages and sends them. Only the first has the
// question.
func (x *exchange) stream(records iter.Seq[dns.RR], send func([]byte) error) error {
	var part []dns.RR
	size, first := 0, true
	flush := func() error {
		m := x.message(outcome{found: found{answer: part}, authority: true})
		if !first {
			m.Question, m.Extra = nil, nil
		}
		part, size, first = nil, 0, false
		return send(x.seal(m))
	}
	for rr := range records {
		if n := dns.Len(rr); size+n > envelope && len(part) > 0 {
			if err := flush(); err != nil {
				return err
			}
		}
		part = append(part, rr)
		size += dns.Len(rr)
	}
	return flush()
}

// transferByDatagram answers AXFR and IXFR over UDP: the first does not exist
// there, the second is told our serial, so that the secondary comes by TCP if
// it wants (RFC 1995, 2).
func (x *exchange) transferByDatagram(q dns.Question) outcome {
	if q.Qtype == dns.TypeAXFR {
		return refuse(dns.RcodeFormatError)
	}
	z, rcode := x.requested()
	if z == nil {
		x.s.figures.refused.Add(1)
		return refuse(rcode)
	}
	v := z.now.Load()
	if !v.decided {
		return refuse(dns.RcodeServerFailure)
	}
	return outcome{found: found{answer: v.soa.rrs}, authority: true}
}

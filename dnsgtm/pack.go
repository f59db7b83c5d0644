package dnsgtm

import (
	"github.com/miekg/dns"
)

// packed is one set as the fast path copies it into a reply.
type packed struct {
	rtype  uint16
	slow   bool // the slow path knows better: the SOA, whose serial changes
	plain  tail
	signed tail // with signatures; the same as plain where there are none
}

// tail is a number of records in wire form, whose owner is a pointer to the
// question's name: that keeps the question's spelling too.
type tail struct {
	count uint16
	bytes []byte
}

// toQuestion is a pointer to the name right behind the header.
const toQuestion = 0xc000 | headerSize

// packSets packs the sets of one name. What does not fit a reply over UDP is
// left to the slow path.
func packSets(sets []*set) []packed {
	if len(sets) == 0 {
		return nil
	}
	list := make([]packed, len(sets))
	var buf [mostUDP]byte
	for i, s := range sets {
		p := packed{rtype: s.rtype()}
		p.plain = packTail(s.rrs, buf[:])
		p.signed = p.plain
		if len(s.sigs) > 0 {
			p.signed = packTail(all(s), buf[:])
		}
		p.slow = p.rtype == dns.TypeSOA || p.plain.bytes == nil || p.signed.bytes == nil
		list[i] = p
	}
	return list
}

// packTail packs records by way of a buffer, nil if they are too large for the
// fast path.
func packTail(rrs []dns.RR, buf []byte) tail {
	var out []byte
	for _, rr := range rrs {
		n, err := dns.PackRR(rr, buf, 0, nil, false)
		if err != nil || len(out)+n > mostUDP {
			return tail{}
		}
		owner, err := wireName(rr.Header().Name)
		if err != nil {
			return tail{}
		}
		out = append(out, toQuestion>>8, toQuestion&0xff)
		out = append(out, buf[len(owner):n]...)
	}
	return tail{uint16(len(rrs)), append([]byte(nil), out...)} // #nosec G115 -- at most mostUDP/12
}

// nays is the authority section of a negative answer without signatures, but
// for the owner's two bytes, which depend on the question.
type nays []byte

func (z *zone) packNays(v *version) nays {
	t := packTail(v.denial.rrs, make([]byte, mostUDP))
	if t.bytes == nil {
		return nil
	}
	return t.bytes[2:]
}

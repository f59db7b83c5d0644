package dnsgtm

import (
	"encoding/binary"
	"net/netip"

	"github.com/miekg/dns"
)

// mostUDP is the most that a message over UDP may have, in either direction.
const mostUDP = 4096

// quick is what the fast path has read of a query. It lives in a worker and is
// used again for every query.
type quick struct {
	name   [256]byte // lower case
	length int       // of name
	end    int       // of the question in the message
	qtype  uint16
	edns   bool
	do     bool
	size   int // of a reply that the client takes
	cookie [40]byte
	shown  int    // bytes of cookie; 0: none
	turn   uint32 // of queries for pools with weights
}

// Types that the fast path leaves alone.
func slowType(t uint16) bool {
	switch t {
	case dns.TypeOPT, dns.TypeDS, dns.TypeRRSIG, dns.TypeNSEC, dns.TypeSOA:
		return true
	}
	return t >= dns.TypeTKEY && t <= dns.TypeANY
}

// read parses a query if it is a plain one: one question of class IN, and
// behind it nothing or an OPT with at most a cookie.
func (k *quick) read(q []byte) bool {
	const counts = 1 << 48 // one question, no answer, no authority
	if len(q) < headerSize+5 || binary.BigEndian.Uint64(q[4:])&^0xffff != counts {
		return false
	}
	const ad = 1 << 5
	if binary.BigEndian.Uint16(q[2:])&^(bitRD|ad|bitCD) != 0 {
		return false
	}
	at, n := headerSize, 0
	for {
		if at >= len(q) {
			return false
		}
		label := int(q[at])
		if label > 63 || at+label+1 > len(q) || n+label+1 > 255 {
			return false
		}
		k.name[n] = q[at]
		at, n = at+1, n+1
		if label == 0 {
			break
		}
		for _, c := range q[at : at+label] {
			if 'A' <= c && c <= 'Z' {
				c |= 0x20
			}
			k.name[n] = c
			n++
		}
		at += label
	}
	if at+4 > len(q) || binary.BigEndian.Uint16(q[at+2:]) != dns.ClassINET {
		return false
	}
	k.qtype, k.length, k.end = binary.BigEndian.Uint16(q[at:]), n, at+4
	if slowType(k.qtype) {
		return false
	}
	k.edns, k.do, k.size, k.shown = false, false, dns.MinMsgSize, 0
	switch binary.BigEndian.Uint16(q[10:]) {
	case 0:
		return k.end == len(q)
	case 1:
		return k.readOPT(q[k.end:])
	}
	return false
}

// readOPT parses the record behind the question.
func (k *quick) readOPT(r []byte) bool {
	const fixed = 11
	if len(r) < fixed || r[0] != 0 || binary.BigEndian.Uint16(r[1:]) != dns.TypeOPT || r[6] != 0 {
		return false // r[6] is the version
	}
	if r[5] != 0 || int(binary.BigEndian.Uint16(r[9:])) != len(r)-fixed {
		return false
	}
	k.edns, k.do = true, r[7]&0x80 != 0
	k.size = max(int(binary.BigEndian.Uint16(r[3:])), dns.MinMsgSize)
	r = r[fixed:]
	if len(r) == 0 {
		return true
	}
	if len(r) < 4 || binary.BigEndian.Uint16(r) != dns.EDNS0COOKIE {
		return false
	}
	k.shown = int(binary.BigEndian.Uint16(r[2:]))
	if !cookieLength(k.shown) || k.shown != len(r)-4 {
		return false
	}
	copy(k.cookie[:], r[4:])
	return true
}

// hit is what the table has for a quick query.
type hit struct {
	tail  tail
	nay   nays // of a negative answer
	zone  *zone
	rcode uint16
	ede   []byte
}

// find looks a query up. What needs a proof, a chain, a wildcard or a referral
// is left to the slow path.
func (k *quick) find(t *table) (h hit, ok bool) {
	n := t.nodes[string(k.name[:k.length])]
	if n == nil {
		return k.nothing(t)
	}
	if n.cut != nil {
		return h, false
	}
	v := n.zone.now.Load()
	entries := n.fast
	if n.dyn > 0 {
		a := v.names[n.dyn-1]
		if a.fault {
			return h, false
		}
		if a.turns != nil {
			k.turn++
			a = a.turn(k.turn)
		}
		entries, h.ede = a.fast, a.ede
	}
	for i := range entries {
		e := &entries[i]
		if e.rtype == k.qtype {
			if h.tail = e.plain; k.do {
				h.tail = e.signed
			}
			return h, !e.slow
		}
		if e.rtype == dns.TypeCNAME {
			return h, false
		}
	}
	h.zone, h.nay = n.zone, v.nays
	return h, h.nay != nil && !(k.do && n.zone.signer != nil)
}

// nothing is find for a name that does not exist.
func (k *quick) nothing(t *table) (h hit, ok bool) {
	for at := 0; k.name[at] != 0; {
		at += int(k.name[at]) + 1
		n := t.nodes[string(k.name[at:k.length])]
		if n == nil {
			continue
		}
		if n.cut != nil || n.wild != nil || n.dname || k.do && n.zone.signer != nil {
			return h, false
		}
		h.zone, h.nay, h.rcode = n.zone, n.zone.now.Load().nays, dns.RcodeNameError
		return h, h.nay != nil
	}
	return h, false
}

// desk is what the fast path needs beside the query.
type desk struct {
	table   *table
	cookies *cookies
	now     uint32
}

// answer turns a plain query into its reply, in place, and gives the reply and
// its rcode; nil leaves the query, which is not touched then, to the slow path.
// proven says that the client has shown a good cookie. The capacity of q must
// be mostUDP or more.
func (k *quick) answer(q []byte, d *desk, from netip.Addr) (reply []byte, rcode uint16, proven bool) {
	if !k.read(q) {
		return nil, 0, false
	}
	h, ok := k.find(d.table)
	if !ok {
		return nil, 0, false
	}
	size := k.end + len(h.tail.bytes)
	if h.nay != nil {
		size += 2 + len(h.nay)
	}
	if k.edns {
		size += 11 + len(h.ede)
		if k.shown > 0 {
			size += 4 + clientCookie + serverCookie
		}
	}
	if size > min(k.size, int(d.table.config.UDPSize)) {
		return nil, 0, false
	}
	k.head(q, h)
	out := append(q[:k.end], h.tail.bytes...)
	if h.nay != nil {
		apex := headerSize + k.length - len(h.zone.wire)
		out = append(out, 0xc0|byte(apex>>8), byte(apex))
		out = append(out, h.nay...)
	}
	if k.edns {
		out, proven = k.opt(out, h, d, from)
	}
	return out, h.rcode, proven
}

// head writes the header. The ID stays, and RD, and CD for who knows of DNSSEC.
func (k *quick) head(q []byte, h hit) {
	keep := uint16(bitRD)
	if k.do {
		keep |= bitCD
	}
	binary.BigEndian.PutUint16(q[2:], bitQR|bitAA|binary.BigEndian.Uint16(q[2:])&keep|h.rcode)
	counts := 1<<48 | uint64(h.tail.count)<<32
	if h.nay != nil {
		counts |= 1 << 16
	}
	if k.edns {
		counts |= 1
	}
	binary.BigEndian.PutUint64(q[4:], counts)
}

// opt appends the OPT record.
func (k *quick) opt(out []byte, h hit, d *desk, from netip.Addr) (_ []byte, proven bool) {
	size := d.table.config.UDPSize
	flags := byte(0)
	if k.do {
		flags = 0x80
	}
	length := len(h.ede)
	if k.shown > 0 {
		length += 4 + clientCookie + serverCookie
	}
	out = append(out, 0, 0, byte(dns.TypeOPT), byte(size>>8), byte(size), 0, 0, flags, 0, byte(length>>8), byte(length))
	if k.shown > 0 {
		cookie := k.cookie[:k.shown]
		proven = d.cookies.valid(cookie, from, d.now)
		out = append(out, 0, dns.EDNS0COOKIE, 0, clientCookie+serverCookie)
		out = d.cookies.answer(out, cookie, from, d.now)
	}
	return append(out, h.ede...), proven
}

package dnsgtm

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"net/netip"

	"github.com/miekg/dns"
)

// edns is what the OPT record of a query asks for (RFC 6891).
type edns struct {
	present   bool
	version   uint8
	size      int // of a reply over UDP that the client takes; 512 without EDNS
	do        bool
	nsid      bool
	keepalive bool // RFC 7828
	padding   bool // RFC 7830
	cookie    []byte
	subnet    *dns.EDNS0_SUBNET
	malformed bool
}

// readEDNS reads the OPT of a query. A second OPT, one with a name, and a
// cookie of a wrong length are malformed.
func readEDNS(q *dns.Msg) edns {
	e := edns{size: dns.MinMsgSize}
	for _, rr := range q.Extra {
		opt, is := rr.(*dns.OPT)
		if !is {
			continue
		}
		if e.present || opt.Hdr.Name != "." {
			e.malformed = true
			return e
		}
		e.present, e.version, e.do = true, opt.Version(), opt.Do()
		e.size = max(int(opt.UDPSize()), dns.MinMsgSize)
		for _, o := range opt.Option {
			e.take(o)
		}
	}
	return e
}

func (e *edns) take(o dns.EDNS0) {
	switch o := o.(type) {
	case *dns.EDNS0_NSID:
		e.nsid = true
	case *dns.EDNS0_TCP_KEEPALIVE:
		e.keepalive = true
	case *dns.EDNS0_PADDING:
		e.padding = true
	case *dns.EDNS0_SUBNET:
		e.subnet = o
	case *dns.EDNS0_COOKIE:
		if e.cookie != nil {
			return // only the first counts (RFC 7873, 5.2)
		}
		e.cookie, _ = hex.DecodeString(o.Cookie)
		if !cookieLength(len(e.cookie)) {
			e.malformed, e.cookie = true, nil
		}
	}
}

// maskOptions gives a message in which the options of its OPT that are of no use
// to us have a code for local use; false if there are none.
func maskOptions(raw []byte) (plain []byte, masked bool) {
	at := headerSize
	count := func(i int) int { return int(binary.BigEndian.Uint16(raw[i:])) }
	for range count(4) {
		at = skipName(raw, at) + 4
	}
	plain = bytes.Clone(raw)
	for range count(6) + count(8) + count(10) {
		if at = skipName(raw, at); at+10 > len(raw) {
			return plain, masked
		}
		kind, end := count(at), at+10+count(at+8)
		if at += 10; kind == int(dns.TypeOPT) && end <= len(raw) {
			for at+4 <= end {
				switch count(at) {
				case dns.EDNS0NSID, dns.EDNS0SUBNET, dns.EDNS0COOKIE, dns.EDNS0TCPKEEPALIVE, dns.EDNS0PADDING:
				default:
					binary.BigEndian.PutUint16(plain[at:], dns.EDNS0LOCALSTART)
					masked = true
				}
				at += 4 + count(at+2)
			}
		}
		at = end
	}
	return plain, masked
}

// skipName gives where a name ends, beyond the message if it does not.
func skipName(raw []byte, at int) int {
	for at < len(raw) {
		switch n := int(raw[at]); {
		case n == 0:
			return at + 1
		case n >= 0xc0:
			return at + 2
		default:
			at += 1 + n
		}
	}
	return len(raw) + 1
}

// option gives an option as it goes over the wire.
func option(code uint16, data []byte) dns.EDNS0 { return &dns.EDNS0_LOCAL{Code: code, Data: data} }

// edeData is the body of an Extended DNS Error (RFC 8914).
func edeData(code uint16, text string) []byte {
	return append([]byte{byte(code >> 8), byte(code)}, text...)
}

// edeOption gives the Extended DNS Error of an answer that may not help, whole
// with code and length. None of the registered codes fits, so it is Other with
// a text.
func edeOption(text string) []byte {
	if text == "" {
		return nil
	}
	data := edeData(dns.ExtendedErrorCodeOther, text)
	return append([]byte{0, dns.EDNS0EDE, byte(len(data) >> 8), byte(len(data))}, data...)
}

// opt makes the OPT of a reply. The client's subnet was taken into account for
// no network at all, which is what scope 0 says (RFC 7871, 7.2.1).
func (x *exchange) opt(code uint16, text string) *dns.OPT {
	o := &dns.OPT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeOPT}}
	o.SetUDPSize(x.t.config.UDPSize)
	if x.edns.do {
		o.SetDo()
	}
	if x.edns.version > 0 {
		return o
	}
	if x.edns.cookie != nil {
		o.Option = append(o.Option, option(dns.EDNS0COOKIE, x.s.cookies.Load().answer(nil, x.edns.cookie, x.from.addr.Addr(), x.now)))
	}
	if x.edns.nsid && x.t.config.NSID != "" {
		o.Option = append(o.Option, option(dns.EDNS0NSID, []byte(x.t.config.NSID)))
	}
	if s := x.edns.subnet; s != nil {
		o.Option = append(o.Option, &dns.EDNS0_SUBNET{Code: s.Code, Family: s.Family, SourceNetmask: s.SourceNetmask, Address: s.Address})
	}
	if x.edns.keepalive && x.from.stream {
		tenths := min(x.t.config.TCP.Idle.Milliseconds()/100, 65535)
		o.Option = append(o.Option, option(dns.EDNS0TCPKEEPALIVE, []byte{byte(tenths >> 8), byte(tenths)}))
	}
	if text != "" {
		o.Option = append(o.Option, option(dns.EDNS0EDE, edeData(code, text)))
	}
	return o
}

// blockSize is what padded replies are a multiple of (RFC 8467, 4.1).
const blockSize = 468

// pad fills a reply up, if that is of use: over TLS, to a client that pads.
func (x *exchange) pad(m *dns.Msg) {
	o := m.IsEdns0()
	if o == nil || !x.edns.padding || !x.from.secret {
		return
	}
	length := m.Len() + 4
	o.Option = append(o.Option, option(dns.EDNS0PADDING, make([]byte, (blockSize-length%blockSize)%blockSize)))
}

// client is who asks and how.
type client struct {
	addr   netip.AddrPort
	stream bool // TCP or TLS: the address is proven and length is no matter
	secret bool // TLS
}

package dnsgtm

import (
	"encoding/hex"
	"testing"

	"github.com/miekg/dns"
)

// probe is one row of ISC's EDNS compliance tests and of RFC 8906, 8: how the
// query is made, and what must be true of the reply beside what must be true of
// all (see common).
type probe struct {
	name  string
	make  func(*dns.Msg)
	rcode int
	aa    bool
	check func(*testing.T, *dns.Msg)
}

func edns0(version uint8, size, flags uint16, options ...dns.EDNS0) func(*dns.Msg) {
	return func(m *dns.Msg) {
		o := &dns.OPT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeOPT, Class: size, Ttl: uint32(version)<<16 | uint32(flags)}, Option: options}
		m.Extra = append(m.Extra, o)
	}
}

func local(code uint16, data string) dns.EDNS0 {
	raw, _ := hex.DecodeString(data)
	return &dns.EDNS0_LOCAL{Code: code, Data: raw}
}

const (
	flagDO      = 1 << 15
	flagUnknown = 1 << 6
)

func hasSOA(t *testing.T, r *dns.Msg) {
	t.Helper()
	if len(r.Answer) == 0 || r.Answer[0].Header().Rrtype != dns.TypeSOA {
		t.Errorf("got the answer %v, want the SOA", r.Answer)
	}
}

func empty(t *testing.T, r *dns.Msg) {
	t.Helper()
	if len(r.Answer) > 0 {
		t.Errorf("got the answer %v, want none", r.Answer)
	}
}

var (
	nsid    = local(dns.EDNS0NSID, "")
	subnet  = local(dns.EDNS0SUBNET, "00010000")
	expire  = local(dns.EDNS0EXPIRE, "")
	cookie  = local(dns.EDNS0COOKIE, "0102030405060708")
	unknown = local(100, "")
	filled  = local(100, "deadbeef")
)

var compliance = []probe{
	{"dns", nil, 0, true, hasSOA},
	{"rd", func(m *dns.Msg) { m.RecursionDesired = true }, 0, true, hasSOA},
	{"cd", func(m *dns.Msg) { m.CheckingDisabled = true }, 0, true, hasSOA},
	{"ad", func(m *dns.Msg) { m.AuthenticatedData = true }, 0, true, hasSOA},
	{"aa", func(m *dns.Msg) { m.Authoritative = true }, 0, true, hasSOA},
	{"ra", func(m *dns.Msg) { m.RecursionAvailable = true }, 0, true, hasSOA},
	{"tc", func(m *dns.Msg) { m.Truncated = true }, 0, true, hasSOA},
	{"zflag", func(m *dns.Msg) { m.Zero = true }, 0, true, hasSOA},
	{"type666", func(m *dns.Msg) { m.Question[0].Qtype = 666 }, 0, true, empty},
	{"type1000", func(m *dns.Msg) { m.Question[0].Qtype = 1000 }, 0, true, empty},
	{"edns", edns0(0, 4096, 0), 0, true, hasSOA},
	{"edns1", edns0(1, 4096, 0), dns.RcodeBadVers, false, empty},
	{"edns@512", edns0(0, 512, 0), 0, true, func(t *testing.T, r *dns.Msg) {
		if r.Len() > 512 {
			t.Errorf("got %d bytes, want at most 512", r.Len())
		}
	}},
	{"ednsopt", edns0(0, 4096, 0, unknown), 0, true, hasSOA},
	{"ednsopt with data", edns0(0, 4096, 0, filled), 0, true, hasSOA},
	{"an EDE in a query", edns0(0, 4096, 0, local(dns.EDNS0EDE, "00")), 0, true, hasSOA},
	{"EXPIRE of a wrong length", edns0(0, 4096, 0, local(dns.EDNS0EXPIRE, "010203"), cookie), 0, true, func(t *testing.T, r *dns.Msg) {
		if got := optionOf(r, dns.EDNS0COOKIE); len(got) != 48 {
			t.Errorf("got the cookie %q", got)
		}
	}},
	{"LLQ that is too short", edns0(0, 4096, 0, local(dns.EDNS0LLQ, "0001")), 0, true, hasSOA},
	{"edns1opt", edns0(1, 4096, 0, unknown), dns.RcodeBadVers, false, empty},
	{"do", edns0(0, 4096, flagDO), 0, true, hasSOA},
	{"edns1do", edns0(1, 4096, flagDO), dns.RcodeBadVers, false, empty},
	{"docd", func(m *dns.Msg) { m.CheckingDisabled = true; edns0(0, 4096, flagDO)(m) }, 0, true, func(t *testing.T, r *dns.Msg) {
		if !r.CheckingDisabled {
			t.Error("CD did not come back with DO")
		}
	}},
	{"ednsflags", edns0(0, 4096, flagUnknown), 0, true, hasSOA},
	{"edns1flags", edns0(1, 4096, flagUnknown), dns.RcodeBadVers, false, empty},
	{"optlist", edns0(0, 4096, 0, nsid, subnet, expire, cookie), 0, true, hasSOA},
	{"ednsnsid", edns0(0, 4096, 0, nsid), 0, true, func(t *testing.T, r *dns.Msg) {
		if got := optionOf(r, dns.EDNS0NSID); got != hex.EncodeToString([]byte("ns1")) {
			t.Errorf("got the NSID %q", got)
		}
	}},
	{"nsid with data", edns0(0, 4096, 0, local(dns.EDNS0NSID, "01")), 0, true, hasSOA},
	{"ednscookie", edns0(0, 4096, 0, cookie), 0, true, func(t *testing.T, r *dns.Msg) {
		if got := optionOf(r, dns.EDNS0COOKIE); len(got) != 48 || got[:16] != "0102030405060708" {
			t.Errorf("got the cookie %q, want the client's 8 bytes and 16 more", got)
		}
	}},
	{"ednsexpire", edns0(0, 4096, 0, expire), 0, true, hasSOA},
	{"ednssubnet", edns0(0, 4096, 0, subnet), 0, true, hasSOA},
	{"a client's subnet", edns0(0, 4096, 0, local(dns.EDNS0SUBNET, "00011800c00002")), 0, true, func(t *testing.T, r *dns.Msg) {
		if o, is := r.IsEdns0().Option[0].(*dns.EDNS0_SUBNET); !is || o.SourceNetmask != 24 || o.SourceScope != 0 || o.Address.String() != "192.0.2.0" {
			t.Errorf("got %v, want the subnet with scope 0", r.IsEdns0().Option)
		}
	}},
	{"a subnet of no family", edns0(0, 4096, 0, local(dns.EDNS0SUBNET, "00091800c00002")), dns.RcodeFormatError, false, nil},
	{"edns1nsid", edns0(1, 4096, 0, nsid), dns.RcodeBadVers, false, empty},
	{"edns1cookie", edns0(1, 4096, 0, cookie), dns.RcodeBadVers, false, empty},
	{"edns1expire", edns0(1, 4096, 0, expire), dns.RcodeBadVers, false, empty},
	{"edns1subnet", edns0(1, 4096, 0, subnet), dns.RcodeBadVers, false, empty},
	{"bind11", edns0(0, 4096, flagDO, nsid, cookie), 0, true, hasSOA},
	{"dig11", func(m *dns.Msg) { m.AuthenticatedData = true; edns0(0, 4096, 0, cookie)(m) }, 0, true, hasSOA},
	{"a cookie of a wrong length", edns0(0, 4096, 0, local(dns.EDNS0COOKIE, "010203")), dns.RcodeFormatError, false, empty},
	{"two OPT", func(m *dns.Msg) { edns0(0, 4096, 0)(m); edns0(0, 4096, 0)(m) }, dns.RcodeFormatError, false, empty},
	{"class ANY", func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassANY }, dns.RcodeRefused, false, empty},
	{"version.bind", func(m *dns.Msg) {
		m.Question[0] = dns.Question{Name: "version.bind.", Qtype: dns.TypeTXT, Qclass: dns.ClassCHAOS}
	}, dns.RcodeRefused, false, empty},
}

// optionOf gives an EDNS option of a reply in hex digits.
func optionOf(r *dns.Msg, code uint16) string {
	o := r.IsEdns0()
	if o == nil {
		return ""
	}
	for _, one := range o.Option {
		if one.Option() != code {
			continue
		}
		switch one := one.(type) {
		case *dns.EDNS0_NSID:
			return one.Nsid
		case *dns.EDNS0_COOKIE:
			return one.Cookie
		case *dns.EDNS0_LOCAL:
			return hex.EncodeToString(one.Data)
		case *dns.EDNS0_EDE:
			return hex.EncodeToString([]byte(one.ExtraText))
		}
	}
	return ""
}

// TestEDNSComplianceAndRFC8906 asks every probe over UDP and over TCP.
func TestEDNSComplianceAndRFC8906(t *testing.T) {
	t.Parallel()
	s := running(t, example())
	for _, p := range compliance {
		for _, network := range []string{"udp", "tcp"} {
			t.Run(p.name+" "+network, func(t *testing.T) {
				q := query("example.com", dns.TypeSOA)
				if p.make != nil {
					p.make(q)
				}
				r := ask(t, network, s.address(), q)
				if r.Rcode != p.rcode || r.Authoritative != p.aa {
					t.Errorf("got %s and AA %v, want %s and AA %v", dns.RcodeToString[r.Rcode], r.Authoritative, dns.RcodeToString[p.rcode], p.aa)
				}
				if r.Rcode != dns.RcodeFormatError { // which may be a bare header
					common(t, q, r)
				}
				if p.check != nil {
					p.check(t, r)
				}
			})
		}
	}
}

// common is what must be true of every reply.
func common(t *testing.T, q, r *dns.Msg) {
	t.Helper()
	if r.Id != q.Id || !r.Response || r.RecursionAvailable || r.AuthenticatedData || r.Zero || r.Truncated {
		t.Errorf("got the header %v", r.MsgHdr)
	}
	if r.RecursionDesired != q.RecursionDesired {
		t.Errorf("RD is %v, the query's %v", r.RecursionDesired, q.RecursionDesired)
	}
	asked, got := q.IsEdns0(), r.IsEdns0()
	if (asked == nil) != (got == nil) {
		t.Fatalf("the query has an OPT: %v, the reply: %v", asked != nil, got != nil)
	}
	if got == nil {
		return
	}
	if got.Version() != 0 || got.UDPSize() != 1232 {
		t.Errorf("got EDNS version %d and size %d", got.Version(), got.UDPSize())
	}
	if other := got.Hdr.Ttl & 0x7fff; other != 0 {
		t.Errorf("got the EDNS flags %#x, want DO alone", other)
	}
	if asked.Do() != got.Do() {
		t.Errorf("DO is %v, the query's %v", got.Do(), asked.Do())
	}
	if optionOf(r, 100) != "" {
		t.Error("an unknown option came back")
	}
}

// An opcode that is not known gets NOTIMP with nothing else, whatever flags
// stand beside it (RFC 8906, 8.1.4; ISC opcode and opcodeflg).
func TestAnOtherOpcodeGetsABareNOTIMP(t *testing.T) {
	t.Parallel()
	s := running(t, example())
	for opcode := 1; opcode < 16; opcode++ {
		for _, flags := range []byte{0, 0x07} { // AA TC RD
			raw := []byte{7, 9, byte(opcode)<<3 | flags, 0xb0, 0, 0, 0, 0, 0, 0, 0, 0}
			got := exchangeRaw(t, s.address(), raw)
			want := []byte{7, 9, 0x80 | byte(opcode)<<3, dns.RcodeNotImplemented, 0, 0, 0, 0, 0, 0, 0, 0}
			if string(got) != string(want) {
				t.Errorf("opcode %d, flags %x: got %x, want %x", opcode, flags, got, want)
			}
		}
	}
}

// No type that there ever was may be refused or answered with an error.
func TestEveryTypeIsAnswered(t *testing.T) {
	t.Parallel()
	s := running(t, example())
	for qtype, name := range dns.TypeToString {
		switch qtype {
		case dns.TypeNone, dns.TypeOPT, dns.TypeAXFR, dns.TypeIXFR, dns.TypeTKEY, dns.TypeTSIG, dns.TypeReserved:
			continue
		}
		for _, owner := range []string{"mdm.example.com.", "example.com.", "deep.example.com."} {
			r := ask(t, "udp", s.address(), query(owner, qtype))
			if r.Rcode != 0 || !r.Authoritative {
				t.Errorf("%s %s: got %s, AA %v", owner, name, dns.RcodeToString[r.Rcode], r.Authoritative)
			}
		}
	}
}

// How long a connection may be silent is told to who asks (RFC 7828).
func TestKeepaliveIsToldOverTCPOnly(t *testing.T) {
	t.Parallel()
	s := running(t, example())
	for network, want := range map[string]bool{"tcp": true, "udp": false} {
		q := query("example.com", dns.TypeSOA)
		edns0(0, 1232, 0, local(dns.EDNS0TCPKEEPALIVE, ""))(q)
		told := false
		for _, o := range ask(t, network, s.address(), q).IsEdns0().Option {
			if k, is := o.(*dns.EDNS0_TCP_KEEPALIVE); is {
				told = k.Timeout == 100 // tenths of a second
			}
		}
		if told != want {
			t.Errorf("%s: told %v, want %v", network, told, want)
		}
	}
}

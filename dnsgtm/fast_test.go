package dnsgtm

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/understudy-ha/understudy/internal/ha"
)

// closed gives a server that answers calls but listens nowhere.
func closed(t testing.TB, c Config) *Server {
	t.Helper()
	s := told(t, c)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.enter(s.table.Load(), roots{}); err != nil {
		t.Fatal(err)
	}
	s.started = true
	return s
}

var asker = netip.MustParseAddrPort("198.51.100.7:4242")

// quickly gives the fast path's reply, nil if it leaves the query alone.
func (s *Server) quickly(q []byte) []byte {
	d := s.desk(time.Now())
	buf := append(make([]byte, 0, mostUDP), q...)
	reply, _, _ := new(quick).answer(buf, &d, asker.Addr())
	if reply == nil && !bytes.Equal(buf, q) {
		panic("the fast path changed a query that it left alone")
	}
	return reply
}

// differ says where the paths differ over a query, "" if they do not.
func (s *Server) differ(t testing.TB, q []byte) string {
	fast := s.quickly(q)
	if fast == nil {
		return ""
	}
	got := new(dns.Msg)
	if err := got.Unpack(fast); err != nil {
		return "the fast reply cannot be read: " + err.Error()
	}
	for range 2 { // a cookie has a second in it
		slow, _ := s.reply(bytes.Clone(q), client{addr: asker})
		want := new(dns.Msg)
		if err := want.Unpack(slow); err != nil {
			return "the slow reply cannot be read: " + err.Error()
		}
		if got.String() == want.String() && got.MsgHdr == want.MsgHdr {
			return ""
		}
		fast = s.quickly(q)
		_ = got.Unpack(fast)
		if got.String() != want.String() {
			return "fast: " + got.String() + "\nslow: " + want.String()
		}
	}
	return "the paths differ"
}

// states are servers that have every kind of answer between them.
func states(t testing.TB) map[string]*Server {
	signed := example()
	signed.Zones[0].Sign = []string{newKey(t, t.TempDir(), "example.com.", 257, nil)}
	stuck := closed(t, example())
	stuck.Tell(down("mdm", "core1", ha.Stranded))
	all := map[string]*Server{"plain": closed(t, example()), "signed": closed(t, signed), "stuck": stuck}
	moved := closed(t, signed)
	moved.Tell(serves("mdm", "core2"))
	all["moved"] = moved
	return all
}

// queries gives a query of every name, type and EDNS variant.
func queries() (all [][]byte) {
	names := []string{
		"mdm", "MDM", "sentry", "closed", "sorry", "rich", "_mdm._tcp", "go", "www", "alias", "out", "dead", "deep", "b.deep", "x.wild", "wild",
		"x.walias", "sub", "x.sub", "lone", "mail", "ns1", "odd", "old", "x.old", "nope", "a.b.nope", "a.mail", "@", "_tcp", "caa",
	}
	types := []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeTXT, dns.TypeCNAME, dns.TypeSOA, dns.TypeNS, dns.TypeMX, dns.TypeHTTPS, dns.TypeANY, dns.TypeDS, dns.TypeSRV, 65400}
	variants := []func(*dns.Msg){
		func(*dns.Msg) {},
		func(m *dns.Msg) { m.RecursionDesired, m.AuthenticatedData, m.CheckingDisabled = true, true, true },
		edns0(0, 1232, 0), edns0(0, 512, flagDO), edns0(0, 0, 0), edns0(0, 4096, flagDO|flagUnknown),
		edns0(0, 1232, 0, cookie), edns0(0, 1232, flagDO, local(dns.EDNS0COOKIE, "0102030405060708"+strings.Repeat("09", 16))),
		func(m *dns.Msg) { m.CheckingDisabled = true; edns0(0, 1232, flagDO)(m) },
		edns0(0, 1232, 0, nsid), edns0(1, 1232, 0), edns0(0, 1232, 0, unknown),
	}
	for _, name := range names {
		for _, qtype := range types {
			for _, vary := range variants {
				m := query(inZone(name), qtype)
				vary(m)
				q, err := m.Pack()
				if err != nil {
					panic(err)
				}
				all = append(all, q)
			}
		}
	}
	return all
}

func TestTheFastPathSaysWhatTheSlowPathSays(t *testing.T) {
	t.Parallel()
	for state, s := range states(t) {
		quick := 0
		all := queries()
		for _, q := range all {
			if s.quickly(q) != nil {
				quick++
			}
			if diff := s.differ(t, q); diff != "" {
				t.Fatalf("%s: %x\n%s", state, q, diff)
			}
		}
		if quick < len(all)/6 {
			t.Errorf("%s: only %d of %d queries took the fast path", state, quick, len(all))
		}
	}
}

// FuzzFastAgainstSlow holds the two paths equal over whatever bytes come.
func FuzzFastAgainstSlow(f *testing.F) {
	for i, q := range queries() {
		if i%7 == 0 {
			f.Add(q)
		}
	}
	all := states(f)
	f.Fuzz(func(t *testing.T, q []byte) {
		for state, s := range all {
			if diff := s.differ(t, q); diff != "" {
				t.Fatalf("%s: %x\n%s", state, q, diff)
			}
		}
	})
}

// FuzzPackets sends whatever bytes to the slow path, as UDP and as TCP has them.
func FuzzPackets(f *testing.F) {
	for i, q := range queries() {
		if i%31 == 0 {
			f.Add(q)
		}
	}
	axfr := query("example.com", dns.TypeAXFR)
	raw, _ := axfr.Pack()
	f.Add(raw)
	s := closed(f, example())
	f.Fuzz(func(t *testing.T, q []byte) {
		for _, from := range []client{{addr: asker}, {addr: asker, stream: true}} {
			reply, transfer := s.reply(bytes.Clone(q), from)
			if transfer != nil {
				_ = transfer.transfer(func(m []byte) error { reply = m; return nil })
			}
			if reply == nil {
				continue
			}
			if len(q) < headerSize || q[2]&0x80 != 0 {
				t.Fatalf("%x is no query, and was answered", q)
			}
			if !bytes.Equal(reply[:2], q[:2]) || reply[2]&0x80 == 0 {
				t.Fatalf("%x: the reply %x is to another query", q, reply)
			}
			if err := new(dns.Msg).Unpack(reply); err != nil {
				t.Fatalf("%x: the reply %x cannot be read: %v", q, reply, err)
			}
			if !from.stream && len(reply) > int(s.table.Load().config.UDPSize) {
				t.Fatalf("%x: the reply has %d bytes", q, len(reply))
			}
		}
		if n := s.Figures().Panics; n > 0 {
			t.Fatalf("%x: panic", q)
		}
	})
}

// FuzzZone loads whatever text as a zone, and answers out of what was loaded.
func FuzzZone(f *testing.F) {
	f.Add(exampleZone)
	f.Add("$TTL 1\n@ SOA a b 1 2 3 4 5\n@ NS a.\n* CNAME x\nx DNAME y\n")
	f.Add("$TTL 1\n@ SOA a b 1 2 3 4 5\n@ NS a.\n$GENERATE 1-3 a$ A 192.0.2.$\n")
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "$GENERATE") && len(text) > 200 {
			return // large by design
		}
		c := example()
		c.Zones[0].Text, c.Zones[0].File = []byte(text), ""
		c.Zones[0].Names = c.Zones[0].Names[:1]
		s, err := New(c, discard)
		if err != nil {
			return
		}
		s.Tell(serves("mdm", "core1"))
		s.mu.Lock()
		err = s.enter(s.table.Load(), roots{})
		s.mu.Unlock()
		if err != nil {
			t.Fatal(err)
		}
		for name := range s.table.Load().zones["example.com."].nodes {
			for _, qtype := range []uint16{dns.TypeA, dns.TypeTXT, dns.TypeANY} {
				m := &dns.Msg{Question: []dns.Question{{Name: name, Qtype: qtype, Qclass: dns.ClassINET}}}
				if q, err := m.Pack(); err == nil {
					if diff := s.differ(t, q); diff != "" {
						t.Fatalf("%s %d: %s", name, qtype, diff)
					}
				}
			}
		}
	})
}

func TestTheFastPathAllocatesNothing(t *testing.T) {
	signed := example()
	signed.Rate = Rate{PerSecond: 1e9, Slip: 2, V4: 24, V6: 56}
	signed.Zones[0].Sign = []string{newKey(t, t.TempDir(), "example.com.", 257, nil)}
	s := closed(t, signed)
	w := &worker{s: s}
	d := s.desk(time.Now())
	tests := map[string]*dns.Msg{}
	for _, name := range []string{"mdm", "mail", "nope", "a.b.nope", "deep"} {
		for variant, vary := range map[string]func(*dns.Msg){
			"plain": func(*dns.Msg) {}, "edns": edns0(0, 1232, 0), "cookie": edns0(0, 1232, 0, cookie),
		} {
			q := query(name+".example.com", dns.TypeA)
			vary(q)
			tests[name+" "+variant] = q
		}
	}
	do := query("mdm.example.com", dns.TypeA)
	edns0(0, 1232, flagDO)(do)
	tests["signed"] = do
	var k quick
	buf := make([]byte, mostUDP)
	for name, m := range tests {
		q, _ := m.Pack()
		before := w.tally.slow.Load()
		if got := testing.AllocsPerRun(100, func() {
			n := copy(buf, q)
			if w.work(&k, buf[:n], &d, asker, 1) == nil {
				t.Fatal("no reply")
			}
		}); got != 0 {
			t.Errorf("%s: %v allocations a query", name, got)
		}
		if w.tally.slow.Load() != before {
			t.Errorf("%s took the slow path", name)
		}
	}
}

func BenchmarkFastPath(b *testing.B) {
	s := closed(b, example())
	w := &worker{s: s}
	d := s.desk(time.Now())
	q, _ := query("mdm.example.com", dns.TypeA).Pack()
	var k quick
	buf := make([]byte, mostUDP)
	b.ReportAllocs()
	for b.Loop() {
		n := copy(buf, q)
		w.work(&k, buf[:n], &d, asker, 1)
	}
}

func BenchmarkSlowPath(b *testing.B) {
	s := closed(b, example())
	q, _ := query("mdm.example.com", dns.TypeA).Pack()
	b.ReportAllocs()
	for b.Loop() {
		s.reply(q, client{addr: asker})
	}
}

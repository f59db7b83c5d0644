package dnsgtm

import (
	"encoding/hex"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/understudy-ha/understudy/internal/ha"
)

// now asks over UDP, so mostly on the fast path.
func (s *Server) says(t testing.TB, name string, qtype uint16) string {
	t.Helper()
	return first(ask(t, "udp", s.address(), query(name+".example.com", qtype)))
}

func TestAnswersFollowTheDecision(t *testing.T) {
	t.Parallel()
	s := running(t, example())
	for _, step := range []struct {
		tell                             ha.Situation
		mdm, closed, sorry, rich, target string
	}{
		{serves("mdm", "core1"), "A 192.0.2.10", "A 192.0.2.10", "A 192.0.2.10", `TXT "mdm core1"`, "CNAME core1.sites.example.net."},
		{down("mdm", "core1", ha.NoStandby), "A 192.0.2.10", "SERVFAIL", "A 192.0.2.99", `TXT "mdm core1"`, "CNAME core1.sites.example.net."},
		{serves("mdm", "core2"), "A 192.0.2.11", "A 192.0.2.11", "A 192.0.2.11", `TXT "mdm core2"`, "CNAME core2.sites.example.net."},
		{down("mdm", "core2", ha.Held), "A 192.0.2.11", "SERVFAIL", "A 192.0.2.99", `TXT "mdm core2"`, "CNAME core2.sites.example.net."},
		{serves("mdm", "dr1"), "A 198.51.100.10", "A 198.51.100.10", "A 198.51.100.10", `TXT "mdm dr1"`, "CNAME dr1.sites.example.net."},
		{serves("mdm", "core1"), "A 192.0.2.10", "A 192.0.2.10", "A 192.0.2.10", `TXT "mdm core1"`, "CNAME core1.sites.example.net."},
	} {
		s.Tell(step.tell)
		for _, one := range []struct {
			name  string
			qtype uint16
			want  string
		}{
			{"mdm", dns.TypeA, step.mdm},
			{"closed", dns.TypeA, step.closed},
			{"sorry", dns.TypeA, step.sorry},
			{"rich", dns.TypeTXT, step.rich},
			{"go", dns.TypeCNAME, step.target},
		} {
			if got := s.says(t, one.name, one.qtype); got != one.want {
				t.Errorf("%s serves: %s is %s, want %s", step.tell.Traffic.Serving, one.name, got, one.want)
			}
		}
	}
}

func TestANodeWithoutIPv6HasNone(t *testing.T) {
	t.Parallel()
	s := running(t, example())
	s.Tell(serves("mdm", "core2"))
	r := ask(t, "udp", s.address(), query("mdm.example.com", dns.TypeAAAA))
	if r.Rcode != 0 || len(r.Answer) != 0 || len(r.Ns) != 1 {
		t.Errorf("got %s with %v and %v, want no data", dns.RcodeToString[r.Rcode], r.Answer, r.Ns)
	}
}

func TestAnAnswerThatMayNotHelpSaysWhy(t *testing.T) {
	t.Parallel()
	s := running(t, example())
	for reason, want := range map[ha.Reason]string{ha.Held: "mdm: held", ha.Stranded: "mdm: stranded"} {
		s.Tell(down("mdm", "core1", reason))
		for _, name := range []string{"mdm", "closed", "www"} { // fast, slow, through a chain
			q := query(name+".example.com", dns.TypeA)
			q.SetEdns0(1232, false)
			got, _ := hex.DecodeString(optionOf(ask(t, "udp", s.address(), q), dns.EDNS0EDE))
			if string(got) != want {
				t.Errorf("%s: got the extended error %q, want %q", name, got, want)
			}
		}
	}
	s.Tell(serves("mdm", "core1"))
	q := query("mdm.example.com", dns.TypeA)
	q.SetEdns0(1232, false)
	if got := optionOf(ask(t, "udp", s.address(), q), dns.EDNS0EDE); got != "" {
		t.Errorf("got the extended error %q while all is well", got)
	}
}

// Before anything is known of a group its names have no answer at all, and a
// transfer would not be whole.
func TestAGroupThatNobodyHasToldOfIsServerFailure(t *testing.T) {
	t.Parallel()
	c := example()
	c.Zones[0].Allow = []Peer{{Network: netip.MustParsePrefix("127.0.0.0/8")}}
	s, err := New(c, logger(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if got := s.says(t, "mdm", dns.TypeA); got != "SERVFAIL" {
		t.Errorf("got %s", got)
	}
	if got := s.says(t, "mail", dns.TypeA); got != "A 192.0.2.2" {
		t.Errorf("a static name is %s", got)
	}
	if _, err := transferOf(s.address(), "example.com.", 0, Key{}); err == nil || !strings.Contains(err.Error(), "bad xfr rcode: 2") {
		t.Errorf("the transfer: got %v, want SERVFAIL", err)
	}
	s.Tell(serves("mdm", "core1"))
	s.Tell(ha.Situation{Traffic: ha.Traffic{Group: "sentry"}})
	if got := s.says(t, "mdm", dns.TypeA); got != "A 192.0.2.10" {
		t.Errorf("once told: got %s", got)
	}
}

func TestAPoolAnswersWhoIsAvailable(t *testing.T) {
	t.Parallel()
	s := running(t, example())
	at := time.Unix(1e9, 0)
	gone := func(node string) ha.Sight { return ha.Sight{Node: node, Misses: 3, DownAt: at} }
	for _, step := range []struct {
		view ha.View
		want []string
	}{
		{nil, []string{"192.0.2.30", "192.0.2.31"}},
		{ha.View{gone("s1")}, []string{"192.0.2.31"}},
		{ha.View{gone("s1"), gone("s2")}, []string{"192.0.2.30", "192.0.2.31"}},
		{ha.View{gone("s2")}, []string{"192.0.2.30"}},
	} {
		s.Tell(ha.Situation{Traffic: ha.Traffic{Group: "sentry"}, View: step.view})
		var got []string
		for _, rr := range ask(t, "udp", s.address(), query("sentry.example.com", dns.TypeA)).Answer {
			got = append(got, rr.(*dns.A).A.String())
		}
		if !slices.Equal(got, step.want) {
			t.Errorf("%v: got %v, want %v", step.view, got, step.want)
		}
	}
}

// Nodes of one site share addresses: only leaving the site changes the answer.
func TestASwitchWithinASiteIsNoChange(t *testing.T) {
	t.Parallel()
	c := example()
	c.Groups[0].Nodes[1].Addresses = c.Groups[0].Nodes[0].Addresses
	c.Zones[0].Names = c.Zones[0].Names[:1]
	s := running(t, c)
	before := s.serial()
	s.Tell(serves("mdm", "core2"))
	if got := s.serial(); got != before {
		t.Errorf("the serial went from %d to %d", before, got)
	}
	s.Tell(serves("mdm", "dr1"))
	if got := s.serial(); got != before+1 {
		t.Errorf("the serial went from %d to %d, want one more", before, got)
	}
}

func (s *Server) serial() uint32 { return s.table.Load().zones["example.com."].now.Load().serial }

func TestWhyIsExplainedToThoseWhoMayAsk(t *testing.T) {
	t.Parallel()
	c := example()
	c.Why = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	c.Version = "understudy"
	s := running(t, c)
	s.Tell(down("mdm", "core1", ha.Stranded))
	q := query("why.MDM.understudy", dns.TypeTXT)
	q.Question[0].Qclass = dns.ClassCHAOS
	r := ask(t, "udp", s.address(), q)
	got := strings.Join(r.Answer[0].(*dns.TXT).Txt, "")
	want := "mdm answers core1 since 2026-01-02T03:04:05Z; epoch 1; cause started; decision Wait: stranded (row 10); core1 NotAvailable; core2 NotAvailable; dr1 NotAvailable"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	q.Question[0].Name = "version.bind."
	if got := first(ask(t, "udp", s.address(), q)); got != `TXT "understudy"` {
		t.Errorf("the version is %s", got)
	}
	q.Question[0].Name = "why.nobody.understudy."
	if got := first(ask(t, "udp", s.address(), q)); got != "REFUSED" {
		t.Errorf("a group that does not exist is %s", got)
	}
	c.Why = nil
	s = running(t, c)
	q.Question[0].Name = "why.mdm.understudy."
	if got := first(ask(t, "udp", s.address(), q)); got != "REFUSED" {
		t.Errorf("who may not ask hears %s", got)
	}
}

// The portable loop is what systems without recvmmsg have.
func TestThePortableLoopAnswersTheSame(t *testing.T) {
	t.Parallel()
	s := running(t, example())
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	w := &worker{s: s, conn: conn}
	done := make(chan struct{})
	go func() { defer close(done); w.servePortable(&s.door.closing) }()
	t.Cleanup(func() { conn.Close(); <-done })
	for _, name := range []string{"mdm", "www", "x.wild", "nope", "sub"} {
		q := query(name+".example.com", dns.TypeA)
		want, got := ask(t, "udp", s.address(), q), ask(t, "udp", conn.LocalAddr().String(), q)
		if got.String() != want.String() {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}

// A socket that is bound to every address replies from the one that was asked.
func TestAReplyComesFromTheAddressThatWasAsked(t *testing.T) {
	t.Parallel()
	for _, listen := range []struct{ at, asked string }{{"0.0.0.0:0", "127.0.0.77"}, {"[::]:0", "::1"}} {
		c := example()
		c.Listen = []string{listen.at}
		s := running(t, c)
		_, port := splitPort(s.address())
		// A connected socket hears nothing from another address.
		if got := first(ask(t, "udp", net.JoinHostPort(listen.asked, port), query("mdm.example.com", dns.TypeA))); got != "A 192.0.2.10" {
			t.Errorf("%s: got %s", listen.asked, got)
		}
	}
}

func TestSeveralWorkersShareAnAddress(t *testing.T) {
	t.Parallel()
	c := example()
	c.Workers = 4
	s := running(t, c)
	for range 64 { // a new port each time, so that every worker has its part
		if got := s.says(t, "mdm", dns.TypeA); got != "A 192.0.2.10" {
			t.Fatalf("got %s", got)
		}
	}
	busy := 0
	for _, tally := range s.tallies() {
		if tally.answered.Load() > 0 {
			busy++
		}
	}
	if busy < 2 {
		t.Errorf("only %d of 4 workers had anything to do", busy)
	}
}

// In a pool with weights each answer has one node, in proportion; secondaries
// have all of them. What is signed stays valid, for each is a set of its own.
func TestAPoolWithWeightsAnswersInProportion(t *testing.T) {
	t.Parallel()
	c, _ := signedExample(t)
	c.Groups[1].Nodes = []Node{
		{Name: "s1", Addresses: addrs("192.0.2.30"), Weight: 3},
		{Name: "s2", Addresses: addrs("192.0.2.31")},
		{Name: "s3", Addresses: addrs("192.0.2.32", "2001:db8::32"), Weight: 2},
	}
	c.Zones[0].Allow = []Peer{{Network: netip.MustParsePrefix("127.0.0.0/8")}}
	c.Workers = 1
	s := running(t, c)
	key := s.table.Load().zones["example.com."].signer.keys[0].public
	for _, network := range []string{"udp", "tcp"} {
		got := map[string]int{}
		for range 60 {
			q := query("sentry.example.com", dns.TypeA)
			q.SetEdns0(1232, true)
			r := ask(t, network, s.address(), q)
			if len(r.Answer) != 2 {
				t.Fatalf("got %v", r.Answer)
			}
			if err := r.Answer[1].(*dns.RRSIG).Verify(key, r.Answer[:1]); err != nil {
				t.Error(err)
			}
			got[r.Answer[0].(*dns.A).A.String()]++
		}
		if got["192.0.2.30"] != 30 || got["192.0.2.31"] != 10 || got["192.0.2.32"] != 20 {
			t.Errorf("%s: got %v, want 30, 10 and 20", network, got)
		}
	}
	rrs, err := transferOf(s.address(), "example.com.", 0, Key{})
	if err != nil {
		t.Fatal(err)
	}
	if !content(rrs)["sentry.example.com.\t30\tIN\tA\t192.0.2.31"] {
		t.Error("a transfer has not all nodes")
	}
	verifyZone(t, rrs)
	s.Tell(ha.Situation{Traffic: ha.Traffic{Group: "sentry"}, View: ha.View{{Node: "s1", DownAt: time.Unix(1, 0)}, {Node: "s3", DownAt: time.Unix(1, 0)}}})
	if got := s.says(t, "sentry", dns.TypeA); got != "A 192.0.2.31" {
		t.Errorf("with one left: got %s", got)
	}
}

func TestTurnsAreSpread(t *testing.T) {
	t.Parallel()
	g := Group{Pool: ActiveActive, Nodes: []Node{{Name: "a", Weight: 3}, {Name: "b"}, {Name: "c", Weight: 2}}}
	for nodes, want := range map[string]string{"a b c": "a c a b c a", "a b": "a a b a", "b c": "c b c", "b": "", "a b c d": ""} {
		if got := strings.Join(turns(g, strings.Fields(nodes)), " "); got != want {
			t.Errorf("%s: got %q, want %q", nodes, got, want)
		}
	}
}

// What zonemaster asks of a server itself (its test plan, nameserver01 to 15
// and connectivity01 and 02), where no other test here asks it already.
func TestTheServerSideOfZonemaster(t *testing.T) {
	t.Parallel()
	s := running(t, example())
	for _, name := range []string{"xn--nameservertest.iis.se.", "xn--nameservertest.icann.org.", "."} { // 01, 07
		for _, qtype := range []uint16{dns.TypeA, dns.TypeNS} {
			q := query(name, qtype)
			q.RecursionDesired = true
			r := ask(t, "udp", s.address(), q)
			if r.RecursionAvailable || r.Rcode != dns.RcodeRefused || len(r.Answer)+len(r.Ns)+len(r.Extra) > 0 {
				t.Errorf("%s %d: got %v", name, qtype, r)
			}
		}
	}
	if _, err := transferOf(s.address(), "example.com.", 0, Key{}); err == nil || !strings.Contains(err.Error(), "rcode: 5") { // 03
		t.Errorf("AXFR from outside: got %v", err)
	}
	if r := ask(t, "udp", s.address(), query("mail.example.com", dns.TypeAAAA)); r.Rcode != 0 || len(r.Ns) != 1 { // 05
		t.Errorf("AAAA: got %v", r)
	}
	small, large := ask(t, "udp", s.address(), query("eXaMple.com", dns.TypeSOA)), ask(t, "udp", s.address(), query("example.COM", dns.TypeSOA)) // 08, 09
	if first(small) != first(large) || small.Question[0].Name == large.Question[0].Name {
		t.Errorf("case: got %v and %v", small, large)
	}
	q := query("example.com", dns.TypeSOA) // 13: EDNS also where the reply is cut
	q.SetEdns0(512, true)
	if r := ask(t, "udp", s.address(), q); r.IsEdns0() == nil {
		t.Errorf("got %v", r)
	}
	for _, name := range []string{"version.bind.", "version.server.", "authors.bind."} { // 15
		q := query(name, dns.TypeTXT)
		q.Question[0].Qclass = dns.ClassCHAOS
		if got := first(ask(t, "udp", s.address(), q)); got != "REFUSED" {
			t.Errorf("%s: got %s", name, got)
		}
	}
}

// The zone's own name may follow a group too, beside its SOA.
func TestTheZonesOwnNameMayBeDynamic(t *testing.T) {
	t.Parallel()
	c := example()
	c.Zones[0].Names = append(c.Zones[0].Names, Name{Name: "@", Group: "mdm", TTL: 9 * time.Second})
	s := running(t, c)
	s.Tell(serves("mdm", "core2"))
	if got := first(ask(t, "udp", s.address(), query("example.com", dns.TypeA))); got != "A 192.0.2.11" {
		t.Errorf("got %s", got)
	}
	soa := ask(t, "udp", s.address(), query("example.com", dns.TypeSOA)).Answer[0].(*dns.SOA)
	if soa.Serial != s.serial() || soa.Serial != 2026010101 {
		t.Errorf("the SOA has serial %d, in force is %d", soa.Serial, s.serial())
	}
	if r := ask(t, "udp", s.address(), query("nope.example.com", dns.TypeA)); r.Ns[0].(*dns.SOA).Serial != s.serial() {
		t.Errorf("a negative answer has %v", r.Ns)
	}
}

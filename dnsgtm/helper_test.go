package dnsgtm

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/understudy-ha/understudy/internal/ha"
)

const exampleZone = `$ORIGIN example.com.
$TTL 300
@	IN SOA ns1 hostmaster 2026010100 3600 900 604800 60
	IN NS ns1
	IN NS ns2.example.net.
	IN MX 10 mail
	IN TXT "one" "two words"
ns1	IN A 192.0.2.1
	IN AAAA 2001:db8::1
mail	IN A 192.0.2.2
www	IN CNAME mdm
alias	IN CNAME www
out	IN CNAME www.example.org.
dead	IN CNAME nowhere
loop	IN CNAME pool
pool	IN CNAME loop
a.b.deep IN TXT "deep"
*.wild	IN A 192.0.2.9
	IN TXT "wild"
*.walias IN CNAME mail
sub	IN NS ns.sub
	IN NS ns1
ns.sub	IN A 192.0.2.53
ns.sub	IN AAAA 2001:db8::53
lone	IN NS ns.example.org.
_sip._tcp IN SRV 1 2 5060 mail
old	IN DNAME example.org.
odd	IN TYPE65400 \# 3 010203
caa	IN CAA 0 issue "ca.example.net"
`

// logger writes what the server says into the test's log.
func logger(t testing.TB) *slog.Logger {
	if _, is := t.(*testing.F); is {
		return discard
	}
	return slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

// example gives a configuration with one zone and two groups.
func example() Config {
	c := Default()
	c.Listen = []string{"127.0.0.1:0"}
	c.Rate.PerSecond = 0
	c.NSID = "ns1"
	c.Groups = []Group{
		{Name: "mdm", Nodes: []Node{
			{Name: "core1", Addresses: addrs("192.0.2.10", "2001:db8::10")},
			{Name: "core2", Addresses: addrs("192.0.2.11")},
			{Name: "dr1", Addresses: addrs("198.51.100.10")},
		}},
		{Name: "sentry", Pool: ActiveActive, Nodes: []Node{
			{Name: "s1", Addresses: addrs("192.0.2.30")}, {Name: "s2", Addresses: addrs("192.0.2.31")},
		}},
	}
	c.Zones = []Zone{{
		Name: "example.com", File: "example.com.zone", Text: []byte(exampleZone),
		Names: []Name{
			{Name: "mdm", Group: "mdm", TTL: 5 * time.Second},
			{Name: "sentry", Group: "sentry", TTL: 30 * time.Second},
			{Name: "closed", Group: "mdm", TTL: 5 * time.Second, WhenDown: ServFail},
			{Name: "sorry", Group: "mdm", TTL: 5 * time.Second, WhenDown: Fixed, Fixed: addrs("192.0.2.99")},
			{Name: "rich", Group: "mdm", TTL: 20 * time.Second, RampTTL: 2 * time.Second, Records: []string{
				"addresses", "HTTPS 1 . alpn=h2 ipv4hint={ipv4}", `TXT "{group} {node}"`, "MX 10 {node}.example.com.",
			}},
			{Name: "_mdm._tcp", Group: "mdm", TTL: 5 * time.Second, Records: []string{"SRV 0 5 443 {node}.example.com."}},
			{Name: "go", Group: "mdm", TTL: 5 * time.Second, Records: []string{"CNAME {node}.sites.example.net."}},
		},
	}}
	return c
}

func addrs(texts ...string) []netip.Addr {
	var all []netip.Addr
	for _, text := range texts {
		all = append(all, netip.MustParseAddr(text))
	}
	return all
}

// serves is a Situation in which a node serves and is available.
func serves(group, node string) ha.Situation {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	return ha.Situation{
		At:       now,
		Traffic:  ha.Traffic{Group: group, Epoch: 1, Order: []string{"core1", "core2", "dr1"}, Serving: node, Since: now, Cause: ha.Started},
		View:     ha.View{{Node: node, Last: ha.Reading{Node: node, State: ha.Active, At: now}, Passes: 1}},
		Decision: ha.Decision{Verb: ha.Stay, Reason: ha.Serving, Row: 3},
	}
}

// down is a Situation in which the serving node is down for a reason to stay.
func down(group, node string, reason ha.Reason) ha.Situation {
	s := serves(group, node)
	s.View = ha.View{{Node: node, Last: ha.Reading{Node: node, Cause: ha.Refused, At: s.At}, Misses: 3, DownAt: s.At}}
	s.Decision = ha.Decision{Verb: ha.Wait, Reason: reason, Row: 10, Alarm: ha.Alarmed}
	return s
}

// running gives a started server that core1 serves.
func running(t testing.TB, c Config) *Server {
	t.Helper()
	s := told(t, c)
	if err := s.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// told gives a server that has been told of the example's groups.
func told(t testing.TB, c Config) *Server {
	t.Helper()
	s, err := New(c, logger(t))
	if err != nil {
		t.Fatal(err)
	}
	s.Tell(serves("mdm", "core1"))
	s.Tell(ha.Situation{Traffic: ha.Traffic{Group: "sentry"}})
	return s
}

// address gives where a server listens first.
func (s *Server) address() string { return s.Addresses()[0].String() }

// ask asks a server and gives the parsed reply.
func ask(t testing.TB, network, address string, q *dns.Msg) *dns.Msg {
	t.Helper()
	c := &dns.Client{Net: network, Timeout: 5 * time.Second, UDPSize: 4096}
	r, _, err := c.Exchange(q, address)
	if err != nil {
		t.Fatalf("%s %v: %v", network, q.Question, err)
	}
	return r
}

// query gives a query without EDNS.
func query(name string, qtype uint16) *dns.Msg {
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(name), qtype)
	m.RecursionDesired = false
	return m
}

// first gives the text of the first record of the answer, without its owner,
// TTL and class; or the rcode.
func first(r *dns.Msg) string {
	if len(r.Answer) == 0 {
		return dns.RcodeToString[r.Rcode]
	}
	rr := r.Answer[0]
	return dns.TypeToString[rr.Header().Rrtype] + " " + strings.TrimPrefix(rr.String(), rr.Header().String())
}

// tool runs a program and gives what it says.
func tool(t testing.TB, name string, args ...string) string {
	t.Helper()
	need(t, name)
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	out, err := exec.CommandContext(ctx, path(name), args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// path finds a program, a server too.
func path(name string) string {
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/sbin") {
		if at := filepath.Join(dir, name); executable(at) {
			return at
		}
	}
	return ""
}

func executable(at string) bool {
	info, err := os.Stat(at)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// need skips a test that wants a program that is not here; make test installs
// them all.
func need(t testing.TB, name string) {
	t.Helper()
	if path(name) == "" {
		t.Skipf("%s is not installed: tools/deps.sh --for test", name)
	}
}

// await polls until something holds.
func await(t testing.TB, what string, holds func() bool) {
	t.Helper()
	end := time.NewTimer(30 * time.Second)
	defer end.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-end.C:
			t.Fatalf("%s: not seen within 30s", what)
		case <-tick.C:
		}
	}
}

// write writes a file into a directory and gives its path.
func write(t testing.TB, dir, name, text string) string {
	t.Helper()
	at := filepath.Join(dir, name)
	if err := os.WriteFile(at, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return at
}

// freePort gives a port of loopback that is free for UDP and TCP.
func freePort(t testing.TB) string {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		_, port, _ := net.SplitHostPort(l.Addr().String())
		p, err := net.ListenPacket("udp", "127.0.0.1:"+port)
		l.Close()
		if err == nil {
			p.Close()
			return port
		}
	}
	t.Fatal("found no free port")
	return ""
}

func splitPort(address string) (host, port string) {
	host, port, _ = net.SplitHostPort(address)
	return host, port
}

// newKey makes the key files of a zone as dnssec-keygen does, with further
// lines for the private one, and gives the path of that.
func newKey(t testing.TB, dir, zone string, flags uint16, times map[string]time.Time) string {
	t.Helper()
	k := &dns.DNSKEY{
		Hdr:   dns.RR_Header{Name: zone, Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET, Ttl: 300},
		Flags: flags, Protocol: 3, Algorithm: dns.ECDSAP256SHA256,
	}
	private, err := k.Generate(256)
	if err != nil {
		t.Fatal(err)
	}
	base := fmt.Sprintf("K%s+013+%05d", zone, k.KeyTag())
	write(t, dir, base+".key", k.String()+"\n")
	text := k.PrivateKeyString(private)
	for word, at := range times {
		text += word + ": " + at.UTC().Format("20060102150405") + "\n"
	}
	return write(t, dir, base+".private", text)
}

var discard = slog.New(slog.DiscardHandler)

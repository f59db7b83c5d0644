package dnsgtm

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/understudy-ha/understudy/internal/ha"
)

// signedExample gives the example with keys, and the line of its public key
// that a resolver trusts.
func signedExample(t testing.TB) (c Config, anchor string) {
	t.Helper()
	c = example()
	key := newKey(t, t.TempDir(), "example.com.", 257, nil)
	c.Zones[0].Sign = []string{key}
	public, err := os.ReadFile(strings.TrimSuffix(key, ".private") + ".key")
	if err != nil {
		t.Fatal(err)
	}
	return c, strings.TrimSpace(string(public))
}

// Every question of these, in every state, must be proven: with an answer, as
// having none of the type, or as not existing.
var proven = []string{
	"mdm A", "mdm AAAA", "mdm TXT", "rich HTTPS", "rich TXT", "www A", "alias AAAA", "go CNAME", "@ SOA", "@ NS", "@ DNSKEY", "@ CDS", "@ CDNSKEY",
	"mail A", "mail AAAA", "nope A", "a.b.nope A", "deep A", "b.deep TXT", "x.wild A", "x.y.wild TXT", "x.wild AAAA", "x.walias A",
	"sub DS", "lone DS", "odd TYPE65400", "sentry A", "closed A", "old DNAME", "dead A", "zzz A", "*.wild A",
}

// unbound runs a resolver in front of a server of ours and gives its address:
// DNSSEC validated, 0x20 and strict minimisation of names on, hardly any cache.
func unbound(t *testing.T, anchor, primary string) string {
	t.Helper()
	need(t, "unbound")
	dir, port := t.TempDir(), freePort(t)
	conf := fmt.Sprintf(`server:
	interface: 127.0.0.1@%s
	port: %s
	do-daemonize: no
	username: ""
	chroot: ""
	directory: %q
	pidfile: ""
	use-syslog: no
	do-not-query-localhost: no
	use-caps-for-id: yes
	qname-minimisation: yes
	qname-minimisation-strict: yes
	harden-below-nxdomain: yes
	harden-dnssec-stripped: yes
	aggressive-nsec: no
	cache-max-ttl: 0
	cache-max-negative-ttl: 0
	module-config: "validator iterator"
	trust-anchor: %q
	val-log-level: 2
	access-control: 127.0.0.0/8 allow
remote-control:
	control-enable: no
stub-zone:
	name: "example.com"
	stub-addr: 127.0.0.1@%s
`, port, port, dir, strings.Join(strings.Fields(anchor), " "), primary)
	launch(t, path("unbound"), "-d", "-c", write(t, dir, "unbound.conf", conf))
	return "127.0.0.1:" + port
}

func TestUnboundValidatesEveryAnswer(t *testing.T) {
	t.Parallel()
	need(t, "unbound")
	c, anchor := signedExample(t)
	s := running(t, c)
	resolver := unbound(t, anchor, s.port())
	await(t, "unbound", func() bool { return tries(resolver, "mdm.example.com", dns.TypeA) == "A 192.0.2.10" })
	for _, node := range []string{"core1", "core2", "dr1"} {
		s.Tell(serves("mdm", node))
		for _, question := range proven {
			name, kind, _ := strings.Cut(question, " ")
			qtype, known := dns.StringToType[kind]
			if !known {
				qtype = 65400
			}
			q := query(inZone(name), qtype)
			q.RecursionDesired = true
			q.SetEdns0(4096, true)
			r := ask(t, "udp", resolver, q)
			if r.Rcode == dns.RcodeServerFailure || !r.AuthenticatedData {
				t.Errorf("%s serves, %s: got %s, validated %v", node, question, dns.RcodeToString[r.Rcode], r.AuthenticatedData)
			}
		}
		want := map[string]string{"core1": "A 192.0.2.10", "core2": "A 192.0.2.11", "dr1": "A 198.51.100.10"}[node]
		if got := tries(resolver, "mdm.example.com", dns.TypeA); got != want {
			t.Errorf("%s serves: unbound says %s, want %s", node, got, want)
		}
	}
}

// delv is BIND's own validator.
func TestDelvValidates(t *testing.T) {
	t.Parallel()
	c, anchor := signedExample(t)
	s := running(t, c)
	fields := strings.Fields(anchor)
	keys := fmt.Sprintf("trust-anchors { example.com. static-key %s %s %s %q; };\n", fields[4], fields[5], fields[6], strings.Join(fields[7:], ""))
	file := write(t, t.TempDir(), "anchor", keys)
	for _, question := range []string{"mdm A", "mdm TXT", "nope A", "x.wild A", "deep A"} {
		name, kind, _ := strings.Cut(question, " ")
		said := tool(t, "delv", "@127.0.0.1", "-p", s.port(), "-a", file, "+root=example.com", name+".example.com", kind)
		if !strings.Contains(said, "fully validated") {
			t.Errorf("%s: delv says %s", question, said)
		}
	}
}

// The zone as a whole, in every state: signatures, chain, and keys.
func TestTheSignedZoneVerifiesInEveryState(t *testing.T) {
	t.Parallel()
	for _, keys := range []string{"one key", "two keys"} {
		c, _ := signedExample(t)
		if keys == "two keys" {
			c.Zones[0].Sign = append(c.Zones[0].Sign, newKey(t, t.TempDir(), "example.com.", 256, nil))
		}
		c.Zones[0].Allow = []Peer{{Network: netip.MustParsePrefix("127.0.0.0/8")}}
		s := running(t, c)
		for _, tell := range []ha.Situation{serves("mdm", "core1"), serves("mdm", "core2"), down("mdm", "core2", ha.Held), serves("mdm", "dr1")} {
			s.Tell(tell)
			rrs, err := transferOf(s.address(), "example.com.", 0, Key{})
			if err != nil {
				t.Fatal(err)
			}
			verifyZone(t, rrs)
		}
	}
}

// A lowered TTL needs no new signature: the original one stands in it.
func TestALoweredTTLStaysSigned(t *testing.T) {
	t.Parallel()
	c, _ := signedExample(t)
	s := running(t, c)
	s.Lower("mdm", time.Now())
	q := query("rich.example.com", dns.TypeA)
	q.SetEdns0(1232, true)
	r := ask(t, "udp", s.address(), q)
	if len(r.Answer) != 2 {
		t.Fatalf("got %v", r.Answer)
	}
	sig, is := r.Answer[1].(*dns.RRSIG)
	if !is || r.Answer[0].Header().Ttl != 2 || sig.Hdr.Ttl != 2 || sig.OrigTtl != 20 {
		t.Fatalf("got %v", r.Answer)
	}
	key := s.table.Load().zones["example.com."].signer.keys[0].public
	if err := sig.Verify(key, r.Answer[:1]); err != nil {
		t.Error(err)
	}
}

func TestKeysThatCannotSignAreTold(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	past, future := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	good := newKey(t, dir, "example.com.", 257, nil)
	mixed := newKey(t, dir, "example.com.", 257, nil)
	other, _ := os.ReadFile(strings.TrimSuffix(good, ".private") + ".key")
	write(t, dir, strings.TrimPrefix(strings.TrimSuffix(mixed, ".private"), dir+"/")+".key", string(other))
	tests := []struct{ what, file, want string }{
		{"expired", newKey(t, dir, "example.com.", 257, map[string]time.Time{"Inactive": past}), "no key is in its time now"},
		{"deleted", newKey(t, dir, "example.com.", 257, map[string]time.Time{"Delete": past}), "no key is in its time now"},
		{"not yet", newKey(t, dir, "example.com.", 257, map[string]time.Time{"Activate": future}), "no key is in its time now"},
		{"of another zone", newKey(t, dir, "example.org.", 257, nil), "is a key of example.org., not of example.com."},
		{"missing", dir + "/Kexample.com.+013+00000.private", ".key beside it cannot be read"},
		{"the public one", strings.TrimSuffix(good, ".private") + ".key", "name the file that ends in .private"},
		{"another public key", mixed, "does not belong to the .key file"},
	}
	for _, tt := range tests {
		c := example()
		c.Zones[0].Sign = []string{tt.file}
		if faults := c.Check(time.Now()); len(faults) != 1 || !strings.Contains(faults[0].String(), tt.want) {
			t.Errorf("%s: got %q, want %q", tt.what, faults, tt.want)
		}
	}
	c := example()
	c.Zones[0].Sign = []string{good}
	c.Zones[0].Text = []byte(exampleZone + "@ IN DNSKEY 257 3 13 AAAA\n")
	if faults := c.Check(time.Now()); !strings.Contains(faults.Error(), "DNSKEY records are made here") {
		t.Errorf("got %q", faults)
	}
}

// Signatures are made anew in time, of what was loaded and not of what stands
// in the files now; a key that has run out stops signing then.
func TestSignaturesAreMadeAnew(t *testing.T) {
	t.Parallel()
	c, _ := signedExample(t)
	c.Zones[0].Allow = []Peer{{Network: netip.MustParsePrefix("127.0.0.0/8")}}
	s := running(t, c)
	s.Tell(serves("mdm", "core2"))
	serial := s.serial()
	later := time.Now().Add(8 * 24 * time.Hour)
	if s.stale(time.Now()) || !s.stale(later) {
		t.Errorf("stale now: %v, in eight days: %v", s.stale(time.Now()), s.stale(later))
	}
	s.resign(later)
	if got := s.serial(); got != serial+1 {
		t.Errorf("the serial went from %d to %d, want one more", serial, got)
	}
	if s.stale(later) {
		t.Error("still stale")
	}
	if got := s.says(t, "mdm", dns.TypeA); got != "A 192.0.2.11" {
		t.Errorf("got %s", got)
	}
	changes, err := transferOf(s.address(), "example.com.", serial, Key{})
	if err != nil || len(changes) < 20 {
		t.Errorf("got %d records and %v", len(changes), err)
	}
	sign := s.table.Load().config.Zones[0].Sign[0]
	text, _ := os.ReadFile(sign)
	if err := os.WriteFile(sign, append(text, []byte("Inactive: 20200101000000\n")...), 0o600); err != nil {
		t.Fatal(err)
	}
	s.resign(later)
	if s.serial() != serial+1 {
		t.Error("a zone was published that nobody could sign")
	}
}

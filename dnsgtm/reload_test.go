package dnsgtm

import (
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// A reload puts all of a configuration in place, or nothing of it and says
// where the fault is.
func TestAReloadIsAllOrNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := example()
	file := write(t, dir, "example.com.zone", exampleZone)
	other := write(t, dir, "example.net.zone", "$ORIGIN example.net.\n$TTL 60\n@ IN SOA ns.example.org. h 5 1 1 1 1\n@ IN NS ns.example.org.\na IN A 192.0.2.70\n")
	c.Zones[0].File, c.Zones[0].Text = file, nil
	c.Zones = append(c.Zones, Zone{Name: "example.net", File: other})
	s := running(t, c)
	before := s.serial()

	write(t, dir, "example.net.zone", "$ORIGIN example.net.\n$TTL 60\n@ IN SOA ns.example.org. h 6 1 1 1 1\n@ IN NS ns.example.org.\na IN A 192.0.2.71\n")
	write(t, dir, "example.com.zone", exampleZone+"broken IN A 192.0.2\n")
	err := s.Reload(c)
	if want := file + ":30: "; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v, want a fault at %s", err, want)
	}
	if got := first(ask(t, "udp", s.address(), query("a.example.net", dns.TypeA))); got != "A 192.0.2.70" {
		t.Errorf("after the failed reload the other zone says %s", got)
	}
	if s.serial() != before {
		t.Error("the serial moved")
	}

	write(t, dir, "example.com.zone", exampleZone+"new IN A 192.0.2.72\n")
	if err := s.Reload(c); err != nil {
		t.Fatal(err)
	}
	if got := first(ask(t, "udp", s.address(), query("a.example.net", dns.TypeA))); got != "A 192.0.2.71" {
		t.Errorf("the other zone says %s", got)
	}
	if got := s.says(t, "new", dns.TypeA); got != "A 192.0.2.72" {
		t.Errorf("the new name is %s", got)
	}
	if got := s.serial(); got != before+1 {
		t.Errorf("the serial went from %d to %d", before, got)
	}
	if err := s.Reload(c); err != nil || s.serial() != before+1 {
		t.Errorf("a reload of the same: got %v and serial %d", err, s.serial())
	}
}

// What was decided is not forgotten over a reload, and changes of it reach
// secondaries as differences.
func TestAReloadKeepsTheDecision(t *testing.T) {
	t.Parallel()
	c := example()
	c.Zones[0].Allow = []Peer{{Network: netip.MustParsePrefix("127.0.0.0/8")}}
	s := running(t, c)
	s.Tell(serves("mdm", "dr1"))
	serial := s.serial()
	c.Zones[0].Text = []byte(exampleZone + "added IN A 192.0.2.73\n")
	c.Groups[0].Nodes[2].Addresses = addrs("198.51.100.11")
	if err := s.Reload(c); err != nil {
		t.Fatal(err)
	}
	if got := s.says(t, "mdm", dns.TypeA); got != "A 198.51.100.11" {
		t.Errorf("got %s", got)
	}
	changes, err := transferOf(s.address(), "example.com.", serial, Key{})
	if err != nil {
		t.Fatal(err)
	}
	if said := content(changes); !said["added.example.com.\t300\tIN\tA\t192.0.2.73"] || !said["mdm.example.com.\t5\tIN\tA\t198.51.100.10"] || len(changes) > 20 {
		t.Errorf("got the changes %v", changes)
	}
	c.Listen = []string{"127.0.0.1:1"}
	if err := s.Reload(c); err == nil || !strings.Contains(err.Error(), "need a restart or a replace") {
		t.Errorf("other addresses: got %v", err)
	}
}

// Zones come and go.
func TestAReloadAddsAndRemovesZones(t *testing.T) {
	t.Parallel()
	c := example()
	s := running(t, c)
	more := c
	more.Zones = append([]Zone{{Name: "example.net", Text: []byte("$TTL 60\n@ IN SOA ns.example.org. h 5 1 1 1 1\n@ IN NS ns.example.org.\na IN A 192.0.2.70\n")}}, c.Zones...)
	if err := s.Reload(more); err != nil {
		t.Fatal(err)
	}
	if got := first(ask(t, "udp", s.address(), query("a.example.net", dns.TypeA))); got != "A 192.0.2.70" {
		t.Errorf("got %s", got)
	}
	if err := s.Reload(c); err != nil {
		t.Fatal(err)
	}
	if got := first(ask(t, "udp", s.address(), query("a.example.net", dns.TypeA))); got != "REFUSED" {
		t.Errorf("got %s", got)
	}
}

// Before a planned switch TTLs are low for one old TTL, and after it for one
// more; then they are as they were.
func TestARampLowersAndRaisesTTLs(t *testing.T) {
	t.Parallel()
	c := example()
	c.Zones[0].Names[0].TTL, c.Zones[0].Names[0].RampTTL = 60*time.Second, 5*time.Second
	c.Zones[0].Names[6].TTL = 30 * time.Second // go has no ramp
	s := running(t, c)
	start := time.Now()
	ttl := func(name string) uint32 {
		return ask(t, "udp", s.address(), query(name+".example.com", dns.TypeA)).Answer[0].Header().Ttl
	}
	serial := s.serial()
	ready := s.Lower("mdm", start)
	if got := ready.Sub(start); got != time.Minute {
		t.Errorf("ready after %s, want the old TTL", got)
	}
	if ttl("mdm") != 5 || ttl("rich") != 2 || ttl("go") != 30 || ttl("closed") != 5 {
		t.Errorf("lowered: got %d, %d, %d and %d", ttl("mdm"), ttl("rich"), ttl("go"), ttl("closed"))
	}
	if s.serial() == serial {
		t.Error("secondaries do not learn of it")
	}
	if again := s.Lower("mdm", start.Add(10*time.Second)); !again.Equal(ready) {
		t.Errorf("asked again: ready at %s, was %s", again, ready)
	}
	s.raise(start.Add(30 * time.Minute))
	if ttl("mdm") != 5 {
		t.Error("raised before the switch")
	}
	s.Tell(serves("mdm", "core2"))
	if got := time.Until(s.Settled("mdm")); got < 58*time.Second || got > 60*time.Second {
		t.Errorf("switched before ready: settled in %s, want the old TTL", got)
	}
	s.raise(time.Now().Add(59 * time.Second))
	if ttl("mdm") != 5 {
		t.Error("raised before the old TTL was over")
	}
	s.raise(time.Now().Add(61 * time.Second))
	if ttl("mdm") != 60 || ttl("rich") != 20 {
		t.Errorf("raised: got %d and %d", ttl("mdm"), ttl("rich"))
	}
}

func TestARampThatIsGivenUpEnds(t *testing.T) {
	t.Parallel()
	c := example()
	s := running(t, c)
	ttl := func() uint32 {
		return ask(t, "udp", s.address(), query("rich.example.com", dns.TypeA)).Answer[0].Header().Ttl
	}
	now := time.Now()
	s.Lower("mdm", now)
	if ttl() != 2 {
		t.Errorf("got %d", ttl())
	}
	s.Raise("mdm")
	if ttl() != 20 {
		t.Errorf("given up: got %d", ttl())
	}
	s.Lower("mdm", now)
	s.raise(now.Add(2 * time.Hour))
	if ttl() != 20 {
		t.Errorf("forgotten: got %d", ttl())
	}
	if ready := s.Lower("sentry", now); !ready.Equal(now) {
		t.Errorf("names without a ramp: ready at %s", ready)
	}
}

func TestMetricsNameZonesAndNodes(t *testing.T) {
	t.Parallel()
	s := running(t, example())
	s.Tell(serves("mdm", "core2"))
	s.says(t, "mdm", dns.TypeA)
	s.says(t, "nope", dns.TypeA)
	s.says(t, "www", dns.TypeA)
	file, err := os.Create(t.TempDir() + "/m")
	if err != nil {
		t.Fatal(err)
	}
	s.WriteMetrics(file)
	file.Close()
	text, _ := os.ReadFile(file.Name())
	for _, want := range []string{
		`understudy_dns_replies_total{rcode="NOERROR"} 2`, `understudy_dns_replies_total{rcode="NXDOMAIN"} 1`, "understudy_dns_slow_queries_total 1",
		`understudy_dns_answers_node{group="mdm",node="core2"} 1`, `understudy_dns_answers_node{group="mdm",node="core1"} 0`,
		`understudy_dns_zone_serial{zone="example.com."} 2026010101`, "understudy_dns_zone_changes_total 1",
	} {
		if !strings.Contains(string(text), want+"\n") {
			t.Errorf("%s is missing in\n%s", want, text)
		}
	}
}

package dnsgtm

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/understudy-ha/understudy/internal/ha"
)

// secondary is a name server of somebody else that gets our zone.
type secondary struct {
	name   string
	daemon string
	config func(dir, port, primary string) (file, text string)
	args   func(dir string) []string
}

const (
	tsigName   = "transfer-key."
	tsigSecret = "c2VjcmV0LW9mLXRoZS10cmFuc2Zlci1rZXkuLi4uLi4="
)

var secondaries = []secondary{
	{
		"BIND", "named",
		func(dir, port, primary string) (string, string) {
			return "named.conf", fmt.Sprintf(`
options { directory %q; listen-on port %s { 127.0.0.1; }; listen-on-v6 { none; }; recursion no; pid-file none; session-keyfile none;
	minimal-responses yes; dnssec-validation no; request-ixfr yes; allow-new-zones no; };
controls { };
key "transfer-key." { algorithm hmac-sha256; secret %q; };
server 127.0.0.1 { keys { "transfer-key."; }; };
zone "example.com" { type secondary; file "zone"; masterfile-format text; primaries port %s { 127.0.0.1 key "transfer-key."; };
	allow-notify { 127.0.0.1; }; min-refresh-time 3000; notify no; };
`, dir, port, tsigSecret, primary)
		},
		func(dir string) []string { return []string{"-g", "-c", filepath.Join(dir, "named.conf")} },
	},
	{
		"NSD", "nsd",
		func(dir, port, primary string) (string, string) {
			return "nsd.conf", fmt.Sprintf(`
server:
  ip-address: 127.0.0.1@%[2]s
  port: %[2]s
  username: ""
  chroot: ""
  zonesdir: %[1]q
  zonelistfile: "%[1]s/list"
  xfrdfile: "%[1]s/xfrd"
  xfrdir: %[1]q
  pidfile: "%[1]s/pid"
  database: ""
  server-count: 1
  xfrd-reload-timeout: 0
remote-control:
  control-enable: no
key:
  name: transfer-key.
  algorithm: hmac-sha256
  secret: %[3]q
zone:
  name: example.com
  zonefile: zone
  allow-notify: 127.0.0.1 transfer-key.
  request-xfr: 127.0.0.1@%[4]s transfer-key.
`, dir, port, tsigSecret, primary)
		},
		func(dir string) []string { return []string{"-d", "-c", filepath.Join(dir, "nsd.conf")} },
	},
	{
		"Knot", "knotd",
		func(dir, port, primary string) (string, string) {
			return "knot.conf", fmt.Sprintf(`
server:
  rundir: %[1]q
  listen: 127.0.0.1@%[2]s
  udp-workers: 1
  tcp-workers: 1
  background-workers: 1
database:
  storage: %[1]q
key:
  - id: transfer-key.
    algorithm: hmac-sha256
    secret: %[3]s
remote:
  - id: primary
    address: 127.0.0.1@%[4]s
    key: transfer-key.
acl:
  - id: from-primary
    address: 127.0.0.1
    key: transfer-key.
    action: notify
zone:
  - domain: example.com
    storage: %[1]q
    master: primary
    acl: from-primary
`, dir, port, tsigSecret, primary)
		},
		func(dir string) []string { return []string{"-c", filepath.Join(dir, "knot.conf")} },
	},
}

// start runs a secondary on a port.
func (p secondary) start(t *testing.T, port, primary string) {
	t.Helper()
	need(t, p.daemon)
	dir := t.TempDir()
	file, text := p.config(dir, port, primary)
	write(t, dir, file, text)
	launch(t, path(p.daemon), p.args(dir)...)
}

// launch runs a program until the test ends.
func launch(t *testing.T, program string, args ...string) {
	t.Helper()
	cmd := exec.Command(program, args...)
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		ended := make(chan struct{})
		go func() { defer close(ended); _ = cmd.Wait() }()
		limit := time.NewTimer(10 * time.Second)
		defer limit.Stop()
		select {
		case <-ended:
		case <-limit.C:
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			<-ended
		}
		log.Close()
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("%s said:\n%s", program, text[max(0, len(text)-4000):])
		}
	})
}

// tries asks once and gives what came, "" if nothing did.
func tries(address, name string, qtype uint16) string {
	c := &dns.Client{Timeout: 200 * time.Millisecond}
	q := query(name, qtype)
	q.RecursionDesired = true // some of them are resolvers
	r, _, err := c.Exchange(q, address)
	if err != nil {
		return ""
	}
	return first(r)
}

// A failover reaches the public servers by NOTIFY and IXFR, signed or not.
func TestSecondariesFollowAFailover(t *testing.T) {
	t.Parallel()
	for _, p := range secondaries {
		for _, signed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, signed %v", p.name, signed), func(t *testing.T) {
				t.Parallel()
				need(t, p.daemon)
				dir := t.TempDir()
				primary, port := freePort(t), freePort(t)
				c := example()
				c.Listen = []string{"127.0.0.1:" + primary}
				c.Keys = []Key{{Name: tsigName, File: write(t, dir, "secret", tsigSecret+"\n")}}
				c.Zones[0].Allow = []Peer{{Key: tsigName}}
				c.Zones[0].Notify = []Peer{{Address: netip.MustParseAddrPort("127.0.0.1:" + port), Key: tsigName}}
				if signed {
					c.Zones[0].Sign = []string{newKey(t, dir, "example.com.", 257, nil)}
				}
				s := running(t, c)
				p.start(t, port, primary)
				address := "127.0.0.1:" + port
				await(t, "the first transfer", func() bool { return tries(address, "mdm.example.com", dns.TypeA) == "A 192.0.2.10" })
				if got := tries(address, "x.wild.example.com", dns.TypeA); got != "A 192.0.2.9" {
					t.Errorf("a wildcard of the secondary is %q", got)
				}
				for _, step := range []struct{ node, want string }{{"core2", "A 192.0.2.11"}, {"dr1", "A 198.51.100.10"}, {"core1", "A 192.0.2.10"}} {
					began := time.Now()
					s.Tell(serves("mdm", step.node))
					await(t, step.node+" at the secondary", func() bool { return tries(address, "mdm.example.com", dns.TypeA) == step.want })
					t.Logf("%s was at %s after %s", step.node, p.name, time.Since(began).Round(time.Millisecond))
				}
				if signed {
					await(t, "the last serial", func() bool {
						return strings.Contains(tries(address, "example.com", dns.TypeSOA), fmt.Sprint(s.serial()))
					})
					verified(t, address)
				}
				if n := s.Figures(); n.Transfers < 3 || n.Notified < 1 {
					t.Errorf("got %d transfers and %d notifications", n.Transfers, n.Notified)
				}
			})
		}
	}
}

// verified has ldns verify every signature and the chain of a zone that a
// server gives out, or skips where it does not.
func verified(t *testing.T, address string) {
	t.Helper()
	rrs, err := transferOf(address, "example.com.", 0, Key{})
	if err != nil { // a secondary that gives out nothing: what it answers is checked elsewhere
		return
	}
	verifyZone(t, rrs)
}

func verifyZone(t *testing.T, rrs []dns.RR) {
	t.Helper()
	var text strings.Builder
	for _, rr := range rrs[:len(rrs)-1] {
		text.WriteString(rr.String() + "\n")
	}
	tool(t, "ldns-verify-zone", write(t, t.TempDir(), "zone", text.String()))
}

// What a secondary puts together of the changes is what a whole transfer says.
func TestChangesLeadToTheWhole(t *testing.T) {
	t.Parallel()
	for _, signed := range []bool{false, true} {
		c := example()
		c.Zones[0].Allow = []Peer{{Network: netip.MustParsePrefix("127.0.0.0/8")}}
		if signed {
			c.Zones[0].Sign = []string{newKey(t, t.TempDir(), "example.com.", 257, nil)}
		}
		s := running(t, c)
		contents := map[uint32]map[string]bool{}
		note := func() {
			rrs, err := transferOf(s.address(), "example.com.", 0, Key{})
			if err != nil {
				t.Fatal(err)
			}
			contents[s.serial()] = content(rrs)
			if signed {
				verifyZone(t, rrs)
			}
		}
		note()
		for _, tell := range []ha.Situation{serves("mdm", "core2"), serves("mdm", "dr1"), serves("mdm", "core1"), {Traffic: ha.Traffic{Group: "sentry"}, View: ha.View{{Node: "s1", DownAt: time.Unix(1, 0)}}}} {
			s.Tell(tell)
			note()
		}
		if len(contents) != 5 {
			t.Errorf("got %d serials, want 5", len(contents))
		}
		for serial, have := range contents {
			changes, err := transferOf(s.address(), "example.com.", serial, Key{})
			if err != nil {
				t.Fatal(err)
			}
			apply(t, have, changes)
			for rr := range contents[s.serial()] {
				if !have[rr] {
					t.Errorf("from serial %d: %s is missing", serial, rr)
				}
			}
			if len(have) != len(contents[s.serial()]) {
				t.Errorf("from serial %d: got %d records, want %d", serial, len(have), len(contents[s.serial()]))
			}
		}
		if rrs, _ := transferOf(s.address(), "example.com.", 7, Key{}); len(rrs) < 40 {
			t.Errorf("from a serial that never was: got %d records, want the whole zone", len(rrs))
		}
	}
}

func content(rrs []dns.RR) map[string]bool {
	all := map[string]bool{}
	for _, rr := range rrs {
		all[rr.String()] = true
	}
	return all
}

// apply changes a content as RFC 1995, 4 says.
func apply(t *testing.T, have map[string]bool, changes []dns.RR) {
	t.Helper()
	if len(changes) == 1 {
		return
	}
	adding := true
	for i, rr := range changes[1 : len(changes)-1] {
		if rr.Header().Rrtype == dns.TypeSOA {
			adding = !adding
		}
		switch text := rr.String(); {
		case adding:
			have[text] = true
		case !have[text]:
			t.Errorf("record %d of the changes takes away what was not there: %s", i, text)
		default:
			delete(have, text)
		}
	}
}

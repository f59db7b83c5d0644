//go:build linux

package integration

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/understudy-ha/understudy/internal/ha"
)

// parentConf is NSD's, for a root and a top-level zone that delegates to ours.
const parentConf = `server:
  ip-address: ADDRESS
  username: ""
  chroot: ""
  pidfile: ""
  zonesdir: "DIR"
  database: ""
  xfrdfile: "DIR/xfrd"
  zonelistfile: "DIR/list"
remote-control:
  control-enable: no
zone:
  name: "."
  zonefile: root.zone
zone:
  name: "test"
  zonefile: test.zone
`

var parentZones = map[string]string{
	"root.zone": `$TTL 3600
. IN SOA a.root. h.root. 1 14400 3600 1209600 300
. IN NS a.root.
a.root. IN A ADDRESS
test. IN NS a.nic.test.
a.nic.test. IN A ADDRESS
`,
	"test.zone": `$TTL 3600
test. IN SOA a.nic.test. h.test. 1 14400 3600 1209600 300
test. IN NS a.nic.test.
a.nic.test. IN A ADDRESS
gtm.test. IN NS ns1.gtm.test.
gtm.test. IN NS ns2.gtm.test.
ns1.gtm.test. IN A 192.0.2.53
ns2.gtm.test. IN A 198.51.100.53
`,
	"hints": ". 3600 NS a.root.\na.root. 3600 A ADDRESS\n",
}

const delegatedZone = `$TTL 3600
@ IN SOA ns1 hostmaster 2026010101 14400 3600 1209600 300
@ IN NS ns1
@ IN NS ns2
@ IN MX 10 mail
ns1 IN A 192.0.2.53
ns2 IN A 198.51.100.53
mail IN A 192.0.2.25
`

// Zonemaster itself finds nothing at two of our name servers below a parent but
// what an experiment of this kind must have: addresses that are for documents,
// and no names for them. What of it is about the server is asked by tests of
// dnsgtm in every run.
func TestZonemasterFindsNothingInTheDelegationOrTheServers(t *testing.T) {
	t.Parallel()
	if !soak() {
		t.Skip("a soak asks zonemaster")
	}
	w := newWorld(t)
	parent := w.host("parent", "203.0.113.1")
	core1, core2 := w.host("core1", "192.0.2.10").node(ha.Active), w.host("core2", "192.0.2.11").node(ha.Standby)
	dir := tempDir(t)
	fill := strings.NewReplacer("ADDRESS", parent.address, "DIR", dir)
	for name, text := range parentZones {
		write(t, filepath.Join(dir, name), fill.Replace(text))
	}
	write(t, filepath.Join(dir, "nsd.conf"), fill.Replace(parentConf))
	nsd, log := parent.command(program(t, "nsd"), "-d", "-c", filepath.Join(dir, "nsd.conf")), new(output)
	nsd.Stdout, nsd.Stderr = log, log
	run(t, nsd)
	for i, address := range []string{"192.0.2.53", "198.51.100.53"} {
		ns := w.host(fmt.Sprintf("ns%d", i+1), address)
		s := newSidecar(t, plan{nodes: []node{core1, core2}, names: map[string]string{"core1": "192.0.2.10", "core2": "192.0.2.11"}}, fmt.Sprintf(
			"dns: {listen: [%q], rate: {exempt: [0.0.0.0/0]}, zones: [{name: gtm.test, file: gtm.zone, dynamic: [{name: mdm, group: mdm, ttl: 60s}]}]}", ns.at(53)))
		write(t, filepath.Join(filepath.Dir(s.file), "gtm.zone"), delegatedZone)
		s.inside = ns
		s.start()
		s.expectServing("core1")
	}
	await(t, "the parent serves", func() bool { return parent.asks(parent.address, "a.nic.test.") == parent.address })
	out, err := parent.command(program(t, "zonemaster-cli"), "--hints", filepath.Join(dir, "hints"), "--no-ipv6", "--level=notice", "--no-time", "gtm.test").CombinedOutput()
	if _, ended := err.(*exec.ExitError); err != nil && !ended {
		t.Fatal(err)
	}
	if !strings.Contains(string(out), "neither DS nor DNSKEY") {
		t.Fatalf("zonemaster did not come to its end: %v\n%s\n%s", err, out, log.tail(5))
	}
	for line := range strings.SplitSeq(string(out), "\n") {
		level, what, _ := strings.Cut(line, " ")
		serious := level == "WARNING" || level == "ERROR" || level == "CRITICAL"
		if serious && !strings.Contains(what, "RFC5737") && !strings.Contains(what, "without PTR") {
			t.Error(line)
		}
	}
	t.Logf("zonemaster said\n%s", out)
}

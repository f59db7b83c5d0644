//go:build linux

package integration

import (
	"fmt"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/understudy-ha/understudy/internal/api"
	"github.com/understudy-ha/understudy/internal/ha"
)

// centers are two data centers, with a Primary in the one and its Secondary in
// the other, a name server that follows the decision, and clients elsewhere
// behind a resolver of their own.
type centers struct {
	*world
	names        *sidecar
	core1, core2 *child
	site1, site2 *host // of core1, of core2
	ns, clients  *host
}

func newCenters(t *testing.T) *centers {
	t.Helper()
	c := &centers{world: newWorld(t)}
	c.site1, c.site2 = c.host("core1", "192.0.2.10"), c.host("core2", "198.51.100.10")
	c.ns, c.clients = c.host("ns", "192.0.2.53"), c.host("clients", "203.0.113.53")
	c.core1, c.core2 = c.site1.node(ha.Active), c.site2.node(ha.Standby)
	c.names = newSidecar(t, plan{
		nodes: []node{c.core1, c.core2}, names: map[string]string{"core1": c.site1.address, "core2": c.site2.address},
		probe: map[string]string{"timeout": "400ms"},
	}, fmt.Sprintf("dns: {listen: [%q], zones: [{name: example.com, file: example.com.zone, dynamic: [{name: mdm, group: mdm, ttl: 1s}]}]}", c.ns.at(53)))
	write(t, filepath.Join(filepath.Dir(c.names.file), "example.com.zone"), zoneText)
	c.names.inside = c.ns
	c.names.start()
	c.resolver()
	return c
}

// resolver starts unbound for the clients: it spells names in random case and
// asks for no more of a name than it must. It keeps what it hears as long as it
// may.
func (c *centers) resolver() {
	c.t.Helper()
	dir := tempDir(c.t)
	conf := filepath.Join(dir, "unbound.conf")
	write(c.t, conf, fmt.Sprintf(`server:
	interface: %s@53
	do-daemonize: no
	username: ""
	chroot: ""
	directory: %q
	pidfile: ""
	use-syslog: no
	use-caps-for-id: yes
	qname-minimisation: yes
	qname-minimisation-strict: yes
	harden-below-nxdomain: yes
	module-config: "iterator"
	access-control: 203.0.113.0/24 allow
remote-control:
	control-enable: no
stub-zone:
	name: "example.com"
	stub-addr: %s@53
`, c.clients.address, dir, c.ns.address))
	cmd := c.clients.command(program(c.t, "unbound"), "-d", "-c", conf)
	log := new(output)
	cmd.Stdout, cmd.Stderr = log, log
	run(c.t, cmd)
	c.t.Cleanup(func() {
		if c.t.Failed() {
			c.t.Logf("the end of unbound's log:\n%s", log.tail(10))
		}
	})
}

// expect waits until clients are sent to a machine.
func (c *centers) expect(where *host) {
	c.t.Helper()
	var got string
	if !within(patience, func() bool { got = c.clients.asks(c.clients.address, "mdm.example.com."); return got == where.address }) {
		c.t.Fatalf("clients are sent to %s, want %s (%s)", got, where.address, where.name)
	}
}

// expectStill checks that the name server answers a machine now.
func (c *centers) expectStill(where *host, why string) {
	c.t.Helper()
	if got := c.clients.asks(c.ns.address, "mdm.example.com."); got != where.address {
		c.t.Errorf("%s: the name server answers %s, want %s (%s)", why, got, where.address, where.name)
	}
}

// The whole way that the guide's figure draws, with a real resolver: the answer
// moves only when the Primary is down and the Secondary was seen in Standby
// after that, and goes back only by a person.
func TestTwoDataCentersAndAResolver(t *testing.T) {
	t.Parallel()
	c := newCenters(t)
	c.expect(c.site1)

	c.core2.Set(ha.NotAvailable)
	c.names.awaitNode("core2", api.NotAvailable)
	c.cut(c.site1, c.ns, c.site2, c.clients) // the first data center is gone
	c.names.expectRow(row{13, api.Wait, ha.NoStandby, "", "alarm"})
	c.expectStill(c.site1, "nobody stands by")
	c.core2.Set(ha.Standby)
	c.names.expectServing("core2")
	c.expect(c.site2)
	c.core2.Set(ha.Active)

	c.mend(c.site1, c.ns, c.site2, c.clients)
	c.names.expectRow(row{1, api.Stay, ha.DualActive, "core1", "alarm"})
	c.expectStill(c.site2, "the first data center is back")

	c.names.signal(syscall.SIGTERM)
	if code := c.names.end(t); code != 0 {
		t.Errorf("the sidecar ended with %d", code)
	}
	c.names.start()
	c.expectStill(c.site2, "after a restart")
	c.names.kill()
	c.names.start()
	c.expectStill(c.site2, "after a kill -9")
	c.names.expectRow(row{1, api.Stay, ha.DualActive, "core1", "alarm"})
	c.expect(c.site2)
}

// A hold keeps the answer, and after a swap of the roles the order is turned:
// then the same rule goes the other way, and resume goes back to the new first.
func TestTwoDataCentersHeldReorderedAndResumed(t *testing.T) {
	t.Parallel()
	c := newCenters(t)
	c.names.awaitNode("core2", api.Standby)
	c.names.expectServing("core1")
	c.names.wish("hold", api.Body{Reason: "night work"})
	c.cut(c.site1, c.ns)
	c.names.expectRow(row{5, api.Wait, ha.Held, "", "alarm"})
	c.expectStill(c.site1, "held")
	c.expect(c.site1)
	c.mend(c.site1, c.ns)
	c.names.awaitNode("core1", api.Active)
	c.names.wish("release", api.Body{})

	c.core1.Kill()
	c.expect(c.site2)
	c.core2.Set(ha.Active)
	c.core1.Set(ha.Standby) // it was synced, and the roles are swapped
	c.core1.Start()
	c.names.awaitNode("core1", api.Standby)
	c.names.wish("reorder", api.Body{Order: []string{"core2", "core1"}})
	c.names.await("it is armed the other way", func(g api.Group) bool { return g.ArmedTo == "core1" })
	c.expectStill(c.site2, "after the reorder")

	c.core2.Kill()
	c.expect(c.site1)
	c.core1.Set(ha.Active)
	c.core2.Start()
	c.names.expectRow(row{1, api.Stay, ha.DualActive, "core2", "alarm"})
	c.expectStill(c.site1, "core2 is back with old data")
	c.names.await("it was read as often as a resume wants", func(g api.Group) bool { n, _ := g.Node("core2"); return n.Passes >= g.Rules.Rise })
	c.names.expectRefusal("resume", api.Body{}, ha.DualActive)
	c.core1.Set(ha.Standby) // and swapped again
	c.names.await("resume is granted", func(api.Group) bool { _, err := c.names.try("resume", api.Body{}); return err == nil })
	c.expect(c.site2)
	if got := c.clients.asks(c.clients.address, "nope.example.com."); got != "NXDOMAIN" {
		t.Errorf("a name that is not there: %s", got)
	}
}

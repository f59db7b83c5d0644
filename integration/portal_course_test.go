//go:build linux

package integration

import (
	"fmt"
	"testing"

	"github.com/understudy-ha/understudy/internal/api"
	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/web/webtest"
)

// pairWithConsole gives two servers with High Availability enabled, their
// portals, and a front with its console, all open in browsers.
func pairWithConsole(t *testing.T) (core1, core2 *manager, f *front, console *webtest.Tab) {
	t.Helper()
	core1, core2 = newManagers(t, noMore)
	core1.say(0, "ha", "enable", "--mode", "primary")
	core2.say(0, "ha", "enable", "--mode", "secondary")
	core1.await(ha.Active)
	core2.await(ha.Standby)
	at := loopback(freePort(t))
	f = startFront(t, plan{
		nodes: []node{core1.member, core2.member}, url: map[string]string{"core1": "http://" + core1.door, "core2": "http://" + core2.door},
		sites: []string{fmt.Sprintf("http://%s {\n\tunderstudy_console\n}", at)},
	})
	console = firstUser(t, "http://"+at+"/", f.log)
	console.Sees("traffic → core1")
	return core1, core2, f, console
}

// set applies one choice of the HA Configuration window, Save and then Apply.
func (m *manager) set(legend, choice string) {
	m.t.Helper()
	b := m.tab
	b.Press("HA Configuration")
	b.Tick(legend, choice)
	b.Press("Save")
	b.Sees("Saved, and not in force yet")
	b.Press("Apply")
	m.sure("upgrade", "Apply")
	b.Sees("The configuration is applied")
	b.Press("OK")
}

// act does something to the group at the console.
func act(b *webtest.Tab, verb, reason, node, button string) {
	b.Press("mdm")
	b.Press(verb)
	b.Fill("Reason", reason)
	b.Press("Show what would happen")
	if node != "" {
		b.Fill("Type the node's name", node)
	}
	b.Press(button)
	b.Sees("Done: ")
}

// EPMM guide, High Availability EPMM software upgrade procedures, 1 to 9.
func TestPortalAndConsoleGoTheGuidesUpgrade(t *testing.T) {
	t.Parallel()
	core1, core2, f, console := pairWithConsole(t)
	core2.set("High Availability", "Disable") // 1
	core2.awaits("core2 is off", func(s nodeapi.Status) bool { return !s.Enabled })
	core2.tab.Sees("Last Sync Status") // 2

	act(console, "Hold", "upgrade to 11.12", "", "Hold mdm") // 3
	console.Sees("HELD")
	console.Shot("console-held")

	core2.set("Mode", "Primary") // 4
	core2.awaits("the mode is shown", func(s nodeapi.Status) bool { return s.Shown == ha.Primary && s.State != ha.Active })
	core2.set("Mode", "Secondary")
	core2.awaits("the mode is back", func(s nodeapi.Status) bool { return s.Shown != ha.Primary })

	core1.die() // 5: the Primary is upgraded; a held front moves nothing
	f.await("core1 is down and held", func(g api.Group) bool { return g.Decision.Reason == ha.Held })
	console.Sees("core1 is down, but routing is held.")
	console.Shot("console-held-down")
	core1.start()
	core1.await(ha.Active)

	core2.tab.Press("HA Configuration")
	core2.set("High Availability", "Enable") // 6
	core2.await(ha.Standby)
	core2.tab.Press("Test and validation") // 7
	core2.tab.Sees("the status pages of core1 answer")
	core2.tab.Shot("portal-validation")
	b := core2.tab // 8
	b.Press("HA Configuration")
	b.Choose("StartTime (GMT)", "02:00")
	b.Press("Save and Apply")
	b.Sees("02:00")
	b.Press("Apply")
	b.Sees("The configuration is applied")

	act(console, "Release", "the upgrade is done", "", "Release mdm") // 9
	f.await("armed again", func(g api.Group) bool { return g.Hold == nil && g.Serving == "core1" && g.Armed })
	console.Sees("failover armed")
}

// EPMM guide, Table 1, third row, and Load balancer setup, 4: the way back, with
// the roles swapped and then resumed.
func TestPortalAndConsoleBringAPairBackAfterAFailover(t *testing.T) {
	t.Parallel()
	core1, core2, f, console := pairWithConsole(t)
	core1.die()
	core2.await(ha.Active)
	f.await("core2 serves", func(g api.Group) bool { return g.Serving == "core2" })
	console.Press("mdm")
	console.Sees("The way back to core1")

	core1.start() // superseded, until a person acts
	core1.awaits("core1 knows that it was superseded", func(s nodeapi.Status) bool { return s.State == ha.NotAvailable && s.Why == "superseded" })
	b := core1.relogin()
	b.Press("Failover")
	b.Sees("superseded")
	b.Press("HA Configuration")
	b.Tick("Mode", "Secondary")
	b.Press("Save and Apply")
	core1.sure("core1 stands by", "Apply")
	b.Sees("The configuration is applied")
	core1.await(ha.Standby)

	b = core2.tab // the swap: core2 becomes the backup, core1 Primary
	b.Press("Failover")
	b.Shot("portal-failover")
	b.Press("Become Backup")
	b.Sees("Become Backup: what it means")
	core2.sure("swap back", "Become Backup: core2 stops serving")
	b.Sees("Done: Become Backup")
	core2.await(ha.Standby)
	b = core1.tab
	b.Press("Failover")
	b.Press("Become Primary")
	b.Sees("may lose")
	b.Shot("portal-become-primary")
	b.Fill("Reason", "swap back")
	b.Fill("Type this node's name", "core2")
	b.Press("Become Primary: core1 serves from now on")
	b.Sees("Type this node's name, core1")
	core1.sure("swap back", "Become Primary: core1 serves from now on")
	b.Sees("Done: Become Primary")
	core1.await(ha.Active)

	f.await("core1 can be resumed", func(g api.Group) bool {
		n, _ := g.Node("core1")
		m, _ := g.Node("core2")
		return n.State == api.Active && n.Passes >= 2 && m.State == api.Standby
	})
	act(console, "Resume", "core1 is repaired", "core1", "Send clients to core1 now")
	f.await("core1 serves", func(g api.Group) bool { return g.Serving == "core1" && g.Changed.Actor == "anna" })

	expectOneTruth(t, f, core1.member, core2.member, "core1")
}

// relogin opens the portal anew: the sessions ended with the engine.
func (m *manager) relogin() *webtest.Tab {
	m.t.Helper()
	b := m.tab
	b.Go(m.site + "/")
	b.Fill("Name", "anna")
	b.Fill("Password", webPassword)
	b.Press("Log in")
	b.Sees("What would happen now")
	return b
}

//go:build linux

package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/web/webtest"
)

// manager is a server of the pair with its portal open in a browser: a real
// engine, a real sshd, one admin.
type manager struct {
	*member
	tab  *webtest.Tab
	site string
}

// newManagers prepares two servers with portals, without High Availability.
// Lines of node.yaml may be given besides.
func newManagers(t *testing.T, more func(name string) string) (core1, core2 *manager) {
	t.Helper()
	one, two := newMembers(t)
	return newManager(t, one, more(one.name)), newManager(t, two, more(two.name))
}

// noMore is no further line of node.yaml.
func noMore(string) string { return "" }

func newManager(t *testing.T, m *member, more string) *manager {
	t.Helper()
	home, me := strictHome(t)
	s := &trustNode{name: m.name, home: home, port: freePort(t)}
	s.newHostKey(t)
	s.startSSHD(t)
	at := loopback(freePort(t))
	m.more = fmt.Sprintf("portal: {listen: %q, addresses: [127.0.0.1]}\nssh: {port: %d, user: %s, authorized_keys: %q, host_keys: [%q]}\n%s",
		at, s.port, me.Username, filepath.Join(home, ".ssh", "authorized_keys"), filepath.Join(home, "host.pub"), more)
	m.start()
	m.say(0, hurry...)
	one := &manager{member: m, site: "https://" + at + "/mics"}
	one.tab = firstUser(t, one.site+"/", m.log)
	one.tab.Sees("What would happen now")
	return one
}

// sure fills in what a dangerous act asks for and presses its button.
func (m *manager) sure(reason, button string) {
	m.t.Helper()
	m.tab.Fill("Reason", reason)
	m.tab.Fill("Type this node's name", m.name)
	m.tab.Press(button)
}

// enable goes the guide's Step 2 or 3.
func (m *manager) enable(mode string) {
	m.t.Helper()
	b := m.tab
	b.Press("HA Configuration")
	b.Sees("Service Configuration")
	b.Tick("High Availability", "Enable")
	b.Tick("Mode", mode)
	if mode == "Secondary" {
		b.Tick("Node Status", "Passive")
	}
	b.Press("Save and Apply")
	b.Sees("What will change on " + m.name)
	m.sure("Step 2 and 3", "Apply")
	b.Sees("The configuration is applied")
	b.Press("OK")
}

// trust goes the guide's Step 4 on one server, with the key of the other.
func (m *manager) trust(other *manager) {
	m.t.Helper()
	key := webtest.Eval[string](other.tab, `document.querySelector("textarea[readonly]").value`)
	port := "" // the key tells the ports; what is filled in is the address
	b := m.tab
	b.Fill("Hostname/IP", "127.0.0.1"+port)
	b.Fill("SSH Key", key)
	b.Press("Add SSH Key")
	b.Sees(other.name + " is trusted")
}

// service chooses for Atlas on the page Settings > Services, and applies it.
func (m *manager) service(choice string) {
	m.t.Helper()
	b := m.tab
	b.Press("Services")
	b.Tick("", choice)
	b.Press("Apply")
	b.Sees("Applied: atlas: " + choice)
}

// syncsDone counts the Sync History.
func (m *manager) syncsDone() int {
	all, err := m.client.SyncHistory(m.t.Context())
	if err != nil {
		m.t.Fatal(err)
	}
	return len(all)
}

// syncs is Run Sync Now on the Secondary; its tasks show some words.
func (m *manager) syncs(words string) {
	m.t.Helper()
	before := m.syncsDone()
	m.tab.Press("HA Configuration")
	m.tab.Press("Run Sync Now")
	m.tab.Waits("the sync has ended", func() bool { return m.syncsDone() > before })
	m.tab.Press("Sync History")
	m.tab.Sees(words)
}

// EPMM guide, Setting up the HA workflow.
func TestPortalSetsUpAPairAsTheGuideSaysInSteps2To7(t *testing.T) {
	t.Parallel()
	mail, at := new(letterbox), loopback(freePort(t))
	mail.open(t, at)
	data := filepath.Join(tempDir(t), "data") // on one machine both have a folder of their own
	more := func(name string) string {
		folder := filepath.Join(data, name)
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(folder, "devices"), "of "+name+"\n")
		atlas := filepath.Join(data, name+"-atlas")
		if err := os.MkdirAll(atlas, 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(atlas, "reports"), "of "+name+"\n")
		return fmt.Sprintf("datasets: [{name: files, type: files, path: %q}, {name: atlas, type: files, path: %q, optional: true, enabled: false}]\nsmtp: {server: %q, from: ha@example.com, tls: none}\n", folder, atlas, at)
	}
	core1, core2 := newManagers(t, more)
	core1.enable("Primary") // Step 2
	core2.enable("Secondary")
	core1.await(ha.Active)
	core2.await(ha.Standby)

	for _, m := range []*manager{core1, core2} { // Step 4
		m.tab.Press("HA Configuration")
		m.tab.Press("Manage Trusted Hosts")
		m.tab.Sees("Local Server SSH Key")
	}
	core2.trust(core1)
	core1.trust(core2)
	for _, m := range []*manager{core1, core2} { // 11 and 12
		m.tab.Press("Test Connection")
		m.tab.Sees("HA - Test Connectivity")
		m.tab.Sees("Test was successful")
		m.tab.Shot("portal-test-connectivity-" + m.name)
		m.tab.Press("OK")
	}

	b := core2.tab // Step 5
	b.Press("HA Configuration")
	b.Choose("Hostname/IP", "core1")
	b.Press("Run Sync Now")
	core2.tab.Waits("the sync has ended", func() bool { return core2.syncsDone() > 0 })
	b.Sees("Success")
	b.Shot("portal-sync-history")
	if got := read(t, filepath.Join(data, "core2", "devices")); got != "of core1\n" {
		t.Errorf("core2 has %q", got)
	}
	// Core guide, Atlas configuration.
	reports := filepath.Join(data, "core2-atlas", "reports")
	core1.service("Enable")
	core2.syncs("Skipped: not enabled on both")
	if got := read(t, reports); got != "of core2\n" {
		t.Errorf("what only core1 has enabled was copied: %q", got)
	}
	core2.service("Enable")
	core2.syncs("atlas")
	core2.say(0, "services", "disable", "atlas", "--reason", "a drill")
	if said := core2.say(0, "services"); !strings.Contains(said, "Disable") {
		t.Errorf("failover services says\n%s", said)
	}
	core2.service("Enable")
	if got := read(t, reports); got != "of core1\n" {
		t.Errorf("enabled on both, the reports are %q", got)
	}
	b.Press("HA Configuration")
	b.Press("Refresh")
	b.Sees("Completed")

	b.Press("HA Configuration") // Step 6
	b.Choose("StartTime (GMT)", "13:00")
	b.Fill("Run Every", "90")
	b.ChooseNamed("unit", "minutes")
	b.Fill("Heartbeat Interval", "300ms")
	b.Fill("Consecutive Heartbeat failures before failover", "5")
	b.Fill("Re-check interval", "400ms")
	b.Choose("If Failure Detected", "Promote to Primary")
	b.Fill("Email", "ha@example.com")
	b.Tick("Notify On", "Failure / This server becomes primary")
	b.Shot("portal-ha-configuration")
	b.Press("Save and Apply")
	b.Sees("Is StartTime still what you want?")
	b.Shot("portal-apply")
	b.Press("Apply")
	b.Sees("The configuration is applied")
	b.Press("OK")
	said := core2.say(0, "config", "show")
	for _, want := range []string{"StartTime 13:00", "Run Every 90 minutes", "Heartbeat Interval 300ms", "Email ha@example.com", "Notify On: Failure / This server becomes primary yes"} {
		if !strings.Contains(strings.Join(strings.Fields(said), " "), want) {
			t.Errorf("config show does not say %q:\n%s", want, said)
		}
	}

	b.Press("Test") // Step 7, task 4
	b.Sees("A test mail was sent to ha@example.com")
	if mail.about("this is a test") != 1 {
		t.Error("no test mail has come")
	}
	b.Press("Logs") // task 5
	b.Tick("Log", "MICS")
	b.Press("Apply")
	b.Choose("View Module Logs", "HighAvailability")
	b.Press("View")
	b.Sees("heartbeat")
	b.Shot("portal-logs")

	// Planned maintenance, 1 to 5: the roles swap after a last data-sync.
	write(t, filepath.Join(data, "core1", "devices"), "of the last minute\n")
	b = core1.tab
	b.Press("Failover")
	b.Tick("", "Check this box to pull a data-sync while becoming the backup")
	b.Press("Become Backup")
	b.Sees("Step by step")
	b.Shot("portal-swap-plan")
	core1.sure("maintenance", "Become Backup: core1 stops serving")
	b.Sees("Done: Become Backup")
	core2.await(ha.Active)
	core1.await(ha.Standby)
	if got := read(t, filepath.Join(data, "core2", "devices")); got != "of the last minute\n" {
		t.Errorf("after the swap core2 has %q", got)
	}
	core2.tab.Press("Failover")
	core2.tab.Sees("Planned swap: core2 in place of core1")
	core2.tab.Shot("portal-swap-done")
}

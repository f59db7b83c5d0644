//go:build linux

package integration

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/internal/ha"
)

// EPMM guide, three servers: a third node in another data center takes the main
// site's Secondary for its Primary, and is brought online by hand.
func TestNodeForDisasterRecoveryIsBroughtOnlineByHand(t *testing.T) {
	t.Parallel()
	core1, core2 := startMembers(t)
	dr1 := newMember(t, "dr1", "core2")
	dr1.upstream, dr1.peerPages = true, core2.pages
	dr1.start()
	dr1.say(0, hurry...)
	if said := dr1.say(0, "config", "show"); !strings.Contains(said, "Keep in Standby") {
		t.Errorf("the default of a node for disaster recovery:\n%s", said)
	}
	dr1.say(0, "ha", "enable", "--mode", "secondary")
	dr1.await(ha.Standby)
	f := startFront(t, plan{
		nodes: []node{core1, core2, dr1}, manual: []string{"dr1"},
		url: map[string]string{"core1": "http://" + core1.door, "core2": "http://" + core2.door, "dr1": "http://" + dr1.door},
	})
	f.expectServing("core1")

	// A Secondary that stands by is alive.
	dr1.awaits("heartbeats are good", func(d nodeapi.Status) bool { return d.Peer.Heard && d.Peer.State == ha.Standby })
	if within(2*time.Second, func() bool { return dr1.status().Phase != ha.InStandby }) {
		t.Fatalf("a Secondary in Standby is taken for dead:\n%s", asJSON(dr1.status()))
	}

	// The Primary dies: the Secondary takes over, and is still dr1's Primary.
	core1.die()
	core2.await(ha.Active)
	f.expectServing("core2")
	dr1.awaits("core2 is Active", func(d nodeapi.Status) bool { return d.Peer.State == ha.Active && d.Phase == ha.InStandby })

	// The whole main site is gone: nothing happens by itself.
	core2.die()
	dr1.awaits("the failover process begins and stays", func(d nodeapi.Status) bool { return d.Phase == ha.InHeld })
	dr1.expectStay(ha.Standby, 2*time.Second)
	if said := dr1.say(0, "status"); !strings.Contains(said, "If the main site fails, a person brings this node online: failover mode primary.") {
		t.Errorf("status says\n%s", said)
	}

	// A person brings it online, and clients there.
	if said := dr1.say(0, "mode", "primary", "--reason", "the main site burns"); !strings.Contains(said, "dr1 is Active, epoch 3.") {
		t.Errorf("mode primary says %s", said)
	}
	await(t, "clients are sent to dr1", func() bool {
		_, code := tool(t, "switch", "mdm", "--to", "dr1", "--reason", "the main site burns", "--api", f.at.admin)
		return code == 0
	})
	f.expectServing("dr1")
	f.expectFrom("dr1", f.get())

	// The main site is back: it serves for itself, and no client goes there.
	core2.start()
	core2.await(ha.Active)
	f.expectFrom("dr1", f.get())
	dr1.expectStay(ha.Active, time.Second)
	if said := dr1.say(0, "mode", "primary"); !strings.Contains(said, "dr1 is Active") {
		t.Errorf("given again: %s", said)
	}

	// Back: the main site first, then clients, then dr1 stands by again.
	dr1.say(0, "mode", "secondary")
	dr1.await(ha.Standby)
	await(t, "clients are sent to core2", func() bool {
		_, code := tool(t, "switch", "mdm", "--to", "core2", "--reason", "the main site is back", "--api", f.at.admin)
		return code == 0
	})
	f.expectFrom("core2", f.get())
}

// TestStoryTheMainSiteReturnsWhileTheThirdNodeServes: nodes that know the node for
// disaster recovery do not go Active beside it, whichever of them is back first and
// whatever it was; a person decides.
func TestStoryTheMainSiteReturnsWhileTheThirdNodeServes(t *testing.T) {
	t.Parallel()
	core1, core2 := newMembers(t)
	dr1 := newMember(t, "dr1", "core2")
	dr1.upstream, dr1.peerPages = true, core2.pages
	for _, m := range []*member{core1, core2} {
		m.more += fmt.Sprintf("recovery: {name: dr1, status: %q}\n", "http://"+dr1.pages)
	}
	for _, m := range []*member{core1, core2, dr1} {
		m.start()
		m.say(0, hurry...)
	}
	core1.say(0, "ha", "enable", "--mode", "primary")
	core1.await(ha.Active)
	for range 3 { // core1's reign is far above what core2 and dr1 have served at
		core1.say(0, "mode", "secondary")
		core1.say(0, "mode", "primary", "--yes")
		core1.await(ha.Active)
	}
	reign := core1.status().Served
	core2.say(0, "ha", "enable", "--mode", "secondary")
	core2.awaits("it knows core1's reign", func(d nodeapi.Status) bool { return d.Seen == reign })
	dr1.say(0, "ha", "enable", "--mode", "secondary")
	dr1.awaits("it knows core1's reign", func(d nodeapi.Status) bool { return d.State == ha.Standby && d.Seen == reign })

	core1.die()
	core2.engine.kill()
	dr1.awaits("the failover process begins and stays", func(d nodeapi.Status) bool { return d.Phase == ha.InHeld })
	dr1.say(0, "mode", "primary", "--reason", "the main site burns")
	if d := dr1.await(ha.Active); d.Served <= reign {
		t.Fatalf("dr1 serves at epoch %d after %d", d.Served, reign)
	}

	// The stand-by is back first, and its Primary is down: somebody serves.
	core2.start()
	core2.awaits("it has seen dr1", func(d nodeapi.Status) bool { return d.State == ha.Standby && d.Seen > reign })
	core2.expectStay(ha.Standby, 4*time.Second)
	if said := core2.say(0, "status"); !strings.Contains(said, "dr1, for disaster recovery, was Active at epoch") {
		t.Errorf("status says nothing of dr1:\n%s", said)
	}
	// The Primary is back: it served before dr1 did.
	core1.start()
	core1.awaits("superseded", func(d nodeapi.Status) bool { return d.Phase == ha.OutSuperseded })
	core2.expectStay(ha.Standby, 2*time.Second)
	if core1.appRuns() || core2.appRuns() {
		t.Error("an application of the main site runs beside dr1's")
	}

	// A person takes it back; meanwhile nobody serves, and core2 must not think
	// that it is its turn.
	core2.say(0, "pause")
	dr1.say(0, "mode", "secondary")
	dr1.await(ha.Standby)
	core1.say(0, "mode", "primary", "--yes")
	if d := core1.await(ha.Active); d.Served <= dr1.status().Served {
		t.Errorf("core1 serves at epoch %d after dr1's %d", d.Served, dr1.status().Served)
	}
	core2.say(0, "unpause")
	core2.awaits("it stands by for core1", func(d nodeapi.Status) bool { return d.State == ha.Standby && d.Peer.State == ha.Active })
	core1.expectStay(ha.Active, 2*time.Second)

	// With the third node down the pair is as it was.
	dr1.engine.kill()
	core1.die()
	core2.await(ha.Active)
}

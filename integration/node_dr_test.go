//go:build linux

package integration

import (
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

//go:build linux

package integration

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/internal/remote"
)

// startTrusting runs a pair whose nodes trust one another; core1 is Active.
func startTrusting(t *testing.T) (core1, core2 *member) {
	t.Helper()
	core1, core2 = newMembers(t)
	for _, m := range []*member{core1, core2} {
		m.portal = loopback(freePort(t))
		m.more += fmt.Sprintf("portal: {listen: %q}\n", m.portal)
		m.start()
		m.say(0, hurry...)
	}
	core2.trusts("", core1.trusts("", "", "invite"), "add")
	core1.say(0, "ha", "enable", "--mode", "primary")
	core2.say(0, "ha", "enable", "--mode", "secondary")
	core1.await(ha.Active)
	core2.await(ha.Standby)
	return core1, core2
}

// trustedFront runs a front that both nodes trust.
func trustedFront(t *testing.T, core1, core2 *member, probe map[string]string) *front {
	t.Helper()
	key := filepath.Join(t.TempDir(), "front.key")
	flags := "--front-key " + key + " --name front1"
	for _, m := range []*member{core1, core2} {
		m.trusts(flags, m.trusts("", "", "invite", "--front"), "add")
	}
	return startFront(t, plan{
		nodes: []node{core1, core2}, app: []string{"peer_key " + key}, probe: probe,
		url:  map[string]string{"core1": "http://" + core1.door, "core2": "http://" + core2.door},
		peer: map[string]string{"core1": "https://" + core1.portal, "core2": "https://" + core2.portal},
	})
}

func (m *member) trust() string { return remote.Dir(filepath.Join(m.dir, "data")) }

// trusts runs a command of failover trusted-hosts; empty key: as the node.
func (m *member) trusts(key, in string, args ...string) string {
	m.t.Helper()
	line := append([]string{understudy, "failover", "trusted-hosts"}, args...)
	if key == "" {
		line = append(line, "--trust", m.trust())
	} else {
		line = append(line, strings.Fields(key)...)
	}
	s := speak(m.t, in, line...)
	if s.code != 0 {
		m.t.Fatalf("%s: %v: exit code %d\n%s%s", m.name, args, s.code, s.out, s.err)
	}
	return s.out
}

// TestStoryATrustedPeerStepsDownBeforeTheOtherServes is failover mode primary
// while both nodes live: the one that serves stops first.
func TestStoryATrustedPeerStepsDownBeforeTheOtherServes(t *testing.T) {
	t.Parallel()
	core1, core2 := startTrusting(t)
	if said := core2.say(0, "status"); !strings.Contains(said, "its engine can be asked") {
		t.Errorf("status:\n%s", said)
	}
	core1.say(0, "config", "set", "retry", "300ms") // set up differently (ha.md F38)
	said, _ := core2.try("preflight")
	for _, want := range []string{"core1 sees this node's status pages", "core1 can be asked", `Retry "200ms" here, "300ms" on core1`} {
		if !strings.Contains(said, want) {
			t.Errorf("preflight does not say %q:\n%s", want, said)
		}
	}
	both := make(chan int)
	ctx, stop := context.WithCancel(t.Context())
	go func() {
		n := 0
		for ctx.Err() == nil {
			if core1.serves() != "" && core2.serves() != "" {
				n++
			}
		}
		both <- n
	}()
	core2.say(0, "mode", "primary", "--yes", "--reason", "drill")
	core1.awaits("superseded", func(d nodeapi.Status) bool { return d.Phase == ha.OutSuperseded })
	stop()
	if n := <-both; n > 0 {
		t.Errorf("both served %d times", n)
	}
	all := historyOf(core1)
	var yielded bool
	for _, one := range all {
		yielded = yielded || one.To == ha.OutYielded
	}
	if !yielded || core1.appRuns() {
		t.Errorf("core1 did not step down: %s", asJSON(all))
	}
	if j := core1.journal(); !strings.Contains(j, "core2 asks to step down") {
		t.Errorf("the log of core1:\n%s", lastLines(j, 20))
	}
	core1.say(0, "mode", "secondary")
	core1.await(ha.Standby)
	core1.say(0, "mode", "primary", "--yes") // and back
	core2.awaits("superseded", func(d nodeapi.Status) bool { return d.Phase == ha.OutSuperseded })
}

// TestStoryAHeartbeatGoesBothWays: the peer's status pages cannot be reached, and
// its engine alone keeps the heartbeat good; then that hangs too.
func TestStoryAHeartbeatGoesBothWays(t *testing.T) {
	t.Parallel()
	core1, core2 := newMembers(t)
	core2.peerPages = loopback(freePort(t)) // nobody listens there
	for _, m := range []*member{core1, core2} {
		m.more += fmt.Sprintf("portal: {listen: %q}\n", loopback(freePort(t)))
		m.start()
		m.say(0, hurry...)
	}
	core2.trusts("", core1.trusts("", "", "invite"), "add")
	core1.say(0, "ha", "enable", "--mode", "primary")
	core1.await(ha.Active)
	core2.say(0, "ha", "enable", "--mode", "secondary")
	core2.awaits("sees the peer by its engine alone", func(d nodeapi.Status) bool { return d.State == ha.Standby && d.Peer.Heard && d.Peer.State == ha.Active })
	core2.expectStay(ha.Standby, 2*time.Second)
	core1.engine.signal(syscall.SIGSTOP)
	core2.await(ha.Active)
	core1.engine.signal(syscall.SIGCONT)
	core1.awaits("superseded", func(d nodeapi.Status) bool { return d.Phase == ha.OutSuperseded })
}

// TestStoryAnAdminSteersThePairFromElsewhere asks the whole API over mutual TLS.
func TestStoryAnAdminSteersThePairFromElsewhere(t *testing.T) {
	t.Parallel()
	core1, core2 := startTrusting(t)
	key := filepath.Join(t.TempDir(), "admin.key")
	flags := "--admin-key " + key + " --name ops"
	core1.trusts(flags, core1.trusts("", "", "invite", "--admin"), "add")
	core1.trusts(flags, core2.trusts("", "", "invite", "--admin"), "add")
	trust, err := remote.OpenAdmin(key, "ops")
	if err != nil {
		t.Fatal(err)
	}
	client := func(name string) *nodeapi.Client {
		h, err := trust.Hosts.Get(name)
		if err != nil {
			t.Fatal(err)
		}
		c := nodeapi.NewTLS(h.URL(), trust.TLS(h))
		t.Cleanup(c.Close)
		return c
	}
	c1, c2 := client("core1"), client("core2")
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	if s, err := c1.Status(ctx); err != nil || s.Name != "core1" || s.State != ha.Active {
		t.Fatalf("got %+v, %v", s, err)
	}
	var seen []ha.State
	asked := false
	if err := c2.Follow(ctx, func(s nodeapi.Status) {
		seen = append(seen, s.State)
		switch {
		case !asked:
			asked = true
			if _, err := c2.Role(ctx, "primary", "from elsewhere"); err != nil {
				t.Error(err)
			}
		case s.State == ha.Active:
			cancel()
		}
	}); err != nil || !asked || seen[len(seen)-1] != ha.Active {
		t.Errorf("followed to %v: %v", seen, err)
	}
	if j := core2.journal(); !strings.Contains(j, "admin ops says mode primary from elsewhere") {
		t.Errorf("the log of core2:\n%s", lastLines(j, 20))
	}
	core1.trusts("", "", "remove", "ops")
	var r *nodeapi.Refused
	if _, err := c1.Status(t.Context()); !errors.As(err, &r) || r.Code != 403 {
		t.Errorf("after it was removed: %v", err)
	}
}

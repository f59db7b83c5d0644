//go:build linux

package integration

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/internal/ha"
)

// everywhere waits until front, other load balancers, resolvers and both nodes
// tell the same of who serves and what either node is.
func everywhere(t *testing.T, f *front, s *sidecar, names string, serving string, core1, core2 *member) {
	t.Helper()
	expectOneTruth(t, f, core1, core2, serving)
	address := map[string]string{"core1": "192.0.2.10", "core2": "192.0.2.11"}[serving]
	var said string
	if !within(patience, func() bool {
		_, _, proxy := s.asks("/mdm/serving")
		said = fmt.Sprintf("other balancers are told %q, resolvers %q", proxy, dig(t, names, "mdm.example.com", "A"))
		return strings.TrimSpace(proxy) == serving && strings.HasSuffix(said, fmt.Sprintf("%q", address))
	}) {
		t.Fatalf("want %s everywhere: %s", serving, said)
	}
	var d nodeapi.Status
	for _, m := range []*member{core1, core2} {
		if m.client.Get(context.Background(), "status", &d) != nil {
			continue // it is down
		}
		if text := m.say(0, "status"); !strings.Contains(text, "State: "+d.State.String()) && !strings.Contains(text, "State: "+m.status().State.String()) {
			t.Errorf("%s: failover status and its API differ:\n%s", m.name, text)
		}
	}
}

// EPMM guide, Table 1, with a front, a sidecar that other balancers ask, and a
// name server; and Table 3, task 5.
func TestNodeTable1IsToldTheSameEverywhere(t *testing.T) {
	t.Parallel()
	core1, core2 := startTrusting(t)
	state, names := filepath.Join(tempDir(t), "state"), loopback(freePort(t))
	p := plan{
		nodes: []node{core1, core2}, state: state, names: map[string]string{"core1": "192.0.2.10", "core2": "192.0.2.11"},
		url: map[string]string{"core1": "http://" + core1.door, "core2": "http://" + core2.door},
	}
	f := startFront(t, p)
	s := newSidecar(t, p, fmt.Sprintf(
		"dns: {listen: [%q], rate: {exempt: [127.0.0.0/8]}, zones: [{name: example.com, file: example.com.zone, dynamic: [{name: mdm, group: mdm, ttl: 1s}]}]}", names))
	write(t, filepath.Join(filepath.Dir(s.file), "example.com.zone"), zoneText)
	s.start()

	// Primary server is up.
	everywhere(t, f, s, names, "core1", core1, core2)
	if log := core2.say(0, "log", "--module", "HighAvailability"); !strings.Contains(log, "heartbeat of core1 good") {
		t.Errorf("Table 3, task 5: the heartbeat is not in the log:\n%s", log)
	}

	// Primary server is down.
	core1.die()
	core2.await(ha.Active)
	everywhere(t, f, s, names, "core2", core1, core2)
	f.expectFrom("core2", f.get())

	// Primary server is up again: nothing swaps by itself, anywhere.
	core1.start()
	core1.awaits("superseded", func(d nodeapi.Status) bool { return d.Phase == ha.OutSuperseded })
	core2.expectStay(ha.Active, time.Second)
	everywhere(t, f, s, names, "core2", core1, core2)
	if said := core1.say(0, "status"); !strings.Contains(said, "core2 has served since. A person decides") {
		t.Errorf("status of the returned Primary:\n%s", said)
	}

	// The administrator syncs the Primary from the Secondary, then the roles swap.
	core1.say(0, "mode", "secondary")
	if said := core1.say(4, "sync", "core2"); !strings.Contains(said, "no dataset is configured") {
		t.Errorf("sync says %s", said)
	}
	core1.say(0, "failback")
	core1.await(ha.Active)
	core2.await(ha.Standby)
	await(t, "clients are brought back", func() bool {
		_, code := tool(t, "resume", "mdm", "--reason", "core1 is Active again", "--api", f.at.admin)
		return code == 0
	})
	everywhere(t, f, s, names, "core1", core1, core2)
	f.expectFrom("core1", f.get())
}

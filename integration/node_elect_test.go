//go:build linux

package integration

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/api"
	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/internal/ha"
)

// TestStoryAPausedStandbyDoesNothingByItself: paused, killed and started anew, it
// looks on while the Primary dies; a person ends that.
func TestStoryAPausedStandbyDoesNothingByItself(t *testing.T) {
	t.Parallel()
	core1, core2 := startMembers(t)
	f := frontOf(t, core1, core2)
	f.expectServing("core1")
	if said := core2.say(0, "pause"); !strings.Contains(said, "nothing happens by itself on this node until failover unpause") {
		t.Errorf("pause says %s", said)
	}
	core2.engine.kill() // a pause outlives the engine
	core2.start()
	if said := core2.say(0, "status"); !strings.Contains(strings.ToLower(said), "paused") {
		t.Errorf("status says nothing of the pause:\n%s", said)
	}
	core1.die()
	core2.awaits("the heartbeats fail", func(d nodeapi.Status) bool { return d.Misses >= 4 })
	core2.expectStay(ha.Standby, 3*time.Second)
	if core2.appRuns() || core2.serves() != "" {
		t.Error("a paused stand-by serves")
	}
	core2.say(0, "unpause")
	core2.await(ha.Active)
	f.expectServing("core2")
	f.expectFrom("core2", f.get())

	// The Primary that comes back paused does nothing by itself either, and still does what a person says.
	core1.start()
	core1.awaits("superseded", func(d nodeapi.Status) bool { return d.Phase == ha.OutSuperseded })
	core1.say(0, "pause")
	core1.say(0, "mode", "secondary")
	core1.await(ha.Standby)
	core1.say(0, "mode", "primary", "--yes")
	core1.await(ha.Active)
}

// sensors are agents that say to both portals which node they reach.
type sensors struct {
	t     *testing.T
	nodes []*member

	mu      sync.Mutex // guards the field below
	reaches []string
}

// newSensors starts n agents that are with core1.
func newSensors(t *testing.T, n int, nodes ...*member) *sensors {
	t.Helper()
	s := &sensors{t: t, nodes: nodes}
	for range n {
		s.reaches = append(s.reaches, "core1")
	}
	done := make(chan struct{})
	var all sync.WaitGroup
	t.Cleanup(func() { close(done); all.Wait() })
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // #nosec G402 -- a node's own certificate, of this test
	}}
	for i := range n {
		all.Go(func() {
			tick := time.NewTicker(300 * time.Millisecond)
			defer tick.Stop()
			for {
				for _, m := range nodes {
					if code := s.says(client, i, m); code != 0 && code != http.StatusOK {
						t.Errorf("%s answers an agent with %d", m.name, code)
					}
				}
				select {
				case <-done:
					return
				case <-tick.C:
				}
			}
		})
	}
	return s
}

// says has an agent tell a node; 0: nobody answered.
func (s *sensors) says(client *http.Client, i int, m *member) int {
	s.mu.Lock()
	where := s.reaches[i]
	s.mu.Unlock()
	req, err := http.NewRequest("PUT", fmt.Sprintf("https://%s/ha/v1/agents/sensor%d", m.portal, i), bytes.NewReader(fmt.Appendf(nil, `{"reaches":%q}`, where)))
	if err != nil {
		return -1
	}
	req.Header.Set("Authorization", "Bearer 0123456789abcdef0123456789abcdef")
	resp, err := client.Do(req)
	if err != nil {
		return 0
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// move has the first n agents be with core2 and the others with core1, and waits
// until the stand-by has heard so.
func (s *sensors) move(n int, hears *member) {
	s.t.Helper()
	s.mu.Lock()
	for i := range s.reaches {
		s.reaches[i] = map[bool]string{true: "core2", false: "core1"}[i < n]
	}
	all := len(s.reaches)
	s.mu.Unlock()
	hears.awaits("the agents are heard", func(d nodeapi.Status) bool {
		a := d.Agents
		return a != nil && a.Known == all && (hears.name == "core2" && a.Here == n && a.Peer == all-n || hears.name == "core1" && a.Here == all-n && a.Peer == n)
	})
}

// TestStoryAgentsElectTheSecondary is the Defender guide's failover process with
// ten agents over the API: half of them promote nobody, more than half do, and
// they bring the Primary back only once Resume says so.
func TestStoryAgentsElectTheSecondary(t *testing.T) {
	t.Parallel()
	tokens := filepath.Join(t.TempDir(), "tokens")
	write(t, tokens, "* 0123456789abcdef0123456789abcdef\n")
	core1, core2 := newMembers(t)
	for _, m := range []*member{core1, core2} {
		m.portal = loopback(freePort(t))
		m.more += fmt.Sprintf("portal: {listen: %q}\nagents: {token_file: %q}\n", m.portal, tokens)
		m.start()
		m.say(0, hurry...)
		m.say(0, "config", "set", "client-majority", "yes", "agent-interval", "1s", "client-majority-time", "2s")
	}
	core2.trusts("", core1.trusts("", "", "invite"), "add")
	core1.say(0, "ha", "enable", "--mode", "primary")
	core2.say(0, "ha", "enable", "--mode", "secondary")
	core1.await(ha.Active)
	core2.await(ha.Standby)
	f := startFront(t, plan{
		nodes: []node{core1, core2}, group: []string{"on_promoted epoch"},
		url: map[string]string{"core1": "http://" + core1.door, "core2": "http://" + core2.door},
	})
	s := newSensors(t, 10, core1, core2)

	s.move(5, core2) // exactly half
	core2.expectStay(ha.Standby, 6*time.Second)
	core1.expectStay(ha.Active, time.Second)
	f.expectServing("core1")

	s.move(6, core2)
	began := time.Now()
	core2.await(ha.Active)
	if took := time.Since(began); took < time.Second {
		t.Errorf("core2 was Active after %v, and the majority has to last 2 s", took)
	}
	core1.awaits("superseded", func(d nodeapi.Status) bool { return d.Phase == ha.OutSuperseded })
	if core1.appRuns() {
		t.Error("core1's application runs on")
	}
	f.expectServing("core2")
	f.expectFrom("core2", f.get())

	s.move(0, core2) // all of them are back with core1, and that is a person's business
	core2.expectStay(ha.Active, 5*time.Second)
	core1.expectStay(ha.NotAvailable, time.Second)

	core2.say(0, "config", "set", "resume", "client_majority")
	if said := core2.say(0, "status"); !strings.Contains(said, "When more than half are back with core1, it becomes Active again by itself") {
		t.Errorf("the Secondary's status says nothing of the way back:\n%s", said)
	}
	core1.say(0, "config", "set", "resume", "client_majority")
	core1.await(ha.Active)
	core2.awaits("superseded", func(d nodeapi.Status) bool { return d.Phase == ha.OutSuperseded })
	if core2.appRuns() {
		t.Error("core2's application runs on")
	}
	f.awaitNode("core2", api.NotAvailable) // a front goes back only when a person says so, whoever elected the node
	f.expectServing("core2")
	f.await("resume is granted", func(api.Group) bool {
		_, err := f.try("resume", api.Body{Reason: "the agents are back"})
		return err == nil
	})
	f.expectServing("core1")
	f.expectFrom("core1", f.get())
}

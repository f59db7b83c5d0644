//go:build linux

package integration

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
)

// found is what a preflight says of one item.
func (m *member) found(name string) nodeapi.Item {
	m.t.Helper()
	items, err := m.client.Preflight(context.Background())
	if err != nil {
		m.t.Fatal(err)
	}
	for _, i := range items {
		if i.Name == name {
			return i
		}
	}
	m.t.Fatalf("%s: no item %q in %+v", m.name, name, items)
	return nodeapi.Item{}
}

// expectFault waits until an item of the preflight has failed and says what to
// do, and until it fails the command.
func (m *member) expectFault(name string, wants ...string) {
	m.t.Helper()
	var got nodeapi.Item
	if !within(patience, func() bool { got = m.found(name); return got.Result == nodeapi.ItemFailed }) {
		m.t.Errorf("%s: %s is %+v, want a fault", m.name, name, got)
		return
	}
	for _, want := range wants {
		if !strings.Contains(got.Said, want) {
			m.t.Errorf("%s: %s says %q, want %q", m.name, name, got.Said, want)
		}
	}
	if said := m.say(10, "preflight"); !strings.Contains(said, got.Said[:20]) {
		m.t.Errorf("%s: preflight says\n%s", m.name, said)
	}
}

// expectTest runs Test Connection; empty want: it passes.
func (m *member) expectTest(want string) {
	m.t.Helper()
	var s spoken
	if !within(patience, func() bool {
		s = speak(m.t, "", understudy, "failover", "trusted-hosts", "test", "--trust", m.trust())
		return (s.code == 0) == (want == "")
	}) || s.code != map[bool]int{true: 0, false: 3}[want == ""] || !strings.Contains(s.out+s.err, want) || want != "" && strings.Count(s.err, "\n") != 4 {
		m.t.Errorf("%s: the test says %+v, want %q", m.name, s, want)
	}
}

// lateClock gives pages of a node whose clock is off by what is stored, and how
// to set that.
func lateClock(t *testing.T, pages string) (at string, set func(time.Duration)) {
	t.Helper()
	var off atomic.Int64
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: pages})
	proxy.ModifyResponse = func(r *http.Response) error {
		if by := time.Duration(off.Load()); by != 0 {
			r.Header.Set("Date", time.Now().Add(by).UTC().Format(http.TimeFormat))
		}
		return nil
	}
	s := httptest.NewServer(proxy)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String(), func(by time.Duration) { off.Store(int64(by)) }
}

// TestStoryWhatAPairLacksIsSaidWithWhatToDo breaks one thing after another
// between two engines; preflight, Test Connection and task 1 of the validation
// plan each name it.
func TestStoryWhatAPairLacksIsSaidWithWhatToDo(t *testing.T) {
	t.Parallel()
	core1, core2 := newMembers(t)
	seen, wrong := lateClock(t, core1.pages)
	core2.peerPages, core2.zone = seen, "Europe/Berlin"
	home, sshd := core1.reachable()
	core2.reachable()
	for _, m := range []*member{core1, core2} {
		m.start()
		m.say(0, "config", "set", "attempt-timeout", "2s")
	}
	if i := core2.found("trust"); i.Result != nodeapi.ItemUnknown || !strings.Contains(i.Said, "failover trusted-hosts invite") {
		t.Errorf("without trust: %+v", i)
	}
	core2.trusts("", core1.trusts("", "", "invite"), "add")
	for _, m := range []*member{core1, core2} {
		m.say(0, "ha", "enable", "--mode", map[string]string{"core1": "primary", "core2": "secondary"}[m.name])
		m.expectTest("")
		if i := m.found(nodeapi.TestConnection); i.Said != "Test was successful" {
			t.Errorf("%s: %+v", m.name, i)
		}
	}
	if said := core2.say(0, "validate", "1"); !strings.Contains(said, "Test was successful") {
		t.Errorf("validate 1 says %s", said)
	}

	core2.expectFault("time zone", "CET", "timedatectl set-timezone")

	wrong(-90 * time.Second)
	core2.expectFault("clock", "differ by 1m", "set up chrony or systemd-timesyncd")
	wrong(0)

	// Another key in the place of the trusted one: of SSH.
	newHostKey(t, home)
	sshd.kill()
	core2.expectTest("nothing listens at core1")
	core2.expectFault(nodeapi.TestConnection, "nothing listens at core1", "port")
	if said := core2.say(10, "validate", "1"); !strings.Contains(said, "1  failed") {
		t.Errorf("validate 1 says %s", said)
	}
	startSSHD(t, home, portOf(t, core1.more))
	core2.expectTest("shows another host key than the one that is trusted")
	core2.expectFault(nodeapi.TestConnection, "failover deploy-ssh-key")
	speak(t, "", understudy, "failover", "deploy-ssh-key", "core1", "--trust", core2.trust())
	core2.expectTest("")

	// The peer is down.
	core1.engine.kill()
	core2.expectTest("core1")
	core2.expectFault("port of the peer", "the status pages of core1", "start its engine")
	core2.expectFault("trust", "core1")

	// Another one answers in its place, with a TLS key of its own.
	stranger, _ := newMembers(t)
	stranger.pages, stranger.peerPages = core1.pages, core2.pages
	stranger.more = core1.more
	stranger.start()
	core2.expectTest("is trusted")
	core2.expectFault("trust", "is trusted")
	stranger.engine.kill()
	core1.start()
	core2.expectTest("")

	// core1 looks for its peer at a wrong port.
	core1.engine.kill()
	core1.peerPages = loopback(freePort(t))
	core1.start()
	core1.expectFault("port of the peer", "connection refused", "status.listen")
	core2.expectFault("port of this node, from the peer", "core1 does not see this node's status pages", "peer.status in its node.yaml")
}

// portOf gives the port of the sshd in lines of node.yaml.
func portOf(t *testing.T, lines string) (port int) {
	t.Helper()
	_, rest, _ := strings.Cut(lines, "ssh: {port: ")
	for _, c := range rest {
		if c < '0' || c > '9' {
			return port
		}
		port = 10*port + int(c-'0')
	}
	return port
}

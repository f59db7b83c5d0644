//go:build linux

package integration

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/understudy-ha/understudy/internal/api"
	"github.com/understudy-ha/understudy/internal/ha"
)

const zoneText = `$TTL 300
@ IN SOA ns1 hostmaster 1 3600 900 604800 60
@ IN NS ns1
ns1 IN A 192.0.2.53
www IN CNAME mdm
`

// startNames runs a sidecar that is also a name server, and gives its address.
func startNames(t *testing.T) (s *sidecar, core1, core2 *child, at string) {
	t.Helper()
	core1, core2 = pair(t)
	at = loopback(freePort(t))
	s = newSidecar(t, plan{nodes: []node{core1, core2}, names: map[string]string{"core1": "192.0.2.10", "core2": "192.0.2.11"}}, fmt.Sprintf(
		"dns: {listen: [%q], rate: {exempt: [127.0.0.0/8]}, zones: [{name: example.com, file: example.com.zone, dynamic: [{name: mdm, group: mdm, ttl: 60s, ttl_ramp: 1s}]}]}", at))
	write(t, filepath.Join(filepath.Dir(s.file), "example.com.zone"), zoneText)
	s.start()
	s.expectServing("core1")
	return s, core1, core2, at
}

// dig gives what dig prints of an answer, in short.
func dig(t *testing.T, at string, question ...string) string {
	t.Helper()
	host, port, _ := strings.Cut(at, ":")
	args := append([]string{"+short", "+time=2", "+tries=2", "@" + host, "-p", port}, question...)
	out, _ := exec.Command("dig", args...).CombinedOutput()
	return strings.TrimSpace(string(out))
}

func TestANameFollowsTheDecisionAndNothingElse(t *testing.T) {
	t.Parallel()
	s, core1, core2, at := startNames(t)
	answers := func(want string) {
		t.Helper()
		await(t, "mdm.example.com is "+want, func() bool { return dig(t, at, "mdm.example.com", "A") == want })
	}
	answers("192.0.2.10")
	if got := dig(t, at, "www.example.com"); got != "mdm.example.com.\n192.0.2.10" {
		t.Errorf("a static name that leads to it: %q", got)
	}
	core1.Kill()
	s.expectServing("core2")
	answers("192.0.2.11")
	core2.Set(ha.Active)
	core1.Start()
	s.awaitNode("core1", "active")
	answers("192.0.2.11") // the old Primary gets nothing

	s.kill() // as a power cut would
	s.start()
	answers("192.0.2.11")
}

func TestAZoneThatBreaksOnReloadChangesNothing(t *testing.T) {
	t.Parallel()
	s, _, _, at := startNames(t)
	zone := filepath.Join(filepath.Dir(s.file), "example.com.zone")
	write(t, zone, zoneText+"mail IN A nonsense\n")
	s.signal(syscall.SIGHUP)
	await(t, "the fault is told with its line", func() bool { return strings.Contains(s.log.String(), "example.com.zone:6: ") })
	if got := dig(t, at, "mdm.example.com"); got != "192.0.2.10" {
		t.Errorf("after a refused reload: %q", got)
	}
	write(t, zone, zoneText+"mail IN A 192.0.2.25\n")
	s.signal(syscall.SIGHUP)
	await(t, "the new zone answers", func() bool { return dig(t, at, "mail.example.com") == "192.0.2.25" })
}

func TestAPlannedMoveWaitsUntilResolversHaveTheLowTTL(t *testing.T) {
	t.Parallel()
	s, core1, core2, at := startNames(t)
	core1.Kill()
	s.expectServing("core2")
	core1.Start()
	core2.Kill() // the stand-by is the only one that is left: a switch to it is allowed
	s.awaitNode("core2", "not_available")
	s.awaitNode("core1", "active")
	await(t, "a planned move says that it waits for resolvers", func() bool {
		out, err := exec.Command(understudy, "resume", "mdm", "--reason", "back", "--api", s.at.admin).CombinedOutput()
		return err != nil && strings.Contains(string(out), "the TTL of its names has just been lowered")
	})
	host, port, _ := strings.Cut(at, ":")
	text, _ := exec.Command("dig", "+noall", "+answer", "@"+host, "-p", port, "mdm.example.com").CombinedOutput()
	if fields := strings.Fields(string(text)); len(fields) != 5 || fields[1] != "1" || fields[4] != "192.0.2.11" {
		t.Errorf("while the move waits: %s", text)
	}
	if said, _ := tool(t, "status", "--api", s.at.admin); !strings.Contains(said, "lowered for a planned move that may be asked for from") {
		t.Errorf("status does not tell of the planned move:\n%s", said)
	}
	if out, err := exec.Command(understudy, "resume", "mdm", "--force", "--reason", "now", "--api", s.at.admin).CombinedOutput(); err != nil {
		t.Fatalf("a forced move: %v, %s", err, out)
	}
	s.expectServing("core1")
}

// Who has moved traffic wants to know when clients have followed.
func TestStatusSaysWhenEveryResolverHasMoved(t *testing.T) {
	t.Parallel()
	s, core1, _, _ := startNames(t)
	if r := s.group().Resolvers; r == nil || !slices.Equal(r.Answers, []string{"core1"}) || r.TTLS != 60 || !r.Settled.IsZero() {
		t.Errorf("before any move: %+v", r)
	}
	core1.Kill()
	g := s.expectServing("core2")
	g = s.await("the new answer", func(g api.Group) bool { return slices.Equal(g.Resolvers.Answers, []string{"core2"}) })
	if got := g.Resolvers.Settled.Sub(g.Since); got < 60*time.Second || got > 65*time.Second {
		t.Errorf("settled %s after the move, the TTL is 60 s", got)
	}
	if said, _ := tool(t, "status", "mdm", "--api", s.at.admin); !strings.Contains(said, "names: answer core2, TTL 60 s; a resolver may have the old answer until ") {
		t.Errorf("status:\n%s", said)
	}
	s.kill()
	s.start()
	if got := s.await("it knows who serves", func(g api.Group) bool { return g.Serving == "core2" }).Resolvers.Settled.Sub(g.Since); got < 60*time.Second || got > 65*time.Second {
		t.Errorf("after a restart: settled %s after the move", got)
	}
}

func TestStatusShowsPools(t *testing.T) {
	t.Parallel()
	s1, s2 := local(t, "s1", ha.Active), local(t, "s2", ha.Active)
	core1, core2 := localPair(t)
	at := loopback(freePort(t))
	s := newSidecar(t, plan{nodes: []node{core1, core2}}, fmt.Sprintf(
		"dns: {listen: [%q], zones: [{name: example.com, file: example.com.zone, dynamic: [{name: sentry, group: sentry, ttl: 5s}]}]}", at))
	write(t, filepath.Join(filepath.Dir(s.file), "example.com.zone"), strings.ReplaceAll(zoneText, "CNAME mdm", "CNAME sentry"))
	write(t, s.file, strings.Replace(read(t, s.file), "groups: {", fmt.Sprintf(`groups: {sentry: {kind: pool, policy: active_active, probe: {interval: 200ms, fast_interval: 50ms, timeout: 1s}, nodes: [
  {name: s1, url: %q, addresses: [192.0.2.30]}, {name: s2, url: %q, addresses: [192.0.2.31]}]}, `, s1.URL(), s2.URL()), 1))
	s.start()
	expect := func(code int, want ...string) {
		t.Helper()
		said, got := "", 0
		if !within(patience, func() bool {
			said, got = tool(t, "status", "sentry", "--api", s.at.admin)
			return got == 0 && !slices.ContainsFunc(want, func(w string) bool { return !strings.Contains(said, w) })
		}) {
			t.Fatalf("exit %d, want all of %q in\n%s", got, want, said)
		}
		if said, got := tool(t, "status", "sentry", "--check", "--api", s.at.admin); got != code {
			t.Errorf("--check: exit %d, want %d: %s", got, code, said)
		}
	}
	expect(0, "sentry   pool, active_active: clients get s1, s2\n", "s1  Active", "answered")
	s2.Kill()
	expect(0, "clients get s1\n", "s2  NotAvailable  connection refused", "down since ")
	s1.Kill()
	expect(4, "clients get s1, s2\n", "No node of the pool is available")
	if said, _ := tool(t, "status", "--api", s.at.admin); !strings.Contains(said, "mdm   traffic → core1") || !strings.Contains(said, "sentry   pool") {
		t.Errorf("status of all:\n%s", said)
	}
	if said, code := tool(t, "status", "nobody", "--api", s.at.admin); code != 1 || !strings.Contains(said, "mdm") {
		t.Errorf("exit %d: %s", code, said)
	}
}

// Process after process takes the place of the one before, under queries all
// the time.
func TestTheNextProcessTakesTheNameServerOverAndNoQueryIsLost(t *testing.T) {
	t.Parallel()
	times := 3
	if soak() {
		times = 60
	}
	s, core1, _, at := startNames(t)
	core1.Kill()
	s.expectServing("core2")
	await(t, "the name server follows", func() bool { return dig(t, at, "mdm.example.com") == "192.0.2.11" })
	asked, lost := asking(t, at, "192.0.2.11")
	now := s.front
	for i := range times {
		next := *now
		next.log = new(output)
		cmd := exec.Command(understudy, "sidecar", "--config", s.file, "--replace")
		cmd.Stdout, cmd.Stderr = next.log, next.log
		next.process = run(t, cmd)
		if code := now.end(t); code != 0 {
			t.Fatalf("replace %d: the old process ended with %d:\n%s", i, code, now.log.tail(10))
		}
		await(t, "the new process answers its API", func() bool {
			if !next.up() {
				t.Fatalf("replace %d: the new process ended:\n%s", i, next.log.tail(10))
			}
			g, err := next.api.Group(context.Background(), "mdm")
			return err == nil && g.Serving == "core2" && strings.Contains(next.log.String(), "the sidecar watches")
		})
		before := asked.Load()
		await(t, "it answers queries", func() bool { return asked.Load() > before+20 })
		if n := lost.Load(); n > 0 {
			t.Fatalf("replace %d: %d of %d queries were lost, or answered otherwise:\n%s", i, n, asked.Load(), next.log.tail(10))
		}
		now = &next
	}
	t.Logf("%d replaces, %d queries, none lost", times, asked.Load())
}

// asking asks for mdm.example.com all the time and counts, until the test ends.
func asking(t *testing.T, at, want string) (asked, lost *atomic.Int64) {
	asked, lost = new(atomic.Int64), new(atomic.Int64)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	client := &dns.Client{Timeout: 5 * time.Second}
	query := new(dns.Msg).SetQuestion("mdm.example.com.", dns.TypeA)
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			reply, _, err := client.Exchange(query, at)
			if asked.Add(1); err != nil || len(reply.Answer) != 1 || reply.Answer[0].(*dns.A).A.String() != want {
				lost.Add(1)
				if ctx.Err() == nil {
					t.Logf("query %d: %v, %v", asked.Load(), err, reply)
				}
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-ended })
	await(t, "queries are answered", func() bool { return asked.Load() > 20 })
	return asked, lost
}

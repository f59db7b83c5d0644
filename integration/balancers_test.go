//go:build linux

package integration

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/api"
	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/internal/hatest"
)

// Real load balancers with the very configurations of docs/howto carry traffic
// over a pair, by what a sidecar tells them.

// example gives the nth block of a kind of a page of docs/howto, with texts
// replaced; each of them has to be there.
func example(t *testing.T, page, kind string, n int, replace ...string) string {
	t.Helper()
	text := read(t, filepath.Join("..", "docs", "howto", page))
	blocks := regexp.MustCompile("(?ms)^```"+kind+"\n(.*?)^```$").FindAllStringSubmatch(text, -1)
	if len(blocks) <= n {
		t.Fatalf("%s has %d blocks of kind %s", page, len(blocks), kind)
	}
	block := blocks[n][1]
	for i := 0; i < len(replace); i += 2 {
		if !strings.Contains(block, replace[i]) {
			t.Fatalf("%s: %q is not in\n%s", page, replace[i], block)
		}
		block = strings.ReplaceAll(block, replace[i], replace[i+1])
	}
	return block
}

// balancer is a load balancer with its clients' side.
type balancer struct {
	*process
	t     *testing.T
	site  string
	log   *output
	again func() // runs it once more
}

// program gives the path of a program that the stories need.
func program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		path = "/usr/sbin/" + name
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%s is not installed; tools/deps.sh --for test installs it", name)
	}
	return path
}

func hostOf(n node) string { return strings.TrimPrefix(n.URL(), "http://") }

// startHAProxy runs HAProxy by the nth example, with further texts replaced.
func startHAProxy(t *testing.T, s *sidecar, n int, more ...string) *balancer {
	t.Helper()
	b := &balancer{t: t, site: loopback(freePort(t)), log: new(output)}
	_, proxyPort, _ := net.SplitHostPort(s.proxy)
	_, agentPort, _ := net.SplitHostPort(s.agent)
	port := []string{"agent-port 8781", "agent-port " + agentPort, "port 8780", "port " + proxyPort}[2*n : 2*n+2]
	config := example(t, "haproxy.md", "haproxy", n, append(append(port, more...), "bind :443", "bind "+b.site,
		"192.0.2.10:443", hostOf(s.plan.nodes[0]), "192.0.2.11:443", hostOf(s.plan.nodes[1]), "mode tcp", "mode http")...)
	file := filepath.Join(tempDir(t), "haproxy.cfg")
	write(t, file, config)
	haproxy := program(t, "haproxy")
	if out, err := exec.Command(haproxy, "-c", "-f", file).CombinedOutput(); err != nil || strings.Contains(string(out), "WARNING") {
		t.Fatalf("haproxy -c: %v\n%s\n%s", err, out, config)
	}
	b.again = func() {
		cmd := exec.Command(haproxy, "-db", "-f", file)
		cmd.Stdout, cmd.Stderr = b.log, b.log
		b.process = run(t, cmd)
	}
	b.again()
	b.reportAtEnd()
	return b
}

func (b *balancer) reportAtEnd() {
	b.t.Cleanup(func() {
		if b.t.Failed() {
			b.t.Logf("the load balancer said:\n%s", b.log.tail(20))
		}
	})
}

// asks gives the node that answers a client, or what went wrong.
func (b *balancer) asks() string {
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + b.site + "/")
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	if resp.StatusCode != http.StatusOK {
		return resp.Status
	}
	return resp.Header.Get(hatest.NodeHeader)
}

// expect waits until clients get to a node.
func (b *balancer) expect(name string) {
	b.t.Helper()
	last := ""
	if !within(patience, func() bool { last = b.asks(); return last == name }) {
		b.t.Fatalf("clients get %q, want %s", last, name)
	}
}

// expectOnly checks for a while that clients get to a node and to no other.
func (b *balancer) expectOnly(name string, stale node, d time.Duration) {
	b.t.Helper()
	before := 0
	if stale != nil {
		before = stale.Hits()
	}
	for end := time.Now().Add(d); time.Now().Before(end); elapse(20 * time.Millisecond) {
		if got := b.asks(); got != name {
			b.t.Fatalf("a client got %q, want %s", got, name)
		}
	}
	if stale != nil && stale.Hits() != before {
		b.t.Errorf("%s got %d requests", stale.Name(), stale.Hits()-before)
	}
}

// wholeStory is the life of a pair behind a load balancer.
func wholeStory(t *testing.T, s *sidecar, b *balancer, core1, core2 *child) {
	t.Helper()
	b.expect("core1")

	// The Primary dies while nobody stands by: traffic stays.
	core2.Set(ha.NotAvailable)
	s.awaitNode("core2", api.NotAvailable)
	core1.Kill()
	s.expectRow(row{13, api.Wait, ha.NoStandby, "", "alarm"})
	before := core2.Hits()
	elapse(1500 * time.Millisecond) // longer than the load balancer takes to hear of it
	b.asks()
	if n := core2.Hits() - before; n > 0 {
		t.Errorf("core2 got %d requests though it did not stand by", n)
	}

	// It stands by: traffic moves.
	core2.Set(ha.Standby)
	s.expectServing("core2")
	begun := time.Now()
	b.expect("core2")
	t.Logf("clients got to core2 %s after the decision", time.Since(begun).Round(time.Millisecond))
	elapse(300 * time.Millisecond) // for 100 ms after a reload nginx's old processes take connections too

	// The Primary is back with old data: traffic stays.
	core2.Set(ha.Active)
	core1.Start()
	s.expectRow(row{1, api.Stay, ha.DualActive, "core1", "alarm"})
	b.expectOnly("core2", core1, 2*time.Second)

	// The sidecar dies and comes back: traffic stays.
	s.kill()
	s.start()
	s.expectRow(row{1, api.Stay, ha.DualActive, "core1", "alarm"})
	b.expectOnly("core2", core1, 2*time.Second)

	// The roles are swapped, under a hold nothing moves, and a person resumes.
	core2.Set(ha.Standby)
	s.await("resume would be granted", func(api.Group) bool { _, err := s.try("resume", api.Body{DryRun: true}); return err == nil })
	s.wish("hold", api.Body{})
	s.expectRefusal("resume", api.Body{}, ha.Held)
	b.expectOnly("core2", core1, time.Second)
	s.wish("release", api.Body{})
	s.wish("resume", api.Body{Reason: "core1 synced"})
	b.expect("core1")
	elapse(300 * time.Millisecond)
	b.expectOnly("core1", core2, 2*time.Second)
}

func TestHAProxyObeysTheRuleByAgentCheck(t *testing.T) {
	t.Parallel()
	core1, core2 := pair(t)
	s := startSidecar(t, plan{nodes: []node{core1, core2}})
	wholeStory(t, s, startHAProxy(t, s, 0), core1, core2)
}

func TestHAProxyObeysTheRuleByHTTPCheck(t *testing.T) {
	t.Parallel()
	core1, core2 := pair(t)
	s := startSidecar(t, plan{nodes: []node{core1, core2}})
	wholeStory(t, s, startHAProxy(t, s, 1), core1, core2)
}

func TestNginxObeysTheRuleByAFile(t *testing.T) {
	t.Parallel()
	core1, core2 := pair(t)
	s, b := withNginx(t, core1, core2)
	wholeStory(t, s, b, core1, core2)
}

// Under a hold the sidecar's answers, and so the load balancer, stay as they
// are, whatever happens to the nodes.
func TestUnderAHoldHAProxyStaysWhereItIs(t *testing.T) {
	t.Parallel()
	core1, core2 := pair(t)
	s := startSidecar(t, plan{nodes: []node{core1, core2}})
	b := startHAProxy(t, s, 0)
	b.expect("core1")
	s.wish("hold", api.Body{Reason: "upgrade"})
	core1.Kill()
	s.expectRow(row{5, api.Wait, ha.Held, "", "alarm"})
	elapse(2 * time.Second)
	before := core2.Hits()
	b.asks()
	if core2.Hits() != before {
		t.Error("core2 got a request under a hold")
	}
	core1.Start() // the upgrade is over
	b.expect("core1")
}

// HAProxy goes on with the same node when its agent check is taken by nobody,
// or by a process that does not answer. The times are short here and a minute
// in a soak; nothing depends on them.
func TestHAProxyOutlivesTheSidecar(t *testing.T) {
	t.Parallel()
	core1, core2 := pair(t)
	s := startSidecar(t, plan{nodes: []node{core1, core2}})
	b := startHAProxy(t, s, 0)
	b.expect("core1")
	core1.Kill()
	b.expect("core2")
	core2.Set(ha.Active)
	core1.Start()
	s.signal(syscall.SIGSTOP)
	b.expectOnly("core2", core1, time.Duration(rounds(6, 60))*time.Second)
	s.signal(syscall.SIGCONT)
	b.expectOnly("core2", core1, 2*time.Second)
	s.kill()
	b.expectOnly("core2", core1, time.Duration(rounds(4, 60))*time.Second)
	s.start()
	s.expectRow(row{1, api.Stay, ha.DualActive, "core1", "alarm"})
	b.expectOnly("core2", core1, 3*time.Second)
}

// What the how-to says of a restart of HAProxy while no sidecar answers: with
// the saved state it goes on with the same node, without it begins anew.
func TestHAProxyKeepsTheNodeOverItsOwnRestartIfItsStateIsSaved(t *testing.T) {
	t.Parallel()
	core1, core2 := pair(t)
	s := startSidecar(t, plan{nodes: []node{core1, core2}})
	dir := tempDir(t)
	admin, state := filepath.Join(dir, "admin.sock"), filepath.Join(dir, "state")
	write(t, state, "1\n") // nothing was saved yet
	b := startHAProxy(t, s, 0,
		"maxconn 4000", "maxconn 4000\n\tstats socket "+admin+" mode 600 level admin\n\tserver-state-file "+state,
		"retries 2", "retries 2\n\tload-server-state-from-file global")
	b.expect("core1")
	core1.Kill()
	b.expect("core2")
	core2.Set(ha.Active)
	core1.Start()
	s.kill()
	c, err := net.Dial("unix", admin)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(c, "show servers state\n")
	saved, err := io.ReadAll(c)
	_ = c.Close()
	if err != nil || len(saved) == 0 {
		t.Fatalf("the state: %v", err)
	}
	write(t, state, string(saved))
	b.kill()
	b.again()
	await(t, "it answers", func() bool { return !strings.Contains(b.asks(), "refused") })
	b.expectOnly("core2", core1, 2*time.Second)
	write(t, state, "1\n")
	b.kill()
	b.again()
	b.expect("core1") // as the how-to warns
}

// withNginx gives a sidecar that renders for nginx, and nginx.
func withNginx(t *testing.T, core1, core2 *child) (*sidecar, *balancer) {
	t.Helper()
	nginx := program(t, "nginx")
	dir := tempDir(t)
	chmod(t, dir, 0o755)
	b := &balancer{t: t, site: loopback(freePort(t)), log: new(output)}
	upstream, config := filepath.Join(dir, "understudy.conf"), filepath.Join(dir, "nginx.conf")
	write(t, filepath.Join(dir, "upstream.tmpl"), example(t, "nginx.md", "template", 0))
	_, port, _ := net.SplitHostPort(b.site)
	module := "" // Debian has the stream module apart
	if _, err := os.Stat("/usr/lib/nginx/modules/ngx_stream_module.so"); err == nil {
		module = "load_module /usr/lib/nginx/modules/ngx_stream_module.so;\n"
	}
	write(t, config, module+fmt.Sprintf("pid %s/pid;\nerror_log stderr;\nworker_processes 1;\n", dir)+
		example(t, "nginx.md", "nginx", 0, "/etc/nginx/understudy.conf", upstream, "listen 443", "listen 127.0.0.1:"+port))
	file := "files: [{template: " + filepath.Join(dir, "upstream.tmpl") + ", to: " + upstream + ", then: [" + nginx + ", -p, " + dir + ", -c, " + config + ", -s, reload]}]"
	s := startSidecar(t, plan{nodes: []node{core1, core2}}, file)
	await(t, "the file is written", func() bool { _, err := os.Stat(upstream); return err == nil })
	cmd := exec.Command(nginx, "-p", dir, "-c", config, "-g", "daemon off;")
	cmd.Stdout, cmd.Stderr = b.log, b.log
	cmd.WaitDelay = patience // a worker may hold the pipe a little longer
	b.process = run(t, cmd)
	b.reportAtEnd()
	t.Cleanup(func() { // a master that is killed leaves its workers
		b.signal(syscall.SIGTERM)
		within(patience, func() bool { return !b.up() })
	})
	return s, b
}

func TestNginxOutlivesTheSidecarAndABrokenConfiguration(t *testing.T) {
	t.Parallel()
	core1, core2 := pair(t)
	s, b := withNginx(t, core1, core2)
	b.expect("core1")
	config := b.cmd.Args[4]
	was := read(t, config)
	write(t, config, was+"nonsense;\n") // nginx -s reload fails, nginx goes on with what it has
	core1.Kill()
	s.expectServing("core2")
	await(t, "the failure is told with nginx's words", func() bool {
		return strings.Contains(s.log.String(), "a load balancer is not told") && strings.Contains(s.log.String(), "nonsense")
	})
	s.kill() // with the command still owed
	write(t, config, was)
	s.start()
	b.expect("core2")
	s.kill()
	elapse(300 * time.Millisecond)
	b.expectOnly("core2", nil, time.Second)
}

func TestKeepalivedLoadsTheExampleAndItsScriptFollows(t *testing.T) {
	t.Parallel()
	core1, core2 := pair(t)
	s := startSidecar(t, plan{nodes: []node{core1, core2}})
	dir := tempDir(t)
	script, err := filepath.Abs("../packaging/keepalived/keepalived-check")
	if err != nil {
		t.Fatal(err)
	}
	ask := func(node string, sidecars ...string) int {
		t.Helper()
		cmd := exec.Command(script, append([]string{"mdm", node}, sidecars...)...)
		cmd.Env = append(os.Environ(), "UNDERSTUDY_RUN="+dir)
		return run(t, cmd).end(t)
	}
	dead := loopback(freePort(t))
	if got := ask("core1", dead); got != 1 {
		t.Errorf("before any answer: exit code %d, want 1", got)
	}
	for node, want := range map[string]int{"core1": 0, "core2": 1} {
		if got := ask(node, dead, s.proxy); got != want {
			t.Errorf("%s: exit code %d, want %d", node, got, want)
		}
	}
	core1.Kill()
	s.expectServing("core2")
	for node, want := range map[string]int{"core1": 1, "core2": 0} {
		if got := ask(node, s.proxy); got != want {
			t.Errorf("%s after the failover: exit code %d, want %d", node, got, want)
		}
		s.kill()
		if got := ask(node, s.proxy); got != want {
			t.Errorf("%s without a sidecar: exit code %d, want %d as before", node, got, want)
		}
		s.start()
		s.expectAnswers("core2")
	}

	file := filepath.Join(dir, "keepalived.conf")
	write(t, file, example(t, "keepalived.md", "keepalived", 0, "/usr/local/lib/understudy/keepalived-check", script, "eth0", device(t)))
	if os.Geteuid() != 0 {
		t.Log("only root lets keepalived look at its configuration")
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if out, err := exec.CommandContext(ctx, program(t, "keepalived"), "--config-test", "--use-file="+file).CombinedOutput(); err != nil {
		t.Errorf("keepalived --config-test: %v\n%s", err, out)
	}
}

// device gives the name of a network device that is no loopback.
func device(t *testing.T) string {
	t.Helper()
	all, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range all {
		if i.Flags&net.FlagLoopback == 0 && i.Flags&net.FlagMulticast != 0 {
			return i.Name
		}
	}
	t.Skip("this machine has no network device but the loopback, which keepalived refuses")
	return ""
}

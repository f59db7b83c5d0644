//go:build linux

package integration

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/understudy-ha/understudy/internal/api"
	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/internal/register"
)

// sidecar is a running understudy that watches for others. What a story asks of
// a group it asks by the same methods as of a front.
type sidecar struct {
	*front
	proxy, agent string   // where load balancers ask
	more         []string // further lines of its configuration
	env          []string
}

// newSidecar prepares a sidecar over a plan's nodes without starting it.
func newSidecar(t *testing.T, p plan, more ...string) *sidecar {
	t.Helper()
	dir := tempDir(t)
	f := &front{t: t, plan: p, file: filepath.Join(dir, "sidecar.yaml"), log: new(output)}
	f.at = places{admin: filepath.Join(dir, "api.sock"), state: p.state}
	if f.at.state == "" {
		f.at.state = filepath.Join(dir, "state")
	}
	var err error
	if f.api, err = api.NewClient(f.at.admin, ""); err != nil {
		t.Fatal(err)
	}
	s := &sidecar{front: f, proxy: loopback(freePort(t)), agent: loopback(freePort(t)), more: more}
	s.configure()
	t.Cleanup(func() {
		if _, race, found := strings.Cut(f.log.String(), "WARNING: DATA RACE"); found {
			t.Errorf("the sidecar has a data race:%.12000s", race)
		}
		if t.Failed() {
			t.Logf("the end of the sidecar's log:\n%s", f.log.tail(25))
		}
	})
	return s
}

// startSidecar runs a sidecar and waits until it knows who serves.
func startSidecar(t *testing.T, p plan, more ...string) *sidecar {
	t.Helper()
	s := newSidecar(t, p, more...)
	s.start()
	s.await("a node serves", func(g api.Group) bool { return g.Serving != "" })
	return s
}

// configure writes the sidecar's configuration.
func (s *sidecar) configure() {
	s.t.Helper()
	var nodes, probe []string
	for _, n := range s.plan.nodes {
		url := n.URL()
		if traffic := s.plan.url[n.Name()]; traffic != "" {
			url = traffic
		}
		nodes = append(nodes, fmt.Sprintf("{name: %s, url: %q, probe_url: %q, manual: %t, addresses: [%s]}",
			n.Name(), url, n.URL(), slices.Contains(s.plan.manual, n.Name()), s.plan.names[n.Name()]))
	}
	settings := maps.Clone(quick)
	maps.Copy(settings, s.plan.probe)
	for _, key := range slices.Sorted(maps.Keys(settings)) {
		probe = append(probe, key+": "+settings[key])
	}
	write(s.t, s.file, fmt.Sprintf(`state_dir: %s
groups: {mdm: {nodes: [%s], probe: {%s}}}
probe_proxy: {listen: [%q], agent: [%q], max_age: %s}
api: {socket: %s}
%s
`, s.at.state, strings.Join(nodes, ", "), strings.Join(probe, ", "), s.proxy, s.agent, s.maxAge(), s.at.admin, strings.Join(s.more, "\n")))
}

// maxAge is how old a reading may be before the proxy gives up.
func (s *sidecar) maxAge() string {
	if age := s.plan.probe["timeout"]; age == "20s" {
		return "1s" // the story of the starved watcher
	}
	return "10s"
}

// start runs the process and waits until it answers.
func (s *sidecar) start() {
	s.t.Helper()
	s.launch()
	await(s.t, "the sidecar tells of its group", func() bool {
		if !s.up() {
			s.t.Fatalf("the sidecar ended:\n%s", s.log.tail(10))
		}
		_, err := s.api.Group(context.Background(), "mdm")
		return err == nil
	})
}

// launch runs the process.
func (s *sidecar) launch() {
	s.t.Helper()
	cmd := s.inside.command(understudy, "sidecar", "--config", s.file)
	cmd.Env = append(os.Environ(), s.env...)
	cmd.Stdout, cmd.Stderr = s.log, s.log
	s.process = run(s.t, cmd)
}

// asks gives what the proxy answers about a path: the status, the reason and
// the body, or that nobody answered.
func (s *sidecar) asks(path string) (status int, reason, body string) {
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + s.proxy + path)
	if err != nil {
		return 0, "", err.Error()
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header.Get("X-Understudy-Reason"), string(text)
}

// agentSays gives what HAProxy's agent check is told about a node.
func (s *sidecar) agentSays(node string) string {
	s.t.Helper()
	c, err := net.DialTimeout("tcp", s.agent, time.Second)
	if err != nil {
		return ""
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	_, _ = io.WriteString(c, "mdm/"+node+"\n")
	said, _ := io.ReadAll(c)
	return strings.TrimSpace(string(said))
}

// expectAnswers waits until load balancers are told that traffic belongs on a
// node, and on no other.
func (s *sidecar) expectAnswers(serving string) {
	s.t.Helper()
	await(s.t, "load balancers are told "+serving, func() bool {
		for _, n := range s.plan.nodes {
			status, _, _ := s.asks("/mdm/" + n.Name())
			if (status == http.StatusOK) != (n.Name() == serving) {
				return false
			}
		}
		return true
	})
	if status, _, body := s.asks("/mdm/serving"); status != http.StatusOK || strings.TrimSpace(body) != serving {
		s.t.Errorf("serving is answered %d %q, want %s", status, body, serving)
	}
	for _, n := range s.plan.nodes {
		want := "ready down"
		if n.Name() == serving {
			want = "ready up"
		}
		if got := s.agentSays(n.Name()); got != want && got != "drain" {
			s.t.Errorf("the agent check of %s is told %q, want %q", n.Name(), got, want)
		}
	}
}

func TestTheProxyAnswersByTheDecision(t *testing.T) {
	t.Parallel()
	core1, core2 := localPair(t)
	s := startSidecar(t, plan{nodes: []node{core1, core2}})
	s.expectAnswers("core1")
	core2.Set(ha.NotAvailable)
	s.awaitNode("core2", api.NotAvailable)
	core1.Kill()
	s.expectRow(row{13, api.Wait, ha.NoStandby, "", "alarm"})
	s.expectAnswers("core1") // the rule keeps traffic there
	core2.Set(ha.Standby)
	s.expectServing("core2")
	s.expectAnswers("core2")
	core2.Set(ha.Active)
	core1.Start()
	s.expectRow(row{1, api.Stay, ha.DualActive, "core1", "alarm"})
	s.expectAnswers("core2")
	core2.Set(ha.Standby)
	s.await("resume is granted", func(api.Group) bool { _, err := s.try("resume", api.Body{}); return err == nil })
	s.expectAnswers("core1")
	if status, _, body := s.asks("/sentry/core1"); status != http.StatusNotFound || !strings.Contains(body, "mdm") {
		t.Errorf("an unknown group is answered %d %q, want 404 and the groups there are", status, body)
	}
}

func TestASidecarKilledWhileFailedOverComesBackWithTheSameAnswer(t *testing.T) {
	t.Parallel()
	core1, core2 := pair(t)
	s := startSidecar(t, plan{nodes: []node{core1, core2}})
	core1.Kill()
	s.expectServing("core2")
	s.kill()
	core2.Set(ha.Active)
	core1.Start() // a stale Primary
	s.launch()
	await(t, "load balancers are answered", func() bool { status, _, _ := s.asks("/mdm/core2"); return status == http.StatusOK })
	if status, _, _ := s.asks("/mdm/core1"); status != http.StatusServiceUnavailable {
		t.Errorf("the stale Primary is answered %d", status)
	}
	s.expectRow(row{1, api.Stay, ha.DualActive, "core1", "alarm"})
	s.expectAnswers("core2")
}

func TestAHoldLeavesTheAnswersAsTheyAre(t *testing.T) {
	t.Parallel()
	core1, core2 := localPair(t)
	s := startSidecar(t, plan{nodes: []node{core1, core2}})
	s.awaitNode("core2", api.Standby)
	s.wish("hold", api.Body{Reason: "upgrade"})
	core1.Kill()
	s.expectRow(row{5, api.Wait, ha.Held, "", "alarm"})
	s.expectAnswers("core1")
	if _, reason, body := s.asks("/mdm/core1"); reason != string(ha.Held) || !strings.Contains(body, "hold") {
		t.Errorf("the answer does not say that it is held: %q, %q", reason, body)
	}
	s.wish("release", api.Body{})
	s.expectServing("core2")
	s.expectAnswers("core2")
}

// The two decide by one register; which of them is the faster does not matter.
func TestFrontAndSidecarAgree(t *testing.T) {
	t.Parallel()
	core1, core2 := pair(t)
	state := filepath.Join(tempDir(t), "shared")
	nodes := []node{core1, core2}
	f := startFront(t, plan{nodes: nodes, state: state})
	s := startSidecar(t, plan{nodes: nodes, state: state, probe: blind})
	events := s.follow()
	core1.Kill()
	f.expectServing("core2")
	m := events.await(t, func(g api.Group) bool { return g.Serving == "core2" })
	lags := []time.Duration{m.At.Sub(m.Changed.At)}
	s.expectAnswers("core2")
	for i := range 10 {
		verb := []string{"hold", "release"}[i%2]
		o := f.wish(verb, api.Body{})
		m := events.await(t, func(g api.Group) bool { return g.Epoch == o.Change.Epoch })
		lags = append(lags, m.At.Sub(m.Changed.At))
	}
	slices.Sort(lags)
	t.Logf("the sidecar followed the front after: median %s, longest %s", lags[len(lags)/2], lags[len(lags)-1])
	if median := lags[len(lags)/2]; median > 50*time.Millisecond {
		t.Errorf("the median is %s, want at most 50 ms", median)
	}
	if longest := lags[len(lags)-1]; longest > 500*time.Millisecond { // other tests are busy beside it
		t.Errorf("the longest is %s", longest)
	}
	core2.Set(ha.Standby)
	core1.Start()
	s.awaitNode("core1", api.Active)
	s.await("resume is granted", func(api.Group) bool { _, err := s.try("resume", api.Body{Force: true}); return err == nil })
	f.expectServing("core1")
	f.expectAllTo("core1")
}

// Somebody who holds the lock, or was stopped with it, must not move or lose
// anything; and what was decided is stored as soon as that is over.
func TestARegisterThatAnotherProcessHasLockedDelaysAndLosesNothing(t *testing.T) {
	t.Parallel()
	core1, core2 := localPair(t)
	s := startSidecar(t, plan{nodes: []node{core1, core2}})
	s.awaitNode("core2", api.Standby)
	lock, err := os.OpenFile(filepath.Join(s.at.state, "mdm.lock"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	core1.Kill()
	s.await("that it cannot be stored alarms", func(g api.Group) bool { return g.Decision.Reason == ha.NotStored && len(g.Alarms) > 0 })
	s.expectAnswers("core1")
	if !strings.Contains(s.log.String(), "somebody else holds the lock") {
		t.Error("the log does not say why")
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_UN); err != nil {
		t.Fatal(err)
	}
	s.expectServing("core2")
	s.expectAnswers("core2")
}

func TestAnswersThatAreTooOldAreNo(t *testing.T) {
	t.Parallel()
	core1, core2 := pair(t)
	s := startSidecar(t, plan{nodes: []node{core1, core2}, probe: map[string]string{"timeout": "20s"}})
	s.expectAnswers("core1")
	core1.Stop() // every probe waits for its timeout
	core2.Stop()
	await(t, "load balancers are told no", func() bool {
		status, reason, _ := s.asks("/mdm/core1")
		return status == http.StatusServiceUnavailable && reason == "stale"
	})
	if said := s.agentSays("core1"); said != "" {
		t.Errorf("the agent check is told %q, want nothing", said)
	}
	await(t, "it is told", func() bool { return strings.Contains(s.log.String(), `"reason":"stale"`) })
	core1.Continue()
	core2.Continue()
	s.expectAnswers("core1")
}

// A machine that sleeps, or a debugger: everything is old when it goes on.
func TestASidecarThatWasStoppedGoesOnWithTheSameNode(t *testing.T) {
	t.Parallel()
	core1, core2 := pair(t)
	s := startSidecar(t, plan{nodes: []node{core1, core2}})
	core1.Kill()
	s.expectServing("core2")
	s.signal(syscall.SIGSTOP)
	core2.Set(ha.Active)
	core1.Start()
	elapse(12 * time.Second) // more than max_age
	s.signal(syscall.SIGCONT)
	s.expectRow(row{1, api.Stay, ha.DualActive, "core1", "alarm"})
	s.expectAnswers("core2")
	if h := causes(s.history()); len(h) != 2 {
		t.Errorf("the history is %q", h)
	}
}

func TestTheServiceManagerIsTold(t *testing.T) {
	t.Parallel()
	core1, core2 := localPair(t)
	s := newSidecar(t, plan{nodes: []node{core1, core2}})
	at := filepath.Join(filepath.Dir(s.file), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: at, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s.env = []string{"NOTIFY_SOCKET=" + at, "WATCHDOG_USEC=400000"}
	s.start()
	expect := func(want string) {
		t.Helper()
		buf := make([]byte, 4096)
		_ = l.SetReadDeadline(time.Now().Add(patience))
		for {
			n, err := l.Read(buf)
			if err != nil {
				t.Fatalf("%s: %v", want, err)
			}
			if strings.Contains(string(buf[:n]), want) {
				return
			}
		}
	}
	expect("READY=1")
	expect("WATCHDOG=1")
	expect("WATCHDOG=1")
	s.signal(syscall.SIGHUP)
	expect("RELOADING=1\nMONOTONIC_USEC=")
	expect("READY=1")
	write(t, s.file, "groups: {}\n")
	s.signal(syscall.SIGHUP)
	expect("the old one is in force")
	s.expectAnswers("core1")
	s.signal(syscall.SIGTERM)
	expect("STOPPING=1")
	if code := s.end(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if _, err := os.Stat(s.at.admin); !os.IsNotExist(err) {
		t.Errorf("the socket is still there: %v", err)
	}
}

func TestAReloadTakesTheProxyAlong(t *testing.T) {
	t.Parallel()
	core1, core2 := localPair(t)
	s := startSidecar(t, plan{nodes: []node{core1, core2}})
	s.expectAnswers("core1")
	old := s.proxy
	s.proxy = loopback(freePort(t))
	s.configure()
	s.signal(syscall.SIGHUP)
	s.expectAnswers("core1")
	await(t, "the old listener is closed", func() bool {
		c, err := net.DialTimeout("tcp", old, time.Second)
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
	s.plan.probe = map[string]string{"fall": "5"}
	s.configure()
	s.signal(syscall.SIGHUP)
	s.await("the new number is in force", func(g api.Group) bool { return g.Rules.Fall == 5 })
	core1.Kill()
	s.expectServing("core2")
	s.expectAnswers("core2")
}

func TestASidecarTellsByWebhook(t *testing.T) {
	t.Parallel()
	core1, core2 := localPair(t)
	h := newHook(t, "hush hush")
	secret := filepath.Join(tempDir(t), "secret")
	write(t, secret, "hush hush\n")
	s := startSidecar(t, plan{nodes: []node{core1, core2}}, fmt.Sprintf("notify: {webhook: {url: %q, secret_file: %q}}", h.server.URL+"/hook", secret))
	s.awaitNode("core2", api.Standby)
	core1.Kill()
	h.expect(ha.FailedOver)
	core2.Set(ha.Active)
	core1.Start()
	h.expect(ha.DualActive)
	if strings.Contains(s.log.String(), "hush") {
		t.Error("the log has the secret")
	}
}

// What a sidecar stores a front reads: there is one form.
func TestTheRegisterOfASidecarIsTheFronts(t *testing.T) {
	t.Parallel()
	core1, core2 := localPair(t)
	s := startSidecar(t, plan{nodes: []node{core1, core2}})
	r, err := register.OpenDir(s.at.state)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got, err := r.Load(t.Context(), "mdm")
	if err != nil || got.Serving != "core1" || got.Epoch != 1 {
		t.Errorf("stored is %+v, %v", got, err)
	}
}

func TestTheFiguresOfASidecarCanBeScraped(t *testing.T) {
	t.Parallel()
	core1, core2 := localPair(t)
	s := startSidecar(t, plan{nodes: []node{core1, core2}})
	s.expectAnswers("core1")
	text := s.admin("/understudy/metrics")
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	for name, least := range map[string]float64{
		"understudy_serving": 1, "understudy_probes_total": 2, "understudy_proxy_answers_total": 3, "understudy_proxy_agent_total": 2,
		"understudy_config_last_reload_successful": 1, "understudy_watcher_stale": 0, "understudy_proxy_stale_groups": 0, "understudy_epoch": 1,
	} {
		f, total := families[name], 0.0
		for _, m := range f.GetMetric() {
			total += m.GetCounter().GetValue() + m.GetGauge().GetValue() + m.GetUntyped().GetValue()
		}
		if f == nil || total < least {
			t.Errorf("%s is %g, want at least %g", name, total, least)
		}
		if strings.Count(text, "# TYPE "+name+" ") > 1 {
			t.Errorf("%s has its type twice", name)
		}
	}
}

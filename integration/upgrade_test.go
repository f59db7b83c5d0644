//go:build linux

package integration

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/api"
	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/upgrade"
)

// A copy of the test binary is also the package manager of the sample
// application: "release upgrade DIR PORT NAME VERSION" takes UPGRADE_TAKES and
// restarts the application if it runs.
func init() {
	if len(os.Args) > 4 && os.Args[1] == "release" {
		if err := release(os.Args[2], os.Args[3:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
}

// takes is how long the package manager works on an upgrade.
const takes = 400 * time.Millisecond

func release(do string, args []string) error {
	dir, version := args[0], args[len(args)-1]
	at := filepath.Join(dir, "version")
	if why, err := os.ReadFile(filepath.Join(dir, "broken-"+do)); err == nil {
		return errors.New(string(why))
	}
	switch do {
	case "download":
		return os.WriteFile(filepath.Join(dir, "download-"+version), nil, 0o600)
	case "upgrade":
		if _, err := os.Stat(filepath.Join(dir, "download-"+version)); err != nil {
			return err
		}
		_, err := os.Stat(filepath.Join(dir, "app.pid"))
		runs := err == nil
		if runs {
			if err := sample("stop", args[:1]); err != nil {
				return err
			}
		}
		elapse(takes)
		if err := os.WriteFile(at, []byte(version), 0o600); err != nil {
			return err
		}
		if runs {
			return sample("start", args[:3])
		}
		return nil
	}
	text, err := os.ReadFile(at)
	if err == nil && string(text) != version {
		err = fmt.Errorf("it is %s", text)
	}
	return err
}

// site is everything that an upgrade touches.
type site struct {
	t            *testing.T
	core1, core2 *member
	front        *front
	sidecar      *sidecar
	dns          string // the name server's address
	haproxy      string // the runtime socket
	dir          string
	yaml         string // upgrade.yaml
	to           string // the version
	data         string // the line of upgrade.yaml about syncs
	agents       map[string]string
	nodes        map[string]string // what upgrade.yaml says of a node that has no agent
	trust        bool              // the nodes trust one another
}

// startSite runs a pair at version 1.0 with a front, a sidecar that is also a
// name server, and HAProxy.
func startSite(t *testing.T, kind string, more ...string) *site {
	t.Helper()
	s := newSite(t)
	s.begin()
	s.configure(kind, more...)
	return s
}

// startCopyingSite is startSite without upgrade.yaml: its nodes trust one another
// and their files are replicated.
func startCopyingSite(t *testing.T) *site {
	t.Helper()
	s := newSite(t)
	s.trust, s.data = true, "data_sync: true"
	for _, m := range []*member{s.core1, s.core2} {
		m.copies(t)
		m.put(map[string]string{"node.conf": m.name, "devices/0": "zero"})
	}
	s.begin()
	return s
}

// newSite prepares a pair at version 1.0.
func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, dir: tempDir(t), to: "2.0", data: "data_sync: false"}
	s.core1, s.core2 = newMembers(t)
	s.agents = map[string]string{"core1": filepath.Join(s.core1.dir, "node.sock"), "core2": filepath.Join(s.core2.dir, "node.sock")}
	self := must(os.Executable())
	for _, m := range []*member{s.core1, s.core2} {
		for _, do := range []string{"download", "upgrade", "validate"} {
			m.lists += fmt.Sprintf("  %s: [%q, release, %s, %q, \"%d\", %s, \"${VERSION}\"]\n", do, self, do, m.dir, m.app, m.name)
		}
		m.lists += fmt.Sprintf("  version: [cat, %q]\n  count: [sh, -c, \"find $0 -type f | wc -l\", %q]\n", filepath.Join(m.dir, "version"), filepath.Join(m.tree(), "devices"))
		write(t, filepath.Join(m.dir, "version"), "1.0")
		m.put(map[string]string{"devices/0": "zero"})
	}
	return s
}

// begin starts all of it; core1 is Active.
func (s *site) begin() {
	t := s.t
	t.Helper()
	for _, m := range []*member{s.core1, s.core2} {
		m.start()
		m.say(0, hurry...)
	}
	if s.trust {
		s.core2.trusts("", s.core1.trusts("", "", "invite"), "add")
	}
	s.core1.say(0, "ha", "enable", "--mode", "primary")
	s.core2.say(0, "ha", "enable", "--mode", "secondary")
	s.core1.await(ha.Active)
	s.core2.await(ha.Standby)

	p := plan{
		nodes: []node{s.core1, s.core2}, url: map[string]string{"core1": "http://" + s.core1.door, "core2": "http://" + s.core2.door},
		names: map[string]string{"core1": "192.0.2.10", "core2": "192.0.2.11"}, site: []string{"queue_timeout 30s"},
	}
	s.front = startFront(t, p)
	s.dns = loopback(freePort(t))
	s.sidecar = newSidecar(t, p, fmt.Sprintf(
		"dns: {listen: [%q], zones: [{name: example.com, file: example.com.zone, dynamic: [{name: mdm, group: mdm, ttl: 5s}]}]}", s.dns))
	write(t, filepath.Join(filepath.Dir(s.sidecar.file), "example.com.zone"), zoneText)
	s.sidecar.start()
	s.sidecar.expectServing("core1")
	s.startBalancer()
}

// startBalancer runs an HAProxy that checks the pages itself: what is held by
// its runtime socket.
func (s *site) startBalancer() {
	s.t.Helper()
	haproxy := program(s.t, "haproxy")
	s.haproxy = filepath.Join(s.dir, "admin.sock")
	_, page1, _ := net.SplitHostPort(s.core1.pages)
	_, page2, _ := net.SplitHostPort(s.core2.pages)
	file := filepath.Join(s.dir, "haproxy.cfg")
	write(s.t, file, fmt.Sprintf(`global
    stats socket %s mode 600 level admin
defaults
    mode tcp
    timeout connect 2s
    timeout client 10s
    timeout server 10s
frontend in
    bind %s
    default_backend mdm
backend mdm
    option httpchk GET /status/status.html
    server core1 %s check port %s inter 200ms fall 2 rise 1
    server core2 %s check port %s inter 200ms fall 2 rise 1 backup
`, s.haproxy, loopback(freePort(s.t)), s.core1.door, page1, s.core2.door, page2))
	cmd := exec.Command(haproxy, "-db", "-f", file)
	log := new(output)
	cmd.Stdout, cmd.Stderr = log, log
	run(s.t, cmd)
	await(s.t, "HAProxy answers on its runtime socket", func() bool {
		return strings.Contains(s.runtime("show stat"), "core1,0,0,0,0,") && strings.Contains(s.runtime("show servers state mdm"), " 2 0 1 1 ")
	})
}

// runtime asks HAProxy's runtime socket.
func (s *site) runtime(command string) string {
	conn, err := net.Dial("unix", s.haproxy)
	if err != nil {
		return ""
	}
	defer conn.Close()
	_, _ = fmt.Fprintln(conn, command)
	text := new(strings.Builder)
	buf := make([]byte, 4096)
	for {
		n, err := conn.Read(buf)
		text.Write(buf[:n])
		if err != nil {
			return text.String()
		}
	}
}

// configure writes upgrade.yaml.
func (s *site) configure(kind string, more ...string) {
	s.t.Helper()
	s.yaml = filepath.Join(s.dir, "upgrade.yaml")
	node := func(name string) string {
		if said := s.nodes[name]; said != "" {
			return said
		}
		return "{agent: " + s.agents[name] + "}"
	}
	text := fmt.Sprintf(`kind: %s
group: mdm
state_dir: runs
nodes:
  core1: %s
  core2: %s
routers:
  front: {api: %s}
  sidecar: {api: %s}
%s
`, kind, node("core1"), node("core2"), s.front.at.admin, s.sidecar.at.admin, s.data)
	if kind != "switchover" {
		text += fmt.Sprintf("to: %q\n", s.to)
		text = strings.Replace(text, s.data, fmt.Sprintf("  lb: {haproxy: %s, backend: mdm}\n%s", s.haproxy, s.data), 1)
	}
	if more := strings.Join(more, "\n"); strings.Contains(more, "timeouts: ") {
		text += more
	} else {
		text += "timeouts: {step: 20s, upgrade: 20s, download: 20s, validate: 20s}\n" + more
	}
	write(s.t, s.yaml, text+"\n")
}

// runs is where the runs are kept.
func (s *site) runs() string { return filepath.Join(s.dir, "runs") }

// plan makes a plan and gives its file and what was said.
func (s *site) plan(verb string) (file, said string) {
	s.t.Helper()
	file = filepath.Join(s.dir, "plan.json")
	said, code := tool(s.t, verb, "plan", "--config", s.yaml, "-o", file)
	if code != 0 {
		s.t.Fatalf("%s plan: exit code %d:\n%s", verb, code, said)
	}
	return file, said
}

// upgrade runs a command of a run and gives what it said and its exit code.
func (s *site) upgrade(args ...string) (string, int) {
	s.t.Helper()
	if args[0] != "apply" && args[0] != "plan" && args[0] != "fetch" {
		args = append(args, "--state-dir", s.runs())
	}
	return tool(s.t, append([]string{"upgrade"}, args...)...)
}

// must is upgrade with a known exit code.
func (s *site) must(code int, args ...string) string {
	s.t.Helper()
	said, got := s.upgrade(args...)
	if got != code {
		report, _ := s.upgrade("report")
		s.t.Fatalf("upgrade %s: exit code %d, want %d:\n%s\n%s", strings.Join(args, " "), got, code, said, report)
	}
	return said
}

// journal gives the entries of the newest run.
func (s *site) journal() []upgrade.Entry {
	s.t.Helper()
	r, err := upgrade.Store{Dir: s.runs()}.Last()
	if err != nil || r == nil {
		return nil
	}
	return r.All
}

// expectWhole checks that the pair is whole again at a version, and nothing held.
func (s *site) expectWhole(version, serving string) {
	s.t.Helper()
	for _, m := range []*member{s.core1, s.core2} {
		run, err := m.client.Run(context.Background())
		if err != nil || run.Release.Value != version || run.Lock != nil {
			s.t.Errorf("%s: version %q, lock %v, %v", m.name, run.Release.Value, run.Lock, err)
		}
		if d := m.status(); !d.Enabled || d.Paused {
			s.t.Errorf("%s: enabled %v, paused %v", m.name, d.Enabled, d.Paused)
		}
	}
	for _, f := range []*front{s.front, s.sidecar.front} {
		g := f.await("armed again", func(g api.Group) bool { return g.Armed && g.Hold == nil })
		if g.Serving != serving {
			s.t.Errorf("%s serves, want %s", g.Serving, serving)
		}
	}
	if text := s.runtime("show servers state mdm"); !strings.Contains(text, "core1") || strings.Count(text, " 6 ") == 0 {
		s.t.Errorf("HAProxy's health checks are not at work: %s", text)
	}
}

// heldEverywhere says whether all routers stand still.
func (s *site) heldEverywhere() bool {
	for _, f := range []*front{s.front, s.sidecar.front} {
		if g := f.group(); g.Hold == nil {
			return false
		}
	}
	return true
}

// TestStoryADocumentedUpgradeOfARealPair walks the guide's nine steps with two
// nodes, a front, a sidecar with a name server, and HAProxy held by its socket.
func TestStoryADocumentedUpgradeOfARealPair(t *testing.T) {
	t.Parallel()
	s := startSite(t, "documented")
	file, said := s.plan("upgrade")
	for _, want := range []string{"1.0 to 2.0", "DisableHAOnSecondary", "guide 9", "NO WAY BACK", "how long is not known before a first run", "pass  hold-supported"} {
		if !strings.Contains(said, want) {
			t.Errorf("the plan does not say %q:\n%s", want, said)
		}
	}
	l := s.front.pour(5*time.Millisecond, "/", plainGet)
	l.awaitAnswers(t, 20, "core1")
	began := time.Now()
	said = s.must(12, "apply", file)
	if !strings.Contains(said, "The outage begins") || !s.heldEverywhere() {
		t.Errorf("at the gate: held %v:\n%s", s.heldEverywhere(), said)
	}
	for _, a := range l.taken() {
		if a.err != nil || a.status != 200 || a.node != "core1" {
			t.Fatalf("before the announced outage a request went wrong: %v", a)
		}
	}
	if dig := dig(t, s.dns, "mdm.example.com"); dig != "192.0.2.10" {
		t.Errorf("the name is %q", dig)
	}
	s.must(0, "approve", "--reason", "the window is open")
	whole := time.Since(began)
	l.awaitAnswers(t, 20, "core1")
	answers := l.end()
	s.expectWhole("2.0", "core1")
	report := s.must(0, "report")
	for _, want := range []string{"succeeded", "core1 version", "as expected", "the window is open", "UpgradePrimary/Upgrade (guide 5)"} {
		if !strings.Contains(report, want) {
			t.Errorf("the report does not say %q:\n%s", want, report)
		}
	}
	for at, log := range map[string]*output{"front": s.front.log, "sidecar": s.sidecar.log} {
		if called := log.tail(3, "a person is needed"); strings.Contains(called, `"reason":"held"`) {
			t.Errorf("the %s called somebody for the announced outage:\n%s", at, called)
		}
	}
	last := lastOutage(t, s)
	t.Logf("the whole run took %v; by the node's word the outage was %v, clients had no answer for %v", whole.Round(time.Millisecond), last, gap(answers).Round(time.Millisecond))
	t.Logf("its own overhead: %v", s.overhead().Round(time.Millisecond))
	s.secondRun()
}

// secondRun upgrades once more after a rehearsal: a plan to the version that is
// there is refused, and the outage is the announced one.
func (s *site) secondRun() {
	s.t.Helper()
	file, said := s.plan("upgrade")
	if !strings.Contains(said, "fail  target-newer") {
		s.t.Errorf("a plan to the version that is there: %s", said)
	}
	if said = s.must(10, "apply", file); !strings.Contains(said, "2.0 is there already") {
		s.t.Errorf("apply says\n%s", said)
	}
	s.to = "3.0"
	s.configure("documented", "gates: []")
	file, said = s.plan("upgrade")
	if !strings.Contains(said, "as in 1 earlier runs") {
		s.t.Errorf("the plan after a rehearsal does not tell the outage:\n%s", said)
	}
	announced := lastOutage(s.t, s)
	s.must(12, "apply", file)
	s.must(0, "approve", "--reason", "again")
	s.expectWhole("3.0", "core1")
	was := lastOutage(s.t, s)
	s.t.Logf("after one rehearsal: announced %v, was %v", announced, was)
	if off := (was - announced).Abs(); off > 2*time.Second && off > announced/5 && exact() {
		s.t.Errorf("the outage was announced as %v and was %v", announced, was)
	}
}

// lastOutage gives what the last run measured.
func lastOutage(t *testing.T, s *site) time.Duration {
	t.Helper()
	r, err := upgrade.Store{Dir: s.runs()}.Last()
	if err != nil {
		t.Fatal(err)
	}
	return time.Duration(r.Report(false).OutageMS) * time.Millisecond
}

// overhead is what the newest run took beyond its commands' own times, as the
// nodes have noted them, and the person's.
func (s *site) overhead() time.Duration {
	s.t.Helper()
	all := s.journal()
	total := all[len(all)-1].At.Sub(all[0].At)
	var waited time.Time
	for _, e := range all {
		switch e.What {
		case upgrade.Waits:
			waited = e.At
		case upgrade.Approves:
			total -= e.At.Sub(waited)
		}
	}
	for _, m := range []*member{s.core1, s.core2} {
		run, err := m.client.Run(context.Background())
		if err != nil {
			s.t.Fatal(err)
		}
		for _, j := range run.Jobs {
			if j.Run == all[0].Fact("run") {
				total -= j.Ended.Sub(j.Began)
			}
		}
	}
	return total
}

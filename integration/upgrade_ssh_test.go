//go:build linux

package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/upgrade"
)

// appliance is a member that a run reaches only as it reaches an appliance: by
// ssh, and by its status pages.
type appliance struct {
	*member
	home string // of sshd: keys, and the programs that the run calls
	port int
	sshd *process
	said *output
}

// newAppliance gives a member an sshd, and the folder that the run's ssh works by.
func newAppliance(t *testing.T, m *member) *appliance {
	t.Helper()
	home, me := strictHome(t)
	a := &appliance{member: m, home: home, port: freePort(t)}
	if err := os.Mkdir(filepath.Join(home, ".ssh"), 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(home, "id")).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v: %s", err, out)
	}
	write(t, filepath.Join(home, ".ssh/authorized_keys"), read(t, filepath.Join(home, "id.pub")))
	newHostKey(t, home)
	write(t, filepath.Join(home, "known_hosts"), fmt.Sprintf("[127.0.0.1]:%d %s", a.port, read(t, filepath.Join(home, "host.pub"))))
	write(t, filepath.Join(home, "ssh_config"), fmt.Sprintf(`Host core2.example.com
  HostName 127.0.0.1
  Port %d
  User %s
  IdentityFile %s/id
  IdentitiesOnly yes
  UserKnownHostsFile %[3]s/known_hosts
  GlobalKnownHostsFile /dev/null
`, a.port, me.Username, home))
	a.listen()
	a.does("high_availability", `case "$(`+understudy+` failover --socket `+m.dir+`/node.sock status --json | tr -d ' \n')" in *'"high_availability":true'*) echo Enable;; *) echo Disable;; esac`)
	return a
}

// listen starts the sshd. Its sessions find nothing that the shell of whoever
// runs the test reads first.
func (a *appliance) listen() {
	a.t.Helper()
	a.sshd, a.said = startSSHD(a.t, a.home, a.port, "SetEnv HOME="+a.home)
}

// does writes a program that the run may call there.
func (a *appliance) does(name, script string) {
	a.t.Helper()
	file := filepath.Join(a.home, name)
	write(a.t, file, "#!/bin/sh\n"+script+"\n")
	if err := os.Chmod(file, 0o700); err != nil { // #nosec G302 -- a program
		a.t.Fatal(err)
	}
}

// yaml gives the node's lines of upgrade.yaml.
func (a *appliance) yaml() string {
	failover := func(words ...string) string {
		return fmt.Sprintf("[%q, failover, --socket, %q, %s]", understudy, filepath.Join(a.dir, "node.sock"), strings.Join(words, ", "))
	}
	release := func(do string) string {
		return fmt.Sprintf("[%q, release, %s, %q, \"%d\", core2, \"${VERSION}\"]", must(os.Executable()), do, a.dir, a.app)
	}
	does := func(name string) string { return fmt.Sprintf("[%q]", filepath.Join(a.home, name)) }
	b := new(strings.Builder)
	fmt.Fprintf(b, "\n    ssh: core2.example.com\n    ssh_config: %s\n    pages: http://%s\n    commands:\n", filepath.Join(a.home, "ssh_config"), a.pages)
	for _, c := range [][2]string{
		{"version", fmt.Sprintf("[cat, %q]", filepath.Join(a.dir, "version"))},
		{"count", fmt.Sprintf("[sh, -c, \"'find %s -type f | wc -l'\"]", filepath.Join(a.tree(), "devices"))},
		{"disk_free", fmt.Sprintf("[df, -P, %q]", a.dir)},
		{"high_availability", does("high_availability")},
		{"primary", failover("mode", "primary")}, {"secondary", failover("mode", "secondary")},
		{"enable", failover("ha", "enable", "--mode", "secondary")}, {"disable", failover("ha", "disable")},
		{"download", does("download")}, {"upgrade", does("upgrade")}, {"validate", does("validate")},
		{"connection_test", fmt.Sprintf("[%q, probe, http://%s]", understudy, a.peerPages)},
	} {
		fmt.Fprintf(b, "      %s: %s\n", c[0], c[1])
	}
	for _, do := range []string{"download", "upgrade", "validate"} {
		line := strings.NewReplacer("[", "", "]", "", ",", "", "\"${VERSION}\"", "2.0").Replace(release(do))
		a.does(do, "echo "+do+" >>"+filepath.Join(a.home, "calls")+"\nexec "+line+" >>"+filepath.Join(a.home, "log")+" 2>&1") // it outlives its connection
	}
	return b.String()
}

// called says how often the run has had a program started.
func (a *appliance) called(name string) int {
	text, _ := os.ReadFile(filepath.Join(a.home, "calls"))
	return strings.Count(string(text), name+"\n")
}

// sessions gives the processes that serve connections of the sshd.
func (a *appliance) sessions() (ids []int) {
	pid := a.sshd.cmd.Process.Pid
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", pid))
	for _, word := range strings.Fields(string(text)) {
		if id, err := strconv.Atoi(word); err == nil {
			ids = append(ids, id)
		}
	}
	return ids
}

// startAppliance runs a site of which core2 is an appliance.
func startAppliance(t *testing.T, more ...string) (*site, *appliance) {
	t.Helper()
	s := newSite(t)
	a := newAppliance(t, s.core2)
	s.begin()
	s.nodes = map[string]string{"core2": a.yaml()}
	s.configure("documented", more...)
	return s, a
}

// finish walks a run to its end: what nobody can tell over ssh the test says.
func (s *site) finish() {
	s.t.Helper()
	s.must(22, "approve", "--reason", "the window is open")
	if why := s.why(); !strings.Contains(why, "approve --step ValidatePair/Heartbeat") {
		s.t.Fatalf("it stopped: %s", why)
	}
	s.must(0, "approve", "--step", "ValidatePair/Heartbeat", "--reason", "seen in the log of core2")
}

// why says why the newest run stands still.
func (s *site) why() string {
	s.t.Helper()
	r, err := upgrade.Store{Dir: s.runs()}.Last()
	if err != nil || r == nil {
		s.t.Fatalf("no run: %v", err)
	}
	return r.Course.Why
}

// TestStoryAnApplianceIsUpgradedOverSSH walks the guide's steps on a node that is
// told by a real ssh and a real sshd, with commands that fail, flood and hang.
func TestStoryAnApplianceIsUpgradedOverSSH(t *testing.T) {
	t.Parallel()
	s, a := startAppliance(t)
	good := map[string]string{}
	for _, name := range []string{"download", "validate"} {
		good[name] = read(t, filepath.Join(a.home, name))
	}
	mend := func(name string) { a.does(name, strings.TrimPrefix(good[name], "#!/bin/sh\n")) }
	a.does("download", "echo there is no such release >&2\nexit 100")
	file, said := s.plan("upgrade")
	if !strings.Contains(said, "pass  disk-free          free: ") || !strings.Contains(said, "core2 /") {
		t.Errorf("the plan does not tell the room on core2:\n%s", said)
	}
	s.must(22, "apply", file)
	if why := s.why(); !strings.Contains(why, "core2 download 2.0 was refused: ssh: exit status 100; it said \"there is no such release\"") {
		t.Errorf("a command that says no: %s", why)
	}

	pid := filepath.Join(a.home, "pid")
	a.does("download", "echo $$ >"+pid+"\nexec sleep 600")
	s.configure("documented", "timeouts: {step: 20s, upgrade: 20s, download: 3s, validate: 20s}")
	s.must(23, "abort", "--reason", "with a shorter time")
	file, _ = s.plan("upgrade")
	began := time.Now()
	s.must(22, "apply", file)
	if why := s.why(); !strings.Contains(why, "download was begun on core2 and nobody knows how it ended: ssh was ended: not done within 3s; it may run there still") {
		t.Errorf("a command that hangs: %s", why)
	}
	if took := time.Since(began); took > patience {
		t.Errorf("it was ended after %v", took)
	}
	hung, err := strconv.Atoi(strings.TrimSpace(read(t, pid)))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(hung, 0); err != nil {
		t.Errorf("it is said that it may run still, and it does not: %v", err)
	}
	_ = syscall.Kill(hung, syscall.SIGKILL)

	mend("download")
	a.does("validate", "head -c 20000000 /dev/zero | tr '\\000' x\necho\necho 3 of 40 tests failed\nexit 1")
	s.must(22, "continue")
	if why := s.why(); !strings.Contains(why, "core2 validate 2.0 was refused: ssh: exit status 1") || !strings.Contains(why, "3 of 40 tests failed") || len(why) > 1000 {
		t.Errorf("a command that floods: %.2000s", why)
	}
	if got := a.called("download"); got != 1 {
		t.Errorf("after a hang the download was begun %d times", got)
	}
	r, err := upgrade.Store{Dir: s.runs()}.Last()
	if err != nil {
		t.Fatal(err)
	}
	if journal := read(t, filepath.Join(r.Dir, "journal")); len(journal) > 64<<10 {
		t.Errorf("the journal has %d bytes", len(journal))
	}
	mend("validate")
	s.must(12, "continue")
	s.finish()
	s.expectWhole("2.0", "core1")
	if got := a.called("upgrade"); got != 1 {
		t.Errorf("the upgrade was begun %d times", got)
	}
}

// TestStoryAConnectionThatIsLostStopsTheRunAndItGoesOn kills the sshd of a
// session in the middle of an upgrade, which goes on there; and then changes the
// host key.
func TestStoryAConnectionThatIsLostStopsTheRunAndItGoesOn(t *testing.T) {
	t.Parallel()
	s, a := startAppliance(t)
	slow := read(t, filepath.Join(a.home, "upgrade"))
	begun := filepath.Join(a.home, "begun")
	a.does("upgrade", "echo > "+begun+"\nsleep 1\n"+strings.TrimPrefix(slow, "#!/bin/sh\n"))
	file, _ := s.plan("upgrade")
	cmd := exec.Command(understudy, "upgrade", "apply", file)
	out := new(output)
	cmd.Stdout, cmd.Stderr = out, out
	p := run(t, cmd)
	await(t, "the upgrade of core2 has begun", func() bool {
		_, err := os.Stat(begun)
		return err == nil
	})
	for _, id := range a.sessions() {
		_ = syscall.Kill(id, syscall.SIGKILL)
	}
	if code := p.end(t); code != 22 || !strings.Contains(s.why(), "upgrade was begun on core2 and nobody knows how it ended: ssh: exit status 255") || !strings.Contains(s.why(), "Once the new version is there: understudy upgrade continue") {
		t.Fatalf("exit code %d: %s\n%s", code, s.why(), out)
	}
	if said := s.must(0, "status"); !strings.Contains(said, "nobody knows how it ended") || !s.heldEverywhere() {
		t.Errorf("the status says\n%s", said)
	}
	await(t, "core2 has upgraded itself to the end", func() bool { return read(t, filepath.Join(a.dir, "version")) == "2.0" })
	s.must(12, "continue")
	if got := a.called("upgrade"); got != 1 {
		t.Errorf("the upgrade was begun %d times", got)
	}
	s.finish()
	s.expectWhole("2.0", "core1")

	s.to = "3.0"
	s.configure("documented")
	file, _ = s.plan("upgrade")
	known := read(t, filepath.Join(a.home, "known_hosts"))
	a.sshd.kill()
	newHostKey(t, a.home)
	a.listen()
	if said, code := s.upgrade("apply", file); code != 6 || !strings.Contains(said, "core2 cannot be read: version: ssh: exit status 255; it said") || !strings.Contains(said, "Host key verification failed") {
		t.Errorf("another host key: exit code %d\n%s", code, said)
	}
	if read(t, filepath.Join(a.home, "known_hosts")) != known {
		t.Error("the new host key was taken")
	}
}

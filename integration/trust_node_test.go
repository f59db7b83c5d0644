//go:build linux

package integration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/internal/remote"
)

// trustNode is a server of the pair with a real sshd and a real rsync, of which
// only the engine is the test's own.
type trustNode struct {
	name string
	home string // below the user's home, for sshd is strict about who may write above it
	data string // its dataset
	port int    // of its sshd
	site remote.Site
	sshd *process
	said *output
}

// standby is an engine that stands by.
type standby struct{}

func (standby) Report(context.Context) (ha.Report, string, error) {
	return ha.Report{State: ha.Standby, Served: 1}, "", nil
}

func (standby) Hear(context.Context, string, remote.Telling) (ha.Report, string, error) {
	return ha.Report{}, "", errors.New("nobody is expected to tell anything")
}

func (standby) StepDown(context.Context, string, remote.StepDown) error {
	return &ha.Refusal{What: "nothing was done", Why: "this node does not serve", Do: "Ask the other."}
}

func (standby) TrafficDecided(context.Context, string, remote.TrafficDecided) (string, error) {
	return "", errors.New("no front is expected")
}

func (n *trustNode) dir() string { return remote.Dir(n.home) }

func (n *trustNode) trust(t *testing.T) *remote.Trust {
	t.Helper()
	trust, err := remote.Open(n.dir())
	if err != nil {
		t.Fatal(err)
	}
	return trust
}

// strictHome gives a folder below the home of whoever runs the tests, for sshd is
// strict about who may write above it.
func strictHome(t *testing.T) (home string, me *user.User) {
	t.Helper()
	me, err := user.Current()
	if err == nil {
		home, err = os.MkdirTemp(me.HomeDir, ".understudy-test-")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(home) })
	return home, me
}

// newTrustNode starts a node with its own sshd.
func newTrustNode(t *testing.T, name string) *trustNode {
	t.Helper()
	for _, program := range []string{"/usr/sbin/sshd", "/usr/bin/rsync", "/usr/bin/ssh"} {
		if _, err := os.Stat(program); err != nil {
			t.Fatalf("%v: tools/deps.sh --for test installs it", err)
		}
	}
	home, me := strictHome(t)
	n := &trustNode{name: name, home: home, data: filepath.Join(home, "data"), port: freePort(t)}
	if err := os.MkdirAll(filepath.Join(n.data, "sub"), 0o750); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(n.data, "a"), "of "+name)
	write(t, filepath.Join(n.data, "sub", "b"), strings.Repeat("b", 100_000))
	write(t, filepath.Join(home, "private"), "not a dataset")
	n.newHostKey(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr, _ := l.Addr().(*net.TCPAddr)
	n.site = remote.Site{
		Name: name, Addresses: []string{"127.0.0.1"}, Port: uint16(addr.Port), // #nosec G115 -- a port
		SSH: remote.SiteSSH{
			Port: uint16(n.port), User: me.Username, AuthorizedKeys: filepath.Join(home, ".ssh", "authorized_keys"), // #nosec G115 -- a port
			HostKeys: []string{filepath.Join(home, "host.pub")}, Program: understudy,
		},
		Datasets: []remote.Dataset{{Name: "files", Path: n.data}},
	}
	if err := remote.SaveSite(n.dir(), n.site); err != nil {
		t.Fatal(err)
	}
	n.listen(t, l)
	n.startSSHD(t)
	return n
}

// listen answers trusted hosts.
func (n *trustNode) listen(t *testing.T, l net.Listener) {
	t.Helper()
	trust := n.trust(t)
	s := &http.Server{
		Handler: trust.Handler(standby{}, http.NotFoundHandler(), slog.New(slog.DiscardHandler)), TLSConfig: trust.ServerTLS(),
		ReadHeaderTimeout: time.Minute, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.ServeTLS(l, "", "") }()
	t.Cleanup(func() { _ = s.Close(); <-done })
}

func (n *trustNode) newHostKey(t *testing.T) {
	t.Helper()
	newHostKey(t, n.home)
}

func newHostKey(t *testing.T, home string) {
	t.Helper()
	key := filepath.Join(home, "host")
	_ = os.Remove(key)
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key).CombinedOutput(); err != nil { // #nosec G204 -- our own file
		t.Fatalf("ssh-keygen: %v: %s", err, out)
	}
}

func (n *trustNode) startSSHD(t *testing.T) {
	t.Helper()
	n.sshd, n.said = startSSHD(t, n.home, n.port)
}

// startSSHD runs a real sshd with the host key and the authorized keys that are
// in a folder, and further lines of its configuration.
func startSSHD(t *testing.T, home string, port int, more ...string) (*process, *output) {
	t.Helper()
	if os.Getuid() == 0 {
		_ = os.MkdirAll("/run/sshd", 0o755) // #nosec G301 -- sshd wants it so
	}
	config := filepath.Join(home, "sshd_config")
	write(t, config, fmt.Sprintf(`ListenAddress 127.0.0.1:%d
HostKey %s/host
AuthorizedKeysFile %s/.ssh/authorized_keys
StrictModes yes
UsePAM no
PidFile none
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
Subsystem sftp internal-sftp
%s
`, port, home, home, strings.Join(more, "\n")))
	said := new(output)
	cmd := exec.Command("/usr/sbin/sshd", "-D", "-e", "-f", config) // #nosec G204 -- our own file
	cmd.Stderr = said
	sshd := run(t, cmd)
	await(t, "sshd listens", func() bool {
		c, err := net.DialTimeout("tcp", loopback(port), time.Second)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return sshd, said
}

// spoken is what a program said.
type spoken struct {
	out, err string
	code     int
}

// speak runs a program to its end with an input.
func speak(t *testing.T, in string, line ...string) spoken {
	t.Helper()
	cmd := exec.Command(line[0], line[1:]...) // #nosec G204 -- the test's own line
	var out, said bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(in), &out, &said
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "USER=anna", "HOME=" + t.TempDir()}
	code := run(t, cmd).end(t)
	return spoken{out.String(), said.String(), code}
}

// failover runs a command of failover on the node, which must succeed.
func (n *trustNode) failover(t *testing.T, in string, args ...string) string {
	t.Helper()
	s := n.try(t, in, args...)
	if s.code != 0 {
		t.Fatalf("%s: failover %v: exit code %d\n%s%s", n.name, args, s.code, s.out, s.err)
	}
	return s.out
}

func (n *trustNode) try(t *testing.T, in string, args ...string) spoken {
	t.Helper()
	return speak(t, in, append(append([]string{understudy, "failover"}, args...), "--trust", n.dir())...)
}

// ssh gives the line that calls another node as a sync does.
func (n *trustNode) ssh(t *testing.T, to string) (line []string, h remote.Host) {
	t.Helper()
	trust := n.trust(t)
	h, err := trust.Hosts.Get(to)
	if err != nil {
		t.Fatal(err)
	}
	return append([]string{"ssh"}, trust.SSHArgs(h)...), h
}

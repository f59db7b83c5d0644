//go:build linux

package integration

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long anything that must happen may take. It is generous, for
// the machine may be busy; what is expected to be quick is measured.
const patience = 30 * time.Second

// process is a program that runs beside the test and ends with it.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed when it has ended
}

// run starts a program.
func run(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL // should the test itself be killed
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", cmd.Path, err)
	}
	p := &process{cmd: cmd, ended: make(chan struct{})}
	go func() {
		defer close(p.ended)
		_ = cmd.Wait()
	}()
	t.Cleanup(p.kill)
	return p
}

// signal sends a signal to this one process.
func (p *process) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

// kill ends the process as kill -9 does and waits until it has gone.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.ended
}

// end waits for the process to end by itself and gives its exit code.
func (p *process) end(t *testing.T) int {
	t.Helper()
	return p.endWithin(t, patience)
}

// endWithin is end for what takes its time.
func (p *process) endWithin(t *testing.T, long time.Duration) int {
	t.Helper()
	select {
	case <-p.ended:
	case <-time.After(long):
		t.Fatalf("%s did not end within %s", p.cmd.Path, long)
	}
	return p.cmd.ProcessState.ExitCode()
}

// up says whether the process runs.
func (p *process) up() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// output is what a process has written so far.
type output struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// tail gives the last lines, of those that hold one of the words.
func (o *output) tail(lines int, words ...string) string {
	all := slices.DeleteFunc(strings.Split(strings.TrimSpace(o.String()), "\n"), func(line string) bool {
		return len(words) > 0 && !slices.ContainsFunc(words, func(w string) bool { return strings.Contains(line, w) })
	})
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// tool runs the binary to its end and gives what it said and its exit code.
func tool(t *testing.T, args ...string) (said string, code int) {
	t.Helper()
	cmd := exec.Command(understudy, args...)
	home := t.TempDir()
	cmd.Env = append(os.Environ(), "HOME="+home, "XDG_DATA_HOME="+home, "XDG_CONFIG_HOME="+home)
	out := new(output)
	cmd.Stdout, cmd.Stderr = out, out
	code = run(t, cmd).end(t)
	return out.String(), code
}

// freePort gives a port of 127.0.0.1 that is the test's own until it ends: it
// stays bound, without anybody listening, so that nobody else is given it,
// while a listener of ours can come and go beside it.
func freePort(t *testing.T) int {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatalf("socket: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		t.Fatalf("setsockopt: %v", err)
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatalf("bind: %v", err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatalf("getsockname: %v", err)
	}
	return name.(*syscall.SockaddrInet4).Port
}

// loopback gives the address of a port.
func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// await polls until something holds; what says it for people.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	if !within(patience, holds) {
		t.Fatalf("%s: not seen within %s", what, patience)
	}
}

// within polls until something holds or the time is over.
func within(limit time.Duration, holds func() bool) bool {
	end := time.NewTimer(limit)
	defer end.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-end.C:
			return holds()
		case <-tick.C:
		}
	}
	return true
}

// tempDir gives a directory with a short name, as the path of a unix socket
// must be.
func tempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "us")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// write writes a file of the test.
func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// read gives the text of a file.
func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// elapse lets time pass where the time itself is the story: a stall, a crash at
// some moment of a failover.
func elapse(d time.Duration) { <-time.After(d) }

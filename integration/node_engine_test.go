//go:build linux

package integration

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/api"
	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/internal/ha"
)

// A copy of the test binary is the sample application: "sample start DIR PORT
// NAME" leaves it running, "sample stop DIR" ends it.
func init() {
	if len(os.Args) > 2 && os.Args[1] == "sample" {
		if err := sample(os.Args[2], os.Args[3:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
}

func sample(do string, args []string) error {
	pid := filepath.Join(args[0], "app.pid")
	switch do {
	case "start":
		cmd := exec.Command(os.Args[0], append([]string{"sample", "run"}, args...)...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := cmd.Start(); err != nil {
			return err
		}
		return os.WriteFile(pid, []byte(strconv.Itoa(cmd.Process.Pid)), 0o600)
	case "stop":
		text, err := os.ReadFile(pid)
		if err != nil {
			return nil // it does not run
		}
		n, err := strconv.Atoi(string(text))
		if err != nil {
			return err
		}
		_ = syscall.Kill(n, syscall.SIGKILL)
		return os.Remove(pid)
	}
	var doors []net.Listener // one or more, of one application
	for port := range strings.SplitSeq(args[1], ",") {
		l, err := net.Listen("tcp", loopback(must(strconv.Atoi(port))))
		if err != nil {
			return err
		}
		doors = append(doors, l)
	}
	go func() { // it never outlives its test by much
		for {
			time.Sleep(time.Second)
			if _, err := os.Stat(args[0]); err != nil {
				os.Exit(0)
			}
		}
	}()
	ended := make(chan error)
	for _, l := range doors {
		go func() {
			ended <- http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("X-Node", args[2])
				if r.URL.Path == "/write" {
					enterLedger(args[2])
				}
				_, _ = io.WriteString(w, args[2]+" "+os.Getenv("UNDERSTUDY_EPOCH")+"\n")
			}))
		}()
	}
	return <-ended
}

// enterLedger writes down, where a story wants it, which node has done what at
// which epoch, as a storage that several machines share would see it.
func enterLedger(node string) {
	path := os.Getenv("LEDGER")
	if path == "" {
		return
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return
	}
	defer f.Close()
	_, _ = fmt.Fprintf(f, "%s %s\n", os.Getenv("UNDERSTUDY_EPOCH"), node)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// member is a real node of a story: an engine with its application and its door.
type member struct {
	node // what a front asks of a node in the test itself; never called
	t    *testing.T

	name, peer, dir        string
	pages, peerPages, door string
	portal                 string // empty: none
	seen                   string // where fronts look for the pages; empty: at pages
	app                    int
	log                    *output
	engine                 *process
	sshd                   *process // nil: it has none
	client                 *nodeapi.Client
	upstream               bool   // for disaster recovery
	more                   string // further lines of node.yaml
	inside                 *host  // where it runs, nil: where the test does
	ledger                 string // file of what its application does
	lists                  string // further lines of its app
}

func (m *member) Name() string { return m.name }
func (m *member) URL() string  { return cmp.Or(m.seen, "http://"+m.pages) }

// newMember prepares a node.
func newMember(t *testing.T, name, peer string) *member {
	t.Helper()
	m := &member{t: t, name: name, peer: peer, dir: tempDir(t), pages: loopback(freePort(t)), door: loopback(freePort(t)), app: freePort(t), log: new(output)}
	m.client = nodeapi.New(filepath.Join(m.dir, "node.sock"))
	t.Cleanup(func() {
		m.stopApp()
		if _, race, found := strings.Cut(m.log.String(), "WARNING: DATA RACE"); found {
			t.Errorf("%s has a data race:%.12000s", name, race)
		}
		if t.Failed() {
			t.Logf("%s ended with:\n%s\n%s", name, m.log.tail(12), lastLines(m.journal(), 25))
		}
	})
	return m
}

// newMembers prepares two nodes.
func newMembers(t *testing.T) (core1, core2 *member) {
	t.Helper()
	core1, core2 = newMember(t, "core1", "core2"), newMember(t, "core2", "core1")
	core1.peerPages, core2.peerPages = core2.pages, core1.pages
	return core1, core2
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// hurry are settings with which a story takes seconds: core2 is Active about
// 1.6 s after the death of core1, a front has decided long before.
var hurry = []string{
	"config", "set", "heartbeat-interval", "200ms", "consecutive heartbeat failures before failover", "4", "re-check interval", "300ms",
	"attempt-timeout", "300ms", "promotion-hold", "500ms", "retry", "200ms", "stop-timeout", "2s", "promotion-time", "2s",
}

// startMembers runs a pair with High Availability enabled: core1 is Active.
func startMembers(t *testing.T) (core1, core2 *member) {
	t.Helper()
	core1, core2 = newMembers(t)
	for _, m := range []*member{core1, core2} {
		m.start()
		m.say(0, hurry...)
	}
	core1.say(0, "ha", "enable", "--mode", "primary")
	core2.say(0, "ha", "enable", "--mode", "secondary")
	core1.await(ha.Active)
	core2.await(ha.Standby)
	return core1, core2
}

// start runs the engine and waits until it answers.
func (m *member) start() {
	m.t.Helper()
	file := filepath.Join(m.dir, "node.yaml")
	self, err := os.Executable()
	if err != nil {
		m.t.Fatal(err)
	}
	write(m.t, file, fmt.Sprintf(`name: %s
data_dir: data
socket: node.sock
status: {listen: "%s"}
%s: {name: %s, status: "http://%s"}
app:
  health: http://%s/
  health_interval: 200ms
  health_timeout: 1s
  start_timeout: 10s
  start: [%q, sample, start, %q, "%d", %s]
  stop: [%q, sample, stop, %q]
%sclient_connection: {listen: "%s", forward: "%s"}
%s`, m.name, m.pages, map[bool]string{true: "upstream", false: "peer"}[m.upstream], m.peer, m.peerPages, loopback(m.app), self, m.dir, m.app, m.name, self, m.dir, m.lists, m.door, loopback(m.app), m.more))
	cmd := m.inside.command(understudy, "node", "--config", file)
	cmd.Env = append(os.Environ(), "LEDGER="+m.ledger)
	cmd.Stdout, cmd.Stderr = m.log, m.log
	m.engine = run(m.t, cmd)
	await(m.t, m.name+" answers", func() bool {
		if !m.engine.up() {
			m.t.Fatalf("%s ended:\n%s", m.name, m.log.tail(5))
		}
		return m.client.Get(context.Background(), "status", new(nodeapi.Status)) == nil
	})
}

// die is the death of the machine: engine and application at once.
func (m *member) die() {
	m.signalApp(syscall.SIGKILL)
	m.engine.kill()
	m.stopApp()
}

func (m *member) stopApp() { _ = sample("stop", []string{m.dir}) }

func (m *member) signalApp(s syscall.Signal) {
	m.t.Helper()
	pid, err := strconv.Atoi(read(m.t, filepath.Join(m.dir, "app.pid")))
	if err != nil {
		m.t.Fatal(err)
	}
	_ = syscall.Kill(pid, s)
}

// appRuns says whether the application has not been stopped.
func (m *member) appRuns() bool {
	_, err := os.Stat(filepath.Join(m.dir, "app.pid"))
	return err == nil
}

func (m *member) journal() string {
	text, _ := os.ReadFile(filepath.Join(m.dir, "data", "HighAvailability.log"))
	return string(text)
}

// try runs a failover command against the node.
func (m *member) try(args ...string) (string, int) {
	m.t.Helper()
	return tool(m.t, append([]string{"failover", "--socket", filepath.Join(m.dir, "node.sock")}, args...)...)
}

// say is try of a command whose exit code is known.
func (m *member) say(code int, args ...string) string {
	m.t.Helper()
	said, got := m.try(args...)
	if got != code {
		m.t.Fatalf("%s: failover %s: exit code %d, want %d:\n%s", m.name, strings.Join(args, " "), got, code, said)
	}
	if args[0] == "status" {
		return folds.ReplaceAllString(said, " ")
	}
	return said
}

// folds is where a line of status goes on in the next one.
var folds = regexp.MustCompile(`\n +`)

func (m *member) status() nodeapi.Status {
	m.t.Helper()
	var d nodeapi.Status
	if err := m.client.Get(context.Background(), "status", &d); err != nil {
		m.t.Fatalf("%s: status: %v", m.name, err)
	}
	return d
}

// await waits until the node is in a state.
func (m *member) await(want ha.State) nodeapi.Status {
	m.t.Helper()
	return m.awaits(want.String(), func(d nodeapi.Status) bool { return d.State == want })
}

func (m *member) awaits(what string, holds func(nodeapi.Status) bool) nodeapi.Status {
	m.t.Helper()
	var last nodeapi.Status
	if !within(patience, func() bool {
		return m.client.Get(context.Background(), "status", &last) == nil && holds(last)
	}) {
		m.t.Fatalf("%s: %s: not seen within %s; it is\n%s", m.name, what, patience, asJSON(last))
	}
	return last
}

// serves says which node's application answers at the door; empty if it is
// closed.
func (m *member) serves() string {
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + m.door)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	return resp.Header.Get("X-Node")
}

// page gives status and first line of one of the status pages.
func (m *member) page(page ha.Page) string {
	m.t.Helper()
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + m.pages + ha.Profile{}.Path(page))
	if err != nil {
		return "no answer"
	}
	defer resp.Body.Close()
	line, _ := bufio.NewReader(resp.Body).ReadString('\n')
	return fmt.Sprintf("%d %s", resp.StatusCode, strings.TrimSpace(line))
}

// expectStay fails if a node leaves its state within a while.
func (m *member) expectStay(state ha.State, during time.Duration) {
	m.t.Helper()
	if within(during, func() bool { return m.status().State != state }) {
		m.t.Fatalf("%s left %v:\n%s", m.name, state, asJSON(m.status()))
	}
}

// frontOf runs a front before a pair.
func frontOf(t *testing.T, core1, core2 *member) *front {
	t.Helper()
	return startFront(t, plan{
		nodes: []node{core1, core2},
		url:   map[string]string{"core1": "http://" + core1.door, "core2": "http://" + core2.door},
	})
}

// words are what the front's API calls the states.
var words = map[ha.State]string{ha.NotAvailable: api.NotAvailable, ha.Standby: api.Standby, ha.Active: api.Active}

// expectOneTruth waits until the front reads of both nodes what they say of
// themselves, and understudy why names the same states.
func expectOneTruth(t *testing.T, f *front, core1, core2 *member, serving string) {
	t.Helper()
	var said string
	if !within(patience, func() bool {
		g, err := f.api.Group(context.Background(), "mdm")
		if err != nil || g.Serving != serving {
			said = asJSON(g)
			return false
		}
		for i, m := range []*member{core1, core2} {
			state := ha.NotAvailable
			var d nodeapi.Status
			if m.client.Get(context.Background(), "status", &d) == nil {
				state = d.State
			}
			if g.Nodes[i].State != words[state] {
				said = fmt.Sprintf("%s says %v, the front reads %v", m.name, state, g.Nodes[i].State)
				return false
			}
		}
		return true
	}) {
		t.Fatalf("nodes and front do not agree, want %s to serve: %s", serving, said)
	}
	why, code := tool(t, "why", "mdm", "--api", f.at.admin)
	if code != 0 || !strings.Contains(why, "core1") || !strings.Contains(why, "core2") {
		t.Errorf("understudy why: exit code %d:\n%s", code, why)
	}
}

package remote

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// engine is a Desk that keeps what it was asked.
type engine struct {
	mu     sync.Mutex // guards the fields below
	asked  []string
	answer error
	report ha.Report
}

func (e *engine) note(what string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.asked = append(e.asked, what)
	return e.answer
}

func (e *engine) Report(context.Context) (ha.Report, string, error) {
	return e.report, "OK", e.note("report")
}

func (e *engine) Hear(_ context.Context, peer string, t Telling) (ha.Report, string, error) {
	what := "told"
	if t.Asks {
		what = "asked"
	}
	return e.report, "OK", e.note(what + " by " + peer)
}

func (e *engine) StepDown(_ context.Context, peer string, _ StepDown) error {
	return e.note("step-down by " + peer)
}

func (e *engine) TrafficDecided(_ context.Context, front string, d TrafficDecided) (string, error) {
	return "again", e.note("traffic to " + d.Node + " by " + front)
}

func (e *engine) said() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return strings.Join(e.asked, ", ")
}

// node is a whole node but for its engine, which listens on loopback.
type node struct {
	*Trust
	engine *engine
	dir    string
	at     string // host and port of its API
}

// newNode starts a node.
func newNode(t *testing.T, name string) *node {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &node{engine: &engine{report: ha.Report{State: ha.Standby, Served: 7, Reign: 7}}, dir: t.TempDir(), at: l.Addr().String()}
	addr, _ := l.Addr().(*net.TCPAddr)
	host, err := OpenSSHKey(filepath.Join(n.dir, "hostkey"), "")
	if err != nil {
		t.Fatal(err)
	}
	public := filepath.Join(n.dir, "hostkey.pub")
	if err := os.WriteFile(public, []byte(host.Public+" root@"+name+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	must(t, SaveSite(filepath.Join(n.dir, "trust"), Site{
		Name: name, Addresses: []string{"127.0.0.1"}, Port: uint16(addr.Port), // #nosec G115 -- a port
		SSH: SiteSSH{AuthorizedKeys: filepath.Join(n.dir, ".ssh", "authorized_keys"), HostKeys: []string{public}},
	}))
	n.Trust, err = Open(filepath.Join(n.dir, "trust"))
	must(t, err)
	n.resolve = func(string) ([]net.IP, error) { return nil, errors.New("no names here") }
	serveOn(t, l, n.Trust, n.engine)
	return n
}

func serveOn(t *testing.T, l net.Listener, trust *Trust, desk Desk) {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	s := &http.Server{
		Handler: trust.Handler(desk, http.NotFoundHandler(), quiet), TLSConfig: trust.ServerTLS(), ReadHeaderTimeout: time.Minute,
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.ServeTLS(l, "", "") }()
	t.Cleanup(func() { s.Close(); <-done })
}

// listenOn answers trusted hosts at an address of its own, which it gives.
func listenOn(t *testing.T, trust *Trust, desk Desk) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	serveOn(t, l, trust, desk)
	return l.Addr().String()
}

func newFront(t *testing.T, name string) *Trust {
	t.Helper()
	f, err := OpenFront(filepath.Join(t.TempDir(), "front.key"), name)
	must(t, err)
	return f
}

// invited gives a fresh invitation of a node, as it arrives by copy and paste.
func invited(t *testing.T, n *node, role Role) Invitation {
	t.Helper()
	made, err := n.Invite(role, "anna", time.Now())
	must(t, err)
	i, err := ParseInvitation(made.String())
	must(t, err)
	if i != made {
		t.Fatal("the string does not tell all of the invitation")
	}
	return i
}

// paired makes a and b trust one another.
func paired(t *testing.T, a, b *node) {
	t.Helper()
	if _, err := b.Join(t.Context(), invited(t, a, Node), "bert"); err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func known(t *testing.T, trust *Trust, name string) Host {
	t.Helper()
	h, err := trust.Hosts.Get(name)
	must(t, err)
	return h
}

func nobody(t *testing.T, trust *Trust) {
	t.Helper()
	if hosts, err := trust.Hosts.List(); err != nil || len(hosts) != 0 {
		t.Errorf("%s trusts %v, %v; want nobody", trust.Name(), hosts, err)
	}
}

func wants(t *testing.T, err error, words ...string) {
	t.Helper()
	for _, w := range words {
		if err == nil || !strings.Contains(err.Error(), w) {
			t.Errorf("got %v, want an error with %q", err, w)
		}
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	must(t, err)
	return string(text)
}

package hatest

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"github.com/understudy-ha/understudy/internal/ha"
)

// got is a whole answer.
type got struct {
	status int
	body   string
	header http.Header
}

// ask sends one request and reads the answer to its end.
func ask(t *testing.T, n *Node, method, path string, change ...func(*http.Request)) (got, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, n.URL()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range change {
		c(r)
	}
	resp, err := n.Client().Do(r)
	if err != nil {
		return got{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return got{resp.StatusCode, string(body), resp.Header}, err
}

// must is ask for an answer that is due.
func must(t *testing.T, n *Node, path string) got {
	t.Helper()
	g, err := ask(t, n, http.MethodGet, path)
	if err != nil {
		t.Fatalf("GET %s: %v", path, err)
	}
	return g
}

// dial opens a bare connection.
func dial(t *testing.T, n *Node) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", n.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c, bufio.NewReader(c)
}

// say writes text to a bare connection.
func say(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

// await waits for what must come.
func await(t *testing.T, n *Node, holds func() bool) {
	t.Helper()
	if err := n.Await(t.Context(), holds); err != nil {
		t.Fatal(err)
	}
}

const (
	status   = "/status/status.html"
	hastatus = "/hastatus.html"
)

func TestPagesShowTheStateThatWasSetLast(t *testing.T) {
	t.Parallel()
	n := New(t, Config{State: ha.Active})
	tests := []struct {
		set          ha.State
		page         string
		want         int
		body, absent string
	}{
		{ha.Active, status, 200, "MOBILEIRON-STATUS: OK", "Mode"},
		{ha.Active, hastatus, 200, "MOBILEIRON-STATUS: OK (Mode: Primary)", "Standby"},
		{ha.Standby, status, 503, "", ": OK"},
		{ha.Standby, hastatus, 200, "MOBILEIRON-STATUS: OK (Mode: Standby)", "Primary"},
		{ha.NotAvailable, status, 503, "", ": OK"},
		{ha.NotAvailable, hastatus, 503, "", ": OK"},
	}
	for _, tt := range tests {
		n.Set(tt.set)
		g := must(t, n, tt.page)
		if g.status != tt.want || !strings.Contains(g.body, tt.body) || strings.Contains(g.body, tt.absent) {
			t.Errorf("%s %s: got %d %q, want %d %q without %q", tt.set, tt.page, g.status, g.body, tt.want, tt.body, tt.absent)
		}
	}
	if n.State() != ha.NotAvailable {
		t.Errorf("got %s, want the state that was set last", n.State())
	}
	if got := n.PageURL(ha.HAStatusPage); got != n.URL()+hastatus {
		t.Errorf("got %q for the HA page", got)
	}
}

func TestLiesStatusHeadersAndEpochCanBeSetAndTakenBack(t *testing.T) {
	t.Parallel()
	n := New(t, Config{State: ha.Active, Epoch: 7})
	n.Lie(ha.HAStatusPage, "MOBILEIRON-STATUS: OKAY")
	n.SetStatus(Pages, 418)
	n.SetHeader("X-Two", "a", "b")
	g := must(t, n, hastatus)
	if g.status != 418 || g.body != "MOBILEIRON-STATUS: OKAY" {
		t.Errorf("got %d %q, want the lie under 418", g.status, g.body)
	}
	if len(g.header.Values("X-Two")) != 2 || g.header.Get(EpochHeader) != "7" {
		t.Errorf("got %v, want X-Two twice and epoch 7", g.header)
	}
	if g := must(t, n, "/"); g.status != 200 || g.header.Get("X-Two") != "a" {
		t.Errorf("got %d %v, want the application untouched but for the header", g.status, g.header)
	}
	n.Mend()
	n.SetEpoch(0)
	n.SetHeader("X-Two")
	g = must(t, n, hastatus)
	if g.status != 200 || g.body != "MOBILEIRON-STATUS: OK (Mode: Primary)" {
		t.Errorf("got %d %q, want the truth", g.status, g.body)
	}
	if len(g.header.Values("X-Two"))+len(g.header.Values(EpochHeader)) != 0 {
		t.Errorf("got %v, want neither header", g.header)
	}
}

func TestAnEmptyLieIsAnEmptyPage(t *testing.T) {
	t.Parallel()
	n := New(t, Config{State: ha.Active})
	n.Lie(ha.StatusPage, "")
	if g := must(t, n, status); g.status != 200 || g.body != "" {
		t.Errorf("got %d %q, want 200 and nothing", g.status, g.body)
	}
}

func TestAKilledNodeRefusesAndComesBackOnItsPort(t *testing.T) {
	t.Parallel()
	n := New(t, Config{Name: "core1"})
	idle, in := dial(t, n)
	await(t, n, func() bool { return n.Conns() == 1 })
	addr := n.Addr()
	n.Kill()
	n.Kill()
	if n.Up() || n.Conns() != 0 {
		t.Errorf("got up %v with %d connections after the kill", n.Up(), n.Conns())
	}
	if _, err := in.ReadByte(); err == nil {
		t.Error("an open connection outlived the kill")
	}
	idle.Close()
	if _, err := ask(t, n, http.MethodGet, "/"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("got %v, want refused", err)
	}
	n.Start()
	n.Start()
	if g := must(t, n, "/"); g.header.Get(NodeHeader) != "core1" || n.Addr() != addr || !n.Up() {
		t.Errorf("got %v at %s, want core1 at %s", g.header, n.Addr(), addr)
	}
}

func TestNobodyGetsThePortOfAKilledNode(t *testing.T) {
	t.Parallel()
	n := New(t, Config{})
	n.Kill()
	for range 200 {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		if ln.Addr().String() == n.Addr().String() {
			t.Fatal("the kernel gave the port away")
		}
	}
	n.Start()
}

func TestAKillEndsRequestsAndTunnelsUnderWay(t *testing.T) {
	t.Parallel()
	n := New(t, Config{})
	n.BreakWith(Breakage{Fault: Hang, On: Pages})
	hung, in := dial(t, n)
	say(t, hung, "GET "+status+" HTTP/1.1\r\nHost: a\r\n\r\n")
	_, tunnel := upgrade(t, n)
	await(t, n, func() bool { return n.Busy() == 2 })
	n.Kill()
	for _, r := range []*bufio.Reader{in, tunnel} {
		if b, err := r.ReadByte(); err == nil {
			t.Errorf("got byte %q after the kill", b)
		}
	}
	if n.Busy() != 0 {
		t.Errorf("%d requests outlived the kill", n.Busy())
	}
}

func TestANodeListensWhereItIsTold(t *testing.T) {
	t.Parallel()
	for _, listen := range []string{"localhost:0", ":0", "[::1]:0", "127.0.0.2:0"} {
		n, err := Open(Config{Listen: listen})
		if err != nil {
			t.Logf("%s: not on this machine: %v", listen, err)
			continue
		}
		if g := must(t, n, "/"); g.header.Get(NodeHeader) != "node" {
			t.Errorf("%s: got %v, want the name node", listen, g.header)
		}
		n.Close()
		n.Close()
	}
	free, err := Open(Config{})
	if err != nil {
		t.Fatal(err)
	}
	free.Close()
	n, err := Open(Config{Listen: free.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if n.Addr() != free.Addr() {
		t.Errorf("got %s, want %s", n.Addr(), free.Addr())
	}
	if _, err := Open(Config{Listen: n.Addr().String()}); err == nil {
		t.Error("two nodes listen on one address")
	}
}

func TestAClosedNodeDoesNotStart(t *testing.T) {
	t.Parallel()
	var said error
	n, err := Open(Config{Failed: func(err error) { said = err }})
	if err != nil {
		t.Fatal(err)
	}
	n.Close()
	n.Start()
	if said == nil || n.Up() {
		t.Errorf("got %v and up %v, want a failure", said, n.Up())
	}
}

func TestAnUnspecifiedAddressIsDialledOnLoopback(t *testing.T) {
	t.Parallel()
	for listen, want := range map[string]string{
		"0.0.0.0:80": "127.0.0.1:80", "[::]:80": "[::1]:80", "192.0.2.1:80": "192.0.2.1:80",
	} {
		if got := dialable(netip.MustParseAddrPort(listen)).String(); got != want {
			t.Errorf("%s: got %s, want %s", listen, got, want)
		}
	}
}

func TestAwaitEndsWithItsContext(t *testing.T) {
	t.Parallel()
	n := New(t, Config{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := n.Await(ctx, func() bool { return false }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want canceled", err)
	}
}

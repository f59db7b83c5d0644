package hatest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// upgrade opens an echo tunnel.
func upgrade(t *testing.T, n *Node) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, in := dial(t, n)
	say(t, c, "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusSwitchingProtocols || resp.Header.Get(NodeHeader) != n.Name() {
		t.Fatalf("got %s %v, want 101 from %s", resp.Status, resp.Header, n.Name())
	}
	return c, in
}

func TestTheApplicationNamesItselfAndCountsTheBody(t *testing.T) {
	t.Parallel()
	n := New(t, Config{Name: "core2", State: ha.Standby})
	g, err := ask(t, n, http.MethodPut, "/x?y=z", func(r *http.Request) {
		r.Body = io.NopCloser(strings.NewReader(strings.Repeat("b", 100_000)))
	})
	if err != nil || g.header.Get(NodeHeader) != "core2" || g.header.Get(BytesHeader) != "100000" {
		t.Errorf("got %v and %v, want core2 and 100000 bytes", g.header, err)
	}
	if want := "core2 read PUT /x with 100000 bytes\n"; g.body != want {
		t.Errorf("got %q, want %q", g.body, want)
	}
	n.SetStatus(App, 500)
	if g := must(t, n, "/"); g.status != 500 {
		t.Errorf("got %d, want 500", g.status)
	}
}

func TestRequestsAreCountedByMethodAndID(t *testing.T) {
	t.Parallel()
	n := New(t, Config{})
	for _, r := range []struct{ method, id string }{{"GET", ""}, {"GET", "17"}, {"POST", "17"}, {"POST", "17"}, {"POST", "18"}} {
		if _, err := ask(t, n, r.method, "/", func(q *http.Request) { q.Header.Set(IDHeader, r.id) }); err != nil {
			t.Fatal(err)
		}
	}
	must(t, n, status)
	for _, tt := range []struct {
		method, id string
		want       int
	}{{"", "", 5}, {"GET", "", 2}, {"POST", "", 3}, {"", "17", 3}, {"POST", "17", 2}, {"DELETE", "17", 0}} {
		if got := n.HitsOf(tt.method, tt.id); got != tt.want {
			t.Errorf("%q %q: got %d, want %d", tt.method, tt.id, got, tt.want)
		}
	}
	if got := n.IDs("POST"); len(got) != 2 || got["17"] != 2 || got["18"] != 1 {
		t.Errorf("got %v, want 17 twice and 18 once", got)
	}
	n.Forget()
	if n.Hits()+len(n.IDs(""))+len(n.Requests())+len(n.Probes()) != 0 {
		t.Error("something was not forgotten")
	}
}

func TestProbesAreWrittenDownAsTheyCame(t *testing.T) {
	t.Parallel()
	n := New(t, Config{Name: "core1", TLS: TLSValid, Names: []string{"core1.example"}})
	began := time.Now()
	for range 2 {
		_, err := ask(t, n, http.MethodGet, hastatus+"?q", func(r *http.Request) {
			r.Host = "core1.example"
			r.Header.Set("X-Mine", "yes")
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	must(t, n, "/app")
	probes := n.Probes()
	if len(probes) != 2 || len(n.Requests()) != 1 {
		t.Fatalf("got %d probes and %d requests, want 2 and 1", len(probes), len(n.Requests()))
	}
	for i, p := range probes {
		if p.Method != "GET" || p.Path != hastatus || p.Query != "q" || p.Host != "core1.example" || p.Header.Get("X-Mine") != "yes" {
			t.Errorf("got %+v", p)
		}
		if p.Reused != (i == 1) || p.At.Before(began) || !strings.HasPrefix(p.From, "127.0.0.1:") {
			t.Errorf("probe %d: got reused %v at %s from %s", i, p.Reused, p.At, p.From)
		}
	}
	if n.Accepted() != 1 {
		t.Errorf("got %d connections, want 1", n.Accepted())
	}
}

func TestARecordKeepsTheNewest(t *testing.T) {
	t.Parallel()
	var c record
	for i := range 3*kept + 5 {
		c.add(Request{ID: fmt.Sprint(i)})
	}
	list := c.list()
	if len(list) != kept || list[0].ID != fmt.Sprint(2*kept+5) || list[kept-1].ID != fmt.Sprint(3*kept+4) {
		t.Errorf("got %d from %s to %s", len(list), list[0].ID, list[len(list)-1].ID)
	}
}

func TestLatencyDelaysTheAnswer(t *testing.T) {
	t.Parallel()
	n := New(t, Config{State: ha.Active})
	const wait = 10 * time.Millisecond
	n.SetLatency(Pages, wait)
	for _, path := range []string{status, "/?latency=10ms"} {
		began := time.Now()
		if must(t, n, path); time.Since(began) < wait {
			t.Errorf("%s: answered within %s", path, time.Since(began))
		}
	}
	n.SetLatency(App, time.Hour)
	must(t, n, "/?latency=0s")
	ctx, leave := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() {
		_, err := ask(t, n, http.MethodGet, "/slow", func(r *http.Request) { *r = *r.WithContext(ctx) })
		gone <- err
	}()
	await(t, n, func() bool { return n.Busy() == 1 })
	leave()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want no answer", err)
	}
	await(t, n, func() bool { return n.Busy() == 0 })
}

func TestATunnelEchoesUntilItIsClosed(t *testing.T) {
	t.Parallel()
	n := New(t, Config{Name: "core1"})
	c, in := upgrade(t, n)
	for _, text := range []string{"hello\n", "again\n"} {
		say(t, c, text)
		if got, err := in.ReadString('\n'); err != nil || got != text {
			t.Errorf("got %q and %v, want %q", got, err, text)
		}
	}
	c.Close()
	await(t, n, func() bool { return n.Busy() == 0 && n.Conns() == 0 })
}

func TestStreamsComePieceByPiece(t *testing.T) {
	t.Parallel()
	n := New(t, Config{Name: "core1"})
	n.SetHeader("X-Extra", "1")
	for path, want := range map[string]string{
		"/stream?count=3&every=1ms": "core1 1\ncore1 2\ncore1 3\n",
		"/events?count=2&every=1ms": "id: 1\ndata: core1\n\nid: 2\ndata: core1\n\n",
	} {
		if g := must(t, n, path); g.body != want || g.header.Get(NodeHeader) != "core1" || g.header.Get("X-Extra") != "1" {
			t.Errorf("%s: got %q %v, want %q", path, g.body, g.header, want)
		}
	}
	if g := must(t, n, "/events?count=1"); g.header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("got %q", g.header.Get("Content-Type"))
	}
	for _, path := range []string{"/stream?count=x", "/stream?every=1", "/events?count=-1"} {
		if g := must(t, n, path); g.status != 400 {
			t.Errorf("%s: got %d, want 400", path, g.status)
		}
	}
}

func TestAStreamWithoutEndEndsWithItsClient(t *testing.T) {
	t.Parallel()
	n := New(t, Config{Name: "core1"})
	resp, err := n.Client().Get(n.URL() + "/stream?every=1h")
	if err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(resp.Body).ReadString('\n'); err != nil || line != "core1 1\n" {
		t.Errorf("got %q and %v, want the first piece at once", line, err)
	}
	resp.Body.Close()
	await(t, n, func() bool { return n.Busy() == 0 })
}

func TestEverythingMayBeSetWhileRequestsRun(t *testing.T) {
	t.Parallel()
	n := New(t, Config{State: ha.Active, TLS: TLSValid})
	ctx, stop := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	for i := range 4 {
		clients.Go(func() {
			for ctx.Err() == nil {
				path := []string{"/", status, hastatus, "/events?count=2&every=1ms"}[i]
				_, _ = ask(t, n, http.MethodGet, path, func(r *http.Request) { *r = *r.WithContext(ctx) })
			}
		})
	}
	for range 5 {
		for _, f := range Faults() {
			n.BreakWith(Breakage{Fault: f, Pause: time.Millisecond, Size: 1 << 16})
			n.Set(ha.Standby)
			n.SetHeader("X-A", "b")
			n.SetTLS(TLSOff)
			n.Lie(ha.StatusPage, "x")
			n.Kill()
			n.SetTLS(TLSValid)
			n.Start()
			n.SetLatency(Whole, time.Millisecond)
			n.Mend()
			_, _ = n.Probes(), n.IDs("")
		}
	}
	stop()
	clients.Wait()
	n.SetLatency(Whole, 0)
	if g := must(t, n, hastatus); g.body != "MOBILEIRON-STATUS: OK (Mode: Standby)" {
		t.Errorf("got %q after all, want Standby", g.body)
	}
}

package hatest

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

func TestAHangAnswersNothingUntilItIsMended(t *testing.T) {
	t.Parallel()
	n := New(t, Config{State: ha.Active})
	n.Break(Hang)
	ctx, leave := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() {
		_, err := ask(t, n, http.MethodPost, "/", func(r *http.Request) { *r = *r.WithContext(ctx) })
		gone <- err
	}()
	await(t, n, func() bool { return n.Hits() == 1 && n.Busy() == 1 })
	leave()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want no answer before the client left", err)
	}
	await(t, n, func() bool { return n.Busy() == 0 })

	stays := make(chan got, 1)
	go func() {
		g, _ := ask(t, n, http.MethodGet, status)
		stays <- g
	}()
	await(t, n, func() bool { return len(n.Probes()) == 1 })
	n.Mend()
	if g := <-stays; g.status != 200 {
		t.Errorf("got %d, want the answer after Mend", g.status)
	}
}

func TestAFrozenNodeIsAcceptedByTheKernelOnly(t *testing.T) {
	t.Parallel()
	n := New(t, Config{State: ha.Active})
	old, oldIn := dial(t, n)
	await(t, n, func() bool { return n.Conns() == 1 })
	n.Break(Frozen)
	fresh, freshIn := dial(t, n)
	for _, c := range []net.Conn{old, fresh} {
		say(t, c, "GET "+status+" HTTP/1.1\r\nHost: a\r\n\r\n")
		if err := c.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("got %v, want silence", err)
		}
		if err := c.SetReadDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	if n.Accepted() != 1 || len(n.Probes()) != 0 {
		t.Errorf("got %d connections and %d probes, want the one connection from before", n.Accepted(), len(n.Probes()))
	}
	n.Mend()
	for _, in := range []io.Reader{oldIn, freshIn} {
		first := make([]byte, 12)
		if _, err := io.ReadFull(in, first); err != nil || string(first) != "HTTP/1.1 200" {
			t.Errorf("got %q and %v, want the answer after Mend", first, err)
		}
	}
}

func TestAFrozenTunnelGoesOnAfterItIsMended(t *testing.T) {
	t.Parallel()
	n := New(t, Config{})
	c, in := upgrade(t, n)
	n.Break(Frozen)
	say(t, c, "x")
	if err := c.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := in.ReadByte(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v, want silence", err)
	}
	if err := c.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	n.Mend()
	if b, err := in.ReadByte(); err != nil || b != 'x' {
		t.Errorf("got %q and %v, want the byte from before", b, err)
	}
}

func TestAFrozenNodeCanBeKilled(t *testing.T) {
	t.Parallel()
	n := New(t, Config{})
	old, _ := dial(t, n)
	await(t, n, func() bool { return n.Conns() == 1 })
	n.Break(Frozen)
	say(t, old, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
	dial(t, n)
	n.Kill()
	n.Mend()
	n.Start()
	must(t, n, "/")
	if n.HitsOf(http.MethodPost, "") != 0 {
		t.Error("a request came out of a frozen and killed node")
	}
}

func TestRefuseClosesTheDoorAndKeepsConnections(t *testing.T) {
	t.Parallel()
	n := New(t, Config{})
	c, in := upgrade(t, n)
	n.Break(Refuse)
	if _, err := net.Dial("tcp", n.Addr().String()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("got %v, want refused", err)
	}
	say(t, c, "x")
	if b, err := in.ReadByte(); err != nil || b != 'x' {
		t.Errorf("got %q and %v through the old tunnel, want x", b, err)
	}
	n.Kill()
	n.Start()
	if _, err := net.Dial("tcp", n.Addr().String()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("got %v after a start, want the fault to last", err)
	}
	n.Mend()
	must(t, n, "/")
}

func TestAResetBreaksTheConnection(t *testing.T) {
	t.Parallel()
	n := New(t, Config{State: ha.Active})
	n.BreakWith(Breakage{Fault: Reset, On: App})
	c, in := dial(t, n)
	say(t, c, "POST /a HTTP/1.1\r\nHost: a\r\nX-Request-Id: 1\r\nContent-Length: 2\r\n\r\nab")
	if _, err := in.ReadByte(); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v, want a reset", err)
	}
	if n.HitsOf("POST", "1") != 1 {
		t.Error("the request did not reach the application before the reset")
	}
	if g := must(t, n, status); g.status != 200 {
		t.Errorf("got %d from a page, want it untouched", g.status)
	}
	n.Break(Reset)
	early, err := net.Dial("tcp", n.Addr().String()) // the reset may come before Dial is done
	if err == nil {
		defer early.Close()
		_, err = early.Read(make([]byte, 1))
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v, want a reset before a word was said", err)
	}
}

func TestADripTakesItsTimeForEveryByte(t *testing.T) {
	t.Parallel()
	n := New(t, Config{State: ha.Active})
	const pause = 2 * time.Millisecond
	for _, fault := range []Fault{Drip, SlowHeaders} {
		n.BreakWith(Breakage{Fault: fault, On: Pages, Pause: pause})
		began := time.Now()
		g := must(t, n, status)
		took := time.Since(began)
		if g.body != "MOBILEIRON-STATUS: OK" || took < time.Duration(len(g.body))*pause {
			t.Errorf("%s: got %q in %s, want the whole page slowly", fault, g.body, took)
		}
	}
}

func TestASlowAnswerIsFinishedAtOnceWhenMended(t *testing.T) {
	t.Parallel()
	for _, fault := range []Fault{Drip, SlowHeaders} {
		n := New(t, Config{State: ha.Active})
		n.BreakWith(Breakage{Fault: fault, Pause: time.Hour})
		c, in := dial(t, n)
		say(t, c, "GET "+status+" HTTP/1.1\r\nHost: a\r\n\r\n")
		first, err := in.Peek(1)
		if err != nil || first[0] != 'H' {
			t.Fatalf("%s: got %q and %v, want the first byte", fault, first, err)
		}
		n.Mend()
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatalf("%s: %v", fault, err)
		}
		if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "MOBILEIRON-STATUS: OK" {
			t.Errorf("%s: got %q and %v, want the whole page", fault, body, err)
		}
	}
}

func TestAnOversizePageStopsWhenTheClientGoes(t *testing.T) {
	t.Parallel()
	n := New(t, Config{State: ha.Active})
	n.BreakWith(Breakage{Fault: Oversize, Size: 100_000})
	if g := must(t, n, status); len(g.body) != 100_000 || !strings.HasPrefix(g.body, "MOBILEIRON-STATUS: OK\n") {
		t.Errorf("got %d bytes that begin with %.30q, want 100000 after the true page", len(g.body), g.body)
	}
	n.Break(Oversize)
	resp, err := n.Client().Get(n.URL() + status)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(resp.Body, make([]byte, 64<<10)); err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	await(t, n, func() bool { return n.Busy() == 0 })
	if n.Sent() > 512<<20 {
		t.Errorf("the node sent %d bytes to a client that had gone", n.Sent())
	}
}

func TestACutBodyIsShorterThanItsLength(t *testing.T) {
	t.Parallel()
	n := New(t, Config{State: ha.Active})
	n.Break(Cut)
	g, err := ask(t, n, http.MethodGet, hastatus)
	if !errors.Is(err, io.ErrUnexpectedEOF) || g.status != 200 || g.body == "" {
		t.Errorf("got %d %q and %v, want half a page", g.status, g.body, err)
	}
}

func TestGarbageIsNoHTTP(t *testing.T) {
	t.Parallel()
	for _, kind := range []TLS{TLSOff, TLSValid} {
		n := New(t, Config{TLS: kind})
		n.Break(Garbage)
		if g, err := ask(t, n, http.MethodGet, status); err == nil || !strings.Contains(err.Error(), "malformed") {
			t.Errorf("got %d %q and %v, want a malformed answer", g.status, g.body, err)
		}
	}
}

func TestGzipIsSentUnasked(t *testing.T) {
	t.Parallel()
	n := New(t, Config{State: ha.Active})
	n.Break(Gzip)
	g, err := ask(t, n, http.MethodGet, status, func(r *http.Request) { r.Header.Set("Accept-Encoding", "identity") })
	if err != nil || g.header.Get("Content-Encoding") != "gzip" {
		t.Fatalf("got %v and %v, want gzip", g.header, err)
	}
	z, err := gzip.NewReader(strings.NewReader(g.body))
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := io.ReadAll(z); err != nil || string(plain) != "MOBILEIRON-STATUS: OK" {
		t.Errorf("got %q and %v, want the true page inside", plain, err)
	}
}

func TestARedirectLeadsToItself(t *testing.T) {
	t.Parallel()
	n := New(t, Config{State: ha.Active})
	n.Break(Redirect)
	if g := must(t, n, status+"?a=b"); g.status != 302 || g.header.Get("Location") != status+"?a=b" {
		t.Errorf("got %d to %q, want 302 to the same", g.status, g.header.Get("Location"))
	}
}

func TestAContradictionSaysTwoThings(t *testing.T) {
	t.Parallel()
	n := New(t, Config{State: ha.Standby})
	n.Break(Contradict)
	for path, page := range map[string]ha.Page{status: ha.StatusPage, hastatus: ha.HAStatusPage} {
		g := must(t, n, path)
		if state, _ := (ha.Profile{}).Read(page, g.body); g.status != 200 || strings.Count(g.body, "MOBILEIRON-STATUS:") != 2 || state != ha.NotAvailable {
			t.Errorf("%s: got %d %q, want 200 and two markers that differ", path, g.status, g.body)
		}
	}
	if g := must(t, n, "/"); g.status != 200 {
		t.Errorf("got %d from the application, want it untouched", g.status)
	}
}

func TestTwoPartsCanBeBrokenApart(t *testing.T) {
	t.Parallel()
	n := New(t, Config{State: ha.Active})
	n.BreakWith(Breakage{Fault: Redirect, On: Pages})
	n.BreakWith(Breakage{Fault: Cut, On: App})
	if g := must(t, n, status); g.status != 302 {
		t.Errorf("got %d from a page, want 302", g.status)
	}
	if _, err := ask(t, n, http.MethodGet, "/"); err == nil {
		t.Error("got a whole answer from the application")
	}
	n.BreakWith(Breakage{Fault: None, On: Pages})
	if g := must(t, n, status); g.status != 200 {
		t.Errorf("got %d from the mended page, want 200", g.status)
	}
	if _, err := ask(t, n, http.MethodGet, "/"); err == nil {
		t.Error("mending the pages mended the application")
	}
	n.Break(None)
	must(t, n, "/")
}

func TestAHeadRequestIsAnsweredUnderEveryBodyFault(t *testing.T) {
	t.Parallel()
	n := New(t, Config{State: ha.Active})
	for _, fault := range []Fault{Drip, Cut, Oversize, Gzip, Contradict, None} {
		n.Break(fault)
		if g, err := ask(t, n, http.MethodHead, status); err != nil || g.status != 200 || g.body != "" {
			t.Errorf("%s: got %d %q and %v, want 200 and no body", fault, g.status, g.body, err)
		}
	}
}

func TestEveryFaultHasANameOfItsOwn(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{"unknown fault": true}
	for _, f := range append(Faults(), None) {
		if seen[f.String()] || f.String() == "" {
			t.Errorf("fault %d is called %q", f, f)
		}
		seen[f.String()] = true
	}
	if Fault(200).String() != "unknown fault" {
		t.Error("a number too high has a name")
	}
}

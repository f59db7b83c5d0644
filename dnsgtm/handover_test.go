package dnsgtm

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// successor gives a server that has taken over from the one that offers at a
// path, and offers in its place.
func successor(t *testing.T, c Config, path string) (*Server, <-chan struct{}) {
	t.Helper()
	s := told(t, c)
	if err := s.Take(context.Background(), path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, offered(t, s, path)
}

func offered(t *testing.T, s *Server, path string) <-chan struct{} {
	t.Helper()
	taken, err := s.Offer(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	return taken
}

// TestNoQueryIsLostOver60Replaces asks over UDP and TCP all the time, while one
// server after another takes the sockets over.
func TestNoQueryIsLostOver60Replaces(t *testing.T) {
	t.Parallel()
	replaces := 60
	if testing.Short() {
		replaces = 5
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "s")
	c := example()
	c.Listen = []string{"127.0.0.1:" + freePort(t)}
	c.StateDir, c.Workers = dir, 2
	s := running(t, c)
	taken := offered(t, s, path)
	address := s.address()
	serial := s.serial()

	ctx, stop := context.WithCancel(context.Background())
	asked := make(chan int)
	for _, network := range []string{"udp", "tcp", "udp", "tcp"} {
		go func() { asked <- hammer(ctx, t, network, address) }()
	}
	for range replaces {
		next, nextTaken := successor(t, c, path)
		<-taken
		s, taken = next, nextTaken
	}
	stop()
	total := 0
	for range 4 {
		total += <-asked
	}
	if total < replaces {
		t.Errorf("only %d queries were asked", total)
	}
	if s.serial() != serial {
		t.Errorf("the serial went from %d to %d though nothing changed", serial, s.serial())
	}
	t.Logf("%d queries over %d replaces", total, replaces)
}

// hammer asks one query after another and gives how many were answered; one
// that is not answered is a failure.
func hammer(ctx context.Context, t *testing.T, network, address string) int {
	client := &dns.Client{Net: network, Timeout: 10 * time.Second}
	for n := 0; ; n++ {
		if ctx.Err() != nil {
			return n
		}
		r, _, err := client.Exchange(query("mdm.example.com", dns.TypeA), address)
		if err != nil || first(r) != "A 192.0.2.10" {
			t.Errorf("query %d over %s: %v %v", n, network, err, r)
			return n
		}
	}
}

// What the old process changed before the hand-over is what the new one begins
// with, one serial after another, and cookies go on to hold.
func TestASuccessorGoesOnWithSerialAndCookies(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "s")
	c := example()
	c.Listen = []string{"127.0.0.1:" + freePort(t)}
	c.StateDir = dir
	s := running(t, c)
	s.Tell(serves("mdm", "core2"))
	serial := s.serial()
	taken := offered(t, s, path)
	q := query("mdm.example.com", dns.TypeA)
	edns0(0, 1232, 0, cookie)(q)
	given := optionOf(ask(t, "udp", s.address(), q), dns.EDNS0COOKIE)

	next := told(t, c)
	next.Tell(serves("mdm", "core2"))
	if err := next.Take(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = next.Close() })
	<-taken
	if got := next.serial(); got != serial {
		t.Errorf("the successor begins with serial %d, want %d", got, serial)
	}
	next.Tell(serves("mdm", "dr1"))
	if got := next.serial(); got != serial+1 {
		t.Errorf("after a failover the successor has serial %d, want %d", got, serial+1)
	}
	q = query("mdm.example.com", dns.TypeA)
	edns0(0, 1232, 0, local(dns.EDNS0COOKIE, given))(q)
	if again := optionOf(ask(t, "udp", next.address(), q), dns.EDNS0COOKIE); again != given {
		t.Errorf("the cookie %s was not taken: got %s", given, again)
	}
}

// A successor that asks and dies leaves everything as it was.
func TestASuccessorThatFailsChangesNothing(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	c := example()
	c.Listen = []string{"127.0.0.1:" + freePort(t)}
	s := running(t, c)
	taken := offered(t, s, path)
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	_, given, err := receive(conn)
	if err != nil || len(given) < 2 {
		t.Fatalf("got %d sockets and %v", len(given), err)
	}
	before := s.serial()
	s.Tell(serves("mdm", "core2")) // a failover in the middle
	if got := s.says(t, "mdm", dns.TypeA); got != "A 192.0.2.11" {
		t.Errorf("while handing over: got %s", got)
	}
	if s.serial() != before {
		t.Errorf("the serial moved while it was another's")
	}
	conn.Close()
	for _, f := range given {
		f.Close()
	}
	await(t, "the serial of the failover", func() bool { return s.serial() == before+1 })
	select {
	case <-taken:
		t.Error("the server gave itself up")
	default:
	}
	successorOf, _ := successor(t, c, path)
	<-taken
	if got := successorOf.says(t, "mdm", dns.TypeA); got != "A 192.0.2.10" {
		t.Errorf("the successor says %s", got)
	}
}

func TestTakingFromNobodyIsAnErrorOfItsOwn(t *testing.T) {
	t.Parallel()
	s := told(t, example())
	if err := s.Take(t.Context(), filepath.Join(t.TempDir(), "s")); !errors.Is(err, ErrNobody) {
		t.Errorf("got %v", err)
	}
}

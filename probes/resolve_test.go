package probes

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// internet is a name server and what listens at addresses.
type internet struct {
	takes     time.Duration // a look-up
	answer    string        // addresses, or "!" and a fault
	lookedUp  atomic.Int32
	listening map[string]bool // others: refused; not there: silence
	dialled   []string
}

func (n *internet) lookUp(ctx context.Context, _ string) ([]netip.Addr, error) {
	n.lookedUp.Add(1)
	select {
	case <-time.After(n.takes):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if fault, failed := strings.CutPrefix(n.answer, "!"); failed {
		return nil, &net.DNSError{Err: fault, IsNotFound: fault == ""}
	}
	var addrs []netip.Addr
	for _, text := range strings.Fields(n.answer) {
		addrs = append(addrs, netip.MustParseAddr(text))
	}
	return addrs, nil
}

func (n *internet) dial(addr string, timeout time.Duration) (net.Conn, error) {
	n.dialled = append(n.dialled, addr)
	listens, there := n.listening[addr]
	switch {
	case !there:
		time.Sleep(timeout)
		return nil, &net.OpError{Op: "dial", Err: timedOut{}}
	case !listens:
		return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	}
	near, far := net.Pipe()
	go func() {
		defer far.Close()
		if _, ok := hearRequest(far); ok {
			_, _ = io.WriteString(far, "HTTP/1.1 200 OK\r\n\r\n"+okStatus)
		}
	}()
	return near, nil
}

// behind gives a checker of a node whose name and addresses n knows.
func behind(t *testing.T, n *internet) *Checker {
	c := checker(t, Target{URL: "http://core1.example:8080", Timeout: 2 * time.Second})
	c.names.lookUp, c.dial = n.lookUp, n.dial
	return c
}

func TestANameIsLookedUpAgainWhenTheLastLookUpIsOld(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := &internet{answer: "192.0.2.1", listening: map[string]bool{"192.0.2.1:8080": true, "192.0.2.2:8080": true}}
		c := behind(t, n)
		check := func(after time.Duration, lookUps int32, addr string) {
			t.Helper()
			time.Sleep(after)
			wantVerdict(t, c.Check(statusPage), "Active")
			synctest.Wait()
			if got := n.lookedUp.Load(); got != lookUps || n.dialled[len(n.dialled)-1] != addr {
				t.Errorf("got %d look-ups, then %s, want %d and %s", got, n.dialled[len(n.dialled)-1], lookUps, addr)
			}
		}
		check(0, 1, "192.0.2.1:8080")
		check(4*time.Second, 1, "192.0.2.1:8080")
		n.answer = "192.0.2.2"
		check(1*time.Second, 2, "192.0.2.1:8080") // the probe did not wait for it
		check(1*time.Second, 2, "192.0.2.2:8080")
		n.answer = "!server misbehaving"
		check(4*time.Second, 3, "192.0.2.2:8080")
		check(5*time.Second, 4, "192.0.2.2:8080") // the last ones stay
	})
}

func TestASlowNameServerDoesNotSlowAProbeThatKnowsAddresses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := &internet{answer: "192.0.2.1", listening: map[string]bool{"192.0.2.1:8080": true}}
		c := behind(t, n)
		c.Check(statusPage)
		n.takes = time.Hour
		for range 10 {
			time.Sleep(5 * time.Second)
			if r := c.Check(statusPage); r.Took != 0 || r.State != ha.Active {
				t.Errorf("got %+v", r)
			}
		}
		if got := n.lookedUp.Load(); got < 3 || got > 5 { // each is given up after 15 s, one at a time
			t.Errorf("got %d look-ups", got)
		}
	})
}

func TestANodeWithoutAnAddressIsNotAvailable(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		answer string
		takes  time.Duration
		want   string
		took   time.Duration
	}{
		{"!", 0, "dns: look up core1.example: no such name", 0},
		{"!server misbehaving", time.Second, "dns: look up core1.example: server misbehaving", time.Second},
		{"", 0, "dns: look up core1.example: it has no address", 0},
		{"192.0.2.1", 3 * time.Second, "dns: look up core1.example: no answer yet", 2 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			n := &internet{answer: tt.answer, takes: tt.takes}
			c := behind(t, n)
			for _, pages := range [][]ha.Page{statusPage, bothPages} {
				before := n.lookedUp.Load()
				r := c.Check(pages)
				wantVerdict(t, r, tt.want)
				if r.Took != tt.took || n.lookedUp.Load() > before+2 {
					t.Errorf("took %s and %d look-ups, want %s", r.Took, n.lookedUp.Load()-before, tt.took)
				}
				if tt.takes > 2*time.Second {
					break
				}
			}
		})
	}
}

// The look-up outlives the probe that began it, so that a second name server
// has its turn.
func TestALookUpThatTakesLongerThanAProbeServesTheNext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := &internet{answer: "192.0.2.1", takes: 5 * time.Second, listening: map[string]bool{"192.0.2.1:8080": true}}
		c := behind(t, n)
		wantVerdict(t, c.Check(statusPage), "dns: look up core1.example: no answer yet")
		wantVerdict(t, c.Check(statusPage), "dns: look up core1.example: no answer yet")
		if r := c.Check(statusPage); r.State != ha.Active || r.Took != time.Second || n.lookedUp.Load() != 1 {
			t.Errorf("got %+v after %d look-ups", r, n.lookedUp.Load())
		}
	})
}

func TestTheAddressesAreTriedInTurnWithinTheTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := &internet{
			answer:    "2001:db8::1 192.0.2.1 192.0.2.1 ::ffff:192.0.2.2 192.0.2.3",
			listening: map[string]bool{"192.0.2.1:8080": false, "192.0.2.2:8080": true, "192.0.2.3:8080": true},
		}
		c := behind(t, n)
		want := []string{"[2001:db8::1]:8080", "192.0.2.1:8080", "192.0.2.2:8080"}
		if r := c.Check(statusPage); r.State != ha.Active || r.Took != 500*time.Millisecond || !slices.Equal(n.dialled, want) {
			t.Errorf("got %+v after %s", r, n.dialled)
		}
		n.dialled = nil
		time.Sleep(6 * time.Second) // the one that connected is first from now on, after another look-up too
		for range 2 {
			c.Check(statusPage)
			synctest.Wait()
		}
		if want := []string{"192.0.2.2:8080", "192.0.2.2:8080"}; !slices.Equal(n.dialled, want) {
			t.Errorf("got %s, want %s", n.dialled, want)
		}
		n.listening = map[string]bool{"192.0.2.2:8080": false, "192.0.2.1:8080": false}
		r := c.Check(statusPage)
		if r.Cause != ha.Refused || r.Took != 2*time.Second || !strings.HasPrefix(r.Detail, "nobody listens at 192.0.2.2:8080; no connection to [2001:db8::1]:8080 within 667ms; nobody") {
			t.Errorf("got %+v", r)
		}
	})
}

func TestAProbeThatIsBrokenOffTriesNoFurtherAddress(t *testing.T) {
	t.Parallel()
	n := &internet{listening: map[string]bool{"192.0.2.1:8080": false, "192.0.2.2:8080": true}}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	g := get{Checker: behind(t, n), deadline: time.Now().Add(time.Minute)}
	if err := g.connect(ctx, []string{"192.0.2.1:8080", "192.0.2.2:8080"}); err == nil || len(n.dialled) != 1 {
		t.Errorf("got %v after %s", err, n.dialled)
	}
}

func TestCloseEndsALookUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := &internet{takes: time.Hour}
		c := behind(t, n)
		c.Check(statusPage)
		began := time.Now()
		c.Close()
		c.Close()
		if took := time.Since(began); took != 0 {
			t.Errorf("Close took %s", took)
		}
		wantVerdict(t, c.Check(statusPage), "dns: look up core1.example: the look-up was given up")
		unused := behind(t, n)
		unused.Close()
		wantVerdict(t, unused.Check(statusPage), "dns: core1.example was not looked up")
		if n.lookedUp.Load() != 1 {
			t.Errorf("got %d look-ups, want none after Close", n.lookedUp.Load())
		}
	})
}

func TestAddressesAndOwnDiallersNeedNoLookUp(t *testing.T) {
	t.Parallel()
	for _, target := range []Target{
		{URL: "http://192.0.2.1"},
		{URL: "http://[2001:db8::1]:80"},
		{URL: "http://core1.example", Dial: func(string, time.Duration) (net.Conn, error) { return nil, io.EOF }},
	} {
		if c := checker(t, target); c.names.lookUp != nil || len(c.names.addrs) != 1 {
			t.Errorf("%s: got %+v", target.URL, c.names)
		}
	}
}

func TestTheSystemKnowsLocalhost(t *testing.T) {
	t.Parallel()
	found, err := checker(t, Target{URL: "http://localhost:80"}).names.lookUp(t.Context(), "localhost")
	if err != nil || !slices.ContainsFunc(found, netip.Addr.IsLoopback) {
		t.Errorf("got %v and %v", found, err)
	}
}

func TestAFailedLookUpIsToldInWords(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err  error
		want string
	}{
		{&net.DNSError{Err: "no such host", IsNotFound: true}, "no such name"},
		{&net.DNSError{Err: "i/o timeout", IsTimeout: true}, "the name server does not answer"},
		{context.DeadlineExceeded, "the name server does not answer"},
		{context.Canceled, "the look-up was given up"},
		{&net.DNSError{Err: "server misbehaving"}, "server misbehaving"},
		{errors.New("else"), "else"},
	} {
		if got := tellDNS(tt.err); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

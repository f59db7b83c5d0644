package probes

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// calm is a pair of which all is well and core1 serves, read at a time.
func calm(at time.Time) ha.Situation { return serves("core1", 3, ha.FailedOver, at) }

// serves is a pair in which a node serves and reads Active, the other Standby.
func serves(serving string, epoch uint64, cause ha.Reason, at time.Time) ha.Situation {
	v := ha.NewView([]string{"core1", "core2"})
	for _, n := range []string{"core1", "core2"} {
		r := ha.Reading{Node: n, State: ha.Standby, Page: "MOBILEIRON-STATUS: OK (Mode: Standby)", At: at}
		if n == serving {
			r.State, r.Page = ha.Active, "MOBILEIRON-STATUS: OK"
		}
		v = v.Observe(r, serving, 3)
	}
	t := ha.Traffic{Group: "mdm", Epoch: epoch, Order: []string{"core1", "core2"}, Serving: serving, Since: at, Cause: cause}
	return ha.Assess(t, v, ha.DefaultRules(), at)
}

// opened is a Proxy that serves both faces on loopback.
type opened struct {
	*testing.T
	*Proxy
	http, agent string // addresses
}

// onLoopback starts a Proxy that was told that all is well. change changes its
// configuration.
func onLoopback(t *testing.T, change func(*ProxyConfig)) *opened {
	t.Helper()
	c := DefaultProxy()
	c.Look = func(string) (ha.Situation, bool) { return ha.Situation{}, false }
	c.Log = slog.New(slog.DiscardHandler)
	if change != nil {
		change(&c)
	}
	p, err := NewProxy(c)
	if err != nil {
		t.Fatal(err)
	}
	o := &opened{T: t, Proxy: p}
	p.Tell(calm(time.Now()))
	ended := make(chan error, 2)
	for _, f := range []struct {
		address *string
		serve   func(net.Listener) error
	}{{&o.http, p.Serve}, {&o.agent, p.ServeAgent}} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		*f.address = ln.Addr().String()
		go func() { ended <- f.serve(ln) }()
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := p.Shutdown(ctx); err != nil {
			t.Errorf("shut down: %v", err)
		}
		for range 2 {
			if err := <-ended; err != nil {
				t.Errorf("served until: %v", err)
			}
		}
	})
	return o
}

// dial opens a connection that must be over in five seconds.
func (o *opened) dial(address string) net.Conn {
	o.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		o.Fatal(err)
	}
	o.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	return c
}

// raw sends bytes, in pieces, and gives all that comes until the other side
// hangs up.
func (o *opened) raw(pieces ...string) string {
	o.Helper()
	c := o.dial(o.http)
	_ = c.(*net.TCPConn).SetNoDelay(true)
	for _, piece := range pieces {
		if _, err := io.WriteString(c, piece); err != nil {
			o.Fatal(err)
		}
	}
	got, err := io.ReadAll(c)
	if err != nil && len(got) == 0 {
		return err.Error()
	}
	return string(got)
}

const yes = "traffic: yes\ngroup: mdm\nnode: core1\nreason: serving\nepoch: 3\n"

func TestEveryKindOfRequestIsAnswered(t *testing.T) {
	t.Parallel()
	o := onLoopback(t, nil)
	last := "Connection: close\r\n\r\n"
	for _, c := range []struct {
		name   string
		pieces []string
		status string
		body   string
	}{
		{"HTTP/1.1", []string{"GET /mdm/core1 HTTP/1.1\r\nHost: x\r\n" + last}, "HTTP/1.1 200 OK", yes},
		{"HTTP/1.0 without Host", []string{"GET /mdm/core1 HTTP/1.0\r\n\r\n"}, "HTTP/1.1 200 OK", yes},
		{"HTTP/0.9", []string{"GET /mdm/core1\r\n"}, "HTTP/1.1 200 OK", yes},
		{"HTTP/0.9 with the line ends of F5", []string{"GET /mdm/core1\r\n\r\n"}, "HTTP/1.1 200 OK", yes},
		{"HTTP/0.9 without a carriage return", []string{"GET /mdm/core1\n"}, "HTTP/1.1 200 OK", yes},
		{"HTTP/0.9 in pieces", []string{"GE", "T /mdm", "/core1", "\r", "\n"}, "HTTP/1.1 200 OK", yes},
		{"HTTP/1.1 in pieces", []string{"GET /mdm/core1 HT", "TP/1.1\r\nHo", "st: x\r\n", last}, "HTTP/1.1 200 OK", yes},
		{"empty lines before", []string{"\r\n\r\nGET /mdm/core1 HTTP/1.0\r\n\r\n"}, "HTTP/1.1 200 OK", yes},
		{"OPTIONS", []string{"OPTIONS /mdm/core1 HTTP/1.0\r\n\r\n"}, "HTTP/1.1 200 OK", yes},
		{"HEAD", []string{"HEAD /mdm/core1 HTTP/1.0\r\n\r\n"}, "HTTP/1.1 200 OK", ""},
		{"a query", []string{"GET /mdm/core1?from=lb HTTP/1.0\r\n\r\n"}, "HTTP/1.1 200 OK", yes},
		{"the other node", []string{"GET /mdm/core2 HTTP/1.0\r\n\r\n"}, "HTTP/1.1 503 Service Unavailable", strings.NewReplacer("yes", "no", "core1", "core2").Replace(yes)},
		{"who serves", []string{"GET /mdm/serving HTTP/1.0\r\n\r\n"}, "HTTP/1.1 200 OK", "core1\n"},
		{"a node's page", []string{"GET /mdm/core2/raw HTTP/1.0\r\n\r\n"}, "HTTP/1.1 200 OK", "MOBILEIRON-STATUS: OK (Mode: Standby)\n"},
		{"another method", []string{"POST /mdm/core1 HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi"}, "HTTP/1.1 405 Method Not Allowed", "this is answered to GET, HEAD, OPTIONS only\n"},
		{"an unknown group", []string{"GET /mail/core1 HTTP/1.0\r\n\r\n"}, "HTTP/1.1 404 Not Found", "no group is at \"/mail/core1\"; the groups are: mdm\n"},
		{"an unknown node", []string{"GET /mdm/core9 HTTP/1.0\r\n\r\n"}, "HTTP/1.1 404 Not Found", "group mdm has no \"core9\"; there is serving, and of each node NODE and NODE/raw: core1, core2\n"},
		{"HTTP/1.1 without Host", []string{"GET /mdm/core1 HTTP/1.1\r\n\r\n"}, "HTTP/1.1 400 Bad Request", "this is not a request that can be read; HTTP/1.1 needs a Host header\n"},
		{"garbage", []string{"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 \xff\n\n"}, "HTTP/1.1 400 Bad Request", "this is not a request that can be read; HTTP/1.1 needs a Host header\n"},
		{"a long request", []string{"GET /mdm/core1 HTTP/1.0\r\nX: " + strings.Repeat("x", 4096)}, "HTTP/1.1 431 Request Header Fields Too Large", "the request is longer than 4096 bytes\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := &opened{T: t, Proxy: o.Proxy, http: o.http}
			head, body, _ := strings.Cut(o.raw(c.pieces...), "\r\n\r\n")
			if status, _, _ := strings.Cut(head, "\r\n"); status != c.status || body != c.body {
				t.Errorf("got %q and %q, want %q and %q", status, body, c.status, c.body)
			}
		})
	}
}

func TestAnAnswerCarriesReasonEpochAndHold(t *testing.T) {
	t.Parallel()
	o := onLoopback(t, nil)
	held := calm(time.Now())
	held.Traffic.Epoch, held.Traffic.Hold = 4, &ha.Hold{Owner: "alice", Since: time.Now()}
	for _, c := range []struct {
		tell ha.Situation
		path string
		want string
	}{
		{calm(time.Now()), "/mdm/core1", "200 serving 3 "},
		{calm(time.Now()), "/mdm/core2", "503 serving 3 "},
		{held, "/mdm/core1", "200 serving 4 held"},
		{serves("core2", 5, ha.FailedOver, time.Now()), "/mdm/core1", "503 serving 5 "},
		{serves("core2", 5, ha.FailedOver, time.Now()), "/mdm/core2", "200 serving 5 "},
	} {
		o.Tell(c.tell)
		r, err := http.Get("http://" + o.http + c.path)
		if err != nil {
			t.Fatal(err)
		}
		_ = r.Body.Close()
		h := r.Header
		got := fmt.Sprintf("%d %s %s %s", r.StatusCode, h.Get("X-Understudy-Reason"), h.Get("X-Understudy-Epoch"), h.Get("X-Understudy-Hold"))
		if got != c.want {
			t.Errorf("%s at epoch %d: got %q, want %q", c.path, c.tell.Traffic.Epoch, got, c.want)
		}
	}
}

func TestPipelinedRequestsAreAnsweredInOrder(t *testing.T) {
	t.Parallel()
	o := onLoopback(t, nil)
	c := o.dial(o.http)
	var want []string
	for i := range 200 {
		path := []string{"/mdm/core1", "/mdm/core2", "/mdm/serving", "/mdm/none"}[i%4]
		want = append(want, []string{"200", "503", "200", "404"}[i%4])
		fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path)
	}
	in := bufio.NewReader(c)
	for i, status := range want {
		r, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, r.Body)
		if !strings.HasPrefix(r.Status, status) {
			t.Fatalf("answer %d is %s, want %s", i, r.Status, status)
		}
	}
}

// A watcher that is starved tells nothing; looking at it gives the same old
// readings.
func TestAStarvedWatcherIsAlarmedAndAnsweredNoMore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var now atomic.Pointer[ha.Situation]
		read := func() ha.Situation {
			s := calm(time.Now())
			now.Store(&s)
			return s
		}
		var log strings.Builder // read when the Proxy has ended
		c := DefaultProxy()
		c.Look = func(string) (ha.Situation, bool) { return *now.Load(), true }
		c.Log = slog.New(slog.NewTextHandler(&log, nil))
		first := read()
		p, err := NewProxy(c)
		if err != nil {
			t.Fatal(err)
		}
		p.Tell(first)
		at := func() int { return p.find([]byte("/mdm/core1"), p.clock.at(time.Now())).status }
		for range 10 { // readings go on, which nobody tells of
			time.Sleep(20 * time.Second)
			read()
			synctest.Wait()
			time.Sleep(2 * time.Second)
			if got := at(); got != 200 {
				t.Fatalf("got %d though readings go on", got)
			}
		}
		time.Sleep(27 * time.Second)
		if got := at(); got != 200 {
			t.Errorf("got %d before max_age", got)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := at(); got != 503 || p.Figures().Stale != 1 {
			t.Errorf("got %d after max_age, %d stale", got, p.Figures().Stale)
		}
		read()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := at(); got != 200 || p.Figures().Stale != 0 {
			t.Errorf("got %d when readings come again, %d stale", got, p.Figures().Stale)
		}
		if err := p.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if got := strings.Count(log.String(), `level=ERROR msg="a person is needed" group=mdm reason=stale`); got != 1 {
			t.Errorf("%d alarms, want 1: %s", got, log.String())
		}
	})
}

func TestALookThatIsOvertakenChangesNothing(t *testing.T) {
	t.Parallel()
	p := quietProxy(t)
	p.Tell(calm(time.Now()))
	e := p.book.find([]byte("mdm"))
	e.refresh(func(string) (ha.Situation, bool) {
		p.Tell(serves("core2", 4, ha.FailedOver, time.Now()))
		return calm(time.Now()), true
	}, p.ages())
	if a := p.find([]byte("/mdm/core1"), 0); a.status != 503 {
		t.Errorf("got %d of what was before the failover", a.status)
	}
}

func TestALookBringsTheNewWordsOfAPage(t *testing.T) {
	t.Parallel()
	p := quietProxy(t)
	s := calm(time.Now())
	p.Tell(s)
	s.View = s.View.Keep([]string{"core1", "core2"}, nil)
	s.View[1].Last.Page = "other words"
	p.book.find([]byte("mdm")).refresh(func(string) (ha.Situation, bool) { return s, true }, p.ages())
	if a := p.find([]byte("/mdm/core2/raw"), 0); string(a.body) != "other words\n" {
		t.Errorf("got %q", a.body)
	}
}

// An address that was changed, or a node that a person forced traffic onto, has
// its readings begun anew; the group has been looked at all the same.
func TestReadingsThatBeginAnewMakeNothingStale(t *testing.T) {
	t.Parallel()
	p := quietProxy(t)
	now := time.Now()
	s := calm(now.Add(20 * time.Second))
	p.Tell(s)
	s.View = s.View.Keep([]string{"core1", "core2"}, []string{"core1", "core2"})
	s.View[1].Last = ha.Reading{Node: "core2", State: ha.Standby, At: now.Add(-time.Hour)}
	p.Tell(s)
	if a := p.find([]byte("/mdm/core1"), p.clock.at(now.Add(45*time.Second))); a.status != 200 {
		t.Errorf("got %d %s", a.status, a.reason)
	}
	if a := p.find([]byte("/mdm/core2/raw"), p.clock.at(now)); string(a.reason) != "stale" {
		t.Errorf("the old page of a node: got %d %s", a.status, a.reason)
	}
}

func TestOnlyAllowedAddressesAreAnswered(t *testing.T) {
	t.Parallel()
	allow := func(prefixes ...string) func(*ProxyConfig) {
		return func(c *ProxyConfig) {
			c.Allow = nil
			for _, p := range prefixes {
				c.Allow = append(c.Allow, netip.MustParsePrefix(p))
			}
		}
	}
	o := onLoopback(t, allow("192.0.2.0/24"))
	if got := o.raw("GET /mdm/core1 HTTP/1.0\r\n\r\n"); strings.Contains(got, "HTTP") {
		t.Errorf("an address that is not allowed got %q", got)
	}
	c := *o.config.Load()
	allow("192.0.2.0/24", "127.0.0.0/8")(&c)
	if err := o.Apply(c); err != nil {
		t.Fatal(err)
	}
	kept := o.dial(o.http)
	fmt.Fprint(kept, "GET /mdm/serving HTTP/1.1\r\nHost: x\r\n\r\n")
	if _, err := http.ReadResponse(bufio.NewReader(kept), nil); err != nil {
		t.Fatalf("an address that is allowed now: %v", err)
	}
	allow("192.0.2.0/24")(&c)
	if err := o.Apply(c); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, kept); errors.Is(err, context.DeadlineExceeded) {
		t.Error("a connection stands though its address is not allowed any more")
	}
	if got := o.Figures().Refused; got != 1 {
		t.Errorf("%d refused, want 1", got)
	}
}

func TestConnectionsAreLimitedInAllAndByAddress(t *testing.T) {
	t.Parallel()
	for _, limits := range []ProxyLimits{{Conns: 3}, {Conns: 10, PerAddr: 3}} {
		o := onLoopback(t, func(c *ProxyConfig) { c.Limits = limits })
		var kept []net.Conn
		for range 3 {
			c := o.dial(o.http)
			fmt.Fprint(c, "GET /mdm/serving HTTP/1.1\r\nHost: x\r\n\r\n")
			if _, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil {
				t.Fatal(err)
			}
			kept = append(kept, c)
		}
		if got := o.raw("GET /mdm/core1 HTTP/1.0\r\n\r\n"); strings.Contains(got, "HTTP") {
			t.Errorf("%+v: the fourth got %q", limits, got)
		}
		_ = kept[0].Close()
		await(t, func() bool { return o.Figures().Conns == 2 })
		if got := o.raw("GET /mdm/core1 HTTP/1.0\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 200") {
			t.Errorf("%+v: after one has ended: %q", limits, got)
		}
	}
}

// await waits for something that comes within five seconds.
func await(t *testing.T, ready func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(5 * time.Second); !ready(); <-tick.C {
		if time.Now().After(end) {
			t.Fatal("it has not come within 5s")
		}
	}
}

func TestAnAddressThatAsksTooOftenIsToldSoWhateverItsConnections(t *testing.T) {
	t.Parallel()
	o := onLoopback(t, func(c *ProxyConfig) { c.Limits.Rate = 5 })
	var told int
	for range 12 {
		if strings.HasPrefix(o.raw("GET /mdm/core1 HTTP/1.0\r\n\r\n"), "HTTP/1.1 429 ") {
			told++
		}
	}
	if told < 6 || told > 7 || o.Figures().Throttled != uint64(told) {
		t.Errorf("%d of 12 were told, counted %d; want 7, or 6 on a slow machine", told, o.Figures().Throttled)
	}
}

func TestARateLetsASecondsWorthThroughAndThenOneInItsTime(t *testing.T) {
	t.Parallel()
	c, second := &caller{}, int64(time.Second)
	take := func(now int64, tries int) (took int) {
		for range tries {
			if c.take(now, 10) {
				took++
			}
		}
		return took
	}
	for _, step := range []struct {
		at    int64
		tries int
		want  int
	}{{100 * second, 20, 10}, {100*second + second/10, 5, 1}, {100*second + second/2, 20, 4}, {200 * second, 20, 10}} {
		if got := take(step.at, step.tries); got != step.want {
			t.Errorf("at %s %d of %d, want %d", time.Duration(step.at), got, step.tries, step.want)
		}
	}
}

func TestSlowAndSilentConnectionsAreClosedInTime(t *testing.T) {
	t.Parallel()
	o := onLoopback(t, nil)
	silent, slow, kept, deaf := o.dial(o.http), o.dial(o.http), o.dial(o.http), o.dial(o.http)
	fmt.Fprint(slow, "GET /mdm/core1 HTTP/1.1\r\nHos")
	fmt.Fprint(kept, "GET /mdm/core1 HTTP/1.1\r\nHost: x\r\n\r\n")
	if _, err := http.ReadResponse(bufio.NewReader(kept), nil); err != nil {
		t.Fatal(err)
	}
	go func() { // it never reads an answer
		for {
			if _, err := io.WriteString(deaf, strings.Repeat("GET /mdm/core1 HTTP/1.1\r\nHost: x\r\n\r\n", 100)); err != nil {
				return
			}
		}
	}()
	await(t, func() bool { return o.turns() == [4]int{arriving: 1, resting: 1, asking: 1, replying: 1} })
	o.door.sweep(int64(9 * time.Second))
	if got := o.Figures().Conns; got != 4 {
		t.Fatalf("%d connections after 9s, want 4", got)
	}
	before, still := o.Figures().Answers, 0
	await(t, func() bool { // the buffers of both sides are full
		now := o.Figures().Answers
		if still++; now != before {
			before, still = now, 0
		}
		return still == 200
	})
	o.door.sweep(int64(60 * time.Second))
	await(t, func() bool { return o.Figures().Conns == 1 })
	for _, c := range []net.Conn{silent, slow} {
		if got, err := io.ReadAll(c); err == nil && strings.Contains(string(got), "200") {
			t.Errorf("got %q", got)
		}
	}
	o.door.sweep(int64(80 * time.Second))
	if got := o.Figures().Conns; got != 1 {
		t.Errorf("a connection that is kept was closed after 80s")
	}
	o.door.sweep(int64(101 * time.Second))
	await(t, func() bool { return o.Figures().Conns == 0 })
}

// turns counts the connections at each turn.
func (o *opened) turns() (turns [4]int) {
	o.door.each(func(v *visit) { turns[v.turn()]++ })
	return turns
}

func TestThousandsOfIdleConnectionsKeepNobodyFromAnAnswer(t *testing.T) {
	o := onLoopback(t, nil)
	idle := make([]net.Conn, 0, 5_000) // and as many descriptors again for the other ends
	defer func() {
		for _, c := range idle {
			_ = c.Close()
		}
	}()
	for len(idle) < cap(idle) {
		c, err := net.Dial("tcp", o.http)
		if err != nil {
			t.Skipf("this machine gives %d connections: %v", len(idle), err)
		}
		idle = append(idle, c)
	}
	if got := o.raw("GET /mdm/core1 HTTP/1.0\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 200") {
		t.Errorf("got %q", got)
	}
	if got := o.Figures().Conns; got < 5_000 {
		t.Errorf("only %d connections stand", got)
	}
}

func TestShutdownLetsTheAnswerUnderWayEndAndClosesTheRest(t *testing.T) {
	t.Parallel()
	o := onLoopback(t, nil)
	silent, kept := o.dial(o.http), o.dial(o.http)
	fmt.Fprint(kept, "GET /mdm/core1 HTTP/1.1\r\nHost: x\r\n\r\n")
	if _, err := http.ReadResponse(bufio.NewReader(kept), nil); err != nil {
		t.Fatal(err)
	}
	await(t, func() bool { return o.Figures().Conns == 2 })
	began := time.Now()
	if err := o.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("it took %s", took)
	}
	for _, c := range []net.Conn{silent, kept} {
		if got, _ := io.ReadAll(c); len(got) > 0 {
			t.Errorf("a connection at rest got %q", got)
		}
	}
	if c, err := net.Dial("tcp", o.http); err == nil {
		_ = c.Close()
		t.Error("it still listens")
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Serve(ln); err != nil {
		t.Errorf("to serve afterwards: %v", err)
	}
}

func TestAGroupThatIsForgottenIsUnknown(t *testing.T) {
	t.Parallel()
	p := quietProxy(t)
	p.Tell(calm(time.Now()))
	p.Forget("mdm")
	if a := p.find([]byte("/mdm/core1"), 0); a != nil {
		t.Errorf("got %d", a.status)
	}
	if got, want := p.missing([]byte("/mdm/core1")), `no group is at "/mdm/core1"; the groups are: `; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAGroupWhoseNodesAreNotKnownYetIsStarting(t *testing.T) {
	t.Parallel()
	p := quietProxy(t)
	p.Tell(NewWatcher("mdm", nil, slog.New(slog.DiscardHandler)).Situation())
	if a := p.find([]byte("/mdm/core1"), 0); a == nil || a.status != 503 || string(a.reason) != "starting" {
		t.Errorf("got %+v", a)
	}
}

func TestAProxyConfigSaysAllThatIsWrong(t *testing.T) {
	t.Parallel()
	c := ProxyConfig{MaxAge: time.Millisecond, Allow: []netip.Prefix{{}}, Limits: ProxyLimits{Rate: -1}}
	if got := strings.Count(fmt.Sprint(c.Check()), "\n"); got != 4 {
		t.Errorf("%d faults, want 5: %v", got+1, c.Check())
	}
}

func TestAddressesOfOneHostCountTogether(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ address, want string }{
		{"192.0.2.1", "192.0.2.1/32"},
		{"2001:db8::1", "2001:db8::/64"},
		{"2001:db8::ffff:1:2:3", "2001:db8:0:0::/64"},
	} {
		if got := origin(netip.MustParseAddr(c.address)); got != netip.MustParsePrefix(c.want).Masked() {
			t.Errorf("%s: got %s, want %s", c.address, got, c.want)
		}
	}
	if got := origin(netip.Addr{}); got.IsValid() {
		t.Errorf("no address: got %s", got)
	}
}

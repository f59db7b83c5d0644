package caddymodule

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/understudy-ha/understudy/internal/ha"
)

// situation is one in which node serves; change alters it.
func situation(node string, change ...func(*ha.Situation)) ha.Situation {
	s := ha.Situation{
		Traffic:  ha.Traffic{Group: "mdm", Epoch: 1, Serving: node, Order: []string{"core1", "core2"}},
		View:     ha.View{{Node: "core1"}, {Node: "core2"}},
		Decision: ha.Decision{Verb: ha.Stay, Reason: ha.Serving, Row: 3}, Target: node,
	}
	for _, c := range change {
		c(&s)
	}
	return s
}

func queue(q ha.Queueing, why ha.Reason) func(*ha.Situation) {
	return func(s *ha.Situation) { s.Queue, s.Decision = q, ha.Decision{Verb: ha.Wait, Reason: why} }
}

func down(why ha.Reason) func(*ha.Situation) {
	return func(s *ha.Situation) {
		s.Decision = ha.Decision{Verb: ha.Wait, Reason: why}
		s.View = ha.View{{Node: s.Traffic.Serving, Misses: 3, DownAt: time.Now()}}
	}
}

func routeTo(node string) *route {
	r := newRoute(func(string, string) {})
	r.place(map[string]string{"core1": "192.0.2.10:80", "core2": "192.0.2.11:80"}, situation(node))
	return r
}

func TestRequestsWaitOnlyAsTheQueueSays(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name          string
		now           ha.Situation
		tried, unsafe bool
		want          outcome
	}{
		{"calm", situation("core1"), false, true, proceed},
		{"calm after a failed attempt", situation("core1"), true, false, proceed},
		{"suspect, may be sent again", situation("core1", queue(ha.QueueUnsafe, ha.Missing)), false, false, proceed},
		{"suspect, may not be sent again", situation("core1", queue(ha.QueueUnsafe, ha.Missing)), false, true, givenUp},
		{"suspect after a failed attempt", situation("core1", queue(ha.QueueUnsafe, ha.Missing)), true, false, givenUp},
		{"deciding", situation("core1", queue(ha.QueueAll, ha.Confirming)), false, false, givenUp},
		{"down and staying, first attempt", situation("core1", down(ha.Stranded)), false, true, proceed},
		{"down and staying, after an attempt", situation("core1", down(ha.Stranded)), true, false, hopeless},
		{"nobody serves", situation(""), false, false, hopeless},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := routeTo("core1")
				r.place(r.address, c.now)
				begun, failedAt := time.Now(), (*server)(nil)
				if c.tried {
					failedAt = r.choice.Load().serving
				}
				_, got := r.settle(t.Context(), failedAt, c.unsafe, patience{begun.Add(time.Second), 1})
				if got != c.want {
					t.Errorf("got outcome %d, want %d", got, c.want)
				}
				if waited := time.Since(begun); (got == givenUp) != (waited == time.Second) {
					t.Errorf("waited %s", waited)
				}
				if n := r.waiting.Load(); n != 0 {
					t.Errorf("%d still counted as waiting", n)
				}
			})
		})
	}
}

func TestWaitersAreReleasedTogetherToTheNewNode(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := routeTo("core1")
		r.tell(situation("core1", queue(ha.QueueAll, ha.Confirming)))
		got := make(chan string)
		for range 100 {
			go func() {
				c, _ := r.settle(t.Context(), nil, true, patience{time.Now().Add(time.Minute), 100})
				got <- c.node
			}()
		}
		synctest.Wait()
		if n := r.waiting.Load(); n != 100 {
			t.Fatalf("%d wait, want 100", n)
		}
		if _, out := r.settle(t.Context(), nil, true, patience{time.Now().Add(time.Minute), 100}); out != givenUp {
			t.Errorf("one more than queue_max was let in: %d", out)
		}
		begun := time.Now()
		r.tell(situation("core2"))
		for range 100 {
			if node := <-got; node != "core2" {
				t.Fatalf("released to %s", node)
			}
		}
		if d := time.Since(begun); d != 0 {
			t.Errorf("release took %s", d)
		}
	})
}

func TestAClientThatLeavesTheQueueIsGone(t *testing.T) {
	t.Parallel()
	r := routeTo("core1")
	r.tell(situation("core1", queue(ha.QueueAll, ha.Confirming)))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, out := r.settle(ctx, nil, false, patience{time.Now().Add(time.Minute), 1}); out != gone {
		t.Errorf("got outcome %d, want gone", out)
	}
}

func TestFailoverFencesThenSwapsThenCloses(t *testing.T) {
	t.Parallel()
	r := routeTo("core1")
	old := r.choice.Load()
	near, far := net.Pipe()
	conn, err := old.serving.dial(t.Context(), func(context.Context) (net.Conn, error) { return near, nil })
	if err != nil {
		t.Fatal(err)
	}
	pending := make(chan error)
	dialling := make(chan struct{})
	go func() {
		_, err := old.serving.dial(t.Context(), func(ctx context.Context) (net.Conn, error) {
			close(dialling)
			<-ctx.Done()
			return nil, ctx.Err()
		})
		pending <- err
	}()
	<-dialling
	r.tell(situation("core2"))
	if err := <-pending; !errors.Is(err, errFenced) {
		t.Errorf("the dial under way ended with %v", err)
	}
	if _, err := far.Read(make([]byte, 1)); err == nil {
		t.Error("the old node's connection is still open")
	}
	if _, err := conn.Write([]byte("x")); err == nil {
		t.Error("the old node's connection can be written")
	}
	late, _ := net.Pipe()
	if _, err := old.serving.dial(t.Context(), func(context.Context) (net.Conn, error) { return late, nil }); !errors.Is(err, errFenced) {
		t.Errorf("a new dial of the old node ended with %v", err)
	}
	if now := r.choice.Load(); now.node != "core2" || now.serving.address != "192.0.2.11:80" {
		t.Errorf("the choice is %+v", now)
	}
	select {
	case <-old.changed:
	default:
		t.Error("who waited for the old choice was not released")
	}
	if r.closed.Load() != 1 {
		t.Errorf("%d connections counted as closed, want 1", r.closed.Load())
	}
}

func TestAChangedAddressLeavesOldConnectionsUntilAFailover(t *testing.T) {
	t.Parallel()
	r := routeTo("core1")
	near, far := net.Pipe()
	if _, err := r.choice.Load().serving.dial(t.Context(), func(context.Context) (net.Conn, error) { return near, nil }); err != nil {
		t.Fatal(err)
	}
	r.place(map[string]string{"core1": "192.0.2.99:80", "core2": "192.0.2.11:80"}, situation("core1"))
	if got := r.choice.Load().serving.address; got != "192.0.2.99:80" {
		t.Fatalf("new requests go to %s", got)
	}
	_ = far.SetReadDeadline(time.Now())
	if _, err := far.Read(make([]byte, 1)); !errors.Is(err, context.DeadlineExceeded) && !strings.Contains(err.Error(), "timeout") {
		t.Fatalf("the old connection was closed: %v", err)
	}
	_ = far.SetReadDeadline(time.Time{})
	r.tell(situation("core2"))
	if _, err := far.Read(make([]byte, 1)); err == nil {
		t.Error("the failover left the connection to the old address open")
	}
}

func TestSilenceIsEvidenceButASlowApplicationIsNot(t *testing.T) {
	t.Parallel()
	const base = 100 * time.Millisecond
	at := time.Now()
	var q silence
	look := func(after time.Duration, seen traffic) bool {
		at = at.Add(after)
		return q.look(at, seen, base)
	}
	if look(0, traffic{started: 1}) || look(50*time.Millisecond, traffic{started: 2}) {
		t.Fatal("cried at once")
	}
	if look(time.Millisecond, traffic{started: 3, finished: 1}) {
		t.Fatal("cried though one was answered")
	}
	if look(90*time.Millisecond, traffic{started: 3, finished: 1}) || !look(20*time.Millisecond, traffic{started: 3, finished: 1}) {
		t.Fatal("did not cry after the fast interval")
	}
	if look(time.Second, traffic{started: 3, finished: 1, suspect: true}) {
		t.Fatal("cried twice")
	}
	cries := 0
	for range 600 { // a minute of one answer every 800 ms, each cry settled by a good reading
		for range 8 {
			if look(100*time.Millisecond, traffic{started: 5000, finished: 1}) {
				cries++
			}
		}
		q.finished = 0
	}
	if cries > 30 {
		t.Errorf("cried %d times in eight minutes of a slow application", cries)
	}
}

func request(method string, body string) *http.Request {
	var r *http.Request
	if body == "" {
		r = httptest.NewRequest(method, "/", http.NoBody)
	} else {
		r = httptest.NewRequest(method, "/", strings.NewReader(body))
	}
	return r.WithContext(context.WithValue(r.Context(), caddyhttp.VarsCtxKey, map[string]any{}))
}

func TestOnlyIdempotentRequestsWithoutABodyMayBeSentAgain(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		method, body string
		want         bool
	}{
		{"GET", "", true},
		{"HEAD", "", true},
		{"OPTIONS", "", true},
		{"DELETE", "", true},
		{"PUT", "", true},
		{"TRACE", "", true},
		{"PUT", "x", false},
		{"GET", "x", false},
		{"POST", "", false},
		{"POST", "x", false},
		{"PATCH", "", false},
		{"FOO", "", false},
	} {
		if got := replayable(request(c.method, c.body)); got != c.want {
			t.Errorf("%s with body %q: got %t", c.method, c.body, got)
		}
	}
}

func TestARequestWithAnIdempotencyKeyIsSentOnce(t *testing.T) {
	t.Parallel()
	plain := request("POST", "")
	if once(plain) != plain {
		t.Error("a plain POST was copied")
	}
	plain.Header.Set("Idempotency-Key", "7")
	got := once(plain)
	if got == plain || got.Body == nil || got.Body == http.NoBody || plain.Body != http.NoBody {
		t.Error("net/http would repeat it")
	}
}

func testPool() (*Policy, reverseproxy.UpstreamPool) {
	return &Policy{Group: "mdm", QueueTimeout: -1, QueueMax: 1, route: routeTo("core1")},
		reverseproxy.UpstreamPool{{Dial: "192.0.2.10:80"}, {Dial: "192.0.2.11:80"}}
}

func TestThePolicyAllocatesNothing(t *testing.T) {
	p, pool := testPool()
	r := request("GET", "")
	if n := testing.AllocsPerRun(1000, func() {
		if p.Select(pool, r, nil) != pool[0] {
			t.Fatal("not the serving node")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestThePolicySaysWhyItTurnsARequestAway(t *testing.T) {
	t.Parallel()
	p, pool := testPool()
	p.route.tell(situation("core1", queue(ha.QueueAll, ha.Confirming)))
	w := httptest.NewRecorder()
	r := request("GET", "")
	if p.Select(pool, r, w) != nil {
		t.Fatal("got a node")
	}
	if w.Header().Get("Retry-After") == "" || w.Header().Get("X-Understudy-Reason") != "confirming" {
		t.Errorf("headers are %v", w.Header())
	}
	if caddyhttp.GetVar(r.Context(), refusedVar) != givenUp {
		t.Error("the handler is not told")
	}
}

func BenchmarkPolicy(b *testing.B) {
	p, pool := testPool()
	r := request("GET", "")
	b.ReportAllocs()
	for b.Loop() {
		p.Select(pool, r, nil)
	}
}

func TestRequestsWaitForANodeThatIsStillPromotedAndNotForOneThatFailsLater(t *testing.T) {
	t.Parallel()
	r := routeTo("core1")
	t.Cleanup(r.stop)
	begun := time.Unix(1_800_000_000, 0)
	cause := ha.Status
	moved := func(state ha.State, after time.Duration) ha.Situation {
		return situation("core2", func(s *ha.Situation) {
			s.At, s.Rules = begun.Add(after), ha.DefaultRules()
			s.Traffic.Left, s.Traffic.Since = "core1", begun
			s.View = ha.View{}.Keep(s.Traffic.Order, nil)
			for range s.Rules.Fall {
				s.View = s.View.Observe(ha.Reading{Node: "core2", State: state, Cause: cause, At: s.At}, "core2", s.Rules.Fall)
			}
			if state == ha.NotAvailable {
				s.Decision = ha.Decision{Verb: ha.Wait, Reason: ha.LastInOrder, Row: 6}
			}
		})
	}
	for _, step := range []struct {
		state    ha.State
		after    time.Duration
		hopeless bool
	}{
		{ha.Standby, 0, false},
		{ha.NotAvailable, time.Second, false}, // its application starts
		{ha.NotAvailable, 121 * time.Second, true},
		{ha.Active, 130 * time.Second, false},
		{ha.NotAvailable, 131 * time.Second, true},
	} {
		r.tell(moved(step.state, step.after))
		if got := r.choice.Load().hopeless; got != step.hopeless {
			t.Errorf("%v after %v: hopeless %t", step.state, step.after, got)
		}
	}
	r.tell(situation("core1"))
	cause = ha.Refused
	r.tell(moved(ha.NotAvailable, time.Second))
	if !r.choice.Load().hopeless {
		t.Error("its page is silent: nobody may wait for it")
	}
	cause = ha.Status
	r.tell(moved(ha.Active, time.Second))
	r.tell(moved(ha.NotAvailable, 2*time.Second))
	if !r.choice.Load().hopeless {
		t.Error("it was Active and fails soon after: nobody may wait for it")
	}
}

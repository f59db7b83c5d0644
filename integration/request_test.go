//go:build linux

package integration

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/api"
	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/internal/hatest"
)

// request is one request of a client.
type request struct {
	method string // empty: GET
	path   string // empty: /
	body   string
	id     string // X-Request-Id; empty: a fresh one
	header map[string]string
	ctx    context.Context // nil: none
	host   string          // empty: the site's address
}

// answer is what a client got.
type answer struct {
	request
	status     int // 0: none
	node       string
	header     http.Header
	body       string
	proto      string
	err        error
	begun, end time.Time
}

func (a answer) took() time.Duration { return a.end.Sub(a.begun) }

func (a answer) String() string {
	if a.err != nil {
		return fmt.Sprintf("%s %s: %v after %s", a.method, a.id, a.err, a.took())
	}
	return fmt.Sprintf("%s %s: %d from %q after %s, reason %q", a.method, a.id, a.status, a.node, a.took(), a.header.Get("X-Understudy-Reason"))
}

var lastID atomic.Int64

// do sends one request and reads the whole answer.
func (f *front) do(r request) answer {
	if r.method == "" {
		r.method = http.MethodGet
	}
	if r.path == "" {
		r.path = "/"
	}
	if r.id == "" {
		r.id = fmt.Sprintf("%s-%d", strings.ToLower(r.method), lastID.Add(1))
	}
	if r.ctx == nil {
		r.ctx = context.Background()
	}
	a := answer{request: r, begun: time.Now()}
	defer func() { a.end = time.Now() }()
	var body io.Reader
	if r.body != "" {
		body = strings.NewReader(r.body)
	}
	req, err := http.NewRequestWithContext(r.ctx, r.method, f.scheme()+"://"+f.at.site+r.path, body)
	if err != nil {
		a.err = err
		return a
	}
	req.Header.Set(hatest.IDHeader, r.id)
	for key, value := range r.header {
		req.Header.Set(key, value)
	}
	if r.host != "" {
		req.Host = r.host
	}
	a.err = a.take(f.client.Do(req))
	a.end = time.Now()
	return a
}

func (a *answer) take(resp *http.Response, err error) error {
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	a.proto = resp.Proto
	a.status, a.header, a.node = resp.StatusCode, resp.Header, resp.Header.Get(hatest.NodeHeader)
	var body bytes.Buffer
	_, err = body.ReadFrom(resp.Body)
	a.body = body.String()
	return err
}

// send is do in a goroutine of its own.
func (f *front) send(r request) <-chan answer {
	answers := make(chan answer, 1)
	go func() { answers <- f.do(r) }()
	return answers
}

// sendAll sends requests at the same time.
func (f *front) sendAll(rs []request) <-chan answer {
	answers := make(chan answer, len(rs))
	for _, r := range rs {
		go func() { answers <- f.do(r) }()
	}
	return answers
}

// collect waits for n answers.
func collect(t *testing.T, n int, answers <-chan answer) []answer {
	t.Helper()
	var all []answer
	end := time.NewTimer(patience)
	defer end.Stop()
	for len(all) < n {
		select {
		case a := <-answers:
			all = append(all, a)
		case <-end.C:
			t.Fatalf("only %d of %d answers came within %s", len(all), n, patience)
		}
	}
	return all
}

// get and post are the usual requests.
func (f *front) get() answer  { return f.do(request{}) }
func (f *front) post() answer { return f.do(request{method: http.MethodPost, body: "a body"}) }

// expectFrom checks that a node answered well.
func (f *front) expectFrom(node string, answers ...answer) {
	f.t.Helper()
	for _, a := range answers {
		if a.err != nil && !f.up() {
			f.t.Fatalf("%s: the front has ended", a)
		}
		if a.err != nil || a.status != http.StatusOK || a.node != node {
			f.t.Errorf("got %s; want 200 from %s", a, node)
		}
	}
}

// expectTurnedAway checks that a request got 503 from the front, which says
// why and when to come again.
func (f *front) expectTurnedAway(reason ha.Reason, answers ...answer) {
	f.t.Helper()
	for _, a := range answers {
		if a.err != nil || a.status != http.StatusServiceUnavailable || a.header.Get("X-Understudy-Reason") != string(reason) {
			f.t.Errorf("got %s; want 503 with reason %s", a, reason)
			continue
		}
		if a.header.Get("Retry-After") == "" {
			f.t.Errorf("%s: no Retry-After", a)
		}
	}
}

// expectAllTo checks that every kind of request goes to a node.
func (f *front) expectAllTo(node string) {
	f.t.Helper()
	for range 3 {
		f.expectFrom(node, f.get(), f.post(), f.do(request{method: "DELETE"}), f.do(request{method: "PUT", body: "x"}))
	}
}

// bodyForce is a wish that overrides the guards.
var bodyForce = api.Body{Force: true}

// overTLS gives a front's clients another site of it, which they reach by TLS
// and HTTP/2.
func (f *front) overTLS(site string) *front {
	f.t.Helper()
	transport := &http.Transport{
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, // #nosec G402 -- Caddy's own authority, of this test
		ForceAttemptHTTP2: true,
	}
	f.t.Cleanup(transport.CloseIdleConnections)
	secure := *f
	secure.at.site, secure.tls = site, true
	secure.client = &http.Client{Transport: transport, Timeout: 2 * patience}
	return &secure
}

func (f *front) scheme() string {
	if f.tls {
		return "https"
	}
	return "http"
}

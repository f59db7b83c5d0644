package remote

import (
	"bufio"
	"context"
	"crypto/tls"
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

// answerOn reads an answer and what it says.
func answerOn(t *testing.T, c net.Conn) (code int, said string) {
	t.Helper()
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	must(t, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	must(t, err)
	return answer.StatusCode, string(text)
}

// asks sends one request to a node as somebody with a TLS configuration.
func asks(t *testing.T, n *node, as *tls.Config, request string) (code int, said string) {
	t.Helper()
	c, err := tls.Dial("tcp", n.at, as)
	must(t, err)
	defer c.Close()
	fmt.Fprint(c, request)
	return answerOn(t, c)
}

func get(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n" }

func post(path, body string) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", path, len(body), body)
}

func TestOnlyTrustedHostsAreAnsweredAndEachInItsRole(t *testing.T) {
	t.Parallel()
	a, b, stranger, front := newNode(t, "core1"), newNode(t, "core2"), newNode(t, "thief"), newFront(t, "front1")
	paired(t, a, b)
	if _, err := front.Join(t.Context(), invited(t, a, Front), ""); err != nil {
		t.Fatal(err)
	}
	step, traffic := `{"epoch":3,"firm":true}`, `{"group":"mdm","node":"core2","epoch":1,"left":"core1","left_epoch":7}`
	as := func(x *Trust) *tls.Config { return x.clientTLS("core1", a.at, a.Key.Pin) }
	bare := as(b.Trust)
	bare.Certificates = nil
	for _, tt := range []struct {
		who     string
		as      *tls.Config
		request string
		code    int
		want    string
	}{
		{"a node", as(b.Trust), get(pathPeer), 200, `"name":"core1"`},
		{"a node", as(b.Trust), post(pathStep, step), 200, `{"version":1}`},
		{"a node", as(b.Trust), post(pathTraffic, traffic), 403, "trusted as a node, which may not ask for this"},
		{"a node", as(b.Trust), post(pathPeer, `{"report":{"state":"Standby","served":0,"reign":0},"asks":true}`), 200, `"served":7`},
		{"a front", as(front), post(pathPeer, `{}`), 403, "trusted as a front, which may not ask for this"},
		{"a front", as(front), get("/ha/v1/status"), 403, "trusted as a front"},
		{"a front", as(front), get(pathPeer), 200, `"name":"core1"`},
		{"a front", as(front), post(pathTraffic, traffic), 200, `{"version":1,"again":"again"}`},
		{"a front", as(front), post(pathStep, step), 403, "trusted as a front, which may not ask for this"},
		{"a front", as(front), post(pathKeys, "{}"), 403, "trusted as a front"},
		{"a stranger", as(stranger.Trust), get(pathPeer), 403, "is no trusted host's of core1"},
		{"a stranger", as(stranger.Trust), post(pathStep, step), 403, "is no trusted host's"},
		{"nobody", bare, get(pathPeer), 403, "the connection shows no key"},
		{"nobody", bare, post(pathPair, "{}"), 400, "shows no TLS key"},
		{"a node", as(b.Trust), get("/ha/v1/else"), 404, ""},
		{"a node", as(b.Trust), post(pathStep, `{"epoch":3,"sure":true}`), 400, "unknown field"},
		{"a node", as(b.Trust), post(pathStep, step+step), 400, "something follows"},
		{"a node", as(b.Trust), post(pathStep, `{"epoch":-1}`), 400, "read JSON"},
		{"a node", as(b.Trust), post(pathStep, strings.Repeat(" ", mostBody)+step), 400, "larger than it may be"},
		{"a node", as(b.Trust), post(pathPair, strings.Repeat(" ", mostBody)+"{}"), 400, "larger than it may be"},
		{"a front", as(front), post(pathTraffic, `{"group":"m\u0000","node":"core2","epoch":1,"left":"core1","left_epoch":7}`), 400, "must be names"},
	} {
		code, said := asks(t, a, tt.as, tt.request)
		if code != tt.code || !strings.Contains(said, tt.want) {
			t.Errorf("%s, %.40q: got %d %s, want %d %s", tt.who, tt.request, code, said, tt.code, tt.want)
		}
	}
	if got, want := a.engine.said(), "report, step-down by core2, asked by core2, report, traffic to core2 by front1"; got != want {
		t.Errorf("the engine heard %q, want %q", got, want)
	}
}

func TestARemovedHostIsRefusedOverAConnectionThatStands(t *testing.T) {
	t.Parallel()
	a, b := newNode(t, "core1"), newNode(t, "core2")
	paired(t, a, b)
	p := b.Peer(known(t, b.Trust, "core1"), 0)
	defer p.Close()
	if _, err := p.Report(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Remove("core2"); err != nil {
		t.Fatal(err)
	}
	_, err := p.Report(t.Context())
	wants(t, err, "no trusted host's of core1", "trusted-hosts list")
}

func TestOldTLSIsRefused(t *testing.T) {
	t.Parallel()
	a := newNode(t, "core1")
	c, err := tls.Dial("tcp", a.at, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}) // #nosec G402 -- it has to fail
	if err == nil {
		c.Close()
		t.Error("TLS 1.2 was accepted")
	}
}

func TestWhoeverShowsAnotherHostsCertificateWithoutItsKeyIsRefused(t *testing.T) {
	t.Parallel()
	a, b, thief := newNode(t, "core1"), newNode(t, "core2"), newNode(t, "thief")
	paired(t, a, b)
	stolen := thief.clientTLS("core1", a.at, a.Key.Pin)
	stolen.Certificates = []tls.Certificate{{Certificate: b.Key.Certificate.Certificate, PrivateKey: thief.Key.Certificate.PrivateKey}}
	c, err := tls.Dial("tcp", a.at, stolen)
	if err == nil { // in TLS 1.3 the client learns it with its first read
		fmt.Fprint(c, get(pathPeer))
		_, err = c.Read(make([]byte, 1))
		c.Close()
	}
	if err == nil || a.engine.said() != "" {
		t.Errorf("got %v, and the engine heard %q", err, a.engine.said())
	}
}

// tape is a network that records what a client sends through it.
type tape struct {
	net.Listener
	mu  sync.Mutex // guards the field below
	got []byte
}

func TestARecordedRequestIsNotHeardAgain(t *testing.T) {
	t.Parallel()
	a, b := newNode(t, "core1"), newNode(t, "core2")
	paired(t, a, b)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	through := &tape{Listener: l}
	go through.relay(a.at)
	c, err := tls.Dial("tcp", l.Addr().String(), b.clientTLS("core1", a.at, a.Key.Pin))
	must(t, err)
	fmt.Fprint(c, post(pathStep, `{"epoch":3,"firm":false}`))
	if code, said := answerOn(t, c); code != 200 {
		t.Fatalf("%d %s", code, said)
	}
	c.Close()
	through.mu.Lock()
	recorded := through.got
	through.mu.Unlock()
	again, err := net.Dial("tcp", a.at)
	must(t, err)
	defer again.Close()
	_, _ = again.Write(recorded)
	must(t, again.SetReadDeadline(time.Now().Add(30*time.Second)))
	_, _ = io.Copy(io.Discard, again) // until the node hangs up
	if got := a.engine.said(); got != "step-down by core2" {
		t.Errorf("the engine heard %q", got)
	}
}

func (p *tape) relay(to string) {
	in, err := p.Accept()
	if err != nil {
		return
	}
	defer in.Close()
	out, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer out.Close()
	go func() { _, _ = io.Copy(in, out) }()
	b := make([]byte, 4096)
	for {
		n, err := in.Read(b)
		p.mu.Lock()
		p.got = append(p.got, b[:n]...)
		p.mu.Unlock()
		if _, e := out.Write(b[:n]); e != nil || err != nil {
			return
		}
	}
}

func TestARefusalOfTheEngineArrivesAsOne(t *testing.T) {
	t.Parallel()
	a, b := newNode(t, "core1"), newNode(t, "core2")
	paired(t, a, b)
	p := b.Peer(known(t, b.Trust, "core1"), 0)
	defer p.Close()
	a.engine.answer = &ha.Refusal{What: "core1 does not step down", Why: "epoch 9 is newer", Do: "Look again."}
	err := p.StepDown(t.Context(), StepDown{Epoch: 8})
	var no *ha.Refusal
	if !errors.As(err, &no) || no.Why != "epoch 9 is newer" || no.Do != "Look again." {
		t.Errorf("got %v", err)
	}
	a.engine.answer = errors.New("secret of the disk")
	err = p.StepDown(t.Context(), StepDown{Epoch: 8})
	wants(t, err, "the engine cannot answer now")
	if strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v", err)
	}
}

func TestAHostWithAnotherKeyIsNamedWithBothKeys(t *testing.T) {
	t.Parallel()
	a, b := newNode(t, "core1"), newNode(t, "core2")
	paired(t, a, b)
	h := known(t, b.Trust, "core1")
	h.Pin[5] ^= 1
	p := b.Peer(h, 0)
	defer p.Close()
	_, err := p.Report(t.Context())
	var wrong *WrongKey
	if !errors.As(err, &wrong) || wrong.Got != a.Key.Pin || wrong.Want != h.Pin {
		t.Errorf("got %v", err)
	}
	wants(t, err, a.Key.Pin.String(), h.Pin.String(), "nothing was sent")
	if got := a.engine.said(); got != "" {
		t.Errorf("the engine heard %q", got)
	}
	h.Pin = Pin{}
	unknown := b.Peer(h, 0)
	_, err = unknown.Report(t.Context())
	wants(t, err, "is not known, so its engine is not asked")
}

// liar is a trusted host that answers as it likes.
func liar(t *testing.T, n *node, answer http.HandlerFunc) Host {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	s := &http.Server{Handler: answer, TLSConfig: n.ServerTLS(), ReadHeaderTimeout: time.Minute}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.ServeTLS(l, "", "") }()
	t.Cleanup(func() { s.Close(); <-done })
	addr, _ := l.Addr().(*net.TCPAddr)
	c := n.Card()
	c.Port = uint16(addr.Port) // #nosec G115 -- a port
	return Host{Card: c}
}

func TestAnswersAreBoundedInTimeAndSize(t *testing.T) {
	t.Parallel()
	a, b := newNode(t, "core1"), newNode(t, "core2")
	free := make(chan struct{})
	for _, tt := range []struct {
		answer http.HandlerFunc
		want   string
	}{
		{func(http.ResponseWriter, *http.Request) { <-free }, "no answer within 200ms"},
		{func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, "{")
			_ = http.NewResponseController(w).Flush()
			select {
			case <-free:
			case <-r.Context().Done():
			}
		}, "no answer within 200ms"},
		{func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Repeat(" ", 2*mostBody)) }, "larger than it may be"},
		{func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") }, "read JSON"},
		{func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502) }, "answered 502, which no engine"},
		{func(w http.ResponseWriter, _ *http.Request) {
			http.Redirect(w, &http.Request{}, "https://elsewhere/", http.StatusFound)
		}, "answered 302"},
		{func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `{"version":1,"name":"core9","report":{"state":"Active","served":1,"reign":1}}`)
		}, `answers as "core9"`},
	} {
		limit := 20 * time.Second // for those that answer, on a busy machine
		if strings.HasPrefix(tt.want, "no answer") {
			limit = 200 * time.Millisecond
		}
		p := b.Peer(liar(t, a, tt.answer), limit)
		_, err := p.Report(context.Background())
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("got %v, want %q", err, tt.want)
		}
		p.Close()
	}
	close(free)
}

func TestSSHKeysAreExchangedAnewOverTheProvenConnection(t *testing.T) {
	t.Parallel()
	a, b, thief := newNode(t, "core1"), newNode(t, "core2"), newNode(t, "thief")
	paired(t, a, b)
	paired(t, a, thief)
	renew := func(n *node) {
		key, err := OpenSSHKey(n.SSH.Path+".new", "")
		must(t, err)
		n.SSH = key
	}
	renew(b)
	must(t, b.Deploy(t.Context(), known(t, b.Trust, "core1"), "bert"))
	if got := known(t, a.Trust, "core2"); got.SSH.UserKey != b.SSH.Public || got.By != "anna" {
		t.Errorf("core1 knows %s by %s", got.SSH.UserKey, got.By)
	}
	// One trusted host cannot speak for another.
	p := thief.Peer(known(t, thief.Trust, "core1"), 0)
	defer p.Close()
	c := b.Card()
	c.SSH.UserKey = thief.SSH.Public
	_, err := p.exchange(t.Context(), c)
	wants(t, err, "may send its own card only")
	c = thief.Card()
	c.SSH.UserKey = b.SSH.Public
	_, err = p.exchange(t.Context(), c)
	wants(t, err, "trusted already, by the name of core2")
}

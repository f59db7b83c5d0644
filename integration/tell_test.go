//go:build linux

package integration

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/api"
	"github.com/understudy-ha/understudy/internal/ha"
)

// What people and machines are told: webhooks, Caddy's events, figures.

// hook is a webhook's receiver.
type hook struct {
	t      *testing.T
	server *httptest.Server
	secret string

	mu       sync.Mutex // guards the fields below
	refuse   int        // so many are answered 503 first
	messages []message
	tries    int
}

// message is what a receiver needs of a notification.
type message struct {
	Version  int      `json:"version"`
	ID       string   `json:"id"`
	Group    string   `json:"group"`
	Event    string   `json:"event"`
	Severity string   `json:"severity"`
	Epoch    uint64   `json:"epoch"`
	From     string   `json:"from"`
	To       string   `json:"to"`
	Text     string   `json:"text"`
	Ends     []string `json:"ends"`
}

func newHook(t *testing.T, secret string) *hook {
	t.Helper()
	h := &hook{t: t, secret: secret}
	h.server = httptest.NewServer(h)
	t.Cleanup(h.server.Close)
	return h
}

// ServeHTTP takes a message, if it is signed as it must be.
func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.tries++; h.tries <= h.refuse {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	stamp := r.Header.Get("X-Understudy-Timestamp")
	mac := hmac.New(sha256.New, []byte(h.secret))
	fmt.Fprintf(mac, "%s.%s", stamp, body)
	if got, want := r.Header.Get("X-Understudy-Signature"), "sha256="+hex.EncodeToString(mac.Sum(nil)); got != want {
		h.t.Errorf("the signature is %q, want %q", got, want)
	}
	if at, err := strconv.ParseInt(stamp, 10, 64); err != nil || time.Since(time.Unix(at, 0)).Abs() > time.Minute {
		h.t.Errorf("the timestamp is %q", stamp)
	}
	var m message
	if err := json.Unmarshal(body, &m); err != nil || m.Version != 1 {
		h.t.Errorf("the message cannot be read: %v: %s", err, body)
	}
	if r.Method != http.MethodPost || m.ID == "" || r.Header.Get("Idempotency-Key") != m.ID {
		h.t.Errorf("%s with id %q and Idempotency-Key %q", r.Method, m.ID, r.Header.Get("Idempotency-Key"))
	}
	h.messages = append(h.messages, m)
}

// events gives what was told so far, in order. What came twice under one
// Idempotency-Key, as it may when the front is killed, counts once: so must
// any receiver count.
func (h *hook) events() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []string
	seen := map[string]bool{}
	for _, m := range h.messages {
		if !seen[m.ID] {
			all = append(all, m.Event)
		}
		seen[m.ID] = true
	}
	return all
}

// count counts the messages of an event.
func (h *hook) count(event ha.Reason) (n int) {
	for _, e := range h.events() {
		if e == string(event) {
			n++
		}
	}
	return n
}

// expect waits for an event and gives its newest message.
func (h *hook) expect(event ha.Reason) message {
	h.t.Helper()
	if !within(patience, func() bool { return h.count(event) > 0 }) {
		h.t.Fatalf("the webhook was not told %s, only %q", event, h.events())
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, m := range slices.Backward(h.messages) {
		if m.Event == string(event) {
			return m
		}
	}
	return message{}
}

// notify gives the lines that configure the webhook.
func (h *hook) notify() []string {
	file := filepath.Join(tempDir(h.t), "secret")
	write(h.t, file, h.secret+"\n")
	return []string{"notify {", "webhook " + h.server.URL + "/hook {", "secret_file " + file, "}", "}"}
}

func TestAWebhookIsToldEachTransitionOnce(t *testing.T) {
	t.Parallel()
	h := newHook(t, "a shared secret")
	core1, core2 := pair(t)
	f := startFront(t, plan{nodes: []node{core1, core2}, app: h.notify()})
	core1.Kill()
	f.expectServing("core2")
	m := h.expect(ha.FailedOver)
	if m.From != "core1" || m.To != "core2" || m.Epoch != 2 || m.Group != "mdm" || m.Severity != "warning" || m.Text == "" {
		t.Errorf("told %+v", m)
	}
	core2.Set(ha.Active)
	core1.Start()
	h.expect(ha.DualActive)
	core2.Set(ha.Standby)
	f.await("resume is granted", func(api.Group) bool { _, err := f.try("resume", api.Body{}); return err == nil })
	h.expect(ha.Resumed)
	f.wish("hold", api.Body{})
	f.wish("release", api.Body{})
	h.expect(ha.Released)
	f.reload(f.plan)
	f.kill()
	f.start()
	f.wish("hold", api.Body{})
	await(t, "the second hold is told", func() bool { return h.count(ha.HeldBy) == 2 })
	for _, once := range []ha.Reason{ha.FailedOver, ha.DualActive, ha.Resumed, ha.Released} {
		if n := h.count(once); n != 1 {
			t.Errorf("%s was told %d times: %q", once, n, h.events())
		}
	}
	t.Logf("told: %q", h.events())
}

func TestAWebhookThatWasAwayIsToldLater(t *testing.T) {
	t.Parallel()
	h := newHook(t, "a shared secret")
	h.refuse = 2
	core1, core2 := pair(t)
	f := startFront(t, plan{nodes: []node{core1, core2}, app: h.notify()})
	core1.Kill()
	f.expectServing("core2")
	f.kill() // with the message not delivered
	f.start()
	h.expect(ha.FailedOver)
	if n := h.count(ha.FailedOver); n != 1 {
		t.Errorf("told %d times", n)
	}
}

func TestTwoFrontsTellAFailoverOnce(t *testing.T) {
	t.Parallel()
	h := newHook(t, "a shared secret")
	core1, core2 := pair(t)
	nodes, lines := []node{core1, core2}, h.notify()
	a, b := twoFronts(t, plan{nodes: nodes, app: lines}, plan{nodes: nodes, app: lines})
	core1.Kill()
	a.expectServing("core2")
	b.expectServing("core2")
	h.expect(ha.FailedOver)
	a.wish("hold", api.Body{})
	h.expect(ha.HeldBy)
	b.wish("release", api.Body{})
	h.expect(ha.Released)
	for _, once := range []ha.Reason{ha.FailedOver, ha.HeldBy, ha.Released} {
		if n := h.count(once); n != 1 {
			t.Errorf("%s was told %d times: %q", once, n, h.events())
		}
	}
}

// An alarm that is in force from the first moment on is told too.
func TestAnAlarmAtTheStartIsTold(t *testing.T) {
	t.Parallel()
	h := newHook(t, "a shared secret")
	core1, core2 := localPair(t)
	f := startFront(t, plan{nodes: []node{core1, core2}, app: h.notify()})
	f.wish("hold", api.Body{})
	h.expect(ha.HeldBy)
	f.kill()
	write(t, f.trafficFile(), "{")
	f.start()
	f.expectRow(row{0, api.Wait, ha.Unknown, "", "alarm"})
	if m := h.expect(ha.Unknown); m.Severity != "alarm" {
		t.Errorf("told %+v", m)
	}
}

// Caddy's own events carry the same; Caddy logs each at level debug.
func TestCaddyEmitsAnEventForEachTransition(t *testing.T) {
	t.Parallel()
	core1, core2 := pair(t)
	f := startFront(t, plan{nodes: []node{core1, core2}, global: []string{"log events {", "level DEBUG", "include events", "}"}})
	core1.Kill()
	f.expectServing("core2")
	emitted := func(name string) int {
		return strings.Count(f.log.String(), `"name":"understudy_`+name+`"`)
	}
	await(t, "the failover is emitted", func() bool { return emitted("failed_over") > 0 })
	f.wish("hold", api.Body{})
	await(t, "the hold is emitted", func() bool { return emitted("held_by") > 0 })
	if n := emitted("failed_over"); n != 1 {
		t.Errorf("the failover was emitted %d times", n)
	}
}

func TestTheFiguresTellTheGroup(t *testing.T) {
	t.Parallel()
	core1, core2 := pair(t)
	f := startFront(t, plan{nodes: []node{core1, core2}, global: []string{"metrics"}})
	f.get()
	core1.Kill()
	f.expectServing("core2")
	core2.Set(ha.Active)
	f.awaitNode("core2", api.Active)
	for _, path := range []string{"/understudy/metrics", "/metrics"} {
		want := map[string]float64{
			`understudy_serving{group="mdm",node="core1"}`:                    0,
			`understudy_serving{group="mdm",node="core2"}`:                    1,
			`understudy_epoch{group="mdm"}`:                                   2,
			`understudy_failover_armed{group="mdm"}`:                          0,
			`understudy_failovers_total{group="mdm"}`:                         1,
			`understudy_node_state{group="mdm",node="core2",state="active"}`:  1,
			`understudy_node_state{group="mdm",node="core2",state="standby"}`: 0,
			`understudy_requests_waiting{group="mdm"}`:                        0,
			`understudy_hold_active{group="mdm"}`:                             0,
		}
		for name, value := range want {
			if got, ok := figure(f, path, name); !ok || got != value {
				t.Errorf("%s: %s is %g (there: %t), want %g", path, name, got, ok, value)
			}
		}
		if n, _ := figure(f, path, `understudy_probes_total{group="mdm",result="available"}`); n < 3 {
			t.Errorf("%s: %g good probes", path, n)
		}
	}
	f.reload(f.plan) // the figures outlive it
	if n, _ := figure(f, "/metrics", `understudy_failovers_total{group="mdm"}`); n != 1 {
		t.Errorf("after a reload %g failovers are counted, want 1", n)
	}
}

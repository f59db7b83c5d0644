package sidecar

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/api"
	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/internal/hatest"
)

// house is a sidecar over two nodes, in a folder of its own.
type house struct {
	*Sidecar
	t            *testing.T
	dir          string
	core1, core2 *hatest.Node
	log          *strings.Builder
	logging      sync.Mutex // guards log
}

// Write takes the log.
func (h *house) Write(p []byte) (int, error) {
	h.logging.Lock()
	defer h.logging.Unlock()
	return h.log.Write(p)
}

func (h *house) logged() string {
	h.logging.Lock()
	defer h.logging.Unlock()
	return h.log.String()
}

// newHouse prepares a sidecar without opening it.
func newHouse(t *testing.T) *house {
	t.Helper()
	return &house{
		t: t, dir: short(t), log: new(strings.Builder),
		core1: hatest.New(t, hatest.Config{Name: "core1", State: ha.Active}), core2: hatest.New(t, hatest.Config{Name: "core2", State: ha.Standby}),
	}
}

const quick = "{interval: 100ms, fast_interval: 20ms, timeout: 1s}"

// says writes the configuration: one group and what is given besides.
func (h *house) says(more string) {
	h.t.Helper()
	text := fmt.Sprintf("state_dir: state\ngroups: {mdm: {nodes: [{name: core1, url: %q}, {name: core2, url: %q}], probe: %s}}\n%s\n", h.core1.URL(), h.core2.URL(), quick, more)
	h.file("sidecar.yaml", text)
}

func (h *house) file(name, text string) {
	h.t.Helper()
	if err := os.WriteFile(filepath.Join(h.dir, name), []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) read(name string) string {
	text, _ := os.ReadFile(filepath.Join(h.dir, name))
	return string(text)
}

// open starts the sidecar, which ends with the test.
func (h *house) open() error {
	s, err := Open(h.t.Context(), filepath.Join(h.dir, "sidecar.yaml"), slog.New(slog.NewTextHandler(h, nil)))
	if err != nil {
		return err
	}
	h.Sidecar = s
	h.t.Cleanup(s.close)
	return nil
}

func (h *house) mustOpen() {
	h.t.Helper()
	if err := h.open(); err != nil {
		h.t.Fatal(err)
	}
	h.await("core1 serves", func() bool { return h.situation().Traffic.Serving == "core1" && h.situation().ArmedTo != "" })
}

func (h *house) situation() ha.Situation {
	s, _ := h.groups.Situation("mdm")
	return s
}

// await polls until something holds.
func (h *house) await(what string, holds func() bool) {
	h.t.Helper()
	end := time.After(20 * time.Second)
	for !holds() {
		select {
		case <-end:
			h.t.Fatalf("%s: not seen\n%s", what, h.logged())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// client gives a client of the API at a place.
func (h *house) client(at, token string) *api.Client {
	h.t.Helper()
	c, err := api.NewClient(at, token)
	if err != nil {
		h.t.Fatal(err)
	}
	return c
}

// occupied gives an address that somebody listens at.
func occupied(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().String()
}

// free gives an address that nobody listens at, on a loopback of its own.
func free(t *testing.T) string {
	t.Helper()
	host := fmt.Sprintf("127.%d.%d.%d", 1+rand.N(250), rand.N(250), 1+rand.N(250))
	l, err := net.Listen("tcp", host+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestWhoAsksBySocketIsKnownByTheKernel(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.says("api: {socket: s.sock}")
	h.mustOpen()
	o, err := h.client(filepath.Join(h.dir, "s.sock"), "").Act(t.Context(), "mdm", "hold", api.Body{Reason: "a test", Actor: "somebody else"})
	if err != nil {
		t.Fatal(err)
	}
	if name, _ := userName(); o.Change.Actor != name || o.Change.Claimed {
		t.Errorf("the actor is %q, claimed %t; want %q, proven", o.Change.Actor, o.Change.Claimed, name)
	}
}

func TestOverTCPOnlyATokenLetsIn(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	at := free(t)
	h.file("tokens", "anna "+good+"\n")
	h.says("api: {socket: s.sock, listen: " + at + ", token_file: tokens}")
	h.mustOpen()
	o, err := h.client("http://"+at, good).Act(t.Context(), "mdm", "hold", api.Body{Reason: "a test", Actor: "somebody else"})
	if err != nil || o.Change.Actor != "anna" || o.Change.Claimed {
		t.Fatalf("by anna's token: %+v, %v", o.Change, err)
	}
	for _, token := range []string{"", "wrong", good[1:]} {
		var fault *api.Fault
		if _, err := h.client("http://"+at, token).Groups(t.Context()); !errors.As(err, &fault) || fault.Code != unauthorized {
			t.Errorf("with the token %q: %v", token, err)
		}
	}
	h.file("tokens", "bob fedcba9876543210\n") // a reload takes her right away
	h.reload(t.Context())
	if _, err := h.client("http://"+at, good).Groups(t.Context()); err == nil {
		t.Error("a token that was taken away still lets in")
	}
	if _, err := h.client("http://"+at, "fedcba9876543210").Groups(t.Context()); err != nil {
		t.Errorf("the new token: %v", err)
	}
	if strings.Contains(h.logged(), good) {
		t.Error("the log has a token")
	}
}

func TestAReloadIsAllOrNothing(t *testing.T) {
	t.Parallel()
	for about, text := range map[string]string{
		"a fault in the file":            "probe_proxy: {listn: x}",
		"a port that is taken":           "api: {socket: other.sock, listen: BUSY, token_file: tokens}",
		"a proxy's port that is taken":   "api: {socket: other.sock}\nprobe_proxy: {listen: [\"FREE\", \"BUSY\"], max_age: 5s}",
		"a template that makes no sense": "files: [{template: bad.tmpl, to: out}]",
		"tokens that are too short":      "api: {socket: other.sock, listen: FREE, token_file: bad.tmpl}",
		"another place for the state":    "api: {socket: other.sock}\n#STATE",
	} {
		t.Run(about, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			h.file("tokens", "anna "+good+"\n")
			h.file("bad.tmpl", "{{.Nobody}}")
			h.says("api: {socket: s.sock}")
			h.mustOpen()
			before := h.situation().Rules
			at := free(t)
			h.says(strings.NewReplacer("FREE", at, "BUSY", occupied(t)).Replace(text))
			next := strings.ReplaceAll(h.read("sidecar.yaml"), quick, "{interval: 1s, fast_interval: 20ms, timeout: 1s, fall: 7}")
			if strings.Contains(text, "#STATE") {
				next = strings.ReplaceAll(next, "state_dir: state", "state_dir: elsewhere")
			}
			h.file("sidecar.yaml", next)
			h.reload(t.Context())
			if !h.refused.Load() || !strings.Contains(h.logged(), "the old one stays in force") {
				t.Errorf("it was not refused:\n%s", h.logged())
			}
			if got := h.situation().Rules; got.Fall != before.Fall || got.Interval != before.Interval {
				t.Errorf("the rules are %+v, before %+v", got, before)
			}
			if _, err := h.client(filepath.Join(h.dir, "s.sock"), "").Groups(t.Context()); err != nil {
				t.Errorf("the old socket: %v", err)
			}
			if _, err := os.Stat(filepath.Join(h.dir, "other.sock")); err == nil {
				t.Error("the new socket is there")
			}
			if l, err := net.Listen("tcp", at); err == nil {
				_ = l.Close()
			} else {
				t.Errorf("a listener of the refused configuration is open: %v", err)
			}
			h.says("api: {socket: s.sock}")
			h.file("sidecar.yaml", strings.ReplaceAll(h.read("sidecar.yaml"), "timeout: 1s", "timeout: 1s, fall: 7"))
			h.reload(t.Context())
			if got := h.situation().Rules; h.refused.Load() || got.Fall != 7 {
				t.Errorf("a good one afterwards: refused %t, fall %d\n%s", h.refused.Load(), got.Fall, h.logged())
			}
		})
	}
}

func TestAReloadWithoutTheServingNodeIsRefused(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.says("api: {socket: s.sock}")
	h.mustOpen()
	text := h.read("sidecar.yaml")
	h.file("sidecar.yaml", strings.ReplaceAll(text, "name: core1", "name: core9"))
	h.reload(t.Context())
	if !h.refused.Load() || !strings.Contains(h.logged(), "traffic is on node core1") || h.situation().Traffic.Serving != "core1" {
		t.Errorf("refused %t, serving %q\n%s", h.refused.Load(), h.situation().Traffic.Serving, h.logged())
	}
}

func TestAReloadThatDoesNotFitOneGroupChangesNoOther(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.says("api: {socket: s.sock}")
	text := h.read("sidecar.yaml")
	second := "  zeta: {nodes: [{name: core1, url: \"" + h.core1.URL() + "\"}, {name: core2, url: \"" + h.core2.URL() + "\"}], probe: " + quick + "}\n"
	first := strings.ReplaceAll(text, "groups: {mdm: ", "groups:\n  mdm: ")
	first = strings.Replace(first, "timeout: 1s}}}\n", "timeout: 1s}}\n"+second, 1)
	h.file("sidecar.yaml", first)
	h.mustOpen()
	h.await("zeta is served", func() bool { s, _ := h.groups.Situation("zeta"); return s.Traffic.Serving == "core1" })
	other := strings.ReplaceAll(first, "timeout: 1s", "timeout: 1s, fall: 9")
	at := strings.LastIndex(other, "name: core1")
	h.file("sidecar.yaml", other[:at]+"name: core9"+other[at+len("name: core1"):])
	h.reload(t.Context())
	if s := h.situation(); !h.refused.Load() || s.Rules.Fall != 3 {
		t.Errorf("refused %t, and the other group's fall is %d, want 3\n%s", h.refused.Load(), s.Rules.Fall, h.logged())
	}
	h.file("sidecar.yaml", other)
	h.reload(t.Context())
	if s := h.situation(); h.refused.Load() || s.Rules.Fall != 9 {
		t.Errorf("refused %t, fall %d, want 9", h.refused.Load(), s.Rules.Fall)
	}
}

func TestGroupsComeAndGoWithAReload(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.says("api: {socket: s.sock}")
	h.mustOpen()
	text := h.read("sidecar.yaml")
	h.file("sidecar.yaml", strings.ReplaceAll(text, "{mdm:", "{other:"))
	h.reload(t.Context())
	h.await("the new group is watched", func() bool { s, ok := h.groups.Situation("other"); return ok && s.Traffic.Serving == "core1" })
	if _, ok := h.groups.Situation("mdm"); ok {
		t.Error("the old group is still watched")
	}
	h.file("sidecar.yaml", text)
	h.reload(t.Context())
	h.await("the old group is back where it was", func() bool { return h.situation().Traffic.Epoch == 1 && h.situation().ArmedTo == "core2" })
}

func TestASidecarThatEndsLeavesNothingOpen(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	at := free(t)
	h.file("tokens", "anna "+good+"\n")
	h.says("api: {socket: s.sock, listen: " + at + ", token_file: tokens}")
	if err := h.open(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); h.Run(ctx, nil) }()
	stream := make(chan error, 1)
	go func() {
		stream <- h.client("http://"+at, good).Follow(t.Context(), "mdm", func(n api.News) {
			if n.Away == nil {
				cancel() // a client that follows keeps nobody up
			}
		})
	}()
	select {
	case <-ended:
	case <-time.After(2500 * time.Millisecond): // less than requests are given to end
		t.Fatal("it did not end while somebody followed its events")
	}
	if _, err := os.Stat(filepath.Join(h.dir, "s.sock")); !os.IsNotExist(err) {
		t.Errorf("the socket is still there: %v", err)
	}
	if l, err := net.Listen("tcp", at); err != nil {
		t.Errorf("the port is still taken: %v", err)
	} else {
		_ = l.Close()
	}
}

func TestOverTLSACertificateOfTheAuthorityLetsIn(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	ours, err := hatest.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := hatest.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	at := free(t)
	host, _, _ := net.SplitHostPort(at)
	server, err := ours.Certificate(host)
	if err != nil {
		t.Fatal(err)
	}
	cert, key := pair(t, server)
	h.file("cert.pem", cert)
	h.file("key.pem", key)
	h.file("ca.pem", string(ours.PEM()))
	h.says("api: {socket: s.sock, listen: " + at + ", tls: {cert: cert.pem, key: key.pem, client_ca: ca.pem}}")
	h.mustOpen()
	hold := func(by *hatest.Authority) (*http.Response, error) {
		config := &tls.Config{RootCAs: ours.Pool()}
		if by != nil {
			c, err := by.Certificate("anna")
			if err != nil {
				t.Fatal(err)
			}
			config.Certificates = []tls.Certificate{c}
		}
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}
		return client.Post("https://"+at+"/understudy/groups/mdm/hold", "application/json", strings.NewReader(`{"reason":"a test"}`))
	}
	for about, by := range map[string]*hatest.Authority{"nobody's": nil, "another authority's": theirs} {
		if r, err := hold(by); err == nil {
			t.Errorf("%s certificate got %s", about, r.Status)
			_ = r.Body.Close()
		}
	}
	r, err := hold(ours)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if s := h.situation(); r.StatusCode != http.StatusOK || s.Traffic.Actor != "hatest node" || s.Traffic.Claimed {
		t.Errorf("%s, actor %q, claimed %t", r.Status, s.Traffic.Actor, s.Traffic.Claimed)
	}
}

func TestIdleConnectionsDoNotKeepTheAPIFromAnswering(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.says("api: {socket: s.sock}")
	h.mustOpen()
	at := filepath.Join(h.dir, "s.sock")
	for range mostClients + 100 { // who connect and say nothing
		c, err := net.Dial("unix", at)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	if n := h.socket.clients.Load(); n > mostClients+1 {
		t.Logf("%d connections are open for a moment", n)
	}
	h.await("the API answers again", func() bool { _, err := h.client(at, "").Groups(t.Context()); return err == nil })
}

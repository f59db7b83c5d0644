package portal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/web/account"
	"github.com/understudy-ha/understudy/web/webtest"
)

func TestMain(m *testing.M) {
	code := m.Run()
	webtest.Close()
	os.Exit(code)
}

const password = "correct horse battery"

// node answers as an engine does, from memory: here the portal is tested. The
// stories of integration click through it against real engines.
type node struct {
	mu       sync.Mutex // guards the fields below
	status   nodeapi.Status
	settings []nodeapi.Setting
	tag      int
	syncs    []nodeapi.Sync
	services []nodeapi.Service
	archives []nodeapi.Archive
	tar      func(http.ResponseWriter) // answers an export
	run      nodeapi.Run
	refuse   map[string]string // by path: why
	away     bool              // it does not answer
	asked    []string          // what changed something, with who asked
}

func newNode() *node {
	n := &node{
		status:   nodeapi.Status{Version: 1, Name: "core2", Enabled: true, Mode: ha.Secondary, State: ha.Standby, Peer: nodeapi.PeerNow{Name: "core1", State: ha.Active, Heard: true, At: time.Now(), Last: "good"}, App: nodeapi.AppNow{Well: true}, Mind: "If core1 fails now, this node is Active.", Since: time.Now()},
		services: []nodeapi.Service{{Name: "db", Type: "postgres", Enabled: true}, {Name: "atlas", Type: "files", Optional: true}},
		refuse:   map[string]string{},
	}
	for _, s := range [][2]string{
		{heartbeat, "10s"},
		{failures, "6"},
		{recheck, "10s"},
		{detected, "Promote to Primary"},
		{startTime, "13:00"},
		{runEvery, "1 hours"},
		{email, ""},
		{notifySync, "no"},
		{notifyFailure, "no"},
		{attempt, "5s"},
		{"Promotion hold", "15s"},
	} {
		n.settings = append(n.settings, nodeapi.Setting{Name: s[0], Value: s[1]})
	}
	return n
}

// ServeHTTP answers the paths of the node's API.
func (n *node) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n.mu.Lock()
	defer n.mu.Unlock()
	path := strings.TrimPrefix(r.URL.Path, "/ha/v1/")
	give := func(code int, doc any) {
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(doc)
	}
	if n.away {
		give(http.StatusServiceUnavailable, nodeapi.Fault{Why: "the engine ends"})
		return
	}
	if r.Method != http.MethodGet {
		body, _ := io.ReadAll(r.Body)
		n.asked = append(n.asked, fmt.Sprintf("%s: %s %s", Who(r), path, body))
		if why := n.refuse[path]; why != "" {
			give(http.StatusConflict, nodeapi.Fault{Why: why, Do: "Do something else."})
			return
		}
		if strings.HasSuffix(path, "/export") && n.tar != nil {
			n.tar(w)
			return
		}
		if path == "settings" || path == "services" {
			n.save(w, r, body)
			return
		}
		give(http.StatusOK, nodeapi.Answer{Status: n.status})
		return
	}
	switch path {
	case "status":
		give(http.StatusOK, n.status)
	case "settings":
		w.Header().Set("ETag", fmt.Sprintf("%q", fmt.Sprint(n.tag)))
		give(http.StatusOK, n.settings)
	case "history":
		give(http.StatusOK, []nodeapi.Transition{{At: time.Now(), From: ha.InOff, To: ha.InStandby, Why: "enabled", By: "anna"}})
	case "sync-history":
		give(http.StatusOK, n.syncs)
	case "diverged":
		give(http.StatusOK, n.archives)
	case "services":
		w.Header().Set("ETag", fmt.Sprintf("%q", fmt.Sprint(n.tag)))
		give(http.StatusOK, n.services)
	case "preflight":
		give(http.StatusOK, []nodeapi.Item{{Name: "clock", Result: "ok", Said: "the clocks agree"}, {Name: "release", Result: "failed", Said: "11.11 there"}, {Name: "trust", Result: "unknown", Said: "not asked"}})
	case "run":
		give(http.StatusOK, n.run)
	case "log":
		_, _ = io.WriteString(w, "one heartbeat\ntwo heartbeats\n")
	default:
		give(http.StatusNotFound, nodeapi.Fault{Why: "no such path"})
	}
}

func (n *node) save(w http.ResponseWriter, r *http.Request, body []byte) {
	var q nodeapi.Request
	_ = json.Unmarshal(body, &q)
	if tag := r.Header.Get("If-Match"); tag != "" && tag != fmt.Sprintf("%q", fmt.Sprint(n.tag)) {
		w.WriteHeader(http.StatusPreconditionFailed)
		_ = json.NewEncoder(w).Encode(nodeapi.Fault{Why: "the settings were saved by somebody else meanwhile"})
		return
	}
	n.tag++
	for i, s := range n.services {
		if on, ok := q.Services[s.Name]; ok {
			n.services[i].Enabled = on
		}
	}
	for i, s := range n.settings {
		if to, ok := q.Settings[s.Name]; ok {
			n.settings[i].Value = to
		}
	}
	_ = json.NewEncoder(w).Encode(nodeapi.Answer{})
}

func (n *node) value(name string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return valuesOf(n.settings)[name]
}

// trust is whom the node of a test trusts.
type trust struct{ hosts []Host }

func (t *trust) Show() (Local, []Host, error) {
	return Local{Key: "ssh-ed25519 AAAA understudy:core2", Fingerprint: "SHA256:abc"}, t.hosts, nil
}

func (t *trust) Add(_ context.Context, at, key, by string) (string, error) {
	if !strings.HasPrefix(key, "ssh-") {
		return "", errors.New("that is no SSH key")
	}
	t.hosts = append(t.hosts, Host{Name: "core1", Address: at, Kind: "node", By: by, At: time.Now(), Test: true, Pin: "SHA256:def"})
	return "core1", nil
}
func (t *trust) Remove(string, string) error { t.hosts = nil; return nil }
func (t *trust) Test(context.Context, string) error {
	return errors.New("call its engine: connection refused\ncall its SSH: no route to host")
}
func (t *trust) Invite(bool, string) (string, error) { return "us1:secret", nil }

// desk is a portal over a node in memory, with one admin.
type desk struct {
	t    testing.TB
	node *node
	book *account.Book
	*Portal
	*httptest.Server
	client *http.Client
}

func open(t testing.TB) *desk {
	t.Helper()
	d := &desk{t: t, node: newNode()}
	dir := t.TempDir()
	var code string
	var err error
	if d.book, code, err = account.Open(account.Config{Dir: dir, Log: slog.New(slog.DiscardHandler)}); err != nil {
		t.Fatal(err)
	}
	if err := d.book.Setup(code, "anna", password, "here"); err != nil {
		t.Fatal(err)
	}
	d.Portal, err = New(Config{
		Name: "core2", Node: d.node, Trust: &trust{}, Book: d.book, Dir: dir, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	d.Server = httptest.NewTLSServer(d.Portal)
	t.Cleanup(func() { d.HangUp(); d.Server.Close() })
	d.client = d.Server.Client()
	d.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return d
}

func (d *desk) as() *http.Cookie {
	d.t.Helper()
	r, _ := d.post("/login", url.Values{"name": {"anna"}, "password": {password}}, nil)
	if len(r.Cookies()) != 1 {
		d.t.Fatalf("the login gave %s", r.Status)
	}
	return r.Cookies()[0]
}

func (d *desk) post(path string, form url.Values, with *http.Cookie) (*http.Response, string) {
	d.t.Helper()
	return d.do(http.MethodPost, Base+path, form, with, nil)
}

func (d *desk) get(path string, with *http.Cookie) (*http.Response, string) {
	d.t.Helper()
	return d.do(http.MethodGet, Base+path, nil, with, nil)
}

func (d *desk) do(method, path string, form url.Values, with *http.Cookie, set func(*http.Request)) (*http.Response, string) {
	d.t.Helper()
	req, err := http.NewRequestWithContext(d.t.Context(), method, d.URL+path, strings.NewReader(form.Encode()))
	if err != nil {
		d.t.Fatal(err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if with != nil {
		req.AddCookie(with)
	}
	if set != nil {
		set(req)
	}
	r, err := d.client.Do(req)
	if err != nil {
		d.t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	return r, string(text)
}

// login opens the portal as a person does.
func (d *desk) login(t *testing.T) *webtest.Tab {
	t.Helper()
	b := webtest.Open(t)
	b.Go(d.URL + Base + "/")
	b.Fill("Name", "anna")
	b.Fill("Password", password)
	b.Press("Log in")
	return b
}

//go:build linux

package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/understudy-ha/understudy/internal/api"
	"github.com/understudy-ha/understudy/internal/ha"
)

// front is a running understudy with Caddy's side of it: a site that clients
// call, an admin endpoint with the API, a state directory.
type front struct {
	*process
	t      *testing.T
	plan   plan
	at     places
	file   string // the Caddyfile
	log    *output
	api    *api.Client
	client *http.Client
	tls    bool                // clients speak TLS to the site
	who    *syscall.Credential // another user to run as, or nil
	inside *host               // where it runs, nil: where the test does
}

// startFront runs a front and waits until it serves its first node.
func startFront(t *testing.T, p plan) *front {
	t.Helper()
	f := newFront(t, p)
	f.start()
	f.await("a node serves", func(g api.Group) bool { return g.Serving != "" })
	return f
}

// newFront prepares a front without starting it.
func newFront(t *testing.T, p plan) *front {
	t.Helper()
	dir := tempDir(t)
	f := &front{t: t, plan: p, file: filepath.Join(dir, "Caddyfile"), log: new(output)}
	f.at = places{
		admin: filepath.Join(dir, "admin.sock"), state: p.state, data: filepath.Join(dir, "data"),
		site: loopback(freePort(t)),
	}
	if f.at.state == "" {
		f.at.state = filepath.Join(dir, "state")
	}
	write(t, f.file, p.caddyfile(f.at))
	var err error
	if f.api, err = api.NewClient(f.at.admin, ""); err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 1024, DisableCompression: true}
	f.client = &http.Client{Transport: transport, Timeout: 2 * patience, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	t.Cleanup(transport.CloseIdleConnections)
	t.Cleanup(func() {
		if _, race, found := strings.Cut(f.log.String(), "WARNING: DATA RACE"); found {
			t.Errorf("the front has a data race:%.12000s", race)
		}
		if t.Failed() {
			t.Logf("the end of the front's log:\n%s", f.log.tail(15, `"understudy"`, `"level":"error"`, "panic", "goroutine", ".go:"))
		}
	})
	return f
}

// start runs the process and waits until it watches the group.
func (f *front) start() {
	f.t.Helper()
	f.launch()
	await(f.t, "the front tells of its group", func() bool {
		if !f.up() {
			f.t.Fatalf("the front ended:\n%s", f.log.tail(5))
		}
		_, err := f.api.Group(context.Background(), "mdm")
		return err == nil
	})
	f.admin("/config/") // is answered when all of the configuration is in force: its sites listen
}

// launch runs the process.
func (f *front) launch() {
	f.t.Helper()
	home := filepath.Dir(f.file)
	cmd := f.inside.command(understudy, "caddy", "run", "--config", f.file, "--adapter", "caddyfile")
	cmd.Dir = home
	cmd.Env = append(os.Environ(), "HOME="+home, "XDG_DATA_HOME="+home, "XDG_CONFIG_HOME="+home)
	cmd.Stdout, cmd.Stderr = f.log, f.log
	if f.who != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: f.who}
	}
	_ = os.Remove(f.at.admin)
	f.process = run(f.t, cmd)
}

// load puts another plan into force, as caddy reload does, and gives the
// error with which it was refused.
func (f *front) load(p plan) error {
	f.t.Helper()
	return f.loadText(p.caddyfile(f.at))
}

// reload is load of a plan that must be taken.
func (f *front) reload(p plan) {
	f.t.Helper()
	if err := f.load(p); err != nil {
		f.t.Fatalf("reload: %v", err)
	}
	f.plan = p
	await(f.t, "the new listener has taken over", func() bool { a := f.get(); return a.err == nil })
}

func (f *front) loadText(caddyfile string) error {
	f.t.Helper()
	req, err := http.NewRequest(http.MethodPost, "http://localhost/load", strings.NewReader(caddyfile))
	if err != nil {
		f.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "text/caddyfile")
	req.Header.Set("Cache-Control", "must-revalidate") // even if nothing has changed
	resp, err := f.adminClient().Do(req)
	if err != nil {
		f.t.Fatalf("load: %v", err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK {
		return errors.New(string(text))
	}
	return nil
}

// adminClient speaks to the admin endpoint.
func (f *front) adminClient() *http.Client {
	return &http.Client{Timeout: patience, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", f.at.admin)
		},
	}}
}

// admin gets a page of the admin endpoint.
func (f *front) admin(path string) string {
	f.t.Helper()
	resp, err := f.adminClient().Get("http://localhost" + path)
	if err != nil {
		f.t.Fatalf("GET %s: %v", path, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		f.t.Fatalf("GET %s: %s %v", path, resp.Status, err)
	}
	return string(text)
}

// group gives the group as the API tells it now.
func (f *front) group() api.Group {
	f.t.Helper()
	g, err := f.api.Group(context.Background(), "mdm")
	if err != nil {
		f.t.Fatalf("ask the API: %v", err)
	}
	return g
}

// await waits until the group is as it must be.
func (f *front) await(what string, holds func(api.Group) bool) api.Group {
	f.t.Helper()
	var last api.Group
	if !within(patience, func() bool {
		g, err := f.api.Group(context.Background(), "mdm")
		if err != nil {
			return false
		}
		last = g
		return holds(g)
	}) {
		f.t.Fatalf("%s: not seen within %s; the group is\n%s", what, patience, asJSON(last))
	}
	return last
}

// expectServing waits until a node serves and gets the requests.
func (f *front) expectServing(name string) api.Group {
	f.t.Helper()
	g := f.await(name+" serves", func(g api.Group) bool { return g.Serving == name })
	if g.Target != name {
		f.t.Errorf("requests go to %q, want %q", g.Target, name)
	}
	return g
}

// row is a row of the truth table, as the API must tell it.
type row struct {
	number int
	verb   string
	reason ha.Reason
	about  string
	alarm  string
}

// expectRow waits until a row of the truth table is in force.
func (f *front) expectRow(want row) api.Group {
	f.t.Helper()
	g := f.await(fmt.Sprintf("row %d", want.number), func(g api.Group) bool {
		d := g.Decision
		return row{d.Row, d.Verb, d.Reason, d.Node, d.Alarm} == want
	})
	if alarmed := want.alarm == "alarm"; alarmed != (len(g.Alarms) > 0 && g.Alarms[0] == string(want.reason)) {
		f.t.Errorf("row %d: alarms are %q", want.number, g.Alarms)
	}
	return g
}

// awaitNode waits until a node reads a state.
func (f *front) awaitNode(name, state string) api.Node {
	f.t.Helper()
	var n api.Node
	f.await(name+" reads "+state, func(g api.Group) bool {
		n, _ = g.Node(name)
		return n.Known() && n.State == state
	})
	return n
}

// wish asks for a verb that must be granted.
func (f *front) wish(verb string, b api.Body) api.Outcome {
	f.t.Helper()
	o, err := f.try(verb, b)
	if err != nil {
		f.t.Fatalf("%s was refused: %v", verb, err)
	}
	return o
}

// expectRefusal asks for a verb that must be refused with a code.
func (f *front) expectRefusal(verb string, b api.Body, code ha.Reason) {
	f.t.Helper()
	before := f.group()
	_, err := f.try(verb, b)
	var refusal *ha.Refusal
	if !errors.As(err, &refusal) || refusal.Code != code {
		f.t.Errorf("%s: got %v, want a refusal with code %s", verb, err, code)
		return
	}
	if refusal.Why == "" || refusal.Do == "" || refusal.Read == "" {
		f.t.Errorf("%s: the refusal lacks a line: %+v", verb, refusal)
	}
	if after := f.group(); after.Serving != before.Serving || after.Epoch != before.Epoch {
		f.t.Errorf("%s was refused but changed the group: %s, epoch %d, before %s, epoch %d", verb, after.Serving, after.Epoch, before.Serving, before.Epoch)
	}
}

func (f *front) try(verb string, b api.Body) (api.Outcome, error) {
	if b.Reason == "" {
		b.Reason = "a story"
	}
	b.Actor = "storyteller"
	return f.api.Act(context.Background(), "mdm", verb, b)
}

// history gives every change of the group, oldest first.
func (f *front) history() []api.Change {
	f.t.Helper()
	h, err := f.api.History(context.Background(), "mdm", 1000)
	if err != nil {
		f.t.Fatalf("history: %v", err)
	}
	return h
}

// causes gives what each epoch was made by, oldest first.
func causes(history []api.Change) []string {
	var all []string
	for _, c := range history {
		all = append(all, fmt.Sprintf("%d %s %s", c.Epoch, c.Cause, c.Serving))
	}
	return all
}

// asJSON shows a value in full, on one line.
func asJSON(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

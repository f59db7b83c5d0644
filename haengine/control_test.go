package haengine

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/internal/ha"
)

// desk is a node core2 behind its control socket.
type desk struct {
	*nodeapi.Client
	t    *testing.T
	e    *Engine
	http http.Handler
	post *pillar
	peer *twin
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	return newDeskOf(t, func(*Config) {})
}

func newDeskOf(t *testing.T, change func(*Config)) *desk {
	t.Helper()
	dir := t.TempDir()
	a, post, peer := &play{told: make(chan ha.On, 64)}, new(pillar), &twin{sight: serving(1)}
	c := Config{Post: post, Name: "core2", PeerName: "core1", Dir: dir, Peer: peer, App: a, Door: new(latch), Log: slog.New(slog.DiscardHandler)}
	change(&c)
	e, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = e.Run(ctx) })
	h := e.Control(func(*http.Request) string { return "anna" })
	s := httptest.NewUnstartedServer(h)
	_ = s.Listener.Close()
	socket := filepath.Join(dir, "s")
	if s.Listener, err = net.Listen("unix", socket); err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Close(); cancel(); running.Wait() })
	return &desk{nodeapi.New(socket), t, e, h, post, peer}
}

// await waits until the node is in a state.
func (d *desk) await(want ha.State) {
	d.t.Helper()
	for end := time.Now().Add(patience); ; {
		if got := d.e.Status().State; got == want {
			return
		} else if time.Now().After(end) {
			d.t.Fatalf("the node is %v, want %v", got, want)
		}
		select {
		case <-time.After(time.Millisecond):
		case <-d.t.Context().Done():
		}
	}
}

func (d *desk) ask(method, path string, q nodeapi.Request) (nodeapi.Answer, *nodeapi.Refused) {
	d.t.Helper()
	var a nodeapi.Answer
	err := d.Ask(d.t.Context(), method, path, q, &a)
	var r *nodeapi.Refused
	if err != nil && !errors.As(err, &r) {
		d.t.Fatal(err)
	}
	return a, r
}

func TestWhatAsksTheImpossibleIsRefusedInASentence(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	yes := true
	tests := []struct {
		method, path string
		q            nodeapi.Request
		code         int
		says         string
	}{
		{"POST", "role", nodeapi.Request{Role: "king"}, 400, `the mode "king" is not known`},
		{"POST", "ha", nodeapi.Request{}, 400, "enable must be true or false"},
		{"POST", "ha", nodeapi.Request{Enable: &yes}, 400, "the Mode of this node was never set"},
		{"POST", "ha", nodeapi.Request{Enable: &yes, Mode: "third"}, 400, "mode primary or secondary"},
		{"POST", "sync", nodeapi.Request{Host: "elsewhere"}, 400, `"elsewhere" is not the peer`},
		{"POST", "sync", nodeapi.Request{Host: "core1"}, 409, "only a Standby replicates"},
		{"POST", "pause", nodeapi.Request{}, 400, "enable must be true or false"},
		{"POST", "client-connection", nodeapi.Request{}, 400, "enable must be true or false"},
		{"PUT", "settings", nodeapi.Request{Settings: map[string]string{"Heartbeat Interval": "1ms"}}, 409, "Heartbeat Interval of 1ms is not possible"},
		{"PUT", "settings", nodeapi.Request{Settings: map[string]string{"x": "y"}}, 409, "there is no setting"},
	}
	for _, tt := range tests {
		if _, r := d.ask(tt.method, tt.path, tt.q); r == nil || r.Code != tt.code || !strings.Contains(r.Why, tt.says) {
			t.Errorf("%s %s: got %+v, want %d %q", tt.path, tt.q.Role+tt.q.Mode+tt.q.Host, r, tt.code, tt.says)
		}
	}
	for _, body := range []string{"", "{", `{"rolle":"primary"}`, `{"reason":"` + strings.Repeat("x", mostAsked) + `"}`} {
		w := httptest.NewRecorder()
		d.http.ServeHTTP(w, httptest.NewRequest("POST", "/ha/v1/role", strings.NewReader(body)))
		if w.Code != 400 {
			t.Errorf("%.30q: got %d", body, w.Code)
		}
	}
}

func TestSettingsOfSomebodyElseAreNotOverwritten(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	put := func(tag string) (int, string) {
		r := httptest.NewRequest("PUT", "/ha/v1/settings", strings.NewReader(`{"settings":{"StartTime":"13:00"}}`))
		r.Header.Set("If-Match", tag)
		w := httptest.NewRecorder()
		d.http.ServeHTTP(w, r)
		get := httptest.NewRecorder()
		d.http.ServeHTTP(get, httptest.NewRequest("GET", "/ha/v1/settings", nil))
		return w.Code, get.Header().Get("ETag")
	}
	if code, _ := put(`"x"`); code != 412 {
		t.Errorf("a foreign tag: got %d", code)
	}
	_, tag := put("")
	if code, _ := put(tag); code != 200 {
		t.Errorf("the right tag: got %d", code)
	}
	if code, _ := put(tag); code != 412 {
		t.Errorf("the tag from before: got %d", code)
	}
}

func TestAPersonIsNamedInTheLog(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	yes := true
	if _, r := d.ask("POST", "ha", nodeapi.Request{Enable: &yes, Mode: "secondary", Reason: "step 3\x1b[2J"}); r != nil {
		t.Fatal(r)
	}
	if _, r := d.ask("POST", "pause", nodeapi.Request{Enable: &yes}); r != nil {
		t.Fatal(r)
	}
	s, err := d.Status(t.Context())
	if err != nil || !s.Paused || s.Mode != ha.Secondary || s.Name != "core2" {
		t.Errorf("got %+v, %v", s, err)
	}
	if log, err := d.Log(t.Context(), false); err != nil || !strings.Contains(string(log), "core2 anna says ha enable step 3 [2J\n") {
		t.Errorf("got %s, %v", log, err)
	}
}

func TestWhoFollowsIsToldOfEveryChange(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	off := errors.New("never paused")
	news := 0
	if err := d.Follow(ctx, func(s nodeapi.Status) {
		news++
		switch {
		case news == 1 && s.Phase == ha.InOff && s.Name == "core2":
			if _, err := d.Enable(ctx, "secondary", ""); err != nil {
				t.Error(err)
			}
		case s.Phase != ha.InOff && !s.Paused:
			if _, err := d.Pause(ctx, true, ""); err != nil {
				t.Error(err)
			}
		case s.Paused:
			off = nil
			cancel()
		}
	}); err != nil || off != nil {
		t.Errorf("got %v, %v after %d events", err, off, news)
	}
}

func TestNobodyAnswersIsSaidAsSuch(t *testing.T) {
	t.Parallel()
	_, err := nodeapi.New(filepath.Join(t.TempDir(), "none")).Role(t.Context(), "primary", "")
	var u *nodeapi.Unreachable
	if !errors.As(err, &u) || strings.Contains(err.Error(), "http") {
		t.Errorf("got %v", err)
	}
}

func TestTheLogIsBoundedAndExportedFromItsOldestLine(t *testing.T) {
	t.Parallel()
	j, err := openJournal(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer j.close()
	line := strings.Repeat("x", 64<<10)
	for i := range 3 * mostLogged / len(line) {
		if err := j.write(time.Unix(int64(i), 0), "n", line); err != nil {
			t.Fatal(err)
		}
	}
	var all, end strings.Builder
	if err := errors.Join(j.export(&all, 0), j.export(&end, 100<<10)); err != nil {
		t.Fatal(err)
	}
	if n := all.Len(); n < mostLogged || n > 2*mostLogged+2*len(line) {
		t.Errorf("the log has %d bytes", n)
	}
	if !strings.HasSuffix(all.String(), end.String()) || end.Len() == 0 || end.String()[4] != '-' {
		t.Errorf("the end of the log begins with %.40q", end.String())
	}
}

func TestTheHistoryOutlivesACutLineAndIsBounded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	h, err := openHistory(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2*mostEntries + 5 {
		if err := h.add(nodeapi.Transition{Epoch: uint64(i)}); err != nil { // #nosec G115 -- counts up
			t.Fatal(err)
		}
	}
	if err := h.sync(nodeapi.Sync{From: "core1", Result: "Success"}); err != nil {
		t.Fatal(err)
	}
	appendTo(t, filepath.Join(dir, historyFile), `{"transition":{"epo`)
	again, err := openHistory(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := again.transitions()
	if last := all[len(all)-1].Epoch; last != 2*mostEntries+4 || len(all) > 2*mostEntries || len(again.syncs()) != 1 {
		t.Errorf("%d transitions to %d, %d syncs", len(all), last, len(again.syncs()))
	}
}

func TestPagesOfAPeerAreReadAsTheGuideSaysThem(t *testing.T) {
	t.Parallel()
	type answer struct {
		code         int
		body         string
		epoch, about string
	}
	ok, primary := answer{code: 200, body: "MOBILEIRON-STATUS: OK"}, answer{code: 200, body: "MOBILEIRON-STATUS: OK (Mode: Primary)"}
	bad := answer{code: 503, body: "MOBILEIRON-STATUS: NOT OK"}
	standby := answer{code: 200, body: "MOBILEIRON-STATUS: OK (Mode: Standby)"}
	tests := []struct {
		about           string
		active, standby answer
		want            Sight
	}{
		{"serving, not of ours", ok, primary, Sight{Well: true, Heard: true, Report: ha.Report{State: ha.Active, Runs: true}}},
		{"serving at an epoch", answer{200, ok.body, "7", ""}, primary, Sight{Well: true, Heard: true, Report: ha.Report{State: ha.Active, Served: 7, Reign: 7, Runs: true}}},
		{"standing by", bad, standby, Sight{Heard: true, Report: ha.Report{State: ha.Standby}}},
		{"standing by, of ours", bad, answer{200, standby.body, "", `{"state":"Active","served":3,"reign":3,"yielded":true}`}, Sight{Heard: true, Report: ha.Report{State: ha.Standby, Served: 3, Reign: 3, Yielded: true}}},
		{"not available", bad, bad, Sight{Heard: true}},
		{"OK with an error's code", answer{code: 500, body: ok.body}, bad, Sight{Heard: true}},
		{"a login form", answer{code: 200, body: "<html>"}, answer{code: 404, body: "gone"}, Sight{}},
		{"an epoch that is none", answer{200, ok.body, "-1", "{"}, primary, Sight{Well: true, Heard: true, Report: ha.Report{State: ha.Active, Runs: true}}},
	}
	for _, tt := range tests {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			a := tt.active
			if r.URL.Path == "/hastatus.html" {
				a = tt.standby
			}
			if a.epoch != "" {
				w.Header().Set(epochHeader, a.epoch)
			}
			if a.about != "" {
				w.Header().Set(reportHeader, a.about)
			}
			w.WriteHeader(a.code)
			_, _ = w.Write([]byte(a.body))
		}))
		p := NewPages(s.URL + "/")
		got, err := p.Look(t.Context())
		if (err == nil) != tt.want.Heard || got.Well != tt.want.Well || got.Heard != tt.want.Heard || got.Report != tt.want.Report {
			t.Errorf("%s: got %+v, %v, want %+v", tt.about, got, err, tt.want)
		}
		if err := p.StepDown(t.Context(), 1, true); tt.want.Well != errors.Is(err, ErrNoTrust) {
			t.Errorf("%s: step-down gives %v", tt.about, err)
		}
		s.Close()
		if _, err := p.Look(t.Context()); err == nil || strings.Contains(err.Error(), "http://") {
			t.Errorf("%s: a dead peer gives %v", tt.about, err)
		}
	}
}

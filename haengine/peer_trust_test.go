package haengine

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/internal/remote"
)

// far is the engine of the peer: a Desk that always says the same, after a while.
type far struct {
	Desk
	report ha.Report
	after  chan struct{} // nil: at once
}

func (f far) Report(ctx context.Context) (ha.Report, string, error) {
	if f.after != nil {
		select {
		case <-f.after:
		case <-ctx.Done():
		}
	}
	return f.report, "by its engine", nil
}

func (f far) Hear(ctx context.Context, _ string, _ remote.Telling) (ha.Report, string, error) {
	return f.Report(ctx)
}

func (f far) StepDown(context.Context, string, remote.StepDown) error { return nil }

// newTrust gives the trust of a node, and its listener's end of it.
func newTrust(t *testing.T, name string, l net.Listener) *remote.Trust {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "trust")
	addr, _ := l.Addr().(*net.TCPAddr)
	if err := remote.SaveSite(dir, remote.Site{Name: name, Addresses: []string{"127.0.0.1"}, Port: uint16(addr.Port)}); err != nil { // #nosec G115 -- a port
		t.Fatal(err)
	}
	trust, err := remote.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return trust
}

// farPeer gives the peer core1 as core2 calls it, by its engine and its pages.
func farPeer(t *testing.T, engine far, pages http.HandlerFunc, paired bool) *Trusted {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	one, two := newTrust(t, "core1", l), newTrust(t, "core2", l)
	s := &http.Server{Handler: one.Handler(engine, http.NotFoundHandler(), slog.New(slog.DiscardHandler)), TLSConfig: one.ServerTLS(), ReadHeaderTimeout: time.Minute, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = s.ServeTLS(l, "", "") }()
	t.Cleanup(func() { _ = s.Close(); <-ended })
	p := httptest.NewServer(pages)
	t.Cleanup(p.Close)
	if paired {
		for _, pair := range [][2]*remote.Trust{{one, two}, {two, one}} {
			if err := pair[0].Add(pair[1].Card(), "anna", time.Now()); err != nil {
				t.Fatal(err)
			}
		}
	}
	return NewTrusted("core1", two, NewPages(p.URL))
}

func saysOK(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set(epochHeader, "4")
	fmt.Fprintln(w, "MOBILEIRON-STATUS: OK")
}

func saysNothing(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }

func TestAPeerIsSeenByEitherWay(t *testing.T) {
	t.Parallel()
	never := make(chan struct{})
	serves := far{report: ha.Report{State: ha.Active, Served: 7, Reign: 7, Runs: true}}
	hangs := far{report: serves.report, after: never}
	for _, tt := range []struct {
		name   string
		engine far
		pages  http.HandlerFunc
		paired bool
		limit  time.Duration
		well   bool
		epoch  uint64
		err    string
	}{
		{"both say OK and the engine counts", serves, saysOK, true, time.Minute, true, 7, ""},
		{"no pages", serves, saysNothing, true, time.Minute, true, 7, ""},
		{"the engine hangs and the pages are believed in time", hangs, saysOK, true, 2 * time.Second, true, 4, ""},
		{"the engine does not trust this node", serves, saysOK, false, time.Minute, true, 4, ""},
		{"neither", hangs, saysNothing, true, time.Second, false, 0, "its status pages"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := farPeer(t, tt.engine, tt.pages, tt.paired)
			ctx, cancel := context.WithTimeout(t.Context(), tt.limit)
			defer cancel()
			s, err := p.Look(ctx)
			if s.Well != tt.well || s.Report.Served != tt.epoch || (err != nil) != (tt.err != "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("got %+v, %v", s, err)
			}
			if p.Trust() != tt.paired {
				t.Errorf("trusted: %t", p.Trust())
			}
		})
	}
}

func TestAPeerThatIsNotTrustedAnyMoreCannotBeAsked(t *testing.T) {
	t.Parallel()
	p := farPeer(t, far{report: ha.Report{State: ha.Active, Served: 7, Runs: true}}, saysOK, true)
	if err := p.StepDown(t.Context(), 7, true); err != nil {
		t.Fatal(err)
	}
	if _, err := p.trust.Remove("core1"); err != nil {
		t.Fatal(err)
	}
	if err := p.StepDown(t.Context(), 7, true); err == nil || !strings.Contains(err.Error(), "do not trust one another yet") {
		t.Errorf("got %v", err)
	}
	if s, err := p.Ask(t.Context(), ha.Report{}); err != nil || s.Report.Served != 4 {
		t.Errorf("got %+v, %v", s, err)
	}
}

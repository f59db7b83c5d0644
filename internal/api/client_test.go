package api_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/understudy-ha/understudy/internal/api"
	"github.com/understudy-ha/understudy/internal/ha"
)

func TestWhereTheAPIIs(t *testing.T) {
	t.Parallel()
	tests := []struct {
		given, environment string
		socket             bool
		want               string
	}{
		{"http://a", "http://b", true, "http://a"},
		{"", "http://b", true, "http://b"},
		{"", "", true, api.SidecarSocket},
		{"", "", false, api.CaddyAdmin},
	}
	for _, tt := range tests {
		got := api.Where(tt.given, tt.environment, func(path string) bool { return tt.socket && path == api.SidecarSocket })
		if got != tt.want {
			t.Errorf("%+v: got %s", tt, got)
		}
	}
}

func TestAPlaceThatIsNoneIsRefused(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"", "localhost:2019", "ftp://localhost", "http://", "sidecar"} {
		if _, err := api.NewClient(at, ""); err == nil {
			t.Errorf("%q: got a client, want an error", at)
		}
	}
}

func TestTheClientSpeaksOverAUnixSocket(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "api") // shorter than t.TempDir: the path of a socket is limited
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "s")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(api.New(api.Config{Groups: pair()}).Handler())
	s.Listener.Close()
	s.Listener = listener
	s.Start()
	defer s.Close()
	for _, at := range []string{socket, "unix:" + socket} {
		c, err := api.NewClient(at, "")
		if err != nil {
			t.Fatal(err)
		}
		if g, err := c.Group(t.Context(), "mdm"); err != nil || g.Serving != "core1" {
			t.Errorf("%s: got %+v, %v", at, g, err)
		}
	}
}

// Caddy's admin endpoint refuses a wrong Host, and what a browser would send.
func TestTheClientSendsWhatCaddysAdminEndpointTakes(t *testing.T) {
	t.Parallel()
	var got *http.Request
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		api.New(api.Config{Groups: pair()}).Handler().ServeHTTP(w, r)
	}))
	defer s.Close()
	c, err := api.NewClient(s.URL, "secret")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Act(t.Context(), "mdm", "hold", api.Body{Reason: "x"}); err != nil {
		t.Fatal(err)
	}
	if want := strings.TrimPrefix(s.URL, "http://"); got.Host != want {
		t.Errorf("Host: got %s, want %s", got.Host, want)
	}
	for _, field := range []string{"Origin", "Referer", "Sec-Fetch-Mode", "Sec-Fetch-Site"} {
		if v := got.Header.Get(field); v != "" {
			t.Errorf("%s: got %q, want none", field, v)
		}
	}
	if v := got.Header.Get("Authorization"); v != "Bearer secret" {
		t.Errorf("Authorization: got %q", v)
	}
}

func TestErrorsOfTheClientHaveTypes(t *testing.T) {
	t.Parallel()
	c := client(t, pair())
	var refusal *ha.Refusal
	if _, err := c.Act(t.Context(), "mdm", "switch", api.Body{Reason: "x", To: "core2"}); !errors.As(err, &refusal) || refusal.Code != ha.NeedsSwap || refusal.Read == "" {
		t.Errorf("refused: got %v", err)
	}
	var unknown *api.UnknownGroup
	if _, err := c.Group(t.Context(), "no such/group"); !errors.As(err, &unknown) || unknown.Name != "no such/group" || len(unknown.Groups) != 1 {
		t.Errorf("unknown group: got %v", err)
	}
	var fault *api.Fault
	if _, err := c.Act(t.Context(), "mdm", "hold", api.Body{Reason: "x", For: "soon"}); !errors.As(err, &fault) || fault.Status != 400 {
		t.Errorf("bad request: got %v", err)
	}
	var unreachable *api.Unreachable
	gone := httptest.NewServer(http.NotFoundHandler())
	elsewhere, err := api.NewClient(gone.URL, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := elsewhere.Groups(t.Context()); !errors.As(err, &unreachable) || !strings.Contains(err.Error(), "does not speak the Understudy API") {
		t.Errorf("another server: got %v", err)
	}
	gone.Close()
	if _, err := elsewhere.Groups(t.Context()); !errors.As(err, &unreachable) || unreachable.At != gone.URL {
		t.Errorf("nobody: got %v", err)
	}
}

func TestFollowOutlivesTheServer(t *testing.T) {
	t.Parallel()
	m := pair()
	var mu sync.Mutex
	var current http.Handler
	replace := func() (end func()) {
		d := open(m)
		mu.Lock()
		current = d.Handler()
		mu.Unlock()
		return d.end
	}
	end := replace()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		h := current
		mu.Unlock()
		h.ServeHTTP(w, r)
	}))
	defer s.Close()
	c, err := api.NewClient(s.URL, "")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	news := make(chan api.News, 100)
	done := make(chan error, 1)
	go func() {
		for { // Run may not have begun
			err := c.Follow(ctx, "", func(n api.News) { news <- n })
			var fault *api.Fault
			if !errors.As(err, &fault) {
				done <- err
				return
			}
		}
	}()
	if n := <-news; n.Group.Serving != "core1" {
		t.Errorf("first: got %+v", n)
	}
	end()
	if n := <-news; n.Away == nil || n.Since.IsZero() {
		t.Errorf("gone: got %+v", n)
	}
	m.Lose("mdm", "core1")
	end = replace()
	defer end()
	if n := <-news; n.Group.Serving != "core2" {
		t.Errorf("back: got %+v", n)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("end: got %v", err)
	}
}

func TestFollowEndsAtOnceWhenThereIsNothingToFollow(t *testing.T) {
	t.Parallel()
	var unknown *api.UnknownGroup
	if err := client(t, pair()).Follow(t.Context(), "nosuch", func(api.News) {}); !errors.As(err, &unknown) || unknown.Name != "nosuch" {
		t.Errorf("got %v", err)
	}
}

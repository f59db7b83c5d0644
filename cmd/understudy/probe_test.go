package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/understudy-ha/understudy/internal/ha"
)

// node answers as a node in a state does, by the documented profile.
func node(t *testing.T, state ha.State) string {
	t.Helper()
	var documented ha.Profile
	mux := http.NewServeMux()
	for _, page := range []ha.Page{ha.StatusPage, ha.HAStatusPage} {
		mux.HandleFunc(documented.Path(page), func(w http.ResponseWriter, _ *http.Request) {
			status, body := ha.FormatPage(page, state)
			w.WriteHeader(status)
			fmt.Fprint(w, body)
		})
	}
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL
}

func TestProbeReadsBothPages(t *testing.T) {
	t.Parallel()
	tests := []struct {
		state ha.State
		flags []string
		code  int
		want  []string
	}{
		{ha.Active, nil, 0, []string{`/status/status.html  Active, "MOBILEIRON-STATUS: OK"`, `/hastatus.html       Active, "MOBILEIRON-STATUS: OK (Mode: Primary)"`}},
		{ha.Standby, nil, 0, []string{`/status/status.html  NotAvailable: status`, `/hastatus.html       Standby`}},
		{ha.Standby, []string{"--page", "status"}, 3, []string{"NotAvailable"}},
		{ha.NotAvailable, nil, 3, []string{"NotAvailable"}},
		{ha.Standby, []string{"--json"}, 0, []string{`"state": "standby"`, `"path": "/hastatus.html"`, `"schema": 1`}},
		{ha.Active, []string{"--page", "status", "--host", "mdm.example.com", "--explain"}, 0, []string{
			"connected to 127.0.0.1:", "> GET /status/status.html HTTP/1.1\n", "> Host: mdm.example.com\n", "< HTTP/1.1 200 OK\n", "< MOBILEIRON-STATUS: OK\n", "first byte",
		}},
		{ha.Active, []string{
			"--profile", "generic", "--primary-path", "/hastatus.html", "--primary-expect", "OK", "--standby-path", "/hastatus.html",
			"--standby-expect", "Standby", "--acting-expect", "Primary",
		}, 0, []string{"Active"}},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.state, tt.flags), func(t *testing.T) {
			t.Parallel()
			got := runs(t, nil, append([]string{"probe", node(t, tt.state)}, tt.flags...)...)
			if got.code != tt.code || got.err != "" {
				t.Errorf("got %+v, want code %d", got, tt.code)
			}
			for _, want := range tt.want {
				if !strings.Contains(got.out, want) {
					t.Errorf("got %s, want %q in it", got.out, want)
				}
			}
		})
	}
}

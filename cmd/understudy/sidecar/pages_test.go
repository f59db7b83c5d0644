package sidecar

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/understudy-ha/understudy/internal/api"
)

func TestTheConsoleStandsBesideTheAPIAndATokenThatMayOnlyLookDoesNothing(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	at := free(t)
	h.file("tokens", "nagios "+good+" viewer\n")
	h.says("api: {socket: s.sock, listen: " + at + ", token_file: tokens, hosts: [console.example.com]}")
	h.mustOpen()
	c := h.client("http://"+at, good)
	if _, err := c.Groups(t.Context()); err != nil {
		t.Errorf("a viewer may look: %v", err)
	}
	var fault *api.Fault
	if _, err := c.Act(t.Context(), "mdm", "hold", api.Body{Reason: "x"}); !errors.As(err, &fault) || fault.Code != forbidden {
		t.Errorf("a viewer holds: %v", err)
	}
	for host, want := range map[string]int{"": http.StatusOK, "console.example.com": http.StatusOK, "evil.example": http.StatusMisdirectedRequest} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+at+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			if want == http.StatusOK {
				t.Errorf("%s: %v", host, err)
			}
			continue
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want && want == http.StatusMisdirectedRequest || want == http.StatusOK && !strings.HasSuffix(resp.Request.URL.Path, "/login") {
			t.Errorf("%s: %s at %s", host, resp.Status, resp.Request.URL)
		}
	}
	if !strings.Contains(h.logged(), "setup_code") {
		t.Error("the log has no setup code")
	}
}

package nodeapi_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
)

// node answers everything with one code and body, and keeps what it was asked.
type node struct {
	*httptest.Server
	code  int
	body  string
	asked []string
}

func newNode(t *testing.T, code int, body string) (*node, *nodeapi.Client) {
	t.Helper()
	n := &node{code: code, body: body}
	n.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		said, _ := io.ReadAll(r.Body)
		n.asked = append(n.asked, fmt.Sprintf("%s %s %s%s", r.Method, r.URL.RequestURI(), r.Header.Get("If-Match"), said))
		w.Header().Set("ETag", `"7"`)
		w.WriteHeader(n.code)
		_, _ = io.WriteString(w, n.body)
	}))
	t.Cleanup(n.Close)
	roots := x509.NewCertPool()
	roots.AddCert(n.Certificate())
	c := nodeapi.NewTLS(n.URL+"/", &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13})
	t.Cleanup(c.Close)
	return n, c
}

func TestEveryQuestionHasItsPath(t *testing.T) {
	t.Parallel()
	n, c := newNode(t, 200, "{}")
	ctx := t.Context()
	for _, ask := range []func() (nodeapi.Answer, error){
		func() (nodeapi.Answer, error) { return c.Role(ctx, "primary", "drill") },
		func() (nodeapi.Answer, error) { return c.Enable(ctx, "secondary", "") },
		func() (nodeapi.Answer, error) { return c.Disable(ctx, "") },
		func() (nodeapi.Answer, error) { return c.Pause(ctx, true, "") },
		func() (nodeapi.Answer, error) { return c.ClientConnection(ctx, false, "") },
		func() (nodeapi.Answer, error) { return c.Sync(ctx, "core1", "") },
		func() (nodeapi.Answer, error) { return c.Save(ctx, map[string]string{"StartTime": "13:00"}, `"7"`) },
	} {
		if _, err := ask(); err != nil {
			t.Error(err)
		}
	}
	if _, err := c.Status(ctx); err != nil {
		t.Error(err)
	}
	if text, err := c.Log(ctx, true); err != nil || string(text) != "{}" {
		t.Errorf("got %q, %v", text, err)
	}
	n.body = "[]"
	if _, tag, err := c.Settings(ctx); err != nil || tag != `"7"` {
		t.Errorf("got tag %s, %v", tag, err)
	}
	if _, err := c.History(ctx); err != nil {
		t.Error(err)
	}
	if _, err := c.SyncHistory(ctx); err != nil {
		t.Error(err)
	}
	if _, err := c.Preflight(ctx); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{
		`POST /ha/v1/role {"role":"primary","reason":"drill"}`,
		`POST /ha/v1/ha {"enable":true,"mode":"secondary"}`,
		`POST /ha/v1/ha {"enable":false}`,
		`POST /ha/v1/pause {"enable":true}`,
		`POST /ha/v1/client-connection {"enable":false}`,
		`POST /ha/v1/sync {"host":"core1"}`,
		`PUT /ha/v1/settings "7"{"settings":{"StartTime":"13:00"}}`,
		`GET /ha/v1/status `, `GET /ha/v1/log?all `, `GET /ha/v1/settings `, `GET /ha/v1/history `, `GET /ha/v1/sync-history `, `GET /ha/v1/preflight `,
	}, n.asked); diff != "" {
		t.Error(diff)
	}
}

func TestANodeThatRefusesSaysWhy(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"why":"a sync runs","do":"wait"}`: "a sync runs",
		"<html>":                            `the node answers 409: "<html>"`,
	} {
		_, c := newNode(t, 409, body)
		_, err := c.Status(t.Context())
		var r *nodeapi.Refused
		if !errors.As(err, &r) || r.Code != 409 || r.Why != want {
			t.Errorf("%s: got %v", body, err)
		}
		if err := c.Follow(t.Context(), func(nodeapi.Status) {}); !errors.As(err, &r) {
			t.Errorf("follow: got %v", err)
		}
	}
}

func TestWhatAnswersWithoutBeingANodeIsUnreachable(t *testing.T) {
	t.Parallel()
	_, c := newNode(t, 200, "<html>")
	var u *nodeapi.Unreachable
	if _, err := c.Status(t.Context()); !errors.As(err, &u) || !strings.Contains(err.Error(), "what answers is no node") {
		t.Errorf("got %v", err)
	}
	if err := c.Follow(t.Context(), func(nodeapi.Status) {}); !errors.As(err, &u) {
		t.Errorf("follow: got %v", err)
	}
	n, _ := newNode(t, 200, "{}")
	stranger := nodeapi.NewTLS(n.URL, &tls.Config{MinVersion: tls.VersionTLS13})
	if _, err := stranger.Status(t.Context()); !errors.As(err, &u) || strings.Contains(err.Error(), "/ha/v1/") {
		t.Errorf("an unknown certificate: got %v", err)
	}
}

package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

func TestADialThatReadsVariablesReadsACopy(t *testing.T) {
	t.Parallel()
	vars := map[string]any{"asked": 1}
	req := httptest.NewRequest("GET", "http://mdm.example.com/", nil)
	req = req.WithContext(context.WithValue(req.Context(), caddyhttp.VarsCtxKey, vars))

	announcing := &Transport{HTTPTransport: &reverseproxy.HTTPTransport{ProxyProtocol: "v2"}}
	lent := announcing.lend(req)
	caddyhttp.SetVar(req.Context(), "failed", true)
	if got := caddyhttp.GetVar(lent.Context(), "failed"); got != nil {
		t.Error("what the request writes when it fails reaches a dial that may still read")
	}
	if got := caddyhttp.GetVar(lent.Context(), "asked"); got != 1 {
		t.Errorf("the dial reads %v, want 1", got)
	}
	if straight := (&Transport{HTTPTransport: new(reverseproxy.HTTPTransport)}); straight.lend(req) != req {
		t.Error("a dial that reads nothing costs a copy")
	}
}

func TestWhatIsDoneAsideEndsAsItWouldHere(t *testing.T) {
	t.Parallel()
	failed := errors.New("failed")
	if err := aside(func() error { return failed }); !errors.Is(err, failed) {
		t.Errorf("got %v", err)
	}
	for _, thrown := range []any{http.ErrAbortHandler, "a fault"} {
		func() {
			defer func() {
				got := recover()
				if thrown == http.ErrAbortHandler && got != http.ErrAbortHandler { //nolint:errorlint // as net/http compares
					t.Errorf("net/http would report %v", got)
				}
				if text := fmt.Sprint(got); !strings.Contains(text, fmt.Sprint(thrown)) {
					t.Errorf("got %s, want %v in it", text, thrown)
				}
			}()
			_ = aside(func() error { panic(thrown) })
			t.Error("a panic was swallowed")
		}()
	}
}

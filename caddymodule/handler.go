package caddymodule

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// Handler sends requests to the serving node of a group. It is Caddy's
// reverse_proxy with our policy and transport; what it adds is the answer when
// no node takes a request: 503 with Retry-After and X-Understudy-Reason.
type Handler struct {
	// Group is the group's name.
	Group string `json:"group"`
	// Proxy is the reverse_proxy handler. Its upstreams are the nodes of the
	// group, in any order, its selection policy and transport are understudy's.
	// The Caddyfile directive writes all of it.
	Proxy json.RawMessage `json:"proxy" caddy:"namespace=http.handlers inline_key=handler"`

	proxy  caddyhttp.MiddlewareHandler
	policy *Policy
}

// CaddyModule gives the module's identity.
func (Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.understudy", New: func() caddy.Module { return new(Handler) }}
}

// Provision loads the proxy.
func (h *Handler) Provision(ctx caddy.Context) error {
	if _, err := groupOf(ctx, h.Group); err != nil {
		return err
	}
	if len(h.Proxy) == 0 {
		return errors.New("understudy: the handler has no proxy")
	}
	mod, err := ctx.LoadModule(h, "Proxy")
	if err != nil {
		return fmt.Errorf("load proxy: %w", err)
	}
	var ok bool
	if h.proxy, ok = mod.(caddyhttp.MiddlewareHandler); !ok {
		return fmt.Errorf("proxy is a %T, not a handler", mod)
	}
	if p, ok := mod.(*reverseproxy.Handler); ok && p.LoadBalancing != nil {
		h.policy, _ = p.LoadBalancing.SelectionPolicy.(*Policy)
	}
	if h.policy == nil || h.policy.Group != h.Group {
		return fmt.Errorf("the proxy needs the selection policy understudy with group %s", h.Group)
	}
	return nil
}

// ServeHTTP proxies the request, and gives an error its right status: 503 if
// we turned the request away (it reached no node), 499 if its client left.
//
// A request that has to wait does so here, before Caddy has made a second one
// of it: thousands may wait.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if !h.policy.route.choice.Load().calm() {
		if err := readAhead(r); err != nil {
			return caddyhttp.Error(http.StatusBadRequest, err)
		}
		if h.policy.wait(r, w) == nil {
			return h.turnAway(w, r, errNoNode)
		}
		defer h.policy.route.follow(r.Context())()
		err := aside(func() error { return h.proxy.ServeHTTP(w, r, next) })
		if err != nil {
			return h.turnAway(w, r, err)
		}
		return nil
	}
	if err := h.proxy.ServeHTTP(w, r, next); err != nil {
		return h.turnAway(w, r, err)
	}
	return nil
}

// aside runs f in a goroutine of its own, and waits for it: sending a request
// takes a stack of 32 KB, which would stay with the connection of each of the
// thousands that waited, but ends with a goroutine.
func aside(f func() error) (err error) {
	done := make(chan any)
	go func() {
		defer func() {
			p := recover()
			if p != nil && p != http.ErrAbortHandler { //nolint:errorlint // net/http compares so, too
				p = fmt.Sprintf("%v\n%s", p, debug.Stack())
			}
			done <- p
		}()
		err = f()
	}()
	if p := <-done; p != nil {
		panic(p)
	}
	return err
}

var errNoNode = errors.New("no node takes requests now")

// turnAway gives the error of a request its status.
func (h *Handler) turnAway(w http.ResponseWriter, r *http.Request, err error) error {
	switch caddyhttp.GetVar(r.Context(), refusedVar) {
	case nil:
		return err
	case gone:
		w.WriteHeader(499)
		return nil
	}
	away := caddyhttp.Error(http.StatusServiceUnavailable, err)
	away.StatusCode = http.StatusServiceUnavailable // err may carry the 502 of an attempt that failed before
	return away
}

// mostAhead is the longest body that is read before its request waits.
const mostAhead = 16 << 10

// readAhead reads a short body of a request that is going to wait: net/http
// notices that a client has left only after its body has been read, and what
// nobody waits for any more should not be done.
func readAhead(r *http.Request) error {
	if r.Body == nil || r.ContentLength <= 0 || r.ContentLength > mostAhead {
		return nil
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return fmt.Errorf("read request body: %w", err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return nil
}

var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
)

package caddymodule

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
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

	proxy caddyhttp.MiddlewareHandler
	route *route
}

// CaddyModule gives the module's identity.
func (Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.understudy", New: func() caddy.Module { return new(Handler) }}
}

// Provision loads the proxy.
func (h *Handler) Provision(ctx caddy.Context) error {
	g, err := groupOf(ctx, h.Group)
	if err != nil {
		return err
	}
	h.route = g.route
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
	return nil
}

// ServeHTTP proxies the request, and gives an error its right status: 503 if
// we turned the request away (it reached no node), 499 if its client left.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if !h.route.choice.Load().calm() {
		if err := readAhead(r); err != nil {
			return caddyhttp.Error(http.StatusBadRequest, err)
		}
	}
	err := h.proxy.ServeHTTP(w, r, next)
	if err == nil {
		return nil
	}
	switch caddyhttp.GetVar(r.Context(), refusedVar) {
	case nil:
		return err
	case gone:
		w.WriteHeader(499)
		return nil
	}
	turnedAway := caddyhttp.Error(http.StatusServiceUnavailable, err)
	turnedAway.StatusCode = http.StatusServiceUnavailable // err may carry the 502 of an attempt that failed before
	return turnedAway
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

package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// Transport is Caddy's HTTP transport towards the serving node of a group, and
// towards no other: a node that does not serve is fenced, and its connections
// are closed at a failover so that Caddy tries again on the new one.
type Transport struct {
	*reverseproxy.HTTPTransport

	// Group is the group's name.
	Group string `json:"group"`

	group *group
	route *route
}

// CaddyModule gives the module's identity.
func (Transport) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.reverse_proxy.transport.understudy",
		New: func() caddy.Module { return &Transport{HTTPTransport: new(reverseproxy.HTTPTransport)} },
	}
}

// Provision makes the transport and puts the fence around its dials.
func (t *Transport) Provision(ctx caddy.Context) error {
	g, err := groupOf(ctx, t.Group)
	if err != nil {
		return err
	}
	t.group, t.route = g, g.route
	if slices.Contains(t.Versions, "3") {
		return fmt.Errorf("versions 3: a group's connections over HTTP/3 could not be closed at a failover; use 1.1 or 2")
	}
	if len(t.Versions) == 0 {
		t.Versions = []string{"1.1"}
	}
	if t.KeepAlive == nil {
		t.KeepAlive = new(reverseproxy.KeepAlive)
	}
	if t.KeepAlive.MaxIdleConnsPerHost == 0 { // one node gets all: Caddy's 32 would churn
		t.KeepAlive.MaxIdleConnsPerHost = 1024
	}
	if err := t.HTTPTransport.Provision(ctx); err != nil {
		return err
	}
	if !t.proxied() {
		t.HTTPTransport.Transport.Proxy = nil // only configured addresses are dialled
	}
	t.route.join(t)
	t.HTTPTransport.Transport.DialContext = t.fenced(t.HTTPTransport.Transport.DialContext)
	if dial := t.HTTPTransport.Transport.DialTLSContext; dial != nil {
		t.HTTPTransport.Transport.DialTLSContext = t.fenced(dial)
	}
	return nil
}

// proxied says whether another proxy stands between us and the nodes.
func (t *Transport) proxied() bool { return len(t.NetworkProxyRaw) > 0 || t.ForwardProxyURL != "" }

// straight says whether a dial needs nothing of its request but the address.
func (t *Transport) straight() bool { return !t.proxied() && t.ProxyProtocol == "" }

// dialError is what Caddy takes for a DialError, after which it may try any
// request again. Unlike Caddy's own it tells its cause.
type dialError struct{ cause error }

func (e dialError) Error() string { return e.cause.Error() }

func (e dialError) Unwrap() []error { return []error{reverseproxy.NewDialError(e.cause), e.cause} }

var (
	fencedDial   error = dialError{errFenced}
	startingDial error = dialError{errStarting}
)

type dialContext func(ctx context.Context, network, address string) (net.Conn, error)

// fenced lets only the serving node be dialled, and maxDials at once. Its
// errors are dial errors, after which Caddy may try any request again.
func (t *Transport) fenced(dial dialContext) dialContext {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		upstream := address
		if t.straight() { // as in lend, but without a copy
			ctx = context.WithValue(ctx, caddyhttp.VarsCtxKey, map[string]any(nil))
		} else {
			info, _ := reverseproxy.GetDialInfo(ctx)
			upstream = info.Address
		}
		s := t.route.choice.Load().serving
		if s == nil || s.address != upstream {
			return nil, fencedDial
		}
		select {
		case t.route.dials <- struct{}{}:
			defer func() { <-t.route.dials }()
		case <-s.ctx.Done():
			return nil, fencedDial
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		conn, err := s.dial(ctx, func(ctx context.Context) (net.Conn, error) {
			return dial(ctx, network, address)
		})
		switch {
		case errors.Is(err, errFenced):
			return nil, fencedDial
		case errors.Is(err, errStarting):
			return nil, startingDial
		}
		return conn, err
	}
}

// RoundTrip sends one request. A failure that is not the client's own is
// evidence: the node is suspect before RoundTrip returns.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	s := t.route.choice.Load().serving
	if s == nil {
		return nil, fencedDial
	}
	if !s.used.Load() && s.used.CompareAndSwap(false, true) {
		sweep.add(t.group)
	}
	s.started.Add(1)
	resp, err := t.HTTPTransport.RoundTrip(once(t.lend(req)))
	s.finished.Add(1)
	if err == nil {
		return resp, nil
	}
	if req.Context().Err() != nil {
		return resp, err
	}
	if errors.Is(err, errStarting) { // the policy has it wait
		return resp, err
	}
	caddyhttp.SetVar(req.Context(), triedVar, s)
	if !errors.Is(err, errFenced) && s.ctx.Err() == nil {
		t.route.doubt(s.node, err.Error())
	}
	if errors.Is(err, context.Canceled) { // ours, not the client's: the fence ended a dial
		err = fencedDial
	}
	return resp, err
}

// lend gives a request whose variables are a copy, where dials want to read
// them: a dial may outlive its request, which writes them when it fails.
func (t *Transport) lend(req *http.Request) *http.Request {
	vars, _ := req.Context().Value(caddyhttp.VarsCtxKey).(map[string]any)
	if t.straight() || vars == nil {
		return req
	}
	return req.WithContext(context.WithValue(req.Context(), caddyhttp.VarsCtxKey, maps.Clone(vars)))
}

// once gives a request that net/http sends at most once. It repeats a request
// with an Idempotency-Key and no body on its own when a reused connection
// breaks; then the fence would turn the repetition into a dial error, and Caddy
// would send it a third time.
func once(req *http.Request) *http.Request {
	if req.Body != nil && req.Body != http.NoBody || idempotent(req.Method) {
		return req
	}
	if len(req.Header["Idempotency-Key"]) == 0 && len(req.Header["X-Idempotency-Key"]) == 0 {
		return req
	}
	single := *req
	single.Body = io.NopCloser(emptyBody{})
	return &single
}

type emptyBody struct{}

func (emptyBody) Read([]byte) (int, error) { return 0, io.EOF }

// idempotent says whether a method may be sent again (RFC 9110, 9.2.2).
func idempotent(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	return false
}

// replayable says whether a whole request may be sent again: its method is
// idempotent and it has no body.
func replayable(r *http.Request) bool {
	return idempotent(r.Method) && (r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0)
}

var (
	_ caddy.Provisioner                   = (*Transport)(nil)
	_ caddy.CleanerUpper                  = (*Transport)(nil)
	_ http.RoundTripper                   = (*Transport)(nil)
	_ reverseproxy.TLSTransport           = (*Transport)(nil)
	_ reverseproxy.ProxyProtocolTransport = (*Transport)(nil)
)

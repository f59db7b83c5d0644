package sidecar

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/understudy-ha/understudy/cmd/understudy/service"
	"github.com/understudy-ha/understudy/internal/api"
	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/web/account"
)

// mostClients is how many connections the API has at a time.
const mostClients = 512

// desk serves the API on one listener.
type desk struct {
	server  *http.Server
	address string
	guard   atomic.Pointer[guard] // nil: a unix socket, guarded by its permissions
	clients atomic.Int64
	refused atomic.Uint64 // requests turned away
	told    atomic.Int64  // when the log was last told of that, Unix seconds
	pages   *pages        // nil: none here
	log     *slog.Logger
	ended   chan struct{}
}

type actorKey struct{}

// identify gives who asks, as the desk has found out.
func identify(r *http.Request) (actor string, proven bool) {
	name, ok := r.Context().Value(actorKey{}).(string)
	return name, ok
}

// newDesk gives a desk that serves as soon as it is opened. A nil guard is for
// a unix socket; over TCP the pages of the console are there too.
func newDesk(a *api.API, address string, g *guard, p *pages, log *slog.Logger) *desk {
	d := &desk{address: address, pages: p, log: log, ended: make(chan struct{})}
	d.guard.Store(g)
	d.server = &http.Server{
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute,
		MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	handler := a.Handler()
	d.server.Handler = handler
	if g != nil {
		d.server.Handler = p.beside(d.admit(handler))
		d.server.RegisterOnShutdown(p.console.HangUp)
	}
	d.server.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if name, known := service.Peer(c); known {
			return context.WithValue(ctx, actorKey{}, name)
		}
		return ctx
	}
	d.server.ConnState = func(c net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			if d.clients.Add(1) > mostClients {
				_ = c.Close()
			}
		case http.StateClosed, http.StateHijacked:
			d.clients.Add(-1)
		}
	}
	d.server.RegisterOnShutdown(a.HangUp)
	return d
}

// admit lets those through whom the guard knows.
func (d *desk) admit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, role, ok := d.guard.Load().who(r, d.pages.book.Bearer)
		switch reads := r.Method == http.MethodGet || r.Method == http.MethodHead; {
		case !ok:
			d.turnAway(r)
			unknown(w)
			return
		case role < account.Operator && !reads:
			onlyLooks(w, name)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), actorKey{}, name)))
	})
}

// turnAway counts one whom the guard does not know, and tells the log, but not
// as often as somebody may ask.
func (d *desk) turnAway(r *http.Request) {
	total := d.refused.Add(1)
	now, last := time.Now().Unix(), d.told.Load()
	if now-last >= 10 && d.told.CompareAndSwap(last, now) {
		d.log.Warn("somebody without a known token was turned away", "from", r.RemoteAddr, "method", r.Method, "in_all", total)
	}
}

// The codes of the answers to those whom the guard does not know, and to those
// who may only look.
const (
	unauthorized ha.Reason = "unauthorized"
	forbidden    ha.Reason = "forbidden"
)

func unknown(w http.ResponseWriter) {
	w.Header().Set("WWW-Authenticate", `Bearer realm="understudy"`)
	turn(w, http.StatusUnauthorized, ha.Refusal{
		Code: unauthorized, What: "no answer", Why: "the request carries no token that is known here",
		Do: "Send a token of token_file: understudy status --token-file FILE", Read: "docs/reference/sidecar.md",
	})
}

func onlyLooks(w http.ResponseWriter, name string) {
	turn(w, http.StatusForbidden, ha.Refusal{
		Code: forbidden, What: "nothing was changed", Why: "the token " + name + " has the role viewer, which may only look",
		Do: "Use one with the role operator.", Read: "docs/reference/sidecar.md",
	})
}

func turn(w http.ResponseWriter, code int, no ha.Refusal) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(api.Fault{Schema: api.Schema, Refusal: no})
}

// open serves on l until close.
func (d *desk) open(l net.Listener) {
	go func() {
		defer close(d.ended)
		_ = d.server.Serve(guarded{l, d})
	}()
}

// guarded speaks TLS where the guard in force wants it.
type guarded struct {
	net.Listener
	desk *desk
}

// Accept gives the next connection.
func (g guarded) Accept() (net.Conn, error) {
	c, err := g.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if now := g.desk.guard.Load(); now != nil && now.tls != nil {
		return tls.Server(c, now.tls), nil
	}
	return c, nil
}

// close lets requests end, for a moment, and waits until it has.
func (d *desk) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	if d.server.Shutdown(ctx) != nil {
		_ = d.server.Close()
	}
	<-d.ended
}

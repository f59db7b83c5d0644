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

	"github.com/understudy-ha/understudy/internal/api"
	"github.com/understudy-ha/understudy/internal/ha"
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
// a unix socket.
func newDesk(a *api.API, address string, g *guard, log *slog.Logger) *desk {
	d := &desk{address: address, log: log, ended: make(chan struct{})}
	d.guard.Store(g)
	d.server = &http.Server{
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute,
		MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	handler := a.Handler()
	d.server.Handler = handler
	if g != nil {
		d.server.Handler = d.admit(handler)
	}
	d.server.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if name, known := peer(c); known {
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
		name, ok := d.guard.Load().who(r)
		if !ok {
			d.turnAway(r)
			unknown(w)
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

// unauthorized is the code of the answer to those whom the guard does not know.
const unauthorized ha.Reason = "unauthorized"

func unknown(w http.ResponseWriter) {
	w.Header().Set("WWW-Authenticate", `Bearer realm="understudy"`)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusUnauthorized)
	_ = json.NewEncoder(w).Encode(api.Fault{Schema: api.Schema, Refusal: ha.Refusal{
		Code: unauthorized, What: "no answer", Why: "the request carries no token that is known here",
		Do: "Send a token of token_file: understudy status --token-file FILE", Read: "docs/reference/sidecar.md",
	}})
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

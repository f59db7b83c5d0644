package caddymodule

import (
	"context"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/understudy-ha/understudy/internal/api"
	"github.com/understudy-ha/understudy/internal/ha"
)

// Admin serves the API of internal/api at Caddy's admin endpoint, below
// /understudy/.
type Admin struct{}

// CaddyModule gives the module's identity.
func (Admin) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "admin.api.understudy", New: func() caddy.Module { return new(Admin) }}
}

// desk is the process's API. It outlives reloads, so that a stream of events
// can go on where it was.
var desk = sync.OnceValue(func() *api.API {
	host, _ := os.Hostname()
	a := api.New(api.Config{Groups: watched{}, Identify: identify, Watcher: host})
	ctx, cancel := context.WithCancel(context.Background())
	caddy.OnExit(func(context.Context) { cancel() })
	go a.Run(ctx)
	return a
})

// Provision has the streams of events end with the configuration, whose admin
// endpoint would otherwise wait for them; clients come back and miss nothing.
func (Admin) Provision(ctx caddy.Context) error {
	context.AfterFunc(ctx, desk().HangUp)
	return nil
}

// Routes gives the API's paths.
func (Admin) Routes() []caddy.AdminRoute {
	var routes []caddy.AdminRoute
	for _, r := range desk().Routes() {
		routes = append(routes, caddy.AdminRoute{Pattern: r.Pattern, Handler: caddy.AdminHandlerFunc(
			func(w http.ResponseWriter, req *http.Request) error {
				r.Handler.ServeHTTP(w, req)
				return nil
			})})
	}
	return routes
}

// identify gives the name in the client's certificate, at the remote admin
// endpoint; at the local one nobody is proven.
func identify(r *http.Request) (actor string, proven bool) {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 && len(r.TLS.PeerCertificates) == 0 {
		return "", false
	}
	return r.TLS.PeerCertificates[0].Subject.CommonName, true
}

// watched shows the groups that run to the API.
type watched struct{}

func (watched) find(name string) *group { return present.find(name) }

// Names gives the groups' names, sorted.
func (watched) Names() []string { return present.names() }

// QueueTimeout gives how long requests of a group may wait.
func (w watched) QueueTimeout(name string) (time.Duration, bool) {
	if g := w.find(name); g != nil {
		return g.queueTimeout()
	}
	return 0, false
}

// Situation gives a group's Situation.
func (w watched) Situation(name string) (ha.Situation, bool) {
	g := w.find(name)
	if g == nil {
		return ha.Situation{}, false
	}
	return g.watcher.Situation(), true
}

// Act does a person's wish.
func (w watched) Act(ctx context.Context, name, verb string, wish ha.Wish, dryRun bool) (ha.Traffic, error) {
	g, act := w.find(name), ha.Act(nil)
	if a, ok := ha.Acts(verb); ok {
		act = a
	}
	if g == nil || act == nil {
		return ha.Traffic{}, &ha.Refusal{Code: ha.BadWish, What: name + ": nothing was changed", Why: "there is no such group or verb", Do: "Look at the groups.", Read: "understudy status"}
	}
	return g.watcher.Act(ctx, act, wish, dryRun)
}

// History gives a group's newest Traffics, oldest first.
func (w watched) History(ctx context.Context, name string, limit int) ([]ha.Traffic, error) {
	if g := w.find(name); g != nil {
		return g.watcher.History(ctx, limit)
	}
	return nil, nil
}

// Subscribe gives every Situation that is news.
func (watched) Subscribe(ctx context.Context) <-chan ha.Situation { return town.Subscribe(ctx) }

// Readings gives the last readings of every node of a group.
func (w watched) Readings(name string) map[string][]ha.Reading {
	if g := w.find(name); g != nil {
		return g.watcher.Readings()
	}
	return nil
}

// WriteMetrics writes the counters of every group.
func (w watched) WriteMetrics(to io.Writer) { writeCounters(to, w) }

var (
	_ caddy.Provisioner = (*Admin)(nil)
	_ caddy.AdminRouter = (*Admin)(nil)
)

package api

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// API serves a Groups over HTTP. Make it with New and run Run beside it.
type API struct {
	groups   Groups
	identify func(*http.Request) (string, bool)
	watcher  string
	beat     time.Duration
	hub      *hub
	figures  *figures
}

// New gives the API of c.Groups.
func New(c Config) *API {
	a := &API{groups: c.Groups, identify: c.Identify, watcher: c.Watcher, beat: c.Heartbeat, hub: newHub(), figures: newFigures()}
	if a.identify == nil {
		a.identify = func(*http.Request) (string, bool) { return "", false }
	}
	if a.beat <= 0 {
		a.beat = 15 * time.Second
	}
	return a
}

// Run feeds the event streams until ctx ends, or the groups tell no more; then
// it ends every stream, so that the server can shut down. No stream lives
// before Run or after it.
func (a *API) Run(ctx context.Context) {
	changes := a.groups.Subscribe(ctx)
	a.hub.open()
	defer a.hub.close()
	for {
		select {
		case <-ctx.Done():
			return
		case s, open := <-changes:
			if !open {
				return
			}
			a.figures.dropped.Add(a.hub.publish(a.show(s)))
		}
	}
}

// HangUp ends every stream that is open now, so that a server can shut down
// (http.Server.RegisterOnShutdown) or be replaced. Clients come back with the
// id of the event they saw last, and miss nothing.
func (a *API) HangUp() { a.hub.hangUp() }

// Routes gives every path of the API, for a router that mounts them itself.
func (a *API) Routes() []Route {
	routes := []Route{
		{"/understudy/groups", get(a.list)},
		{"/understudy/groups/{group}", get(a.one)},
		{"/understudy/groups/{group}/history", get(a.history)},
		{"/understudy/pools", get(a.pools)},
		{"/understudy/opinion/{group}", get(a.opinion)},
		{"/understudy/events", get(a.events)},
		{"/understudy/metrics", get(a.metrics)},
	}
	for _, verb := range Verbs() {
		routes = append(routes, Route{"/understudy/groups/{group}/" + verb, a.act(verb)})
	}
	for i := range routes {
		routes[i].Handler = a.figures.count(routes[i])
	}
	return routes
}

// Handler serves every Route; any other path is a 404 that names them.
func (a *API) Handler() http.Handler {
	mux := http.NewServeMux()
	var paths []string
	for _, r := range a.Routes() {
		mux.Handle(r.Pattern, r.Handler)
		paths = append(paths, r.Pattern)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fault(http.StatusNotFound, NotHere, "no answer", "there is no path "+strconv.Quote(cut(r.URL.Path, 80)),
			"Ask one of "+strings.Join(paths, " ")+".").write(w)
	})
	return mux
}

// get lets GET and HEAD through.
func get(next http.HandlerFunc) http.Handler { return allow(next, http.MethodGet, http.MethodHead) }

func allow(next http.HandlerFunc, methods ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !slices.Contains(methods, r.Method) {
			allowed := strings.Join(methods, ", ")
			w.Header().Set("Allow", allowed)
			fault(http.StatusMethodNotAllowed, BadMethod, "no answer", "this path does not take "+strconv.Quote(cut(r.Method, 20)),
				"Use "+allowed+".").write(w)
			return
		}
		next(w, r)
	})
}

func (a *API) list(w http.ResponseWriter, _ *http.Request) {
	list := GroupList{Schema: Schema, Groups: []Group{}}
	for _, name := range a.groups.Names() {
		if s, ok := a.groups.Situation(name); ok {
			list.Groups = append(list.Groups, a.show(s))
		}
	}
	writeJSON(w, http.StatusOK, list)
}

func (a *API) one(w http.ResponseWriter, r *http.Request) {
	if s, ok := a.find(w, r.PathValue("group")); ok {
		writeJSON(w, http.StatusOK, a.show(s))
	}
}

// The entries of a history that one answer has.
const (
	usualHistory = 100
	mostHistory  = 1000
)

func (a *API) history(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("group")
	if _, ok := a.find(w, name); !ok {
		return
	}
	limit := usualHistory
	if asked := r.URL.Query().Get("limit"); asked != "" {
		n, err := strconv.Atoi(asked)
		if err != nil || n < 1 || n > mostHistory {
			fault(http.StatusBadRequest, BadRequest, name+": no history", "limit "+strconv.Quote(cut(asked, 20))+" is not a number from 1 to "+strconv.Itoa(mostHistory),
				"Give another limit, or none.").write(w)
			return
		}
		limit = n
	}
	entries, err := a.groups.History(r.Context(), name, limit+1) // one more tells who served before
	if err != nil {
		fault(http.StatusServiceUnavailable, NoHistory, name+": no history", err.Error(), "Repair the register, then ask again.").write(w)
		return
	}
	writeJSON(w, http.StatusOK, HistoryList{Schema, name, showChanges(entries, limit)})
}

func (a *API) opinion(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("group")
	s, ok := a.find(w, name)
	if !ok {
		return
	}
	o := Opinion{Group: a.show(s), Watcher: a.watcher}
	if ring, ok := a.groups.(Ring); ok {
		o.Readings = map[string][]Reading{}
		for node, readings := range ring.Readings(name) {
			for _, reading := range readings {
				o.Readings[node] = append(o.Readings[node], ShowReading(reading))
			}
		}
	}
	writeJSON(w, http.StatusOK, o)
}

// find gives the situation of a group, or answers that there is none.
func (a *API) find(w http.ResponseWriter, name string) (ha.Situation, bool) {
	s, ok := a.groups.Situation(name)
	if !ok {
		unknownGroup(cut(name, 80), a.groups.Names()).write(w)
	}
	return s, ok
}

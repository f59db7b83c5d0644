package api

import (
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/VictoriaMetrics/metrics"
)

// figures are the API's own.
type figures struct {
	set     *metrics.Set
	dropped *metrics.Counter
}

func newFigures() *figures {
	set := metrics.NewSet()
	return &figures{set, set.NewCounter("understudy_api_streams_dropped_total")}
}

// count counts the requests of a route by method and status.
func (f *figures) count(r Route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		noted := &noteStatus{ResponseWriter: w, status: http.StatusOK}
		r.Handler.ServeHTTP(noted, req)
		method := req.Method
		if method != http.MethodGet && method != http.MethodPost {
			method = "other"
		}
		f.set.GetOrCreateCounter(fmt.Sprintf("understudy_api_requests_total{path=%q,method=%q,code=\"%d\"}", r.Pattern, method, noted.status)).Inc()
	})
}

// noteStatus remembers the status that a handler gave.
type noteStatus struct {
	http.ResponseWriter
	status int
}

func (n *noteStatus) WriteHeader(status int) {
	n.status = status
	n.ResponseWriter.WriteHeader(status)
}

// Unwrap lets a stream flush and set deadlines.
func (n *noteStatus) Unwrap() http.ResponseWriter { return n.ResponseWriter }

// metrics answers with the figures of the groups, of their keeper, and of the
// API.
func (a *API) metrics(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	WriteFigures(w, a.groups)
	if m, ok := a.groups.(Meter); ok {
		m.WriteMetrics(w)
	}
	a.figures.set.WritePrometheus(w)
	metrics.WriteGaugeUint64(w, "understudy_api_streams", uint64(a.hub.count()))
}

// families are what WriteFigures writes of every group, each with its help and
// the samples that it has of a group.
var families = []struct {
	name, help string
	samples    func(Group) []sample
}{
	{"understudy_serving", "1 for the node that clients are sent to.", eachNode(func(g Group, n Node) float64 { return one(g.Serving == n.Name) })},
	{"understudy_epoch", "The number of changes of the group's traffic.", whole(func(g Group) float64 { return float64(g.Epoch) })},
	{"understudy_last_change_timestamp_seconds", "When the traffic was last changed.", whole(func(g Group) float64 { return float64(g.Changed.At.UnixMilli()) / 1000 })},
	{"understudy_failover_armed", "1 while a failover would happen if the serving node failed now.", whole(func(g Group) float64 { return one(g.Armed) })},
	{"understudy_failover_blocked", "1 with the reason why no failover would happen.", func(g Group) []sample {
		if g.Armed {
			return nil
		}
		return []sample{{fmt.Sprintf(",reason=%q", g.ArmedWhy), 1}}
	}},
	{"understudy_decision", "1 with the row of the truth table in force.", func(g Group) []sample {
		return []sample{{fmt.Sprintf(",verb=%q,reason=%q,row=\"%d\"", g.Decision.Verb, g.Decision.Reason, g.Decision.Row), 1}}
	}},
	{"understudy_alarm", "1 with each reason for which a person is needed.", func(g Group) (s []sample) {
		for _, a := range g.Alarms {
			s = append(s, sample{fmt.Sprintf(",reason=%q", a), 1})
		}
		return s
	}},
	{"understudy_hold_active", "1 while the routing is held.", whole(func(g Group) float64 { return one(g.Hold != nil) })},
	{"understudy_hold_overdue", "1 while a hold has outlived its time.", whole(func(g Group) float64 { return one(g.Hold != nil && g.Hold.Overdue) })},
	{"understudy_watchers_configured", "Watchers that share the register.", watchers(func(w *Watchers) float64 { return float64(w.Configured) })},
	{"understudy_watchers_present", "Watchers that can be heard.", watchers(func(w *Watchers) float64 { return float64(w.Present) })},
	{"understudy_votes_needed", "Watchers that must read the serving node down before traffic moves.", watchers(func(w *Watchers) float64 { return float64(w.Needed) })},
	{"understudy_vote", "1 with how each watcher votes on a failover: yes, no or none.", func(g Group) (s []sample) {
		if g.Watchers != nil {
			for _, v := range g.Watchers.Votes {
				s = append(s, sample{fmt.Sprintf(",watcher=%q,vote=%q", v.Watcher, v.Vote), 1})
			}
		}
		return s
	}},
	{"understudy_node_state", "1 for the state that the node was last read in.", func(g Group) (s []sample) {
		for _, n := range g.Nodes {
			for _, state := range states {
				s = append(s, sample{fmt.Sprintf(",node=%q,state=%q", n.Name, state), one(n.Known() && n.State == state)})
			}
		}
		return s
	}},
	{"understudy_node_misses", "Readings in a row that found the node not available.", eachNode(func(_ Group, n Node) float64 { return float64(n.Misses) })},
	{"understudy_probe_duration_seconds", "How long the last probe of the node took.", eachNode(func(_ Group, n Node) float64 { return n.TookMS / 1000 })},
}

// sample is a value and the labels it has beside the group's.
type sample struct {
	labels string
	value  float64
}

// WriteFigures writes the figures of every group as it is now, in the
// Prometheus text format.
func WriteFigures(w io.Writer, groups Groups) {
	var all []Group
	for _, name := range groups.Names() {
		if s, ok := groups.Situation(name); ok {
			all = append(all, Show(s))
		}
	}
	var out strings.Builder
	for _, f := range families {
		fmt.Fprintf(&out, "# HELP %s %s\n# TYPE %s gauge\n", f.name, f.help, f.name)
		for _, g := range all {
			for _, s := range f.samples(g) {
				fmt.Fprintf(&out, "%s{group=%q%s} %.14g\n", f.name, g.Name, s.labels, s.value)
			}
		}
	}
	_, _ = io.WriteString(w, out.String())
}

func watchers(value func(*Watchers) float64) func(Group) []sample {
	return func(g Group) []sample {
		if g.Watchers == nil {
			return nil
		}
		return []sample{{"", value(g.Watchers)}}
	}
}

func whole(value func(Group) float64) func(Group) []sample {
	return func(g Group) []sample { return []sample{{"", value(g)}} }
}

func eachNode(value func(Group, Node) float64) func(Group) []sample {
	return func(g Group) (s []sample) {
		for _, n := range g.Nodes {
			s = append(s, sample{fmt.Sprintf(",node=%q", n.Name), value(g, n)})
		}
		return s
	}
}

func one(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

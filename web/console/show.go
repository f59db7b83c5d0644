package console

import (
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"time"

	"github.com/understudy-ha/understudy/internal/api"
	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/web"
	"github.com/understudy-ha/understudy/web/lanes"
)

// view is a group as the pages show it.
type view struct {
	api.Group
	Look     api.GroupLook
	Nodes    []api.NodeLook
	Sentence string // what would happen if the serving node failed now
	Because  string // why the decision is what it is; empty: as it should be
	Cures    []api.Cure
	Steps    []api.Step // the way back after a failover
	Instead  []api.Step
	Stale    string // why what is shown may be old, empty: it is not
	Last     *event
	Days     int // of the lanes
	Lanes    template.HTML
	Rows     [][3]string // the lanes as text: row, from and to, what
	Events   []event
}

// event is one change in words.
type event struct {
	api.Change
	Moved, By string
	Evidence  []string
}

func show(g api.Group, now time.Time) view {
	v := view{Group: g, Look: api.LookGroup(g), Nodes: api.Look(g), Sentence: api.Sentence(g), Cures: api.Cures(g)}
	if because := api.Because(g); because != v.Sentence && g.Decision.Reason != "serving" {
		v.Because = because
	}
	v.Steps, v.Instead = api.WayBack(g)
	most := 3*time.Duration(g.Rules.IntervalMS+g.Rules.TimeoutMS)*time.Millisecond + 5*time.Second
	if newest := newest(g); !g.Starting() && now.Sub(newest) > most {
		v.Stale = fmt.Sprintf("Nothing was read for %s: the watcher makes no progress. What you see is from %s.", api.Age(now.Sub(newest)), newest.UTC().Format("15:04:05 UTC"))
	}
	return v
}

// newest gives when the group was read last.
func newest(g api.Group) (at time.Time) {
	for _, n := range g.Nodes {
		if n.At.After(at) {
			at = n.At
		}
	}
	return at
}

func events(changes []api.Change) []event {
	var all []event
	for _, c := range slices.Backward(changes) {
		moved := api.Moved(c)
		switch c.Cause {
		case ha.HeldBy:
			moved += " held"
		case ha.Released:
			moved += " released"
		}
		all = append(all, event{c, moved, api.By(c.Changed), api.Evidences(c)})
	}
	return all
}

// overview is what the first page shows.
type overview struct {
	Groups []view
	Pools  []api.PoolLook
}

func (c *Console) overview(v *web.Visit) error {
	v.Live = true
	groups, err := c.client.Groups(ask(v))
	if err != nil {
		return refusal(err)
	}
	var all []view
	for _, g := range groups {
		one := show(g, c.now())
		if changes, err := c.client.History(ask(v), g.Name, 1); err == nil && len(changes) > 0 {
			one.Last = &events(changes)[0]
		}
		all = append(all, one)
	}
	pools, err := c.client.Pools(ask(v))
	if err != nil {
		return refusal(err)
	}
	page := overview{Groups: all}
	for _, p := range pools {
		page.Pools = append(page.Pools, api.LookPool(p, c.now()))
	}
	return v.Render("overview", "All groups", page)
}

func (c *Console) group(v *web.Visit) error {
	v.Live = true
	name := v.Request.PathValue("group")
	g, err := c.client.Group(ask(v), name)
	if err != nil {
		return refusal(err)
	}
	one := show(g, c.now())
	one.Days = 1
	if v.Request.URL.Query().Get("days") == "30" {
		one.Days = 30
	}
	changes, err := c.client.History(ask(v), name, 1000)
	if err != nil {
		one.Stale = "The history cannot be read: " + refusal(err).Error()
	}
	one.Events = events(changes)
	if one.Events = one.Events[:min(8, len(one.Events))]; len(one.Events) > 0 {
		one.Last = &one.Events[0]
	}
	chart := c.chart(g, changes, time.Duration(one.Days)*24*time.Hour)
	one.Lanes, one.Rows = chart.SVG(), rows(chart)
	return v.Render("group", name, one)
}

// chart gives the lanes of a group: each node, the traffic, and holds.
func (c *Console) chart(g api.Group, changes []api.Change, long time.Duration) lanes.Chart {
	now := c.now()
	chart := lanes.Chart{From: now.Add(-long), To: now}
	if l := c.lanesOf(g.Name); l != nil {
		for _, name := range g.Order {
			chart.Lanes = append(chart.Lanes, lanes.Lane{Name: name, Spans: l.Spans(name, chart.From, now)})
		}
	}
	traffic, holds := lanes.Lane{Name: "traffic"}, lanes.Lane{Name: "holds"}
	for i, change := range changes {
		from, to := change.At, now
		if i+1 < len(changes) {
			to = changes[i+1].At
		}
		if !to.After(chart.From) {
			continue
		}
		if from.Before(chart.From) {
			from = chart.From
		}
		traffic.Spans = join(traffic.Spans, lanes.Span{
			From: from, To: to, Kind: fmt.Sprintf("serves-%d", min(max(0, slices.Index(g.Order, change.Serving)), 2)), Word: change.Serving,
			Said: fmt.Sprintf("Because: %s, %s", change.Cause, api.By(change.Changed)),
		})
		if h := change.Hold; h != nil {
			holds.Spans = join(holds.Spans, lanes.Span{From: from, To: to, Kind: "held", Word: h.Owner, Said: h.Reason})
		}
	}
	chart.Lanes = append(chart.Lanes, traffic, holds)
	return chart
}

// join adds a span, or makes the last one longer if it says the same.
func join(spans []lanes.Span, s lanes.Span) []lanes.Span {
	if n := len(spans); n > 0 && spans[n-1].Word == s.Word && spans[n-1].Kind == s.Kind && spans[n-1].To.Equal(s.From) {
		spans[n-1].To = s.To
		return spans
	}
	return append(spans, s)
}

// rows gives the lanes as text, for those who do not see them; the newest first.
func rows(chart lanes.Chart) (all [][3]string) {
	const most = 20 // of a row
	for _, lane := range chart.Lanes {
		for i, s := range slices.Backward(lane.Spans) {
			if len(lane.Spans)-i > most {
				break
			}
			what := s.Word
			if what == "" {
				what = map[string]string{"active": "Active", "standby": "Standby", "not_available": "NotAvailable"}[s.Kind]
			}
			if s.Said != "" {
				what += ": " + s.Said
			}
			if s.Kind == "unknown" {
				what = "nobody watched"
			}
			all = append(all, [3]string{lane.Name, s.From.UTC().Format("01-02 15:04:05") + " to " + s.To.UTC().Format("01-02 15:04:05"), what})
		}
	}
	return all
}

func (c *Console) history(v *web.Visit) error {
	name := v.Request.PathValue("group")
	g, err := c.client.Group(ask(v), name)
	if err != nil {
		return refusal(err)
	}
	changes, err := c.client.History(ask(v), name, 100)
	if err != nil {
		return refusal(err)
	}
	return v.Render("history", name+": history", struct {
		Group  api.Group
		Events []event
	}{g, events(changes)})
}

// notThere answers for a group or node that there is not.
func notThere(why string) error {
	return &web.Refusal{Status: http.StatusNotFound, What: "There is no such thing", Why: why, Do: "Choose one from the menu."}
}

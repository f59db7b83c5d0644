package ha

import (
	"slices"
	"time"
)

// Reading is what one probe of one node learned. A node that is down is a
// Reading too, never an error.
type Reading struct {
	Node   string        `json:"node"`
	State  State         `json:"state"`
	Cause  Cause         `json:"cause,omitempty"`  // empty when available
	Page   string        `json:"page,omitempty"`   // the words the page said, cut
	Detail string        `json:"detail,omitempty"` // for people: what failed, cut
	Epoch  uint64        `json:"node_epoch,omitempty"`
	Safe   bool          `json:"safe,omitempty"` // the page says that the node runs profile safe
	At     time.Time     `json:"at"`             // when the probe began
	Took   time.Duration `json:"took"`
}

// End is when the probe ended.
func (r Reading) End() time.Time { return r.At.Add(r.Took) }

// Sight is all that is known of one node from its readings so far.
type Sight struct {
	Node    string
	Last    Reading   // zero At: not one reading yet
	Misses  int       // NotAvailable readings in a row
	Passes  int       // available readings in a row
	Since   time.Time // when Last.State was first read
	DownAt  time.Time // the end of the reading that made it down, zero if it is not
	Suspect time.Time // since when live traffic gives reason to look, zero if none
	Silent  bool      // suspect because requests are out and none is answered
	AtMiss  State     // what this node read when the serving node was first missed
	Noted   bool      // AtMiss of every node was noted for the misses that this node has now

	Watching int // how many other watchers see this node at all, if it serves: see Weigh
	Seconded int // how many of them read it down
}

// Known says whether the node has been read at all.
func (s Sight) Known() bool { return !s.Last.At.IsZero() }

// Available says whether the last reading found the node able.
func (s Sight) Available() bool { return s.Known() && s.Last.State.Available() }

func (s Sight) active() bool { return s.Known() && s.Last.State == Active }

// Down says whether the node has missed fall readings in a row.
func (s Sight) Down() bool { return !s.DownAt.IsZero() }

// Rising says whether a node that has just been chosen may still be starting:
// its page answers, though not with OK. A node whose page is silent is gone.
func (s Sight) Rising() bool { return s.Available() || s.Last.Cause == Status }

// View is what one watcher knows of the nodes of a group, one Sight a node.
// A View is never changed: Observe and its like give a new one.
type View []Sight

// NewView gives the View of nodes of which nothing is known.
func NewView(nodes []string) View {
	v := make(View, len(nodes))
	for i, n := range nodes {
		v[i].Node = n
	}
	return v
}

// Of gives the Sight of a node; of one that the view does not know, an empty
// Sight with its name.
func (v View) Of(node string) Sight {
	for _, s := range v {
		if s.Node == node {
			return s
		}
	}
	return Sight{Node: node}
}

// Observe gives the view after a reading. serving is the node that serves now
// and fall the misses in a row that make a node down. A reading of a node that
// the view does not know, or one that began before the last, changes nothing.
func (v View) Observe(r Reading, serving string, fall int) View {
	i := v.index(r.Node)
	if i < 0 || r.At.Before(v[i].Last.At) {
		return v
	}
	next := slices.Clone(v)
	s := &next[i]
	if !s.Known() || s.Last.State != r.State {
		s.Since = r.At
	}
	s.Last = r
	if r.State.Available() {
		s.Misses, s.Passes, s.DownAt, s.Noted = 0, s.Passes+1, time.Time{}, false
		if !r.At.Before(s.Suspect) { // a probe that began before the evidence does not clear it
			s.Suspect, s.Silent = time.Time{}, false
		}
		return next
	}
	s.Misses, s.Passes = s.Misses+1, 0
	if s.Misses >= fall && !s.Down() {
		s.DownAt = r.End()
	}
	if r.Node == serving && !s.Noted {
		for k := range next {
			next[k].AtMiss, next[k].Noted = next[k].Last.State, k == i
		}
	}
	return next
}

// Doubt gives the view after live traffic to a node has failed at the given
// time, and whether that is news: the node was not suspect before.
func (v View) Doubt(node string, at time.Time) (View, bool) {
	i := v.index(node)
	if i < 0 || !v[i].Suspect.IsZero() {
		return v, false
	}
	next := slices.Clone(v)
	next[i].Suspect = at
	return next, true
}

// Hush gives the view after a node has left every request unanswered for a
// while, and whether that is news. It is suspect then, and silent.
func (v View) Hush(node string, at time.Time) (View, bool) {
	i := v.index(node)
	if i < 0 || v[i].Silent {
		return v, false
	}
	next := slices.Clone(v)
	if next[i].Silent = true; next[i].Suspect.IsZero() {
		next[i].Suspect = at
	}
	return next, true
}

// Keep gives the view for another set of nodes: what is known of those in
// both stays, except of those in anew (a changed address).
func (v View) Keep(nodes, anew []string) View {
	next := NewView(nodes)
	for i, n := range nodes {
		if !slices.Contains(anew, n) {
			next[i] = v.Of(n)
		}
	}
	return next
}

// Complete says whether every node has been read at least once.
func (v View) Complete() bool {
	return !slices.ContainsFunc(v, func(s Sight) bool { return !s.Known() })
}

// active gives the nodes whose last reading is Active.
func (v View) active() []string {
	var nodes []string
	for _, s := range v {
		if s.active() {
			nodes = append(nodes, s.Node)
		}
	}
	return nodes
}

// rival gives the first node, other than node, whose last reading is Active,
// or "".
func (v View) rival(node string) string {
	for _, s := range v {
		if s.active() && s.Node != node {
			return s.Node
		}
	}
	return ""
}

// stale gives the first node, other than node, whose last page said Active at
// an epoch that is over, or "".
func (v View) stale(node string) string {
	for _, s := range v {
		if s.Last.Cause == Stale && s.Node != node {
			return s.Node
		}
	}
	return ""
}

func (v View) index(node string) int {
	return slices.IndexFunc(v, func(s Sight) bool { return s.Node == node })
}

// Pages gives the pages that a node is asked for, the preferred first, when
// order is the order of succession and serving the node that serves: the first
// in order tells its status, every other node its HA status. While another
// node serves, the first is asked both, so that a stale Primary can be told
// from a stand-by; a node that serves from a later place is asked both, for
// "Mode: Standby" is a condition for entering and not for staying.
func Pages(order []string, serving, node string) []Page {
	first := len(order) > 0 && order[0] == node
	switch {
	case first && (serving == node || serving == ""):
		return []Page{StatusPage}
	case first:
		return []Page{StatusPage, HAStatusPage}
	case serving == node:
		return []Page{HAStatusPage, StatusPage}
	}
	return []Page{HAStatusPage}
}

package ha

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// A Vote is what one watcher says of the node that it knows to serve. It is
// evidence for the other watchers of the group, and counts in the rule only
// together with theirs.
type Vote struct {
	Watcher string      `json:"watcher,omitempty"` // who says it; the register knows
	Group   string      `json:"group"`
	Epoch   uint64      `json:"epoch"`   // of the Traffic in force there
	Serving string      `json:"serving"` // empty: that watcher does not know who serves
	Stance  Stance      `json:"stance"`
	Since   time.Time   `json:"since"` // when the stance was taken, by that watcher's clock: to be shown, never compared
	Nodes   []VotedNode `json:"nodes,omitempty"`
}

// VotedNode is what a watcher last read of a node, for people.
type VotedNode struct {
	Node  string    `json:"node"`
	State State     `json:"state"`
	Cause Cause     `json:"cause,omitempty"`
	At    time.Time `json:"at,omitzero"` // by that watcher's clock
}

// Stance is what a watcher holds of the serving node. The zero value, unknown,
// counts for nothing: unknown is not down.
type Stance string

// The stances, from not yet read to down.
const (
	StanceUnknown Stance = ""        // not one reading
	StanceGood    Stance = "good"    // the last reading is good
	StanceMissing Stance = "missing" // missed fewer than fall, or suspect
	StanceDown    Stance = "down"    // missed fall readings in a row
)

// Voice gives the vote of a watcher that knows t and v.
func Voice(t Traffic, v View, now time.Time) Vote {
	s := v.Of(t.Serving)
	vote := Vote{Group: t.Group, Epoch: t.Epoch, Serving: t.Serving, Since: now}
	switch {
	case s.Down():
		vote.Stance = StanceDown
	case s.Misses > 0, !s.Suspect.IsZero():
		vote.Stance = StanceMissing
	case s.Available():
		vote.Stance = StanceGood
	}
	for _, n := range v {
		vote.Nodes = append(vote.Nodes, VotedNode{n.Node, n.Last.State, n.Last.Cause, n.Last.At})
	}
	return vote
}

// Same says whether o is worth nothing new to another watcher: all but the
// times is the same.
func (v Vote) Same(o Vote) bool {
	return v.Group == o.Group && v.Epoch == o.Epoch && v.Serving == o.Serving && v.Stance == o.Stance &&
		slices.EqualFunc(v.Nodes, o.Nodes, func(a, b VotedNode) bool {
			return a.Node == b.Node && a.State == b.State && a.Cause == b.Cause
		})
}

func (v Vote) sameStance(o Vote) bool {
	return v.Watcher == o.Watcher && v.Stance == o.Stance && v.Serving == o.Serving && v.Epoch == o.Epoch
}

// Weigh gives the view with what the other watchers say of the serving node.
// Only a vote for the same serving node and epoch counts.
func (v View) Weigh(t Traffic, others []Vote) View {
	watching, down := 0, 0
	for _, o := range others {
		if o.Group != t.Group || o.Epoch != t.Epoch || o.Serving != t.Serving {
			continue
		}
		switch o.Stance {
		case StanceDown:
			watching, down = watching+1, down+1
		case StanceGood, StanceMissing:
			watching++
		}
	}
	return v.Second(t.Serving, watching, down)
}

// Second gives the view in which as many other watchers see a node at all, and
// as many of them read it down. For any other node nobody says anything.
func (v View) Second(node string, watching, down int) View {
	next := slices.Clone(v)
	for i := range next {
		next[i].Watching, next[i].Seconded = 0, 0
		if next[i].Node == node {
			next[i].Watching, next[i].Seconded = watching, down
		}
	}
	return next
}

// Majority says whether n watchers are more than half: of the configured ones,
// or of this one and those that are there beside it, if those are more.
func (r Rules) Majority(n, beside int) bool {
	if r.Watchers <= 1 {
		return true
	}
	return 2*n > max(r.Watchers, 1+beside)
}

// Grace is how long after a watcher has found the serving node down the others
// may need to find that too: an interval until their next probe, and fall
// observations.
func (r Rules) Grace() time.Duration {
	return r.Interval + time.Duration(r.Fall)*max(r.FastInterval, r.Timeout)
}

// agreed is what becomes of a failover where several watchers share a
// register: it stands only if a majority of them reads the serving node down.
// Row 9 by epoch is proof by itself if the nodes' lease is in that register: a
// higher epoch is only given when the old one has ended.
func (r Rules) agreed(d Decision, serving Sight, now time.Time) Decision {
	switch {
	case d.Verb != FailOver, r.Majority(1+serving.Seconded, serving.Watching):
		return d
	case d.Row == 9 && r.OnPromoted != PromotedFollow && r.LeaseShared:
		return d
	case now.Sub(serving.DownAt) < r.Grace():
		return Decision{Wait, Confirming, d.Row, "", d.To, Silent}
	}
	return Decision{Wait, NoQuorum, d.Row, "", d.To, Alarmed}
}

// CheckWatchers says why a group cannot have n configured watchers, or nil.
// With two, one that is dead would stop every failover; an even number bears
// no more losses than the odd one below it.
func CheckWatchers(n int) error {
	switch {
	case n%2 == 1: // of a negative number it is -1
		return nil
	case n == 2:
		return errors.New("watchers is 1, or odd and at least 3: with 2, one dead watcher would stop every failover")
	}
	return fmt.Errorf("watchers is 1, or odd and at least 3, not %d", n)
}

package ha

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Traffic is who serves a group, since when and why: the value that is kept.
// It is stored before traffic moves, and Epoch grows by one with every change.
type Traffic struct {
	Group      string            `json:"group"`
	Epoch      uint64            `json:"epoch"`
	Order      []string          `json:"order"`   // in order of succession: Primary, Secondary, DR
	Serving    string            `json:"serving"` // empty: unknown
	Since      time.Time         `json:"since"`   // when Serving began to serve
	At         time.Time         `json:"at"`      // when this value was made
	Cause      Reason            `json:"cause"`
	Actor      string            `json:"actor,omitempty"`    // who did it; empty: the rule
	Claimed    bool              `json:"claimed,omitempty"`  // the actor's name was only given, not proven
	Words      string            `json:"reason,omitempty"`   // a person's reason
	Forced     bool              `json:"forced,omitempty"`   // a person overrode the guards
	Evidence   []Reading         `json:"evidence,omitempty"` // the last reading of every node at that time
	Hold       *Hold             `json:"hold,omitempty"`
	NodeEpochs map[string]uint64 `json:"node_epochs,omitempty"` // the highest X-Understudy-Epoch seen of each node
	Left       string            `json:"left,omitempty"`        // who served before Serving did
	LeftEpoch  uint64            `json:"left_epoch,omitempty"`  // that node's epoch, as known when it was left: a later one is none of this decision's
	QueueUntil time.Time         `json:"queue_until,omitzero"`  // every request waits until then: a planned swap's freeze

	// Adrift is why the register does not bear this value out, empty while it
	// does: see the type of that name. It is never stored.
	Adrift Reason `json:"-"`

	// Provisional is the node that gets requests while nobody is known to
	// serve: see Provide. It is never stored.
	Provisional string `json:"-"`
}

// Hold freezes routing: probing and display go on, traffic does not move
// (EPMM guide, upgrade of HA servers, 3: disable the load balancer from
// detecting). Past Until it alarms and stays.
type Hold struct {
	Owner  string    `json:"owner"`
	Reason string    `json:"reason"`
	Since  time.Time `json:"since"`
	Until  time.Time `json:"until,omitzero"`

	OutageUntil time.Time `json:"outage_until,omitzero"` // until then it is announced that the serving node may be down
}

// Overdue says whether the hold has outlived its time.
func (h *Hold) Overdue(now time.Time) bool {
	return h != nil && !h.Until.IsZero() && now.After(h.Until)
}

// OnPromoted says what happens when the next node has promoted itself before
// the rule could see it in Standby.
type OnPromoted string

// The policies of rows 9 and 10. Empty means PromotedEpoch for a node whose page
// says that it runs profile safe, where the epoch is proof, and else
// PromotedWait.
const (
	PromotedWait   OnPromoted = "wait"
	PromotedFollow OnPromoted = "follow"
	PromotedEpoch  OnPromoted = "epoch"
)

// Rules are the numbers and choices of a group that Next goes by.
type Rules struct {
	Fall          int           // misses in a row that make a node down, at least 1
	Rise          int           // passes in a row that a person's target needs, at least 1
	PromotionTime time.Duration // how long a serving node may read Standby
	OnPromoted    OnPromoted
	Manual        []string // nodes that only a person may choose
	Watchers      int      // configured watchers that share the register; 0 and 1: this one is alone
	LeaseShared   bool     // the nodes' lease is in the same register: row 9 by epoch needs no majority

	Interval     time.Duration // from the start of one probe of a node to the next
	FastInterval time.Duration // the same while the serving node has missed one or is suspect
	Timeout      time.Duration // of one probe, over all its phases
}

// DefaultRules are interval 5 s, fast interval 500 ms, timeout 2 s, fall 3,
// rise 2 and promotion time 120 s.
func DefaultRules() Rules {
	return Rules{
		Fall: 3, Rise: 2, PromotionTime: 2 * time.Minute,
		Interval: 5 * time.Second, FastInterval: 500 * time.Millisecond, Timeout: 2 * time.Second,
	}
}

// Promoted gives the policy for an Active next node, given its last reading.
func (r Rules) Promoted(next Reading) OnPromoted {
	switch {
	case r.OnPromoted != "":
		return r.OnPromoted
	case next.Safe:
		return PromotedEpoch
	}
	return PromotedWait
}

// Due gives when the next probe of a node starts: an interval after the start
// of the last one, but never before that one has ended.
func (r Rules) Due(last Reading, urgent bool) time.Time {
	every := r.Interval
	if urgent {
		every = min(r.FastInterval, r.Interval)
	}
	due := last.At.Add(every)
	if end := last.End(); end.After(due) {
		return end
	}
	return due
}

// changed gives a copy of t one epoch later.
func (t Traffic) changed(cause Reason, v View, now time.Time) Traffic {
	t.Epoch++
	t.At, t.Cause, t.Adrift = now, cause, ""
	t.Actor, t.Claimed, t.Words, t.Forced = "", false, "", false
	t.Order = slices.Clone(t.Order)
	t.Evidence = v.evidence()
	return t
}

// move gives a copy of t in which node serves.
func (t Traffic) move(node string, cause Reason, v View, now time.Time) Traffic {
	left := t.Serving
	t = t.changed(cause, v, now)
	t.Serving, t.Since, t.QueueUntil = node, now, time.Time{}
	t.Left, t.LeftEpoch = left, max(t.NodeEpochs[left], v.Of(left).Last.Epoch)
	return t
}

func (v View) evidence() []Reading {
	var readings []Reading
	for _, s := range v {
		if s.Known() {
			readings = append(readings, s.Last)
		}
	}
	return readings
}

// Check says what is impossible in a stored Traffic, or nil.
func (t Traffic) Check() error {
	switch {
	case t.Group == "":
		return errors.New("no group")
	case t.Epoch == 0:
		return errors.New("no epoch")
	case len(t.Order) == 0:
		return errors.New("no order")
	case slices.Contains(t.Order, ""):
		return errors.New("a node without a name stands in the order")
	case t.Serving != "" && !slices.Contains(t.Order, t.Serving):
		return fmt.Errorf("serving %q is not in the order", t.Serving)
	case t.Serving == "" && t.Hold == nil:
		return errors.New("nobody serves and nothing holds")
	}
	sorted := slices.Sorted(slices.Values(t.Order))
	if len(slices.Compact(sorted)) != len(t.Order) {
		return errors.New("a node stands twice in the order")
	}
	return nil
}

// Apply gives the Traffic that a Decision to fail over leads to. Any other
// Decision leaves t as it is.
func Apply(t Traffic, d Decision, v View, now time.Time) Traffic {
	if d.Verb != FailOver {
		return t
	}
	return t.move(d.To, d.Reason, v, now)
}

// Learn gives t with the node epochs of the view where they are higher, one
// epoch later, and whether there was one. While nobody is known to serve, or the
// register does not bear t out, it learns nothing: that must not be stored.
func Learn(t Traffic, v View, now time.Time) (Traffic, bool) {
	if t.Serving == "" || t.Adrift != "" {
		return t, false
	}
	var learned map[string]uint64
	for _, s := range v {
		if s.Last.Epoch <= t.NodeEpochs[s.Node] {
			continue
		}
		if learned == nil {
			learned = map[string]uint64{}
		}
		learned[s.Node] = s.Last.Epoch
	}
	if learned == nil {
		return t, false
	}
	for n, e := range t.NodeEpochs {
		learned[n] = cmp.Or(learned[n], e)
	}
	t = t.changed(NodeEpoch, v, now)
	t.NodeEpochs = learned
	return t, true
}

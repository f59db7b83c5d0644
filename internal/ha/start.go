package ha

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Begin gives the first Traffic of a group of which nothing is stored. Before
// every node in order has been read it gives false.
//
// The first in order serves unless another node is Active. If exactly one
// other is, and the first is not, that one is adopted. If several are, the one
// with the highest node epoch serves where all of them carry one; else nobody
// is known to serve and the group is held: a lost file must never send clients
// to a stale Primary.
func Begin(group string, order []string, v View, now time.Time) (Traffic, bool) {
	v = v.Keep(order, nil)
	if !v.Complete() || len(order) == 0 {
		return Traffic{}, false
	}
	t := Traffic{Group: group, Order: order}
	active := v.active()
	switch {
	case len(active) == 0 || (len(active) == 1 && active[0] == order[0]):
		t = t.move(order[0], Started, v, now)
	case len(active) == 1:
		t = t.move(active[0], Adopted, v, now)
	default:
		if newest := newest(v, active); newest != "" {
			t = t.move(newest, Adopted, v, now)
			break
		}
		t = t.changed(Unknown, v, now)
		t.Hold = unknownHold(strings.Join(active, " and ")+" read Active", now)
	}
	for _, s := range v {
		if s.Last.Epoch > 0 {
			if t.NodeEpochs == nil {
				t.NodeEpochs = map[string]uint64{}
			}
			t.NodeEpochs[s.Node] = s.Last.Epoch
		}
	}
	return t, true
}

// newest gives the node with the highest epoch, or "" if one of them carries
// none or the highest stands twice.
func newest(v View, nodes []string) string {
	var best string
	var unique bool
	for _, n := range nodes {
		e := v.Of(n).Last.Epoch
		switch top := v.Of(best).Last.Epoch; {
		case e == 0:
			return ""
		case e > top:
			best, unique = n, true
		case e == top:
			unique = false
		}
	}
	if !unique {
		return ""
	}
	return best
}

// Lost gives the Traffic of a group whose stored one cannot be read: nobody is
// known to serve, and it is held. floor is the highest epoch that is known to
// have been written, 0 if none is. The value is for routing only; it is never
// stored, so that the damaged file stays as it is until a person decides.
func Lost(group string, order []string, floor uint64, why string, now time.Time) Traffic {
	return Traffic{
		Group: group, Order: slices.Clone(order), Epoch: floor, At: now, Since: now,
		Cause: Unknown, Hold: unknownHold(why, now),
	}
}

func unknownHold(why string, now time.Time) *Hold {
	return &Hold{Owner: "understudy", Reason: "who serves is unknown: " + why, Since: now}
}

// Provide gives a Lost t its Provisional node: the one that reads Active in
// the first complete View in which any does. It is chosen once, for of two
// Active nodes the one that is left when the other misses a probe may be the
// stale one; the View that was judged becomes the Evidence. A Traffic that
// Begin found unknown has its Evidence and never gets a Provisional node.
func Provide(t Traffic, v View) Traffic {
	if t.Serving != "" || t.Hold == nil || len(t.Evidence) > 0 || !v.Complete() {
		return t
	}
	active := v.active()
	if len(active) == 0 {
		return t
	}
	t.Evidence = v.evidence()
	if len(active) == 1 {
		t.Provisional = active[0]
	}
	return t
}

// Target gives the node that requests go to: the serving one; while nobody is
// known to serve, the provisional one as long as no other node reads Active;
// else "".
func Target(t Traffic, v View) string {
	if t.Serving != "" {
		return t.Serving
	}
	if v.rival(t.Provisional) == "" {
		return t.Provisional
	}
	return ""
}

// Restore gives t, of which is known that it was in force, in place of a stored
// Traffic that has been damaged since: one epoch later and marked as forced,
// but else as it was, for nothing has moved.
func Restore(t Traffic, why string) Traffic {
	t.Epoch++
	t.Actor, t.Claimed, t.Forced = "understudy", false, true
	t.Words = "stored again: " + why
	return t
}

// Fit gives t for a configured order of nodes, and whether it differs: the
// stored order wins as long as the nodes are the same; a new node joins at its
// configured place; a removed one leaves. A configuration without the serving
// node is an error that says what to do.
func Fit(t Traffic, configured []string, now time.Time) (Traffic, bool, error) {
	if t.Serving != "" && !slices.Contains(configured, t.Serving) {
		return t, false, fmt.Errorf(
			"group %s: traffic is on node %s, which the configuration does not name; switch traffic to another node first (understudy switch %s --to NODE), or name it",
			t.Group, t.Serving, t.Group)
	}
	order := slices.DeleteFunc(slices.Clone(t.Order), func(n string) bool { return !slices.Contains(configured, n) })
	for i, n := range configured {
		if slices.Contains(order, n) {
			continue
		}
		place := 0
		for _, before := range configured[:i] {
			place = max(place, slices.Index(order, before)+1)
		}
		order = slices.Insert(order, place, n)
	}
	if slices.Equal(order, t.Order) {
		return t, false, nil
	}
	next := t.changed(Reordered, nil, now)
	next.Order, next.Words = order, "the configuration names other nodes"
	if t.Serving == "" {
		next.Evidence = t.Evidence // Provide chooses once
	}
	return next, true, nil
}

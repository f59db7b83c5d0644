package ha

import "fmt"

// Believe gives what to make of a reading. Where nodes run profile safe, who is
// Active holds a lease whose epoch only grows: an Active page with an epoch
// below one that any node has shown comes from a node that stood still while
// another was promoted, and does not know it yet. It is NotAvailable, as Stale.
// Any other reading is what it says.
func Believe(t Traffic, v View, r Reading) Reading {
	if !r.Safe || r.State != Active || r.Epoch == 0 {
		return r
	}
	if node, epoch := highest(t, v, ""); epoch > r.Epoch {
		r.State, r.Cause = NotAvailable, Stale
		r.Detail = fmt.Sprintf("its epoch is %d, and %s has shown %d since", r.Epoch, node, epoch)
	}
	return r
}

// highest gives the highest epoch that any node but one has shown, and who
// showed it.
func highest(t Traffic, v View, but string) (node string, epoch uint64) {
	for _, s := range v {
		seen := max(t.NodeEpochs[s.Node], s.Last.Epoch)
		if s.Node != but && seen > epoch {
			node, epoch = s.Node, seen
		}
	}
	return node, epoch
}

// forget gives t without the epochs above the one that a node shows: a person
// has sent traffic by force to a node that was taken for stale, so that its
// pages are believed again.
func (t Traffic) forget(target Reading) Traffic {
	if target.Cause != Stale {
		return t
	}
	kept := map[string]uint64{}
	for n, e := range t.NodeEpochs {
		if e <= target.Epoch {
			kept[n] = e
		}
	}
	t.NodeEpochs = kept
	return t
}

package explore

import (
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// fall is how many misses make a node down for the front.
const fall = 2

// sightKey is all that a front's decision depends on. Epochs only count by
// whether the next node's is above every one seen of the serving node.
type sightKey struct {
	serving uint8
	held    bool
	above   bool
	misses  [2]uint8
	state   [2]ha.State
}

// A frontRule is ha.Next, remembered: it is asked once for every sightKey.
type frontRule struct {
	known  map[sightKey]ha.Decision
	policy ha.OnPromoted
}

func newFrontRule(p ha.OnPromoted) *frontRule { return &frontRule{map[sightKey]ha.Decision{}, p} }

var clock = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// next gives what the rule decides.
func (r *frontRule) next(k sightKey) ha.Decision {
	if d, ok := r.known[k]; ok {
		return d
	}
	t := ha.Traffic{Group: "g", Epoch: 1, Order: names[:], Serving: names[k.serving], Since: clock.Add(-time.Hour)}
	if k.held {
		t.Hold = &ha.Hold{Owner: "somebody"}
	}
	rules := ha.DefaultRules()
	rules.Fall, rules.OnPromoted = fall, r.policy
	v := ha.NewView(names[:])
	for _, i := range []int{int(k.serving), 1 - int(k.serving)} {
		at := clock.Add(-time.Minute)
		v = v.Observe(ha.Reading{Node: names[i], State: ha.Standby, At: at}, t.Serving, fall)
		for range k.misses[i] {
			at = at.Add(time.Second)
			v = v.Observe(ha.Reading{Node: names[i], State: ha.NotAvailable, At: at}, t.Serving, fall)
		}
		if k.misses[i] == 0 {
			epoch := uint64(1)
			if k.above && i != int(k.serving) {
				epoch = 2
			}
			v = v.Observe(ha.Reading{Node: names[i], State: k.state[i], Epoch: epoch, At: clock}, t.Serving, fall)
		}
	}
	t.NodeEpochs = map[string]uint64{t.Serving: 1}
	d := ha.Next(t, v, rules, clock.Add(time.Second))
	r.known[k] = d
	return d
}

// probe lets the front read both nodes and decide.
func (x *walk) probe() {
	w, f := &x.w, &x.w.front
	if !f.up {
		return
	}
	for i := range w.nodes {
		f.state[i] = ha.NotAvailable
		if nd := &w.nodes[i]; nd.live() && !w.cut[toFront+i] {
			f.state[i] = x.mc[i].State(nd.m, now)
		}
		if f.state[i] == ha.Active {
			f.epoch[i] = max(f.epoch[i], w.nodes[i].m.Epoch)
		}
	}
	for i := range w.nodes { // a page below an epoch that was seen is refused, whichever was read first
		if f.state[i] == ha.Active && w.nodes[i].m.Epoch < max(f.epoch[0], f.epoch[1]) && !x.mutant.anyEpoch {
			f.state[i] = ha.NotAvailable
		}
		if f.misses[i] = min(f.misses[i]+1, fall); f.state[i] != ha.NotAvailable {
			f.misses[i] = 0
		}
	}
	other := 1 - f.serving
	k := sightKey{f.serving, f.held, f.epoch[other] > f.epoch[f.serving], f.misses, f.state}
	d := x.front.next(k)
	if d.Verb != ha.FailOver {
		return
	}
	f.decided = f.epoch[f.serving]
	w.nodes[f.serving].asked = false
	f.serving = other
	if x.w.nodes[other].live() && !w.cut[toFront+other] && !x.mutant.noCall {
		x.tell(other, ha.Event{On: ha.OnTrafficCall})
	}
}

// askFront asks the front where traffic is; one that is held abstains.
func (x *walk) askFront(n uint8) {
	f := &x.w.front
	if f.up && (!f.held || x.mutant.heldDecides) && !x.w.cut[toFront+n] && f.serving == n && f.decided != 0 {
		x.tell(n, ha.Event{On: ha.OnTrafficDecided, Epoch: f.decided})
	}
}

package probes

import (
	"sync/atomic"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// figures are the counters of one Watcher.
type figures struct {
	good, missed atomic.Uint64
	took         atomic.Int64 // nanoseconds, all probes together
	transitions  atomic.Uint64
	failovers    atomic.Uint64
	latest       atomic.Int64 // nanoseconds that the latest probe of all started after its time
}

// Figures are the counters of one group since the process began to watch it.
type Figures struct {
	Good, Missed uint64        // readings that were available, and not
	Took         time.Duration // all probes together
	Transitions  uint64        // changes of the Traffic
	Failovers    uint64        // moves by the rule
	Latest       time.Duration // the most that a probe started after its time
}

// Figures gives the counters of the group.
func (w *Watcher) Figures() Figures {
	f := &w.figures
	return Figures{
		Good: f.good.Load(), Missed: f.missed.Load(), Took: time.Duration(f.took.Load()),
		Transitions: f.transitions.Load(), Failovers: f.failovers.Load(), Latest: time.Duration(f.latest.Load()),
	}
}

func (f *figures) count(r ha.Reading) {
	if r.State.Available() {
		f.good.Add(1)
	} else {
		f.missed.Add(1)
	}
	f.took.Add(int64(r.Took))
}

// late notes how much after its time a probe starts. Only the loop calls it.
func (f *figures) late(by time.Duration) {
	if int64(by) > f.latest.Load() {
		f.latest.Store(int64(by))
	}
}

// keep is how many readings of a node are kept for people.
const keep = 32

// recent holds the last readings of every node, by name; it grows as it fills.
type recent map[string]*ring

type ring struct {
	readings []ha.Reading
	at       int // where the oldest stands, once full
}

func (r recent) add(reading ha.Reading) {
	n := r[reading.Node]
	switch {
	case n == nil:
		r[reading.Node] = &ring{readings: []ha.Reading{reading}}
	case len(n.readings) < keep:
		n.readings = append(n.readings, reading)
	default:
		n.readings[n.at] = reading
		n.at = (n.at + 1) % keep
	}
}

// all gives a copy, oldest first.
func (r recent) all() map[string][]ha.Reading {
	copied := make(map[string][]ha.Reading, len(r))
	for node, n := range r {
		copied[node] = append(append([]ha.Reading(nil), n.readings[n.at:]...), n.readings[:n.at]...)
	}
	return copied
}

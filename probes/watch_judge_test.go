package probes

import (
	"slices"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// judge says whether one stored Traffic may follow another. It knows the rule
// in its own words, and what the nodes answered; of what the Watcher thought
// it takes only which readings it had seen.
func (d *day) judge(was, is ha.Traffic) {
	d.Helper()
	fault := func(format string, args ...any) {
		d.Helper()
		d.Errorf("seed %d, epoch %d to %d, %s to %s because %s: "+format,
			append([]any{d.seed, was.Epoch, is.Epoch, was.Serving, is.Serving, is.Cause}, args...)...)
	}
	switch {
	case is.Epoch == was.Epoch && is.Serving == was.Serving && is.Cause == was.Cause:
		return // it was lost, and is stored again
	case is.Epoch != was.Epoch+1:
		fault("the epoch does not grow by one")
	case is.Serving == was.Serving, is.Actor != "":
		return
	case is.Cause != ha.FailedOver:
		fault("nobody may move traffic so")
	case was.Hold != nil:
		fault("it was held")
	case slices.Contains(d.plan.Rules.Manual, is.Serving):
		fault("only a person may choose it")
	}
	from, to := slices.Index(was.Order, was.Serving), slices.Index(was.Order, is.Serving)
	if to <= from {
		fault("traffic went up the order %v", was.Order)
		return
	}
	down, ok := d.downAt(was.Serving, is)
	if !ok {
		fault("%s had not missed %d readings", was.Serving, d.plan.Rules.Fall)
	}
	if r := d.seen(is.Serving, is); len(r) == 0 || r[len(r)-1].State != ha.Standby || r[len(r)-1].At.Before(down) {
		fault("it was not read Standby after %s was down", was.Serving)
	}
	for _, between := range was.Order[from+1 : to] {
		if _, ok := d.downAt(between, is); !ok {
			fault("%s stands between and was not down", between)
		}
	}
}

// seen gives the readings of a node that the process had taken in when it made
// a Traffic, the last one last.
func (d *day) seen(node string, t ha.Traffic) []ha.Reading {
	start := d.starts[0]
	for _, s := range d.starts {
		if !s.After(t.At) {
			start = s
		}
	}
	i := slices.IndexFunc(t.Evidence, func(r ha.Reading) bool { return r.Node == node })
	if i < 0 {
		return nil
	}
	all := d.node(node).readings(start)
	last, found := slices.BinarySearchFunc(all, t.Evidence[i].At, func(r ha.Reading, at time.Time) int { return r.At.Compare(at) })
	if !found || all[last].State != t.Evidence[i].State {
		d.Errorf("seed %d, epoch %d: %s never gave the reading of %s", d.seed, t.Epoch, node, t.Evidence[i].At)
		return nil
	}
	return all[:last+1]
}

// downAt gives since when a node was down when a Traffic was made: the end of
// the reading that was the fall-th missed in a row.
func (d *day) downAt(node string, t ha.Traffic) (time.Time, bool) {
	readings, misses := d.seen(node, t), 0
	for misses < len(readings) && !readings[len(readings)-1-misses].State.Available() {
		misses++
	}
	fall := d.plan.Rules.Fall
	if misses < fall {
		return time.Time{}, false
	}
	return readings[len(readings)-misses+fall-1].End(), true
}

// countProbes looks that a node is never probed more often than every fast
// interval but where evidence or a confirmation brings a probe forward.
func (d *day) countProbes() {
	d.Helper()
	probes, close := 0, 0
	for _, p := range d.players {
		probes += len(p.read)
		for i := range p.read[1:] {
			gap := p.read[i+1].At.Sub(p.read[i].At)
			if gap < p.read[i].Took {
				d.Errorf("seed %d: two probes of %s at a time", d.seed, p.name)
			}
			if gap < d.plan.Rules.FastInterval {
				close++
			}
		}
	}
	confirmations := d.downs * (len(d.players) - 1)
	starts := 2 * len(d.starts) * len(d.players) // a start probes at once, and then somewhere in the interval
	if most := d.suspects + confirmations + starts; close > most {
		d.Errorf("seed %d: %d probes came before their time, want at most %d", d.seed, close, most)
	}
	span := time.Since(d.began)
	if least := 3 * int(span/(d.plan.Rules.Interval+d.plan.Rules.Interval/10)) * 8 / 10; probes < least {
		d.Errorf("seed %d: only %d probes, want at least %d", d.seed, probes, least)
	}
	if most := 3*int(span/d.plan.Rules.FastInterval) + close; probes > most {
		d.Errorf("seed %d: %d probes, want at most %d", d.seed, probes, most)
	}
	d.Logf("%d probes, %d of them before their time", probes, close)
}

package upgrade

import (
	"context"
	"errors"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// given is how often a deed was given, and when last.
type given struct {
	times int
	last  time.Time
}

// patience is how often a deed is given of which nobody knows whether it arrived,
// though a look says that it did not; again is the pause between two times.
const (
	patience = 3
	again    = time.Second
	soon     = 100 * time.Millisecond // of a deed that was not taken yet
)

// act gives every deed that is wanted and was not given yet, each between two
// lines of the journal.
func (r *Runner) act(ctx context.Context, t task, v View) error {
	for _, d := range t.do(v) {
		if n := v.Nodes[d.On]; n.Fault != "" && n.Driver != "manual" {
			continue // what cannot be seen is not touched
		}
		key := t.step.Name + " " + d.String()
		trial, g := t.leg.Tried[d.String()], r.given[key]
		switch {
		case trial == TrialTaken || trial == TrialByHand: // now it is waited for
			continue
		case trial == TrialLater:
			if r.Clock().Sub(g.last) < soon {
				continue
			}
		case g.times >= patience || g.times > 0 && r.Clock().Sub(g.last) < again:
			continue
		}
		r.given[key] = given{g.times + 1, r.Clock()}
		if err := r.add(entry(Intends, t.step.Name, "deed", d.String())); err != nil {
			return err
		}
		if err := r.Keeper.send(ctx, false); err != nil { // another machine must not find a deed that nobody intended
			return err
		}
		d.Till = r.Clock().Add(r.Plan.lasts(d.Do))
		result, said := outcome(r.Hands.do(ctx, d))
		if err := r.add(entry(Did, t.step.Name, "deed", d.String(), "result", string(result), "said", said)); err != nil {
			return err
		}
		t.leg.Tried[d.String()] = result
		if result == TrialRefused {
			return r.failed(t, d.String()+" was refused: "+said)
		}
	}
	return nil
}

// lasts is how long requests may wait in a switchover, at most, or how long an
// outage is announced for: twice what earlier runs took, and a minute.
func (p Plan) lasts(do string) time.Duration {
	if do == DoAnnounce {
		most := min(p.Config.Timeouts.Upgrade, ha.MostOutage)
		if p.Outage > 0 {
			return min(2*p.Outage+time.Minute, most)
		}
		return most
	}
	return min(p.Config.Drain+p.Config.Timeouts.Sync+p.Config.Timeouts.Step, 9*time.Minute)
}

// outcome says what came of a deed.
func outcome(err error) (Trial, string) {
	var refused *Refused
	var later *Later
	var hand *ByHand
	switch {
	case err == nil:
		return TrialTaken, ""
	case errors.As(err, &refused):
		return TrialRefused, refused.Why
	case errors.As(err, &later):
		return TrialLater, later.Why
	case errors.As(err, &hand):
		return TrialByHand, hand.Say
	}
	return TrialUnknown, err.Error()
}

package ha

import (
	"fmt"
	"time"
)

// MostFreeze is how long a freeze may last: whoever asked for it may die, and
// then requests must not wait for ever.
const MostFreeze = 10 * time.Minute

// Freeze lets every request wait until w.Until, for the moment of a planned swap
// in which nobody may serve; a zero Until ends it. Only who holds the group may:
// w.Owner says who asks. A move of the traffic and Release end it too.
func Freeze(t Traffic, v View, _ Rules, w Wish, now time.Time) (Traffic, error) {
	what := t.Group + ": not frozen"
	if err := common(t, w, what); err != nil {
		return t, err
	}
	switch {
	case t.Serving == "":
		return t, unknown(t, what)
	case t.Hold == nil:
		return t, &Refusal{NotHeld, what, "nothing holds it", "Hold it first: understudy hold " + t.Group + " --reason TEXT", readHold}
	case !t.heldBy(w.Owner):
		return t, &Refusal{Held, what, fmt.Sprintf("%s holds it since %s (%s)", t.Hold.Owner, stamp(t.Hold.Since), t.Hold.Reason), "Leave it to them.", readHold}
	case !w.Until.IsZero() && !w.Until.After(now):
		return t, &Refusal{BadWish, what, "its end " + stamp(w.Until) + " has passed", "Give a time to come.", readHold}
	case w.Until.After(now.Add(MostFreeze)):
		return t, &Refusal{BadWish, what, fmt.Sprintf("it may last %v at most", MostFreeze), "Give an earlier end; it can be frozen again.", readHold}
	}
	cause := Frozen
	if w.Until.IsZero() {
		cause = Thawed
	}
	next := t.changed(cause, v, now).by(w)
	next.QueueUntil = w.Until
	return next, nil
}

// Waits says whether every request waits at now for a planned swap. An end that
// lies further ahead than a freeze may last is not waited for: the clock has
// been set back since.
func (t Traffic) Waits(now time.Time) bool {
	return now.Before(t.QueueUntil) && t.QueueUntil.Sub(now) <= MostFreeze
}

// heldBy says whether the named owner holds the group.
func (t Traffic) heldBy(owner string) bool {
	return owner != "" && t.Hold != nil && t.Hold.Owner == owner
}

package ha

import (
	"fmt"
	"time"
)

// MostOutage is how long an outage may be announced for.
const MostOutage = 12 * time.Hour

// Announced says whether the serving node may be down at now without anybody
// being called: whoever holds the group has said so, until a time, or lets every
// request wait. It changes nothing but that row 5 is silent. An end that lies
// further ahead than may be announced counts for nothing: the clock has been set
// back since.
func (t Traffic) Announced(now time.Time) bool {
	if t.Waits(now) {
		return true
	}
	return t.Hold != nil && now.Before(t.Hold.OutageUntil) && t.Hold.OutageUntil.Sub(now) <= MostOutage
}

// outage refuses an announcement that is none.
func (w Wish) outage(what string, now time.Time) error {
	switch {
	case w.Outage.IsZero():
		return nil
	case !w.Outage.After(now):
		return &Refusal{BadWish, what, "the end of the outage, " + stamp(w.Outage) + ", has passed", "Give a time to come.", readHold}
	case w.Outage.Sub(now) > MostOutage:
		return &Refusal{BadWish, what, fmt.Sprintf("an outage may be announced for %v at most", MostOutage), "Give an earlier end; it can be announced again.", readHold}
	}
	return nil
}

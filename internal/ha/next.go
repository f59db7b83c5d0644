package ha

import (
	"cmp"
	"slices"
	"time"
)

// Decision is what the rule says of a group now, and why. Row is the row of
// the truth table (testdata/rule.txt); 0 while nobody is known to serve.
type Decision struct {
	Verb   Verb   `json:"verb"`
	Reason Reason `json:"reason"`
	Row    int    `json:"row"`
	To     string `json:"to,omitempty"`   // where traffic goes, with FailOver
	About  string `json:"node,omitempty"` // the node the reason is about, if it is not the serving one
	Alarm  Alarm  `json:"alarm,omitempty"`
}

// Next reads the truth table from the top; the first row that fits decides.
func Next(t Traffic, v View, rules Rules, now time.Time) Decision {
	if t.Serving == "" {
		if t.Hold == nil {
			return Decision{Wait, Starting, 0, "", "", Silent}
		}
		return Decision{Wait, Unknown, 0, "", "", Alarmed}
	}
	serving := v.Of(t.Serving)
	switch {
	case serving.Available():
		return stay(t, v, serving, rules, now)
	case !serving.Down():
		return Decision{Wait, Missing, 4, "", "", Silent}
	case t.Adrift != "":
		return Decision{Wait, t.Adrift, 5, "", "", Alarmed}
	case t.Hold != nil && t.Announced(now):
		return Decision{Wait, Held, 5, "", "", Silent}
	case t.Hold != nil:
		return Decision{Wait, Held, 5, "", "", Alarmed}
	}
	return rules.agreed(succeed(t, v, serving, rules), serving, now)
}

// stay is rows 1 to 3: the serving node is available and nothing moves.
func stay(t Traffic, v View, serving Sight, rules Rules, now time.Time) Decision {
	if rival := cmp.Or(v.rival(t.Serving), v.stale(t.Serving)); rival != "" {
		return Decision{Stay, DualActive, 1, "", rival, Alarmed}
	}
	standby := serving.Since
	if t.Since.After(standby) {
		standby = t.Since
	}
	if serving.Last.State == Standby && now.Sub(standby) > rules.PromotionTime {
		return Decision{Stay, Unpromoted, 2, "", "", Alarmed}
	}
	return Decision{Stay, Serving, 3, "", "", Silent}
}

// succeed is rows 6 to 13: the serving node is down and nothing holds. It
// walks down the order past the nodes that are down themselves.
func succeed(t Traffic, v View, serving Sight, rules Rules) Decision {
	place := slices.Index(t.Order, t.Serving)
	if place < 0 || place == len(t.Order)-1 {
		return Decision{Wait, LastInOrder, 6, "", "", Alarmed}
	}
	for i, node := range t.Order[place+1:] {
		s := v.Of(node)
		switch {
		case v.index(node) < 0: // nobody will ever read it
			return Decision{Wait, NoStandby, 13, "", node, Alarmed}
		case !s.Known() || s.Last.At.Before(serving.DownAt): // an old reading never counts
			return Decision{Wait, Confirming, 13, "", node, Silent}
		case s.Last.State == Standby && slices.Contains(rules.Manual, node):
			return Decision{Wait, NeedsOperator, skip(8, 12, i), "", node, Alarmed}
		case s.Last.State == Standby:
			return Decision{FailOver, FailedOver, skip(7, 11, i), node, "", Notify}
		case s.Last.State == Active && i == 0 && promoted(t, v, s, rules):
			return Decision{FailOver, FollowedPromoted, 9, node, "", Notify}
		case s.Last.State == Active:
			return Decision{Wait, Stranded, 10, "", node, Alarmed}
		case !s.Down():
			return Decision{Wait, NoStandby, 13, "", node, Alarmed}
		}
	}
	return Decision{Wait, NoStandby, 13, "", "", Alarmed}
}

// skip gives the row for the next node in order or for one further down.
func skip(next, later, place int) int {
	if place == 0 {
		return next
	}
	return later
}

// promoted is row 9: the policy takes the Active next node for one that was
// promoted in the serving node's place.
func promoted(t Traffic, v View, next Sight, rules Rules) bool {
	if slices.Contains(rules.Manual, next.Node) {
		return false
	}
	switch rules.Promoted(next.Last) {
	case PromotedFollow:
		return v.Of(t.Serving).Noted && next.AtMiss == Standby
	case PromotedEpoch:
		_, before := highest(t, v, next.Node)
		return next.Last.Epoch > before
	}
	return false
}

// Armed says whether row 7 or 11 would hold if the serving node went down at
// this instant (or does, if it is down), where traffic would go, and if not,
// why not (followed_promotion: row 9 would). While the serving node is not down
// the last reading of every other node counts, however old. Where watchers
// share, a majority must be there to agree (no_quorum).
func Armed(t Traffic, v View, rules Rules, now time.Time) (to string, why Reason) {
	switch {
	case t.Serving == "":
		return "", Next(t, v, rules, now).Reason
	case t.Adrift != "":
		return "", t.Adrift
	case t.Hold != nil:
		return "", Held
	}
	serving := v.Of(t.Serving)
	d := succeed(t, v, serving, rules)
	switch {
	case d.Reason != FailedOver:
		return "", d.Reason
	case !rules.Majority(1+serving.Watching, serving.Watching):
		return "", NoQuorum
	}
	return d.To, ""
}

// Queueing says which requests wait for a decision rather than go out.
type Queueing uint8

// What waits: nothing, requests that could not be sent again (and those whose
// attempt failed), or every request.
const (
	QueueNone Queueing = iota
	QueueUnsafe
	QueueAll
)

// Queue says which requests of a group wait, given the decision in force.
func Queue(t Traffic, d Decision, v View, now time.Time) Queueing {
	switch serving := v.Of(t.Serving); {
	case t.Waits(now):
		return QueueAll
	case d.Verb == FailOver, d.Reason == Confirming, d.Reason == Starting:
		return QueueAll
	case serving.Silent && !serving.Down(): // one more request to it would only be one more to send again
		return QueueAll
	case d.Reason == Missing && serving.Misses > 0, !serving.Suspect.IsZero() && !serving.Down():
		return QueueUnsafe
	}
	return QueueNone
}

// Urgent says whether readings are wanted at the fast interval: the serving
// node has missed one or is suspect, or every request waits for a planned swap.
func Urgent(t Traffic, v View, now time.Time) bool {
	s := v.Of(t.Serving)
	return s.Misses > 0 || !s.Suspect.IsZero() || t.Waits(now)
}

// Wanted says whether a reading of node is wanted at once: the serving node
// has gone down, node may have to take its place, and what was read of it is
// older than that.
func Wanted(t Traffic, v View, node string) bool {
	return v.Of(node).Last.At.Before(v.Of(t.Serving).DownAt) &&
		slices.Index(t.Order, node) > slices.Index(t.Order, t.Serving)
}

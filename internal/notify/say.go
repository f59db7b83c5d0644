package notify

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// sayChange gives the sentence of a changed Traffic, and what to do. from is
// the node that served before, if it is another one and known.
func sayChange(t ha.Traffic, from string) (text, do string) {
	switch t.Cause {
	case ha.Started:
		text = "watched from now on; traffic is on " + t.Serving + ", the first in order"
	case ha.Adopted:
		text = "nothing was stored about who serves, so traffic is on " + t.Serving + ", which reads Active"
		do = "Make sure that " + t.Serving + " has the current data. " + wayBack(t.Group)
	case ha.FailedOver:
		text = "traffic moved" + between(from, t.Serving) + ", because " + fell(t, from) + " and " + t.Serving + " stood by"
		do = "Find out what happened" + on(from) + ". " + wayBack(t.Group)
	case ha.FollowedPromoted:
		text = "traffic moved" + between(from, t.Serving) + ", because " + fell(t, from) + " and " + t.Serving + " had been promoted"
		do = "Find out what happened" + on(from) + ". " + wayBack(t.Group)
	case ha.Resumed:
		text = "traffic went back" + between(from, t.Serving) + ", the first in order" + by(t)
	case ha.Switched:
		text = "traffic was switched" + between(from, t.Serving) + by(t)
	case ha.Reordered:
		text = "the order is now " + strings.Join(t.Order, ", ") + by(t)
	case ha.HeldBy:
		text = "routing is held" + until(t.Hold) + by(t)
		do = "No failover happens until: understudy release " + t.Group + " --reason TEXT"
	case ha.Released:
		text = "routing is released" + by(t)
	case ha.Frozen:
		text = "every request waits until " + moment(t.QueueUntil) + " at most, for a planned swap" + by(t)
	case ha.Thawed:
		text = "requests wait no longer" + by(t)
	default:
		text = "the traffic changed (" + string(t.Cause) + ")"
	}
	if from != "" && !moves(t.Cause) {
		text += ", and meanwhile traffic moved" + between(from, t.Serving)
		do = "See why: understudy history " + t.Group
	}
	return t.Group + ": " + text + ".", do
}

// sayAlarm gives the sentence of an alarm, and what to do.
func sayAlarm(reason ha.Reason, s ha.Situation) (text, do string) {
	t, group, node, other := s.Traffic, s.Traffic.Group, s.Traffic.Serving, s.Decision.About
	down := node + " is down" + cause(s.View.Of(node).Last)
	move := func(to string) string {
		return "understudy switch " + group + " --to " + to + " --reason TEXT"
	}
	switch reason {
	case ha.Unknown:
		text = "nobody knows which node serves, and " + clients(s)
		if t.Hold != nil {
			text += "; " + short(t.Hold.Reason)
		}
		do = "Find out which node has the current data, then: understudy switch " + group + " --to NODE --force --reason TEXT"
	case ha.DualActive:
		text = fmt.Sprintf("%s serves, but %s reads Active too; one of them has stale data", node, other)
		do = "Traffic stays on " + node + ". Sync the stale node from the current one and put it in Standby."
	case ha.Unpromoted:
		text = fmt.Sprintf("%s serves, but it has read Standby for more than %s", node, s.Rules.PromotionTime)
		do = "Look at the HighAvailability log of " + node + " and finish its promotion."
	case ha.Held:
		text = down + ", and traffic stays there" + because(t.Hold)
		do = "To let the rule decide: understudy release " + group + " --reason TEXT"
	case ha.LastInOrder:
		text = down + ", and nobody stands after it in the order"
		do = "Repair it, or send clients to a node that has the current data: " + move("NODE")
	case ha.NeedsOperator:
		text = down + "; " + other + " stands by, but only a person may choose it"
		do = "To send clients there: " + move(other)
	case ha.Stranded:
		text = down + ", but " + other + " is Active already and not in Standby, so traffic stays"
		do = "If " + other + " has the current data: " + move(other)
	case ha.NoStandby:
		text = down + ", and no node is ready to take over"
		do = "Repair it or bring a stand-by up; the evidence: understudy why " + group
	case ha.RegisterLost:
		text = "the register cannot be reached since the start; clients are still sent to " + node + ", as last known here, and nothing is decided"
		do = "See that its members run and can be reached from here; it goes on by itself."
	case ha.RegisterBack:
		text = "the register holds less than this host knows, as after an old backup; clients are still sent to " + node + " and nothing is decided"
		do = "Find out which node has the current data, then: " + move("NODE --force")
	case ha.NoQuorum:
		text = down + " as seen from here, but too few of the other watchers read it down, so traffic does not move to " + other
		do = "See that the other watchers run and reach the register; if it is down indeed: " + move(other)
	case ha.NotStored:
		text = down + ", and traffic cannot move to " + other + ", for the decision cannot be stored"
		do = "Make room on the disk of state_dir, or let the front write there; it is tried again by itself."
	case ha.Overdue:
		text = "routing is still held, though the hold should have ended at " + moment(t.Hold.Until) + because(t.Hold)
		do = "No failover happens until: understudy release " + group + " --reason TEXT"
	case ha.NotArmed:
		text = fmt.Sprintf("for %.0f minutes traffic could not have moved if %s had failed (%s)", unarmedFor.Minutes(), node, s.ArmedWhy)
		do = "Open steps: understudy status " + group
	default:
		text = "alarm " + string(reason)
		do = "The evidence: understudy why " + group
	}
	return group + ": " + text + ".", do
}

// sayCleared gives the sentence for alarms that are over.
func sayCleared(before, now Told, over []ha.Reason, s ha.Situation) string {
	what := words(over)
	for _, r := range over {
		if !slices.Contains(before.inForce(), r) { // a start: nobody knows what was told
			what = "what was reported earlier"
		}
	}
	text := s.Traffic.Group + ": " + what + " is over; "
	if still := now.inForce(); len(still) > 0 {
		return text + words(still) + " goes on."
	}
	return text + "traffic is on " + s.Traffic.Serving + "."
}

func words(reasons []ha.Reason) string {
	var w []string
	for _, r := range reasons {
		w = append(w, string(r))
	}
	return strings.Join(w, " and ")
}

func between(from, to string) string {
	if from == "" {
		return " to " + to
	}
	return " from " + from + " to " + to
}

// wayBack is what follows a move down the order, when a person chooses.
func wayBack(group string) string {
	return fmt.Sprintf("To bring traffic back, when you choose: sync the old node from the serving one, swap the roles or reorder, "+
		"then understudy resume %s --reason TEXT; open steps: understudy status %[1]s", group)
}

func on(node string) string {
	if node == "" {
		return ""
	}
	return " on " + node
}

// fell says that the node that served before was down, and how that was seen.
func fell(t ha.Traffic, from string) string {
	if from == "" {
		return "the node before it was down"
	}
	for _, r := range t.Evidence {
		if r.Node == from {
			return from + " was down" + cause(r)
		}
	}
	return from + " was down"
}

func cause(r ha.Reading) string {
	if r.Cause == "" {
		return ""
	}
	return " (" + string(r.Cause) + ")"
}

// by says who did it and why, as far as that is known.
func by(t ha.Traffic) string {
	var who []string
	if t.Actor != "" {
		who = append(who, short(t.Actor))
	}
	if t.Claimed {
		who = append(who, "claimed")
	}
	if t.Forced {
		who = append(who, "by force")
	}
	told := []string{strings.Join(who, ", "), short(t.Words)}
	told = slices.DeleteFunc(told, func(s string) bool { return s == "" })
	if len(told) == 0 {
		return ""
	}
	return " (" + strings.Join(told, ": ") + ")"
}

func because(h *ha.Hold) string {
	if h == nil {
		return ""
	}
	return "; held by " + short(h.Owner) + ": " + short(h.Reason)
}

// short gives a person's words on one line, cut, without a full stop.
func short(words string) string {
	words = strings.TrimRight(strings.Join(strings.Fields(words), " "), ".")
	if len(words) > 200 {
		words = strings.ToValidUTF8(words[:200], "") + "..."
	}
	return words
}

func until(h *ha.Hold) string {
	if h == nil || h.Until.IsZero() {
		return ""
	}
	return " until " + moment(h.Until)
}

// clients says where requests go while nobody is known to serve.
func clients(s ha.Situation) string {
	if s.Target == "" {
		return "no client is served"
	}
	return "clients go to " + s.Target + " meanwhile"
}

func moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

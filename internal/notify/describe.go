package notify

import (
	"slices"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// Told is what has been said of one group so far. The zero value: nothing yet,
// as after a start.
type Told struct {
	Epoch   uint64
	At      time.Time // of the Traffic last looked at
	Serving string

	// The alarm in force of each kind: "" not known yet, Cleared none.
	Decision ha.Reason // the rule's
	Hold     ha.Reason // ha.Overdue
	Arming   ha.Reason // ha.NotArmed

	Unarmed time.Time // since when no failover would happen, zero if one would
}

const (
	// recent is how old a change of traffic may be that is told at the first
	// look after a start: its maker may have died before it could tell.
	recent = 15 * time.Minute

	// unarmedFor is how long no failover is possible before that is an alarm.
	unarmedFor = 10 * time.Minute
)

// The alarms of each kind.
var (
	decisionAlarms = []ha.Reason{
		ha.Unknown, ha.DualActive, ha.Unpromoted, ha.Held, ha.LastInOrder, ha.NeedsOperator, ha.Stranded, ha.NoStandby, ha.NoQuorum, ha.NotStored,
	}
	holdAlarms   = []ha.Reason{ha.Overdue, ha.RegisterLost, ha.RegisterBack}
	armingAlarms = []ha.Reason{ha.NotArmed}
)

// Describe gives the messages that a Situation is worth after what was told
// before, mostly none, and what is told then. A change of traffic is one
// message; an alarm is one when it begins, whatever its evidence becomes; its
// end is told by the change or the alarm that ends it, else by one of its own.
// A learned node epoch is not told, nor a group of which no Traffic is known.
//
// It wants every Situation of a group in turn, at least one for each stored
// Traffic. After a start it cannot know which alarms were told: it then ends
// all that are not in force, and the Notifier sends only what ends a told one.
func Describe(told Told, s ha.Situation) (Told, []Message) {
	if s.Traffic.At.IsZero() {
		return told, nil
	}
	next := told.look(s)
	begun, over := next.alarmsSince(told)
	var messages []Message
	if m, ok := change(told, s); ok {
		messages = append(messages, m)
	}
	for _, reason := range begun {
		messages = append(messages, alarm(reason, s))
	}
	if len(over) > 0 {
		if len(messages) == 0 {
			messages = append(messages, cleared(told, next, over, s))
		}
		messages[0].Ends = over
	}
	return next, messages
}

func (t Told) fresh() bool { return t.At.IsZero() }

// look gives what is known after a Situation.
func (t Told) look(s ha.Situation) Told {
	next := Told{Epoch: s.Traffic.Epoch, At: s.Traffic.At, Serving: s.Traffic.Serving}
	switch unarmed := s.Traffic.Serving != "" && s.Traffic.Hold == nil && s.ArmedTo == ""; {
	case unarmed && t.Unarmed.IsZero():
		next.Unarmed = s.At
	case unarmed:
		next.Unarmed = t.Unarmed
	}
	next.Decision = t.decision(s)
	next.Hold = t.hold(s, next.Decision)
	next.Arming = t.arming(s, next)
	return next
}

// decision gives the alarm of the rule. While the rule is still counting,
// what was in force stays.
func (t Told) decision(s ha.Situation) ha.Reason {
	switch {
	case s.Decision.Alarm == ha.Alarmed:
		return s.Decision.Reason
	case s.Decision.Verb == ha.Stay:
		return Cleared
	case !t.fresh() && t.Serving != s.Traffic.Serving:
		return Cleared
	}
	return t.Decision
}

func (t Told) hold(s ha.Situation, decision ha.Reason) ha.Reason {
	switch {
	case s.Traffic.Hold.Overdue(s.At):
		return ha.Overdue
	case decision == "":
		return t.Hold
	}
	return Cleared
}

// arming gives the alarm that no failover is possible; it does not begin while
// the rule has an alarm that says more.
func (t Told) arming(s ha.Situation, next Told) ha.Reason {
	switch {
	case next.Decision == "":
		return t.Arming
	case next.Unarmed.IsZero():
		return Cleared
	case s.Decision.Alarm != ha.Alarmed && s.At.Sub(next.Unarmed) >= unarmedFor:
		return ha.NotArmed
	}
	return t.Arming
}

// alarmsSince gives the alarms that began after before, and those that are
// over. Of a kind of which nothing was known all the others are over.
func (t Told) alarmsSince(before Told) (begun, over []ha.Reason) {
	for _, kind := range []struct {
		old, now ha.Reason
		all      []ha.Reason
	}{
		{before.Decision, t.Decision, decisionAlarms},
		{before.Hold, t.Hold, holdAlarms},
		{before.Arming, t.Arming, armingAlarms},
	} {
		if kind.now == kind.old {
			continue
		}
		if kind.now != Cleared {
			begun = append(begun, kind.now)
		}
		for _, reason := range kind.all {
			if reason != kind.now && (kind.old == "" || kind.old == reason) {
				over = append(over, reason)
			}
		}
	}
	return begun, over
}

// inForce gives the alarms of t.
func (t Told) inForce() []ha.Reason {
	return slices.DeleteFunc([]ha.Reason{t.Decision, t.Hold, t.Arming}, func(r ha.Reason) bool {
		return r == "" || r == Cleared
	})
}

// change gives the message of a changed Traffic. That nobody is known to serve
// is an alarm of the rule and told as such.
func change(told Told, s ha.Situation) (Message, bool) {
	t := s.Traffic
	moved := !told.fresh() && told.Serving != t.Serving
	switch {
	case told.fresh() && s.At.Sub(t.At) > recent,
		t.Epoch == told.Epoch && t.At.Equal(told.At),
		t.Cause == ha.Unknown,
		t.Cause == ha.NodeEpoch && !moved:
		return Message{}, false
	}
	m := Message{
		Key:   changeKey(t),
		Group: t.Group, Event: t.Cause, Severity: loudness(t, moved), At: t.At, Epoch: t.Epoch, To: t.Serving,
		Evidence: t.Evidence, Actor: t.Actor, Claimed: t.Claimed, Reason: t.Words,
	}
	if moved {
		m.From = told.Serving
	}
	m.Text, m.Do = sayChange(t, m.From)
	return m, true
}

// moves says whether a cause is one that may change the serving node.
func moves(cause ha.Reason) bool {
	switch cause {
	case ha.Started, ha.Adopted, ha.FailedOver, ha.FollowedPromoted, ha.Resumed, ha.Switched:
		return true
	}
	return false
}

func loudness(t ha.Traffic, moved bool) Severity {
	switch {
	case t.Cause == ha.Adopted:
		return Alarm
	case t.Cause == ha.FailedOver, t.Cause == ha.FollowedPromoted, t.Forced, moved && !moves(t.Cause):
		return Warning
	}
	return Info
}

func alarm(reason ha.Reason, s ha.Situation) Message {
	m := about(s)
	m.Key, m.Event, m.Severity = alarmKey(s.Traffic.Group, reason), reason, Alarm
	m.Text, m.Do = sayAlarm(reason, s)
	return m
}

func cleared(before, now Told, over []ha.Reason, s ha.Situation) Message {
	m := about(s)
	m.Event, m.Severity = Cleared, Info
	m.Text = sayCleared(before, now, over, s)
	return m
}

// about gives a message of the situation itself, not of a change.
func about(s ha.Situation) Message {
	m := Message{Group: s.Traffic.Group, At: s.At, Epoch: s.Traffic.Epoch, To: s.Traffic.Serving}
	for _, sight := range s.View {
		if sight.Known() {
			m.Evidence = append(m.Evidence, sight.Last)
		}
	}
	return m
}

// changeKey names a change of traffic, the same in every process that sees it.
func changeKey(t ha.Traffic) string {
	return t.Group + "/" + string(t.Cause) + "/" + t.At.UTC().Format(time.RFC3339Nano)
}

func alarmKey(group string, reason ha.Reason) string { return group + "/" + string(reason) }

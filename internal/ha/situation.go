package ha

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Situation is all that is known and decided of a group at one instant.
type Situation struct {
	At       time.Time
	Traffic  Traffic
	View     View
	Rules    Rules
	Decision Decision
	Queue    Queueing
	Target   string // the node that requests go to, "" if to none
	ArmedTo  string // where traffic would go if the serving node failed now, "" if nowhere
	ArmedWhy Reason // why nowhere

	// UnarmedSince is since when no failover would be possible, without a
	// hold; zero while one is. See Unarmed.
	UnarmedSince time.Time

	// Votes are what the watchers say that share the register: ours first,
	// then the others' by name. None where this watcher is alone.
	Votes []Vote
}

// armedWithin is how long a group may be not armed before that alarms.
const armedWithin = 10 * time.Minute

// Unarmed gives the UnarmedSince of s when before came before it.
func (s *Situation) Unarmed(before *Situation) time.Time {
	switch {
	case s.ArmedTo != "" || s.Traffic.Hold != nil:
		return time.Time{}
	case before.UnarmedSince.IsZero():
		return s.At
	}
	return before.UnarmedSince
}

// Alarms gives the reasons for which a person is needed now, the decision's
// first.
func (s *Situation) Alarms() []Reason {
	var alarms []Reason
	if s.Decision.Alarm == Alarmed {
		alarms = append(alarms, s.Decision.Reason)
	}
	if a := s.Traffic.Adrift; a != "" && a != s.Decision.Reason {
		alarms = append(alarms, a)
	}
	if s.Traffic.Hold.Overdue(s.At) {
		alarms = append(alarms, Overdue)
	}
	if !s.UnarmedSince.IsZero() && s.At.Sub(s.UnarmedSince) >= armedWithin {
		alarms = append(alarms, NotArmed)
	}
	return alarms
}

// Same says whether two Situations differ in nothing that a follower acts on
// or a person is shown at once: traffic, decision, queueing, target, alarms,
// the state and doubt of every node, and how the watchers would vote.
func (s *Situation) Same(o *Situation) bool {
	return s.Traffic.Epoch == o.Traffic.Epoch && s.Decision == o.Decision && s.Queue == o.Queue &&
		s.Target == o.Target && s.ArmedTo == o.ArmedTo && s.ArmedWhy == o.ArmedWhy &&
		slices.Equal(s.Alarms(), o.Alarms()) && slices.EqualFunc(s.Votes, o.Votes, Vote.sameStance) &&
		slices.EqualFunc(s.View, o.View, func(a, b Sight) bool {
			return a.Node == b.Node && a.Known() == b.Known() && a.Last.State == b.Last.State &&
				a.Last.Cause == b.Last.Cause && a.Down() == b.Down() && a.Suspect.Equal(b.Suspect) && a.Silent == b.Silent
		})
}

// Assess gives the Situation of a group.
func Assess(t Traffic, v View, rules Rules, now time.Time) (s Situation) {
	s.At, s.Traffic, s.View, s.Rules = now, t, v, rules
	s.Decision = Next(t, v, rules, now)
	s.Queue = Queue(t, s.Decision, v, now)
	s.Target = Target(t, v)
	s.ArmedTo, s.ArmedWhy = Armed(t, v, rules, now)
	return s
}

// Stuck gives s as it is when the failover that it decides cannot be stored:
// traffic moves only after it has been stored, so it waits, and alarms.
func Stuck(s Situation) Situation {
	if s.Decision.Verb == FailOver {
		s.Decision.Verb, s.Decision.Reason, s.Decision.Alarm = Wait, NotStored, Alarmed
		s.Decision.About, s.Decision.To = s.Decision.To, ""
		s.Queue = QueueNone
	}
	return s
}

// What a register answers instead of a Traffic.
var (
	ErrNone  = errors.New("no traffic is stored")
	ErrStale = errors.New("the stored traffic has changed meanwhile")
)

// Damaged is a register's error for a stored Traffic that cannot be read:
// truncated, of a future version, or impossible. It is never guessed around.
type Damaged struct {
	Why   string // one sentence that names the place
	Floor uint64 // the highest epoch known to have been written, 0 if none is
}

func (d *Damaged) Error() string { return fmt.Sprintf("stored traffic is damaged: %s", d.Why) }

// Adrift is a register's error where it does not bear out what this host knows
// to have been in force last: it cannot be reached (RegisterLost), or holds
// less (RegisterBack), as after an old backup was put back. Clients are sent on
// by the last known Traffic, and nothing is decided.
type Adrift struct {
	Reason Reason
	Why    string // one sentence that names the place
	Last   Traffic
}

func (a *Adrift) Error() string { return a.Why }

// Traffic gives the last known Traffic, marked as adrift.
func (a *Adrift) Traffic() Traffic {
	t := a.Last
	t.Adrift = a.Reason
	return t
}

package ha

import (
	"errors"
	"fmt"
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
}

// Assess gives the Situation of a group.
func Assess(t Traffic, v View, rules Rules, now time.Time) Situation {
	s := Situation{At: now, Traffic: t, View: v, Rules: rules}
	s.Decision = Next(t, v, rules, now)
	s.Queue = Queue(t, s.Decision, v, now)
	s.Target = Target(t, v)
	s.ArmedTo, s.ArmedWhy = Armed(t, v, rules, now)
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

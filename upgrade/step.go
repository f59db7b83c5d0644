package upgrade

import (
	"fmt"
	"time"
)

// Step is one step of a run. Its functions are pure; Done is asked before
// anything is done, so a step that is repeated does no harm.
type Step struct {
	Name         string
	Guide        string // its number in the guide, empty: it is ours
	Title        string // for people
	Why          string
	Gate         string // what a person must agree to before it begins, empty: nothing
	Irreversible bool   // from its beginning there is only the way forward
	Outage       bool   // clients are not served while it runs, by design
	Timeout      time.Duration

	Needs  func(View) Verdict // nil: nothing
	Done   func(View) Verdict
	Do     func(View) []Deed // nil: it only waits
	Undo   func(View) []Deed // nil: nothing to take back
	Undone func(View) Verdict
}

// View is what a step is judged by.
type View struct {
	World
	Run       string            // the run's name, which owns holds and locks
	Number    uint64            // its fencing number
	Mark      map[string]string // what was so when the step began
	Confirmed map[string]string // what a person says is done, by step: and why
	Tried     map[string]Trial  // deeds of this step, by their text
	Begun     map[string]bool   // those of them that this process has begun
	Lost      string            // why nobody knows what came of the last one, empty: it is known
	Waited    time.Duration     // since the step began, in this process
}

// Trial is what is known of a deed that was begun before.
type Trial string

// What may have come of it.
const (
	TrialUnknown Trial = "unknown" // its result was not written, or nobody knows
	TrialTaken   Trial = "taken"
	TrialRefused Trial = "refused"
	TrialLater   Trial = "later"
	TrialByHand  Trial = "by_hand"
)

// Verdict is what a step says of a View.
type Verdict struct {
	OK    bool
	Never bool   // waiting will not help
	Said  string // what it is like, or what is waited for
}

func yes(format string, args ...any) Verdict {
	return Verdict{OK: true, Said: fmt.Sprintf(format, args...)}
}

func notYet(format string, args ...any) Verdict { return Verdict{Said: fmt.Sprintf(format, args...)} }

func never(format string, args ...any) Verdict {
	return Verdict{Never: true, Said: fmt.Sprintf(format, args...)}
}

// all gives the first verdict that is not OK, or the last.
func all(verdicts ...Verdict) (v Verdict) {
	for _, v = range verdicts {
		if !v.OK {
			return v
		}
	}
	return v
}

// both is all of two, and says both when they are OK.
func both(a, b Verdict) Verdict {
	v := all(a, b)
	if v.OK {
		v.Said = a.Said + "; " + b.Said
	}
	return v
}

// mark gives what a step compares with later.
func (w World) mark() map[string]string {
	m := map[string]string{}
	for name, n := range w.Nodes {
		if n.LastSync != nil {
			m[name+".sync"] = n.LastSync.Completed
		}
		if n.Beat != "" {
			m[name+".beat"] = n.Beat
		}
		if n.Enabled != "" {
			m[name+".ha"] = n.Enabled
		}
	}
	return m
}

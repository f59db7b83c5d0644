package upgrade

import (
	"slices"
	"strings"
	"time"
)

// State is where a run stands.
type State string

// The states of a run.
const (
	Running    State = "running"   // or it was, when its process died
	Waiting    State = "waiting"   // for a person's answer
	Succeeded  State = "succeeded" // all is done
	RolledBack State = "rolled_back"
	Incomplete State = "incomplete" // it needs a person; lock and hold are kept
	Aborted    State = "aborted"
	Unlocked   State = "unlocked" // given up by a person, as it was
)

// Over says whether a run has ended for good.
func (s State) Over() bool {
	return s == Succeeded || s == RolledBack || s == Aborted || s == Unlocked
}

// Course is what a journal says of a run: a fold of its entries.
type Course struct {
	State     State
	Run       string
	Plan      string // digest
	By        string
	Number    uint64
	Began     time.Time
	Ended     time.Time
	Steps     map[string]*Leg
	Backward  bool   // it is being undone
	Aborting  bool   // because a person said so
	Single    bool   // only one step is undone
	At        string // the step that it is at
	Why       string // it waits, or is incomplete
	Risks     map[string]string
	Answered  map[string]bool // answers that people gave at nodes, by their ID
	Preflight []Item
}

// Leg is what a journal says of one step.
type Leg struct {
	Started, Done, Undoing, Undone bool
	Failed                         string // why, empty: it did not, or was begun again
	Approved                       string // the gate before it: why, and by whom
	Confirmed                      string // that it is done, as a person says: the same
	Mark                           map[string]string
	Tried                          map[string]Trial
	Said                           string
	Begun, Over                    time.Time
	Acted                          time.Time // when its last deed was done
	Outage                         time.Duration
	Waits                          string
	ByHand                         string // what a person has to do in it
	Lost                           string // why nobody knows what came of its last deed
}

// Fold reads what the entries say.
func Fold(all []Entry) *Course {
	c := &Course{Steps: map[string]*Leg{}, Risks: map[string]string{}, Answered: map[string]bool{}}
	for _, e := range all {
		c.take(e)
	}
	return c
}

func (c *Course) leg(step string) *Leg {
	l := c.Steps[step]
	if l == nil {
		l = &Leg{Mark: map[string]string{}, Tried: map[string]Trial{}}
		c.Steps[step] = l
	}
	return l
}

// take takes one entry of the run in; those of a step are takeStep's.
func (c *Course) take(e Entry) {
	if id := e.Fact("answer"); id != "" {
		c.Answered[id] = true
	}
	switch e.What {
	case Begins:
		c.State, c.Run, c.Plan, c.By, c.Began = Running, e.Fact("run"), e.Fact("plan"), e.Fact("by"), e.At
		c.Number = parseNumber(e.Fact("number"))
	case Goes:
		c.State, c.Why = Running, ""
		if l := c.Steps[c.At]; l != nil && l.Waits != "" { // nobody has answered meanwhile
			c.State, c.Why = Waiting, l.Waits
		}
		c.Number = max(c.Number, parseNumber(e.Fact("number")))
	case Risk:
		c.Risks[e.Fact("name")] = e.Fact("reason") + " (" + e.Fact("by") + ")"
	case Preflight:
		c.Preflight = append(c.Preflight, Item{Name: e.Fact("name"), Result: Result(e.Fact("result")), Said: e.Fact("said")})
	case Aborts:
		c.Backward, c.State = true, Running
		c.Aborting, c.Single = e.Fact("with") == "", e.Fact("with") == "one"
	case Passes:
	case Stops:
		c.State, c.Why = Incomplete, e.Fact("why")
	case Ends:
		c.State, c.Ended, c.Why = State(e.Fact("state")), e.At, ""
	default:
		c.takeStep(e)
	}
}

func (c *Course) takeStep(e Entry) {
	l := c.leg(e.Step)
	c.At = e.Step
	switch e.What {
	case Starts:
		*l = Leg{Started: true, Approved: l.Approved, Confirmed: l.Confirmed, Mark: marks(e.Facts), Tried: unknown(l.Tried), Lost: l.Lost, Begun: e.At}
		c.State = Running
	case Intends:
		l.Tried[e.Fact("deed")] = TrialUnknown
	case Did:
		l.Tried[e.Fact("deed")], l.Acted = Trial(e.Fact("result")), e.At
		l.Lost = ""
		switch l.Tried[e.Fact("deed")] {
		case TrialByHand:
			l.ByHand = e.Fact("said")
		case TrialUnknown:
			l.Lost = e.Fact("said")
		}
	case Is:
		l.Done, l.Failed, l.Said, l.Over, l.Waits = true, "", e.Fact("said"), e.At, ""
		l.Outage, _ = time.ParseDuration(e.Fact("outage"))
	case Fails:
		l.Failed, l.Over = e.Fact("said"), e.At
		c.State, c.Why = Incomplete, e.Step+": "+e.Fact("said")
	case Waits:
		l.Waits = e.Fact("say")
		c.State, c.Why = Waiting, e.Fact("say")
	case Approves:
		said := e.Fact("reason") + " (" + e.Fact("by") + ")"
		if l.Started {
			l.Confirmed = said
		} else {
			l.Approved = said
		}
		l.Waits, c.State, c.Why = "", Running, ""
	case Undoes:
		l.Undoing, l.Tried = true, map[string]Trial{}
		c.State = Running
	case Undone:
		l.Undoing, l.Undone, l.Done, l.Started, l.Said, l.Over = false, true, false, false, e.Fact("said"), e.At
		if c.Single {
			c.Single, c.Backward, c.State, c.Why = false, false, Incomplete, e.Step+" was undone"
		}
	}
}

// unknown gives the trials that stay so when a step begins again.
func unknown(tried map[string]Trial) map[string]Trial {
	m := map[string]Trial{}
	for deed, trial := range tried {
		if trial == TrialUnknown {
			m[deed] = trial
		}
	}
	return m
}

// marks gives the facts of a start that are marks: NAME.WORD.
func marks(facts map[string]string) map[string]string {
	m := map[string]string{}
	for key, value := range facts {
		if strings.Contains(key, ".") {
			m[key] = value
		}
	}
	return m
}

func parseNumber(text string) (n uint64) {
	for _, r := range text {
		if r < '0' || r > '9' {
			return 0
		}
		n = n*10 + uint64(r-'0')
	}
	return n
}

// next gives the first step that is not done, and how many are.
func (c *Course) next(steps []Step) (step *Step, done int) {
	for i := range steps {
		if l := c.Steps[steps[i].Name]; l == nil || !l.Done {
			return &steps[i], i
		}
	}
	return nil, len(steps)
}

// Committed names the irreversible step that has begun; empty: everything can
// still be undone.
func (c *Course) Committed(steps []Step) string {
	for _, s := range steps {
		if l := c.Steps[s.Name]; s.Irreversible && l != nil && (l.Done || l.acted()) {
			return s.Name
		}
	}
	return ""
}

// acted says whether anything was begun in the step but to announce it.
func (l *Leg) acted() bool {
	for deed := range l.Tried {
		if !strings.HasSuffix(deed, " "+DoAnnounce) {
			return true
		}
	}
	return false
}

// Back gives the steps that an abort would undo, in its order.
func (c *Course) Back(steps []Step) (back []Step) {
	for _, s := range slices.Backward(steps) {
		if l := c.Steps[s.Name]; l != nil && (l.Started || l.Done || l.Undoing) && s.Undo != nil {
			back = append(back, s)
		}
	}
	return back
}

// confirmed gives what people said is done.
func (c *Course) confirmed() map[string]string {
	m := map[string]string{}
	for name, l := range c.Steps {
		if l.Confirmed != "" {
			m[name] = l.Confirmed
		}
	}
	return m
}

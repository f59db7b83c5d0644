package upgrade

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Runner goes along a plan. One goroutine calls Run; nothing of it is used
// beside that.
type Runner struct {
	Plan    Plan
	Hands   Hands
	Journal *Journal
	Clock   func() time.Time
	Poll    time.Duration // between two looks; 0: 100 ms
	Tell    func(Event)   // hears what happens; nil: nobody
	Answers func() []Answer
	Attend  bool    // wait at a gate for an answer instead of leaving
	Keeper  *Keeper // nil: nobody keeps copies

	steps []Step
	given map[string]given // in this process, by step and deed
}

// Answer is what a person said while a run was at work.
type Answer struct {
	ID     string `json:"-"`     // of one that was given at a node
	Step   string `json:"step"`  // that is approved or confirmed
	Abort  bool   `json:"abort"` // or: the run is to be undone
	By     string `json:"by"`
	Reason string `json:"reason"`
}

// Event is what happens in a run, for whoever watches.
type Event struct {
	At       time.Time `json:"at"`
	Kind     string    `json:"kind"` // one of the words of an Entry, or waiting
	Step     string    `json:"step,omitempty"`
	Title    string    `json:"title,omitempty"`
	Guide    string    `json:"guide,omitempty"`
	Said     string    `json:"said,omitempty"`
	Number   int       `json:"number,omitempty"` // of the step, from 1
	Of       int       `json:"of,omitempty"`
	Since    time.Time `json:"since,omitzero"`
	Deadline time.Time `json:"deadline,omitzero"`
}

// waiting is the Kind of an Event that tells what a step waits for.
const waiting = "waiting"

// errStop is the reason of a run that is left as it is.
type errStop struct{ state State }

func (e *errStop) Error() string { return string(e.state) }

// Run goes on until the run is over, or needs a person, or ctx ends. The error
// says why the journal cannot be written; then nothing more was done.
func (r *Runner) Run(ctx context.Context) (State, error) {
	r.steps, r.given = r.Plan.Steps(), map[string]given{}
	defer r.Keeper.start(ctx, r.Hands)()
	r.Keeper.tell(r.course(), r.Plan, r.Journal.Lines())
	err := r.Keeper.send(ctx, true)
	if err == nil {
		err = r.walk(ctx)
	}
	_ = r.Keeper.send(context.WithoutCancel(ctx), true) // its last words; nothing depends on them
	var stop *errStop
	if errors.As(err, &stop) {
		return stop.state, nil
	}
	return Incomplete, err
}

// walk goes from step to step; it always gives an error, an *errStop if all went
// well.
func (r *Runner) walk(ctx context.Context) error {
	for {
		c := r.course()
		var err error
		step, at := c.next(r.steps)
		switch {
		case c.State.Over():
			return &errStop{c.State}
		case c.Backward:
			err = r.back(ctx, c)
		case step == nil:
			err = r.add(entry(Ends, "", "state", string(Succeeded)))
		default:
			err = r.forward(ctx, c, step, at)
		}
		if err != nil {
			return err
		}
	}
}

func (r *Runner) course() *Course { return Fold(r.Journal.Entries()) }

// add writes an entry and tells it.
func (r *Runner) add(e Entry) error {
	if err := r.Journal.Add(e); err != nil {
		return err
	}
	if r.Keeper != nil {
		r.Keeper.tell(r.course(), r.Plan, r.Journal.Lines())
	}
	said := e.Fact("said")
	for _, key := range []string{"say", "deed", "state", "why", "reason"} {
		if said == "" {
			said = e.Fact(key)
		}
	}
	r.tell(Event{Kind: e.What, Step: e.Step, Said: said})
	return nil
}

func (r *Runner) tell(e Event) {
	if r.Tell == nil {
		return
	}
	e.At, e.Of = r.Clock(), len(r.steps)
	if i := slices.IndexFunc(r.steps, func(s Step) bool { return s.Name == e.Step }); i >= 0 {
		e.Number, e.Title, e.Guide = i+1, r.steps[i].Title, r.steps[i].Guide
	}
	r.Tell(e)
}

// forward takes one step, or stops before it.
func (r *Runner) forward(ctx context.Context, c *Course, s *Step, at int) error {
	leg := c.leg(s.Name)
	if s.Gate != "" && leg.Approved == "" && !leg.Started {
		return r.gate(ctx, s, leg)
	}
	if !leg.Started || leg.Failed != "" {
		w := r.Hands.Look(ctx, r.Clock())
		if err := r.add(entry(Starts, s.Name, facts(w.mark())...)); err != nil {
			return err
		}
		leg = r.course().leg(s.Name)
	}
	return r.attempt(ctx, task{
		step: s, leg: leg, done: s.Done, do: s.Do, timeout: s.Timeout,
		over: func(v Verdict, outage time.Duration) Entry {
			gap := ""
			if outage > 0 {
				gap = outage.Round(time.Millisecond).String()
			}
			return entry(Is, s.Name, "said", v.Said, "outage", gap)
		},
	})
}

func facts(m map[string]string) (list []string) {
	for _, key := range slices.Sorted(maps.Keys(m)) {
		list = append(list, key, m[key])
	}
	return list
}

// gate waits for a person, here or in another process.
func (r *Runner) gate(ctx context.Context, s *Step, leg *Leg) error {
	if leg.Waits == "" {
		if err := r.add(entry(Waits, s.Name, "say", s.Gate)); err != nil {
			return err
		}
	}
	for {
		if heard, err := r.hear(); heard || err != nil {
			return err
		}
		if !r.Attend || !r.pause(ctx, r.Clock()) {
			return &errStop{Waiting}
		}
	}
}

// hear writes down what people have said, and whether they did.
func (r *Runner) hear() (heard bool, err error) {
	if err := r.Keeper.ended(); err != nil {
		return true, err
	}
	said := r.Keeper.answers()
	if r.Answers != nil {
		said = append(said, r.Answers()...)
	}
	for _, a := range said {
		c := r.course()
		e := entry(Approves, a.Step, "by", a.By, "reason", a.Reason, "answer", a.ID)
		switch {
		case c.Answered[a.ID]: // this process, or one before it, has written it down
			continue
		case a.Abort && (c.Backward || c.Committed(r.steps) != ""), !a.Abort && a.ID != "" && (c.At != a.Step || c.asks() == ""):
			e = entry(Passes, "", "by", a.By, "reason", a.Reason, "answer", a.ID) // it comes too late
		case a.Abort:
			e = entry(Aborts, "", "by", a.By, "reason", a.Reason, "answer", a.ID)
		}
		heard = heard || e.What != Passes
		if err := r.add(e); err != nil {
			return true, err
		}
	}
	return heard, nil
}

// task is one step, forward or back.
type task struct {
	step    *Step
	leg     *Leg
	needs   func(View) Verdict
	done    func(View) Verdict
	do      func(View) []Deed
	timeout time.Duration
	over    func(Verdict, time.Duration) Entry
	back    bool
}

// attempt looks, has done what is to be done, and waits until it is so.
func (r *Runner) attempt(ctx context.Context, t task) error {
	if !t.back {
		t.needs = t.step.Needs
	}
	began, outage := r.Clock(), gap{}
	for {
		if heard, err := r.hear(); err != nil || heard {
			return err // the course may be another one now
		}
		v := r.view(ctx, t, began)
		outage.see(t.step.Outage && !t.back, v.Nodes[r.Plan.Primary], v.At)
		is := t.done(v)
		switch waited := r.Clock().Sub(began); {
		case ctx.Err() != nil:
			return r.leave("it was told to stop")
		case is.OK:
			return r.add(t.over(is, outage.length))
		case is.Never:
			return r.failed(t, is.Said)
		case waited > r.limit(t):
			return r.failed(t, fmt.Sprintf("not within %v: %s", r.limit(t), is.Said))
		}
		ready := yes("")
		if t.needs != nil {
			ready = t.needs(v)
		}
		switch {
		case ready.Never:
			return r.failed(t, ready.Said)
		case !ready.OK:
			is = ready
		case t.do != nil:
			if err := r.act(ctx, t, v); err != nil {
				return err
			}
		}
		r.tell(Event{Kind: waiting, Step: t.step.Name, Said: is.Said, Since: began, Deadline: began.Add(r.limit(t))})
		r.pause(ctx, began)
	}
}

// limit is how long a step may take: longer where a person has to do it.
func (r *Runner) limit(t task) time.Duration {
	for _, trial := range t.leg.Tried {
		if trial == TrialByHand {
			return max(t.timeout, r.Plan.Config.Timeouts.Person)
		}
	}
	return t.timeout
}

func (r *Runner) view(ctx context.Context, t task, began time.Time) View {
	c, begun := r.course(), map[string]bool{}
	for key := range r.given {
		if deed, ok := strings.CutPrefix(key, t.step.Name+" "); ok {
			begun[deed] = true
		}
	}
	return View{
		World: r.Hands.Look(ctx, r.Clock()), Run: c.Run, Number: c.Number, Mark: t.leg.Mark, Confirmed: c.confirmed(),
		Tried: t.leg.Tried, Begun: begun, Lost: c.leg(t.step.Name).Lost, Waited: r.Clock().Sub(began),
	}
}

// failed writes down that a step failed, and has the run undone if the plan
// wants that and it can be.
func (r *Runner) failed(t task, why string) error {
	if err := r.add(entry(Fails, t.step.Name, "said", why)); err != nil {
		return err
	}
	if !t.back && r.Plan.Config.OnFailure == "undo" && r.course().Committed(r.steps) == "" {
		return r.add(entry(Aborts, "", "with", "failure", "reason", t.step.Name+" failed"))
	}
	return &errStop{Incomplete}
}

// leave writes down that the run stays as it is.
func (r *Runner) leave(why string) error {
	if err := r.add(entry(Stops, "", "why", why)); err != nil {
		return err
	}
	return &errStop{Incomplete}
}

// back undoes one step, the newest first; the last one ends the run.
func (r *Runner) back(ctx context.Context, c *Course) error {
	steps := c.Back(r.steps)
	if len(steps) == 0 {
		state := RolledBack
		if c.Aborting {
			state = Aborted
		}
		return r.add(entry(Ends, "", "state", string(state)))
	}
	s := &steps[0]
	if !c.leg(s.Name).Undoing {
		if err := r.add(entry(Undoes, s.Name)); err != nil {
			return err
		}
	}
	undone := s.Undone
	if undone == nil {
		undone = func(View) Verdict { return yes("") }
	}
	err := r.attempt(ctx, task{
		step: s, leg: r.course().leg(s.Name), done: undone, do: s.Undo, timeout: s.Timeout, back: true,
		over: func(v Verdict, _ time.Duration) Entry { return entry(Undone, s.Name, "said", v.Said) },
	})
	if err == nil && c.Single {
		return &errStop{Incomplete}
	}
	return err
}

// pause waits until the next look: short at first, so that the run itself costs
// little, and longer for what takes long. It says whether to go on.
func (r *Runner) pause(ctx context.Context, began time.Time) bool {
	every := r.Poll
	if every == 0 {
		switch waited := r.Clock().Sub(began); {
		case waited < 200*time.Millisecond:
			every = 10 * time.Millisecond
		case waited < 10*time.Second:
			every = 50 * time.Millisecond
		default:
			every = 250 * time.Millisecond
		}
	}
	timer := time.NewTimer(every)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

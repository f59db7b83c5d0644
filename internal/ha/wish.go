package ha

import (
	"fmt"
	"slices"
	"time"
)

// Wish is what a person or a run asks of a group.
type Wish struct {
	To      string    // Switch: the node
	Order   []string  // Reorder: every node, in the new order
	Epoch   uint64    // the epoch that the asker was shown; 0: not compared
	Actor   string    // who asks
	Claimed bool      // the actor's name was only given, not proven
	Reason  string    // why; wanted by every verb
	Force   bool      // Resume, Switch, HoldTraffic: override the guards
	Owner   string    // HoldTraffic: who holds; empty: the actor. Freeze, Switch: whose hold does not stand in the way
	Until   time.Time // HoldTraffic, Freeze: when it should be over; zero: open, or at once
	Outage  time.Time // HoldTraffic: until when the serving node may be down without an alarm; zero: it may not
}

// Refusal is the error of a wish that is not granted: what did not happen,
// why (the fact), what to do, and where to read.
type Refusal struct {
	Code Reason `json:"code"`
	What string `json:"what"`
	Why  string `json:"why"`
	Do   string `json:"do"`
	Read string `json:"read"`
}

func (r *Refusal) Error() string { return r.What + ": " + r.Why }

// Codes of a Refusal, beside the reasons of a Decision.
const (
	BadWish        Reason = "bad_wish"        // the wish itself is wrong
	StaleEpoch     Reason = "stale_epoch"     // the group changed since the asker looked
	NotReady       Reason = "not_ready"       // the target was not read available often enough
	NeedsSwap      Reason = "needs_swap"      // the target stands by under a healthy serving node
	AlreadyServing Reason = "already_serving" // nothing to do
	NotHeld        Reason = "not_held"        // nothing to release
)

const (
	readWayBack = "docs/howto/after-a-failover.md"
	readHold    = "docs/howto/hold.md"
	readUnknown = "docs/howto/unknown.md"
)

// Act is one of the verbs a person has: Resume, Switch, Reorder, HoldTraffic,
// Release and Freeze. It gives the Traffic to store, one epoch later, or a *Refusal.
type Act func(t Traffic, v View, rules Rules, w Wish, now time.Time) (Traffic, error)

// Acts are the verbs by the names that the API and the commands use.
func Acts(verb string) (Act, bool) {
	switch verb {
	case "resume":
		return Resume, true
	case "switch":
		return Switch, true
	case "reorder":
		return Reorder, true
	case "hold":
		return HoldTraffic, true
	case "release":
		return Release, true
	case "freeze":
		return Freeze, true
	}
	return nil, false
}

// Resume moves traffic back to the first in order (Manual Resume = Yes).
func Resume(t Traffic, v View, rules Rules, w Wish, now time.Time) (Traffic, error) {
	if w.To = ""; len(t.Order) > 0 {
		w.To = t.Order[0]
	}
	return moveTo(t, v, rules, w, moveKind{"resumed", Resumed, now})
}

// Switch moves traffic to a named node. It alone leads out of unknown, and only
// by force: then it writes an epoch above every known one, and releases. Where
// the register does not bear out who serves, a switch to that node by force
// puts it there again.
func Switch(t Traffic, v View, rules Rules, w Wish, now time.Time) (Traffic, error) {
	return moveTo(t, v, rules, w, moveKind{"switched", Switched, now})
}

type moveKind struct {
	verb  string
	cause Reason
	now   time.Time
}

func moveTo(t Traffic, v View, rules Rules, w Wish, k moveKind) (Traffic, error) {
	what := fmt.Sprintf("%s: traffic was not %s to %s", t.Group, k.verb, w.To)
	if err := common(t, w, what); err != nil {
		return t, err
	}
	if !slices.Contains(t.Order, w.To) {
		return t, &Refusal{BadWish, what, fmt.Sprintf("the group has no node %q; it has %v", w.To, t.Order), "Name one of them.", "understudy status " + t.Group}
	}
	disputed := t.Adrift != "" || v.Of(w.To).Last.Cause == Stale
	if t.Serving == w.To && !(disputed && w.Force) { // by force it is stored that it serves
		return t, &Refusal{AlreadyServing, what, w.To + " serves already", "Nothing to do.", "understudy status " + t.Group}
	}
	if t.Serving == "" && k.cause != Switched {
		return t, unknown(t, what)
	}
	if !w.Force {
		if err := guard(t, v, rules, w, what); err != nil {
			return t, err
		}
	}
	next := t.move(w.To, k.cause, v, k.now).by(w)
	next.Forced, next.Provisional = w.Force, ""
	next = next.forget(v.Of(w.To).Last)
	if t.Serving == "" {
		next.Hold = nil
		for _, s := range v {
			next.Epoch = max(next.Epoch, s.Last.Epoch+1, t.NodeEpochs[s.Node]+1)
		}
	}
	return next, nil
}

// guard refuses a move that is not safe now. Whoever holds the group may move it
// under the hold, onto the only Active node: it has seen to it that the serving
// node stepped down, of which one missed reading is the sign.
func guard(t Traffic, v View, rules Rules, w Wish, what string) error {
	to, own := w.To, t.heldBy(w.Owner)
	target, serving := v.Of(to), v.Of(t.Serving)
	switch {
	case t.Serving == "":
		return unknown(t, what)
	case t.Hold != nil && !own:
		return &Refusal{
			Held, what, fmt.Sprintf("held by %s since %s (%s)", t.Hold.Owner, stamp(t.Hold.Since), t.Hold.Reason),
			"Release it first: understudy release " + t.Group + " --reason TEXT", readHold,
		}
	case !target.Available() || target.Passes < rules.Rise:
		return &Refusal{
			NotReady, what, fmt.Sprintf("%s was read available %d times in a row, %d are wanted (%s)", to, target.Passes, rules.Rise, target.words()),
			"Wait for it or repair it, then try again.", readWayBack,
		}
	}
	switch rival := v.rival(to); {
	case target.active() && rival != "":
		return &Refusal{
			DualActive, what, fmt.Sprintf("%s and %s both read Active; one of them has stale data", to, rival),
			"Sync " + to + " from " + t.Serving + " and swap the roles, so that only one is Active, then try again.", readWayBack,
		}
	case !serving.Available() && !serving.Down() && !(own && target.active() && serving.Misses > 0): // it may be Active still, and the target stale
		return &Refusal{
			Missing, what, fmt.Sprintf("%s has missed %d of %d readings; it is not down yet", t.Serving, serving.Misses, rules.Fall),
			"Try again in a moment.", readWayBack,
		}
	case target.active(), serving.Down():
		return nil
	}
	return &Refusal{
		NeedsSwap, what, fmt.Sprintf("%s is in Standby and %s serves well; a Standby does not serve clients", to, t.Serving),
		"Swap the roles of the nodes first, then try again.", readWayBack,
	}
}

// unknown refuses what cannot be done while nobody is known to serve.
func unknown(t Traffic, what string) *Refusal {
	why := "nobody is known to serve"
	if t.Hold != nil {
		why = t.Hold.Reason
	}
	return &Refusal{
		Unknown, what, why,
		"Find out which node has the current data, then: understudy switch " + t.Group + " --to NODE --force --reason TEXT", readUnknown,
	}
}

// Reorder changes the order of succession after a role swap ("having the right
// monitors checking the correct" servers). Traffic stays where it is.
func Reorder(t Traffic, v View, _ Rules, w Wish, now time.Time) (Traffic, error) {
	what := t.Group + ": the order was not changed"
	if err := common(t, w, what); err != nil {
		return t, err
	}
	if t.Serving == "" { // a Lost Traffic must not be stored
		return t, unknown(t, what)
	}
	if !slices.Equal(slices.Sorted(slices.Values(w.Order)), slices.Sorted(slices.Values(t.Order))) {
		return t, &Refusal{
			BadWish, what, fmt.Sprintf("%v does not name each of %v once", w.Order, t.Order),
			"Name every node of the group, once.", "understudy status " + t.Group,
		}
	}
	if slices.Equal(w.Order, t.Order) {
		return t, &Refusal{BadWish, what, "that is the order already", "Nothing to do.", "understudy status " + t.Group}
	}
	next := t.changed(Reordered, v, now).by(w)
	next.Order = slices.Clone(w.Order)
	return next, nil
}

// HoldTraffic freezes routing. A hold of another owner is replaced only by
// force; its own owner changes it, and the time since when it holds stays.
func HoldTraffic(t Traffic, v View, _ Rules, w Wish, now time.Time) (Traffic, error) {
	what := t.Group + ": not held"
	if err := common(t, w, what); err != nil {
		return t, err
	}
	if w.Owner == "" {
		w.Owner = w.Actor
	}
	switch {
	case t.Serving == "":
		return t, unknown(t, what)
	case t.Hold != nil && t.Hold.Owner != w.Owner && !w.Force:
		return t, &Refusal{
			Held, what, fmt.Sprintf("%s holds it since %s (%s)", t.Hold.Owner, stamp(t.Hold.Since), t.Hold.Reason),
			"Leave it, or release it first.", readHold,
		}
	case !w.Until.IsZero() && !w.Until.After(now):
		return t, &Refusal{BadWish, what, "its end " + stamp(w.Until) + " has passed", "Give a time to come.", readHold}
	}
	if err := w.outage(what, now); err != nil {
		return t, err
	}
	next := t.changed(HeldBy, v, now).by(w)
	next.Forced = w.Force
	next.Hold = &Hold{Owner: w.Owner, Reason: w.Reason, Since: now, Until: w.Until, OutageUntil: w.Outage}
	if t.heldBy(w.Owner) {
		next.Hold.Since = t.Hold.Since
	}
	return next, nil
}

// Release ends a hold, whoever made it.
func Release(t Traffic, v View, _ Rules, w Wish, now time.Time) (Traffic, error) {
	what := t.Group + ": not released"
	if err := common(t, w, what); err != nil {
		return t, err
	}
	switch {
	case t.Serving == "":
		return t, unknown(t, what)
	case t.Hold == nil:
		return t, &Refusal{NotHeld, what, "nothing holds it", "Nothing to do.", readHold}
	}
	next := t.changed(Released, v, now).by(w)
	next.Hold, next.QueueUntil = nil, time.Time{}
	return next, nil
}

// NotStarted is the refusal of any wish before the group's first Traffic.
func NotStarted(group string) *Refusal {
	return &Refusal{
		Starting, group + ": nothing was changed", "not every node has been read yet, so nobody serves yet",
		"Try again in a moment.", "understudy status " + group,
	}
}

// Overtaken is the refusal of a wish when another process was first.
func Overtaken(group string, epoch uint64) *Refusal {
	return &Refusal{
		StaleEpoch, group + ": nothing was changed", fmt.Sprintf("another process changed the group meanwhile, to epoch %d", epoch),
		"Look again, then decide again.", "understudy status " + group,
	}
}

// common refuses what no verb takes: no reason, or an epoch that is not the
// one in force.
func common(t Traffic, w Wish, what string) error {
	switch {
	case w.Reason == "":
		return &Refusal{BadWish, what, "no reason was given", "Say why, for the history: --reason TEXT", "understudy history " + t.Group}
	case w.Epoch != 0 && w.Epoch != t.Epoch:
		return &Refusal{
			StaleEpoch, what, fmt.Sprintf("you were shown epoch %d, but it is %d by now", w.Epoch, t.Epoch),
			"Look again, then decide again.", "understudy status " + t.Group,
		}
	}
	return nil
}

func (t Traffic) by(w Wish) Traffic {
	t.Actor, t.Claimed, t.Words = w.Actor, w.Claimed, w.Reason
	return t
}

// words says in short what the last reading found.
func (s Sight) words() string {
	switch {
	case !s.Known():
		return "not read yet"
	case s.Available():
		return s.Last.State.String()
	}
	return string(s.Last.Cause)
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

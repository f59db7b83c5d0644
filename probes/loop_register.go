package probes

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// registerTime is how long the loop waits for the register, which a lock's
// holder or a network may keep from answering.
const registerTime = 10 * time.Second

// turns is how often the loop follows another process that was first before it
// leaves a matter for the next time.
const turns = 3

// watch hears of changes by other processes from now on, and says whether it
// does.
func (l *loop) watch() bool {
	changes, err := l.register.Watch(l.ctx, l.group)
	if err != nil && !l.deaf {
		l.log.Error("the register cannot be watched; changes by other processes are seen late", "error", err)
	}
	l.changes, l.deaf = changes, err != nil
	return err == nil
}

// mend tries again what the register has refused.
func (l *loop) mend() {
	if l.changes == nil && l.watch() {
		l.reload()
	}
	switch {
	case l.first != nil:
		_ = l.save(*l.first)
	case l.blocked:
		l.load()
	}
	if l.unfit {
		l.settle()
	}
}

// load takes the stored Traffic into force, at the start and when the register
// can be read at last.
func (l *loop) load() {
	t, err := l.read()
	var damaged *ha.Damaged
	var adrift *ha.Adrift
	switch {
	case err == nil:
		l.take(t)
	case errors.As(err, &adrift):
		l.drift(adrift)
	case errors.Is(err, ha.ErrNone):
		l.take(ha.Traffic{Group: l.group})
	case errors.As(err, &damaged):
		l.log.Error("the stored traffic cannot be read; the group is held", "error", err)
		l.take(ha.Lost(l.group, l.plan.Names(), damaged.Floor, damaged.Why, time.Now()))
	case !l.blocked:
		l.log.Error("the register cannot be read; the group is held and it is tried again", "error", err)
		l.wait(err)
	}
	l.unfit = true
}

// take takes into force what the register has, or what it leads to.
func (l *loop) take(t ha.Traffic) {
	l.traffic, l.stored, l.blocked, l.first = t, nil, false, nil
}

// wait holds the group until the register works again.
func (l *loop) wait(err error) {
	l.traffic = ha.Lost(l.group, l.plan.Names(), 0, err.Error(), time.Now())
	l.blocked = true
}

// reload takes over what another process has stored. A Traffic that cannot be
// read any more leaves the one in force as it is: it is known to have held. It
// is stored again, unless a later one is known to have been written.
func (l *loop) reload() {
	t, err := l.read()
	var damaged *ha.Damaged
	var adrift *ha.Adrift
	switch now := l.traffic; {
	case errors.As(err, &adrift):
		l.drift(adrift)
	case errors.Is(err, ha.ErrNone):
		l.restore(0)
	case errors.As(err, &damaged) && l.knows(damaged):
		l.replace(damaged)
	case err != nil:
		l.log.Error("the register cannot be read; traffic stays as it was", "error", err)
	case t.Epoch > now.Epoch, t.Epoch == now.Epoch && (now.Serving == "" || now.Adrift != ""):
		l.take(t)
		if now.Serving != "" && now.Serving != t.Serving {
			l.anew(t.Serving)
		}
		l.unfit = l.unfit || now.Serving == ""
	case t.Epoch < now.Epoch:
		l.restore(t.Epoch)
	}
}

// anew begins the readings of a node anew that another process, or a person,
// has chosen. They may know it better than we do: misses from before that must
// not undo what has just been decided.
func (l *loop) anew(node string) {
	if was := l.next[node]; was != nil {
		l.next[node] = &schedule{key: was.key, due: time.Now()}
		l.view = l.view.Keep(l.plan.Names(), []string{node})
	}
}

// knows says whether the Traffic in force is what a damaged one was, or later.
func (l *loop) knows(damaged *ha.Damaged) bool {
	return l.traffic.Serving != "" && damaged.Floor <= l.traffic.Epoch
}

// replace stores the Traffic in force in place of a damaged one.
func (l *loop) replace(damaged *ha.Damaged) {
	next := ha.Restore(l.traffic, damaged.Why)
	switch err := l.write(l.traffic.Epoch, next); {
	case err == nil:
		l.log.Error("the stored traffic was damaged; the one in force is stored again", "error", damaged)
		l.take(next)
	case !errors.Is(err, ha.ErrStale):
		l.failed(err)
	}
}

// failed logs once that the register cannot be written.
func (l *loop) failed(err error) {
	if l.stored == nil {
		l.log.Error("traffic cannot be stored, so it does not move", "error", err)
	}
	l.stored = err
}

// restore stores the Traffic in force again, after the register went back to
// an earlier one, or to none (was 0): else it would take no later one.
func (l *loop) restore(was uint64) {
	if l.traffic.Serving == "" {
		return
	}
	l.log.Warn("the register went back; the traffic in force is stored again", "epoch", l.traffic.Epoch, "stored", was)
	if err := l.write(was, l.traffic); err != nil && !errors.Is(err, ha.ErrStale) {
		l.failed(err)
	}
}

// settle fits the order in force to the plan.
func (l *loop) settle() {
	l.unfit = false
	if l.traffic.Serving == "" {
		l.traffic.Order = l.plan.Names()
		return
	}
	if _, _, misfit := ha.Fit(l.traffic, l.plan.Names(), time.Now()); misfit != nil {
		l.log.Error("the configuration does not fit the stored traffic", "error", misfit)
		return
	}
	l.unfit = l.fit(l.plan) != nil
}

// fit stores the order of succession that a plan asks for.
func (l *loop) fit(p Plan) (err error) {
	for range turns {
		t, changed, misfit := ha.Fit(l.traffic, p.Names(), time.Now())
		if misfit != nil || !changed || l.traffic.Serving == "" || l.traffic.Adrift != "" {
			return misfit
		}
		if err = l.save(t); !errors.Is(err, ha.ErrStale) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("store the changed order of group %s: %w", l.group, err)
	}
	return nil
}

// save stores t in place of the Traffic in force and takes it into force. If
// another process was first, its Traffic comes into force instead.
func (l *loop) save(t ha.Traffic) error { return l.kept(t, l.write(l.traffic.Epoch, t)) }

// kept goes on after t was to be stored.
func (l *loop) kept(t ha.Traffic, err error) error {
	var damaged *ha.Damaged
	switch {
	case err == nil:
		l.take(t)
	case errors.Is(err, ha.ErrStale):
		l.reload()
	case errors.As(err, &damaged) && l.knows(damaged): // t follows with the next turn
		l.replace(damaged)
	default:
		l.failed(err)
	}
	return err
}

// read gives what is stored.
func (l *loop) read() (ha.Traffic, error) {
	ctx, cancel := context.WithTimeout(l.ctx, registerTime)
	defer cancel()
	return l.register.Load(ctx, l.group)
}

// write stores t if the stored epoch is was.
func (l *loop) write(was uint64, t ha.Traffic) error {
	ctx, cancel := context.WithTimeout(l.ctx, registerTime)
	defer cancel()
	return l.register.Save(ctx, was, t)
}

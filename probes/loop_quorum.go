package probes

import (
	"context"
	"slices"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// Voter is what a Register also is where several watchers share it: each says
// what it reads of the serving node, and hears the others.
type Voter interface {
	// Name gives this watcher's name among them.
	Name() string
	// Watchers gives how many watchers are configured.
	Watchers() int
	// Vote publishes what this watcher says of a group. It does not wait.
	Vote(v ha.Vote)
	// Votes gives what the other watchers say of a group now.
	Votes(group string) []ha.Vote
	// Heard gives a channel that receives after every change of that,
	// coalesced; it is closed when ctx ends.
	Heard(ctx context.Context, group string) (<-chan struct{}, error)
}

// voterOf gives the Voter that a register is, or that one is which is opened
// only when a group starts.
func voterOf(r Register) (Voter, bool) {
	if late, ok := r.(interface{ Opened() Register }); ok {
		r = late.Opened()
	}
	voter, shared := r.(Voter)
	return voter, shared
}

// choir is what a loop knows of the other watchers.
type choir struct {
	voter Voter           // nil where this watcher is alone
	heard <-chan struct{} // nil while nothing can be heard
	said  ha.Vote         // by this watcher, last
	votes []ha.Vote       // of the others, when they were last heard
}

// join begins to hear the other watchers, if the register has any.
func (l *loop) join() {
	voter, shared := voterOf(l.register)
	if !shared {
		return
	}
	l.voter = voter
	heard, err := voter.Heard(l.ctx, l.group)
	if err != nil {
		l.log.Error("the other watchers cannot be heard", "error", err)
	}
	l.heard = heard
	l.count()
}

// count puts the configured number of watchers into the rules: it is the
// register's, so that no group can have another.
func (l *loop) count() {
	if l.voter != nil {
		l.plan.Rules.Watchers = l.voter.Watchers()
	}
}

// vote says what this watcher reads, if that is news.
func (l *loop) vote() {
	if l.voter == nil {
		return
	}
	v := l.voice()
	if l.said.Group != "" && v.Same(l.said) {
		return
	}
	l.said = v
	l.voter.Vote(v)
}

// voice gives what this watcher says now.
func (l *loop) voice() ha.Vote {
	v := ha.Voice(l.traffic, l.view, time.Now())
	if v.Stance == l.said.Stance && v.Serving == l.said.Serving {
		v.Since = l.said.Since
	}
	return v
}

// say gives what all watchers say, this one first.
func (l *loop) say() []ha.Vote {
	if l.voter == nil {
		return nil
	}
	ours := l.voice()
	ours.Watcher = l.voter.Name()
	return append([]ha.Vote{ours}, l.voter.Votes(l.group)...)
}

// weigh takes what the others say now into the view.
func (l *loop) weigh() {
	if l.voter != nil {
		l.view = l.view.Weigh(l.traffic, l.voter.Votes(l.group))
	}
}

// listen takes note that another watcher says something else. If it misses the
// serving node that is a reason to look at once, never a decision.
func (l *loop) listen(open bool) {
	if !open {
		l.heard = nil
		return
	}
	was := l.votes
	l.votes = l.voter.Votes(l.group)
	for _, v := range l.votes {
		if v.Serving == l.traffic.Serving && v.Epoch == l.traffic.Epoch && lost(v) && !slices.ContainsFunc(was, v.Same) {
			l.glance(v.Serving)
			return
		}
	}
}

func lost(v ha.Vote) bool { return v.Stance == ha.StanceMissing || v.Stance == ha.StanceDown }

// glance brings the probe of a node forward that has missed none here, not more
// often than the fast interval.
func (l *loop) glance(node string) {
	s := l.next[node]
	if s == nil || l.view.Of(node).Misses > 0 {
		return
	}
	kick := later(time.Now(), s.kicked.Add(l.plan.Rules.FastInterval))
	if kick.Before(s.due) {
		s.kicked, s.due = kick, kick
	}
}

// drift goes on by the last known Traffic where the register does not bear it
// out; it is tried again.
func (l *loop) drift(a *ha.Adrift) {
	t := a.Traffic()
	if now := l.traffic; now.Serving != "" && now.Epoch >= t.Epoch {
		t = now
		t.Adrift = a.Reason
	}
	if l.traffic.Adrift != a.Reason {
		l.log.Error("clients are sent on by the last known traffic, and nothing is decided", "reason", a.Reason, "serving", t.Serving, "epoch", t.Epoch, "error", a)
	}
	l.take(t)
	l.blocked = true
}

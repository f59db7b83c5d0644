package caddymodule

import (
	"sync"
	"time"
)

// maxSilence bounds how long a slow application may make silence last before
// it counts as evidence.
const maxSilence = 30 * time.Second

// silence notices that a node gets requests and answers none: a hang gives no
// error. It is evidence, so on a slow application it must not cry often: every
// false alarm doubles the patience, every minute without one halves it again.
type silence struct {
	finished int64         // at the last look
	since    time.Time     // since when requests are out and none has finished
	patience time.Duration // how long that may last; zero: the base
	cried    bool          // the alarm has been given and not been settled
	settled  time.Time     // when patience was last changed
}

// traffic is what a look sees of a node.
type traffic struct {
	started, finished int64
	suspect           bool // the last alarm has not been settled by a good reading
}

// look says at now whether the node's silence is evidence. base is the
// patience to begin with.
func (q *silence) look(now time.Time, t traffic, base time.Duration) bool {
	q.patience = max(q.patience, base)
	if q.cried && !t.suspect { // a good reading came: the application is just slow
		q.cried, q.settled = false, now
		q.patience = min(2*q.patience, max(maxSilence, base))
		q.since = now
	}
	if now.Sub(q.settled) >= time.Minute {
		q.patience, q.settled = max(q.patience/2, base), now
	}
	if t.started == t.finished || t.finished != q.finished || q.since.IsZero() {
		q.finished, q.since = t.finished, later(q.since, now)
		return false
	}
	if t.suspect || now.Sub(q.since) < q.patience {
		return false
	}
	q.cried, q.since = true, now
	return true
}

// later gives the later of two times.
func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// ear listens for the silence of one group's serving node.
type ear struct {
	server *server
	silence
}

// sweeper looks at all groups that have had requests in one goroutine, several
// times in the shortest fast interval: a thousand timers would cost more than
// the probes.
type sweeper struct {
	mu     sync.Mutex // guards the fields below
	groups map[*group]*ear
	stop   chan struct{}
}

var sweep = sweeper{groups: map[*group]*ear{}}

func (s *sweeper) add(g *group) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.groups[g] == nil {
		s.groups[g] = &ear{}
	}
	if s.stop == nil {
		s.stop = make(chan struct{})
		go s.run(s.stop)
	}
}

func (s *sweeper) remove(g *group) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.groups, g)
	if len(s.groups) == 0 && s.stop != nil {
		close(s.stop)
		s.stop = nil
	}
}

func (s *sweeper) run(stop chan struct{}) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-stop:
			return
		case now := <-timer.C:
			timer.Reset(s.turn(now))
		}
	}
}

// turn looks once at every group and says when to look again.
func (s *sweeper) turn(now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	pause := 100 * time.Millisecond
	for g, e := range s.groups {
		serving := g.route.choice.Load().serving
		if serving == nil || serving == e.server && serving.started.Load() == serving.finished.Load() {
			continue // nothing is out
		}
		if fast := g.listen(e, serving, now); fast > 0 {
			pause = min(pause, max(fast/4, 10*time.Millisecond))
		}
	}
	return pause
}

// listen looks at one group's serving node and gives the group's fast
// interval. A node that has just been chosen has a probe's timeout to begin to
// answer.
func (g *group) listen(e *ear, s *server, now time.Time) time.Duration {
	situation := g.watcher.Situation()
	if e.server != s {
		grace := time.Duration(0)
		if s.successor {
			grace = situation.Rules.Timeout
		}
		*e = ear{server: s, silence: silence{since: now.Add(grace), settled: now}}
	}
	seen := traffic{
		started: s.started.Load(), finished: s.finished.Load(),
		suspect: situation.View.Of(s.node).Silent,
	}
	if e.look(now, seen, situation.Rules.FastInterval) {
		go g.watcher.Hush(s.node)
	}
	return situation.Rules.FastInterval
}

package caddymodule

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// maxDials is how many connections to a node may be under way at once when a
// queue is released.
const maxDials = 64

// moment is how long one of those who waited keeps the next from following,
// unless it is answered before.
const moment = 20 * time.Millisecond

// many is how many have to wait for their release to be worth a collection of
// garbage of its own.
const many = 1000

// choice is what a request goes by: an immutable picture of a Situation.
type choice struct {
	serving  *server // nil: nobody
	node     string
	queue    ha.Queueing
	reason   ha.Reason
	hopeless bool          // the serving node is down and traffic stays on it
	frozen   bool          // every request waits for a planned swap
	changed  chan struct{} // closed when another choice has taken this one's place
}

// calm says whether every request goes out at once and may be tried again.
func (c *choice) calm() bool {
	return c.queue == ha.QueueNone && c.serving != nil && !c.hopeless && c.serving.knock.Load() == nil
}

// starting gives what ends when the serving node, which refuses, may be tried
// again; nil if it need not be waited for.
func (c *choice) starting() chan struct{} {
	if c.serving != nil && !c.hopeless {
		if k := c.serving.knock.Load(); k != nil {
			return k.over
		}
	}
	return nil
}

// why is the reason for which a request is turned away: the rule's, but where
// that has nothing against the node, or has just chosen it, that it refuses.
func (c *choice) why() ha.Reason {
	if c.starting() != nil && (c.reason == ha.Serving || c.serving.young.Load()) {
		return ha.Starting
	}
	return c.reason
}

// route sends the requests of one group. Its choice is written by the
// Watcher's loop alone; anybody may read it.
type route struct {
	choice  atomic.Pointer[choice]
	doubt   func(node, why string) // tells the Watcher of evidence; returns when the choice has it
	dials   chan struct{}          // a place for each dial under way
	waiting atomic.Int64           // requests that wait now
	door    chan struct{}          // a place for each of those who waited and go out now

	turnedAway atomic.Uint64 // requests answered 503 by us
	closed     atomic.Uint64 // connections closed at a failover

	mu      sync.Mutex // guards the fields below
	arrived bool       // the serving node has been Active since it was chosen
	servers map[string]*server
	address map[string]string // by node: host:port for traffic

	transports map[*Transport]struct{}
}

func newRoute(doubt func(node, why string)) *route {
	r := &route{
		doubt: doubt, dials: make(chan struct{}, maxDials), door: make(chan struct{}, maxDials),
		servers: map[string]*server{}, address: map[string]string{}, transports: map[*Transport]struct{}{},
	}
	r.choice.Store(&choice{queue: ha.QueueAll, reason: ha.Starting, changed: make(chan struct{})})
	return r
}

// place takes new traffic addresses. A node whose address changed gets new
// connections at the new one; the old ones go on until a failover.
func (r *route) place(address map[string]string, s ha.Situation) {
	r.mu.Lock()
	r.address = address
	r.mu.Unlock()
	r.tell(s)
}

// tell makes the choice that a Situation asks for: the old serving node is
// fenced first, then the choice is swapped and those who wait are released,
// then the old node's connections are closed.
func (r *route) tell(s ha.Situation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.choice.Load()
	promotes := r.promotes(s, old)
	next := &choice{
		node: s.Target, queue: s.Queue, reason: s.Decision.Reason,
		hopeless: s.Decision.Verb == ha.Wait && s.Traffic.Serving != "" && s.View.Of(s.Traffic.Serving).Down() && !promotes,
		frozen:   frozen(s),
		changed:  make(chan struct{}),
	}
	next.serving = r.server(s.Target, old)
	if next.serving == nil && s.Target != "" {
		next.reason = ha.Unknown
	}
	if next.serving == old.serving && next.node == old.node && next.queue == old.queue &&
		next.reason == old.reason && next.hopeless == old.hopeless && next.frozen == old.frozen {
		return
	}
	leaves := old.serving != nil && old.serving != next.serving
	if leaves {
		old.serving.fence()
	}
	r.choice.Store(next)
	close(old.changed)
	if next.frozen && !old.frozen {
		time.AfterFunc(0, r.ebb)
	}
	if next.calm() && r.waiting.Load() > many {
		time.AfterFunc(time.Second, runtime.GC) // what thousands took is not left to grow to twice as much
	}
	if leaves && old.node != next.node {
		r.closed.Add(uint64(old.serving.close()))
	}
}

// promotes says whether the serving node has just been chosen and may still be
// starting its application: its pages answer NotAvailable meanwhile, and
// requests wait for it. The caller holds r.mu.
func (r *route) promotes(s ha.Situation, old *choice) bool {
	if s.Target != old.node {
		r.arrived = false
	}
	serving := s.View.Of(s.Traffic.Serving)
	if serving.Last.State == ha.Active {
		r.arrived = true
	}
	return !r.arrived && serving.Rising() && s.Traffic.Left != "" && s.At.Sub(s.Traffic.Since) < s.Rules.PromotionTime
}

// server gives the open server of a node, the old choice's if it is the same.
// The caller holds r.mu.
func (r *route) server(node string, old *choice) *server {
	address := r.address[node]
	if address == "" {
		return nil
	}
	s := old.serving
	switch {
	case s == nil:
		return r.newServer(node, address, false)
	case s.node != node:
		return r.newServer(node, address, true)
	case s.address != address:
		moved := r.newServer(node, address, false)
		moved.before = s
		return moved
	}
	return s
}

// stop fences the serving node and closes its connections: the group is gone.
func (r *route) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.choice.Load()
	r.choice.Store(&choice{reason: ha.Unknown, changed: make(chan struct{})})
	close(old.changed)
	if old.serving != nil {
		old.serving.fence()
		old.serving.close()
	}
}

// follow lets those who waited go out close behind one another, not all in the
// same instant: thousands would open a connection each, and need the memory of
// thousands at once. The function it gives makes room for the next.
func (r *route) follow(ctx context.Context) (leave func()) {
	select {
	case r.door <- struct{}{}:
	case <-ctx.Done():
		return func() {}
	}
	timer := time.AfterFunc(moment, func() { <-r.door })
	return func() {
		if timer.Stop() {
			<-r.door
		}
	}
}

// outcome of waiting for a choice that a request can go by.
type outcome uint8

const (
	proceed  outcome = iota
	givenUp          // the deadline passed, or too many wait
	hopeless         // no node will take it
	gone             // the client went away
)

// patience says how long and with how many others a request may wait.
type patience struct {
	deadline time.Time
	most     int64
}

// settle waits until there is a choice that a request can go by: tried is where
// its last attempt has failed, nil if there was none, unsafe says that it could
// not be sent again.
func (r *route) settle(ctx context.Context, tried *server, unsafe bool, p patience) (*choice, outcome) {
	counted := false
	defer func() {
		if counted {
			r.waiting.Add(-1)
		}
	}()
	for {
		c := r.choice.Load()
		starting := c.starting()
		switch {
		case c.queue == ha.QueueAll, c.queue == ha.QueueUnsafe && (tried != nil || unsafe), starting != nil:
		case c.serving == nil, c.hopeless && (tried == c.serving || c.serving.knock.Load() != nil):
			return c, hopeless
		default:
			return c, proceed
		}
		if !counted {
			if r.waiting.Add(1) > p.most {
				r.waiting.Add(-1)
				return c, givenUp
			}
			counted = true
		}
		wait := time.Until(p.deadline)
		if wait <= 0 {
			return c, givenUp
		}
		timer := time.NewTimer(wait)
		select {
		case <-c.changed:
			timer.Stop()
		case <-starting:
			timer.Stop()
		case <-timer.C:
			return c, givenUp
		case <-ctx.Done():
			timer.Stop()
			return c, gone
		}
	}
}

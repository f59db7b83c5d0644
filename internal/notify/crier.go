package notify

import (
	"context"
	"slices"
	"sync"

	"github.com/understudy-ha/understudy/internal/ha"
)

// Crier passes Situations on: to everybody who has subscribed as they are, and
// to the teller in force what of them is worth a message. Watchers hand it
// their Situations and never wait; Run does the work.
type Crier struct {
	news chan ha.Situation

	mu          sync.Mutex // guards the fields below
	subscribers []chan ha.Situation
	tellers     []*teller // the newest is in force
}

// teller takes messages to their receivers.
type teller struct{ tell func(Message) }

// NewCrier gives a Crier that nobody listens to yet.
func NewCrier() *Crier { return &Crier{news: make(chan ha.Situation, 4096)} }

// Hear takes one Situation. One that comes while thousands wait is dropped; the
// next of its group says the same and more.
func (c *Crier) Hear(s ha.Situation) {
	select {
	case c.news <- s:
	default:
	}
}

// Run passes on what is heard until ctx ends, and then what was heard before.
func (c *Crier) Run(ctx context.Context) {
	told := map[string]Told{}
	for {
		select {
		case s := <-c.news:
			c.pass(told, s)
			continue
		case <-ctx.Done():
		}
		for len(c.news) > 0 {
			c.pass(told, <-c.news)
		}
		return
	}
}

func (c *Crier) pass(told map[string]Told, s ha.Situation) {
	after, messages := Describe(told[s.Traffic.Group], s)
	told[s.Traffic.Group] = after
	c.mu.Lock()
	for _, sub := range c.subscribers {
		select {
		case sub <- s:
		default: // a slow subscriber sees the next one
		}
	}
	var t *teller
	if n := len(c.tellers); n > 0 {
		t = c.tellers[n-1]
	}
	c.mu.Unlock()
	for _, m := range messages {
		if t != nil {
			t.tell(m)
		}
	}
}

// Subscribe gives a channel of Situations that is closed when ctx ends.
func (c *Crier) Subscribe(ctx context.Context) <-chan ha.Situation {
	sub := make(chan ha.Situation, 256)
	c.mu.Lock()
	c.subscribers = append(c.subscribers, sub)
	c.mu.Unlock()
	context.AfterFunc(ctx, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.subscribers = slices.DeleteFunc(c.subscribers, func(o chan ha.Situation) bool { return o == sub })
		close(sub)
	})
	return sub
}

// Employ has tell called with every message, in place of the teller before,
// until the returned function is called; then that one is in force again.
func (c *Crier) Employ(tell func(Message)) (dismiss func()) {
	t := &teller{tell}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tellers = append(c.tellers, t)
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.tellers = slices.DeleteFunc(c.tellers, func(o *teller) bool { return o == t })
	}
}

package caddymodule

import (
	"context"
	"slices"
	"sync"

	"github.com/caddyserver/caddy/v2"

	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/internal/notify"
)

// town is the process's one crier. The watchers' loops hand it every Situation
// and never wait; its goroutine passes them on.
var town = crier{news: make(chan ha.Situation, 4096)}

// crier tells the API's subscribers every Situation, and the configuration in
// force what of it is worth a message.
type crier struct {
	news  chan ha.Situation
	start sync.Once

	mu          sync.Mutex // guards the fields below
	subscribers []chan ha.Situation
	heralds     []*herald // of configurations that run; the newest is in force
	missed      uint64    // Situations that did not fit
}

// hear takes one Situation. It is what a Watcher's loop calls.
func (c *crier) hear(s ha.Situation) {
	c.start.Do(func() { go c.run() })
	select {
	case c.news <- s:
	default:
		c.mu.Lock()
		c.missed++
		c.mu.Unlock()
	}
}

func (c *crier) run() {
	told := map[string]notify.Told{}
	for s := range c.news {
		after, messages := notify.Describe(told[s.Traffic.Group], s)
		told[s.Traffic.Group] = after
		c.mu.Lock()
		for _, sub := range c.subscribers {
			select {
			case sub <- s:
			default: // a slow subscriber sees the next one
			}
		}
		var h *herald
		if n := len(c.heralds); n > 0 {
			h = c.heralds[n-1]
		}
		c.mu.Unlock()
		for _, m := range messages {
			h.tell(m)
		}
	}
}

// subscribe gives a channel of Situations until ctx ends.
func (c *crier) subscribe(ctx context.Context) <-chan ha.Situation {
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

func (c *crier) enter(h *herald) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heralds = append(c.heralds, h)
}

func (c *crier) leave(h *herald) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heralds = slices.DeleteFunc(c.heralds, func(o *herald) bool { return o == h })
}

// caddyEvents is how a herald emits Caddy events.
type caddyEvents interface {
	Emit(ctx caddy.Context, name string, data map[string]any) caddy.Event
}

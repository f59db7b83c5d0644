package notify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Notifier takes messages to every sender. Tell may be called from anywhere
// and at any time; Run, once, does the work.
type Notifier struct {
	lanes []*lane
	told  chan Message
	last  atomic.Int64 // time of the last ID, in Unix nanoseconds
	lost  atomic.Int64 // messages for which there was no room in told, not yet logged
	log   *slog.Logger
}

// New gives a Notifier that has its queues on disk and delivers nothing before
// Run. A nil m counts where nobody looks.
func New(cfg Config, senders []Sender, m *Metrics, log *slog.Logger) (*Notifier, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	if m == nil {
		m = NewMetrics(nil)
	}
	cfg = cfg.filled()
	n := &Notifier{told: make(chan Message, cfg.Buffer), log: log}
	seen := map[string]bool{}
	for _, s := range senders {
		name := s.Name()
		if err := checkName(name); err != nil {
			return nil, err
		}
		if seen[name] {
			return nil, fmt.Errorf("sender %s is configured twice", name)
		}
		seen[name] = true
		q, err := openQueue(filepath.Join(cfg.Dir, "queue", name), cfg.Limit)
		if err != nil {
			return nil, fmt.Errorf("make queue of %s: %w", name, err)
		}
		if t := q.newest(); !t.IsZero() {
			n.last.Store(max(n.last.Load(), t.UnixNano()))
		}
		n.lanes = append(n.lanes, newLane(s, q, cfg.GiveUp, m.figures(name), log))
	}
	return n, nil
}

const nameLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_"

func checkName(name string) error {
	if name == "" || name[0] == '.' || len(name) > 200 || strings.Trim(name, nameLetters) != "" {
		return fmt.Errorf("sender name %.80q: letters, digits, dot, dash and underscore, no dot in front", name)
	}
	return nil
}

// Tell has m sent to every sender and returns at once. It gives m its ID, and
// At and Severity where they are missing. When more is told than the disk can
// take, m is dropped, counted and logged.
func (n *Notifier) Tell(m Message) {
	at := n.next()
	m.ID = newID(at)
	m.Severity = cmp.Or(m.Severity, Warning)
	if m.At.IsZero() {
		m.At = at
	}
	select {
	case n.told <- m:
	default:
		n.lost.Add(1)
		for _, l := range n.lanes {
			l.figures.count(unfiled)
		}
	}
}

// next gives the time, later than that of any message before.
func (n *Notifier) next() time.Time {
	for {
		last := n.last.Load()
		next := max(time.Now().UnixNano(), last+1)
		if n.last.CompareAndSwap(last, next) {
			return time.Unix(0, next)
		}
	}
}

// Run files and delivers until ctx is done; then it files what was told, gives
// deliveries that are on their way a moment, and waits for all its goroutines.
// What is not delivered by then stays in the queues for the next start.
func (n *Notifier) Run(ctx context.Context) error {
	var lanes sync.WaitGroup
	for _, l := range n.lanes {
		lanes.Go(func() { l.run(ctx) })
	}
	n.file(ctx)
	lanes.Wait()
	return n.leave()
}

// file writes what is told into the queues.
func (n *Notifier) file(ctx context.Context) {
	for {
		select {
		case m := <-n.told:
			n.put(m)
		case <-ctx.Done():
			n.drain()
			return
		}
	}
}

func (n *Notifier) put(m Message) {
	if lost := n.lost.Swap(0); lost > 0 {
		n.log.Error("notifications dropped: told faster than they could be filed", "count", lost)
	}
	for _, l := range n.lanes {
		l.put(m)
	}
}

// drain files what is told already.
func (n *Notifier) drain() {
	for {
		select {
		case m := <-n.told:
			n.put(m)
		default:
			return
		}
	}
}

// leave files what was told while the lanes ended, and gives an error for
// messages that are lost because they are only in memory.
func (n *Notifier) leave() error {
	n.drain()
	var lost []error
	for _, l := range n.lanes {
		if left := l.queue.settle(); left > 0 {
			lost = append(lost, fmt.Errorf("%d notifications for %s are lost: they could not be written", left, l.sender.Name()))
		}
	}
	return errors.Join(lost...)
}

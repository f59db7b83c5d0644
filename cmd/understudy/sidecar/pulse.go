package sidecar

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/internal/notify"
	"github.com/understudy-ha/understudy/probes"
)

const (
	// late is how much later than the rules say something may come before it
	// counts as missing: a register that is locked, or a machine that is busy,
	// holds a loop up for seconds.
	late = 10 * time.Second

	// hopeless is how long after that systemd is no longer told that all is
	// well.
	hopeless = 30 * time.Second

	lookEvery = time.Second
)

// overdue says how long a watcher has been without the progress that its rules
// promise, and what is missing; zero if nothing is. The loop turns at least
// once an interval, and each node is read an interval after the reading before.
func overdue(s ha.Situation, since, now time.Time) (by time.Duration, what string) {
	pace := s.Rules.Interval + s.Rules.Interval/5 + late
	turned := s.At
	if turned.Before(since) {
		turned = since
		pace += ha.DefaultRules().Interval // the rules in force are not known yet
	}
	by, what = now.Sub(turned)-pace, "its loop does not turn"
	for _, n := range s.View {
		begun := n.Last.At
		if !n.Known() {
			begun = since
		}
		if b := now.Sub(begun) - pace - 2*s.Rules.Timeout; b > by {
			by, what = b, "no reading of node "+n.Node+" comes"
		}
	}
	return max(by, 0), what
}

// pulse looks whether the watchers make progress. It alarms when one does not,
// and tells systemd as long as none is hopeless.
type pulse struct {
	groups *groups
	tell   func(notify.Message)
	alive  func() // tells systemd, may be nil
	every  time.Duration
	log    *slog.Logger

	mu    sync.Mutex // guards the field below
	stale map[string]bool
}

// run looks until ctx ends.
func (p *pulse) run(ctx context.Context) {
	tick := time.NewTicker(p.every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if p.look(now) && p.alive != nil {
				p.alive()
			}
		}
	}
}

// look looks at every watcher, and says whether there is hope for all.
func (p *pulse) look(now time.Time) (hope bool) {
	hope = true
	stale := map[string]bool{}
	for _, name := range p.groups.Names() {
		w := p.groups.find(name)
		if w == nil {
			continue
		}
		s := w.Watcher.Situation()
		by, what := overdue(s, w.since, now)
		stale[name] = by > 0
		hope = hope && by < hopeless
		switch was := p.isStale(name); {
		case stale[name] && !was:
			p.log.Error("a watcher makes no progress", "group", name, "why", what, "late", by.Round(time.Millisecond))
			p.tell(staleMessage(s, fmt.Sprintf("The watcher of %s makes no progress: %s. What is said of the group is old.", name, what), now))
		case was && !stale[name]:
			p.log.Info("a watcher makes progress again", "group", name)
			m := staleMessage(s, "The watcher of "+name+" makes progress again.", now)
			m.Key, m.Event, m.Severity, m.Do, m.Ends = "", notify.Cleared, notify.Info, "", []ha.Reason{probes.Stale}
			p.tell(m)
		}
	}
	p.mu.Lock()
	p.stale = stale
	p.mu.Unlock()
	return hope
}

func (p *pulse) isStale(group string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stale[group]
}

func staleMessage(s ha.Situation, text string, now time.Time) notify.Message {
	group := s.Traffic.Group
	return notify.Message{
		Key: group + "/" + string(probes.Stale), Group: group, Event: probes.Stale, Severity: notify.Alarm, At: now,
		Epoch: s.Traffic.Epoch, To: s.Traffic.Serving, Text: text,
		Do: "Look at the load and the log of the machine that the sidecar runs on; if nothing helps restart it, for its decisions last.",
	}
}

package probes

import (
	"context"
	"sync"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// Pool watches a group of companions that share clients among them: there is no
// decision to make and nothing to keep, only who is available. Every node is
// asked for its status page.
type Pool struct {
	Group string
	Plan  Plan               // its rules: Interval, FastInterval and Fall count
	Tell  func(ha.Situation) // is called after every reading, by one goroutine at a time

	mu   sync.Mutex // guards the field below; held while Tell is called
	view ha.View
}

// Run watches until ctx ends, and the last probe has.
func (p *Pool) Run(ctx context.Context) {
	p.mu.Lock()
	p.view = ha.NewView(p.Plan.Names())
	p.mu.Unlock()
	var probing sync.WaitGroup
	for _, n := range p.Plan.Nodes {
		probing.Go(func() { p.watch(ctx, n) })
	}
	probing.Wait()
}

// View gives what is known of the nodes.
func (p *Pool) View() ha.View {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.view
}

// watch probes one node again and again.
func (p *Pool) watch(ctx context.Context, n Node) {
	rules := p.Plan.Rules
	for {
		r := n.Looker.Check([]ha.Page{ha.StatusPage})
		if ctx.Err() != nil {
			return
		}
		missed := p.take(r)
		due := rules.Due(r, missed)
		if !missed {
			due = later(r.End(), due.Add(jitter(rules.Interval)))
			due = due.Add(together(due, rules.Interval))
		}
		timer := time.NewTimer(time.Until(due))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// take takes in a reading and tells what is known now. It says whether the node
// was missed and is not down yet.
func (p *Pool) take(r ha.Reading) (missed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.view = p.view.Observe(r, "", p.Plan.Rules.Fall)
	p.Tell(ha.Situation{At: r.End(), Traffic: ha.Traffic{Group: p.Group}, View: p.view, Rules: p.Plan.Rules})
	s := p.view.Of(r.Node)
	return s.Misses > 0 && !s.Down()
}

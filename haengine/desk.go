package haengine

import (
	"context"
	"fmt"

	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/internal/remote"
)

// Desk is where trusted hosts ask the engine.
type Desk struct{ engine *Engine }

var _ remote.Desk = Desk{}

// Desk gives it.
func (e *Engine) Desk() Desk { return Desk{e} }

// Report tells how this node is, as its pages do.
func (d Desk) Report(context.Context) (ha.Report, string, error) {
	s, now := d.engine.now.Load(), d.engine.Clock()
	if s.Broken != "" {
		return ha.Report{}, "", fmt.Errorf("the engine decides nothing: %s", s.Broken)
	}
	r, said := d.engine.report(s, now)
	return r, said, nil
}

// report gives what a node tells of itself at an instant, and the words of its
// page.
func (e *Engine) report(s *Snapshot, now ha.Instant) (ha.Report, string) {
	state, why := e.state(s, now)
	r := s.machine.Report(s.Member, now)
	r.State, r.Known = state, max(s.Member.Served, s.Member.Seen)
	_, said := ha.FormatPage(ha.HAStatusPage, state)
	if why != "" {
		said += " (" + why + ")"
	}
	return r, said
}

// Hear takes what a node tells of itself. Only the peer's word counts: another
// trusted node, such as that of another site, is told and not heard.
func (d Desk) Hear(ctx context.Context, peer string, t remote.Telling) (ha.Report, string, error) {
	e := d.engine
	if peer != e.PeerName {
		return d.Report(ctx)
	}
	_, err := e.run(ctx, func() Outcome {
		what := "told"
		on := ha.OnPeerSays
		if t.Asks {
			on, what = ha.OnPeerAsks, "asked"
		}
		s := Sight{Well: t.Report.State == ha.Active, Heard: true, Report: t.Report, Said: "it says so itself"}
		e.look(s, nil)
		e.note(fmt.Sprintf("%s by %s: %v, epoch %d", what, peer, t.Report.State, t.Report.Served))
		return e.step(ha.Event{On: on, Peer: t.Report})
	})
	if err != nil {
		return ha.Report{}, "", err
	}
	return d.Report(ctx)
}

// StepDown has this node stop serving, if it is the peer that asks and it means
// the present reign.
func (d Desk) StepDown(ctx context.Context, peer string, s remote.StepDown) error {
	e := d.engine
	if peer != e.PeerName {
		return &ha.Refusal{What: "nothing was done", Why: peer + " is not the peer of " + e.Name, Do: "Ask from " + e.PeerName + "."}
	}
	_, err := e.by(ctx, "node "+peer, func() Outcome {
		e.note(fmt.Sprintf("%s asks to step down from epoch %d, firmly: %v", peer, s.Epoch, s.Firm))
		return e.step(ha.Event{On: ha.OnStepDown, Epoch: s.Epoch, Firm: s.Firm})
	})
	return err
}

// by has the owner do something that somebody has said.
func (e *Engine) by(ctx context.Context, actor string, do func() Outcome) (Outcome, error) {
	return e.run(ctx, func() Outcome {
		e.actor = actor
		defer func() { e.actor = "" }()
		return do()
	})
}

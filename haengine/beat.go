package haengine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// seen is what is known of the peer.
type seen struct {
	Sight
	at    time.Time // of the last answer; zero: none yet
	words string    // of the last look, for people
}

// ask looks at the peer in a goroutine of its own, for at most the attempt
// timeout; then the owner goes on.
func (e *Engine) ask(look func(context.Context) (Sight, error), then func(Sight, error)) {
	timeout := e.settings.AttemptTimeout
	e.do(func(ctx context.Context) func() {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		s, err := look(ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("no answer within %v", timeout)
		}
		return func() {
			e.look(s, err)
			then(s, err)
		}
	})
}

// look notes what was seen of the peer.
func (e *Engine) look(s Sight, err error) {
	if e.peer.words = s.words(err); err == nil {
		e.peer.Sight, e.peer.at = s, time.Now()
	} else {
		e.peer.Heard, e.peer.Well = false, false
	}
}

// alive gives a peer's report as the machine sees it. A node for disaster
// recovery takes the main site's Secondary for its Primary, and that one is well
// while it stands by (EPMM guide, three servers). Whatever that one knows to have
// served, this node comes after.
func (e *Engine) alive(r ha.Report) ha.Report {
	if e.Recovery {
		r.Served = max(r.Served, r.Known)
	}
	if e.Recovery && r.State == ha.Standby {
		r.State = ha.Active
	}
	return r
}

// beat is one heartbeat (EPMM guide, Step 6, Fail Over Controls): the peer must
// serve and be well.
func (e *Engine) beat() {
	e.beside(e.Peer.Look, func(s Sight, err error) {
		event := ha.Event{On: ha.OnBeatGood, Peer: e.alive(s.Report)}
		verdict := "good"
		if err != nil || !s.Well && event.Peer.State != ha.Active {
			event.On, event.Heard, verdict = ha.OnBeatBad, err == nil && s.Heard, "failed"
		}
		if err != nil {
			event.Peer = ha.Report{}
		}
		e.note(fmt.Sprintf("heartbeat of %s %s: %s", e.PeerName, verdict, s.words(err)))
		e.step(event)
	})
}

// askPeer asks whether this node may be Active.
func (e *Engine) askPeer() {
	own := e.machine.Report(e.member, e.Clock())
	e.beside(func(ctx context.Context) (Sight, error) { return e.Peer.Ask(ctx, own) }, e.answer)
}

// answer gives the machine what the peer says.
func (e *Engine) answer(s Sight, err error) {
	e.note(fmt.Sprintf("asked %s: %s", e.PeerName, s.words(err)))
	if err != nil {
		e.step(ha.Event{On: ha.OnPeerSilent})
		return
	}
	e.step(ha.Event{On: ha.OnPeerSays, Peer: e.alive(s.Report)})
}

// tell tells the peer how this node is, and learns how the peer is.
func (e *Engine) tell() {
	own := e.machine.Report(e.member, e.Clock())
	e.beside(func(ctx context.Context) (Sight, error) { return e.Peer.Tell(ctx, own) }, func(s Sight, err error) {
		if err == nil {
			e.step(ha.Event{On: ha.OnPeerSays, Peer: s.Report})
		}
	})
}

// askStepDown asks the peer to stop serving, then looks whether it has. A peer
// that cannot be asked is silent.
func (e *Engine) askStepDown(t task) {
	e.ask(func(ctx context.Context) (Sight, error) {
		if err := e.Peer.StepDown(ctx, t.Number, true); err != nil {
			return Sight{}, err
		}
		return e.Peer.Look(ctx)
	}, e.answer)
}

// passDecision tells the peer that the fronts have left it.
func (e *Engine) passDecision(t task) {
	timeout := e.settings.AttemptTimeout
	e.do(func(ctx context.Context) func() {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		err := e.Peer.StepDown(ctx, t.Number, false)
		return func() {
			if err != nil {
				e.note(fmt.Sprintf("the fronts' decision cannot be passed on to %s: %v", e.PeerName, err))
			}
		}
	})
}

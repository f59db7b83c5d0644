package haengine

import (
	"context"
	"fmt"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/internal/ha"
)

// undo brings the roles back to what they were. It goes on until it has done so,
// or a person has made this node Active.
func (w *swapper) undo(ctx context.Context) {
	why := w.s.Why
	for {
		state, err := w.back(ctx)
		if err == nil {
			w.s.Why = why
			w.end(state)
			return
		}
		if ctx.Err() != nil {
			return
		}
		if now := why + "; and it cannot be undone yet: " + err.Error(); now != w.s.Why {
			w.s.Why = now
			w.say("cannot be undone yet: " + err.Error())
		}
		if !w.wait(ctx) {
			return
		}
	}
}

// back is one try to undo.
func (w *swapper) back(ctx context.Context) (state string, err error) {
	own, err := w.own.Status(ctx)
	if err != nil {
		return "", err
	}
	state = nodeapi.SwapUndone
	switch {
	case own.State == ha.Active:
		state = nodeapi.SwapDone
	case own.Phase == ha.InWaiting || own.Phase == ha.InTaking || own.Phase == ha.InPromoting || own.Phase == ha.InRecording:
		if _, err := w.own.Role(ctx, "secondary", w.as(nodeapi.Request{}).Reason); err != nil {
			return "", err
		}
		if _, err := w.await(ctx, w.own, demoteTime, func(d nodeapi.Status) bool { return d.State == ha.Standby }); err != nil {
			return "", err
		}
	}
	if state == nodeapi.SwapUndone {
		if err := w.restore(ctx); err != nil {
			return "", err
		}
	}
	_, err = w.release(ctx)
	return state, err
}

// restore makes the peer Active again if it is not.
func (w *swapper) restore(ctx context.Context) error {
	d, err := ask(ctx, w.peer.Status)
	if err != nil {
		return fmt.Errorf("%w. If %s is down for good: failover mode primary", err, w.s.From)
	}
	if d.State != ha.Active {
		if _, err := ask(ctx, func(ctx context.Context) (nodeapi.Answer, error) {
			return w.peer.Role(ctx, "primary", "undo of "+w.as(nodeapi.Request{}).Reason)
		}); err != nil {
			return err
		}
		if _, err := w.await(ctx, w.peer, demoteTime, func(d nodeapi.Status) bool { return d.State == ha.Active }); err != nil {
			return err
		}
	}
	return nil
}

package haengine

import (
	"context"
	"fmt"
	"time"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/internal/ha"
)

// Lease is the key in the register that says who is Active (profile safe). Each
// method gives the event that tells what came of it; the engine adds what it
// knows itself: Attempt, Sent and Floor. An error is an unanswered request.
type Lease interface {
	// Take grants a lease by the name of an attempt and creates the key if it is
	// absent: OnLeaseGranted with Epoch, PeerServed, Revision and Cluster, or
	// OnLeaseRefused.
	Take(ctx context.Context, attempt uint64) (ha.Event, error)
	// Renew renews the lease of an attempt: OnLeaseRenewed with Revision and
	// Cluster, or OnLeaseGone.
	Renew(ctx context.Context, attempt uint64) (ha.Event, error)
	// Revoke ends the lease of an attempt by its id, and never the key.
	Revoke(ctx context.Context, attempt uint64) error
}

// Register is the rest of what the nodes of a pair share in profile safe.
type Register interface {
	// Read gives OnRegisterRead with Held, Epoch, PeerServed, Revision, Cluster.
	Read(ctx context.Context) (ha.Event, error)
	// Await returns nil once nobody has the key; an error if that cannot be seen.
	Await(ctx context.Context) error
	// RecordServed writes, guarded by the key, that this node serves at an epoch:
	// OnServedWritten or OnServedRefused.
	RecordServed(ctx context.Context, epoch uint64) (ha.Event, error)
	// Raise brings the revision above a number: OnRegisterRaised with Revision
	// and Cluster.
	Raise(ctx context.Context, above uint64) (ha.Event, error)
}

// request asks the register, and tells silent where it does not answer.
func (e *Engine) request(do func(context.Context) (ha.Event, error), floor uint64, silent ha.Event) {
	sent := e.Clock()
	e.do(func(ctx context.Context) func() {
		event, err := do(ctx)
		return func() {
			e.hearRegister(event, err)
			if err != nil {
				e.note(fmt.Sprintf("the register does not answer: %v", err))
				event = silent
			}
			event.Attempt, event.Sent, event.Floor = silent.Attempt, sent, floor
			e.step(event)
		}
	})
}

// hearRegister notes what the register has answered, for people.
func (e *Engine) hearRegister(event ha.Event, err error) {
	now := nodeapi.RegisterNow{Heard: err == nil, At: time.Now().UTC()}
	if err != nil {
		now.At, now.Last = e.answered.At, err.Error()
	} else if now.Last = event.On.String(); event.Epoch > 0 {
		now.Last += fmt.Sprintf(", epoch %d", event.Epoch)
	}
	e.answered = now
}

func (e *Engine) askRegister(t task) {
	e.request(e.read(), t.Number, ha.Event{On: ha.OnRegisterSilent})
}

func (e *Engine) takeLease(t task) {
	floor := max(e.member.Revision, e.member.Epoch, e.member.Seen)
	take := func(ctx context.Context) (ha.Event, error) { return e.Lease.Take(ctx, t.Number) }
	e.request(take, floor, ha.Event{On: ha.OnLeaseUnanswered, Attempt: t.Number})
}

func (e *Engine) renew(t task) {
	renew := func(ctx context.Context) (ha.Event, error) { return e.Lease.Renew(ctx, t.Number) }
	e.request(renew, e.member.Revision, ha.Event{On: ha.OnRegisterSilent, Attempt: t.Number})
}

func (e *Engine) revoke(t task) {
	e.revoking++
	e.do(func(ctx context.Context) func() {
		err := e.Lease.Revoke(ctx, t.Number)
		return func() {
			e.revoking--
			if err != nil {
				e.note(fmt.Sprintf("the lease of attempt %d ends by itself, for the register does not answer: %v", t.Number, err))
			}
		}
	})
}

// awaitKey watches the key for as long as the node is held by it. Where it
// cannot be seen the next failed heartbeat looks again.
func (e *Engine) awaitKey() {
	if e.member.Phase != ha.InHeld {
		return
	}
	e.awaited()
	ctx, stop := context.WithCancel(e.ctx)
	e.awaits = stop
	e.do(func(context.Context) func() {
		err := e.Register.Await(ctx)
		return func() {
			switch {
			case ctx.Err() != nil:
				return
			case err != nil:
				e.note(fmt.Sprintf("whether the key is gone cannot be seen: %v", err))
				return
			}
			e.note("nobody has the key any more")
			e.step(ha.Event{On: ha.OnKeyGone})
		}
	})
}

// awaited ends the watch of the key.
func (e *Engine) awaited() {
	if e.awaits != nil {
		e.awaits()
		e.awaits = nil
	}
}

func (e *Engine) recordServed(t task) {
	record := func(ctx context.Context) (ha.Event, error) { return e.Register.RecordServed(ctx, t.Number) }
	e.request(record, e.member.Revision, ha.Event{On: ha.OnRegisterSilent})
}

func (e *Engine) raiseRegister(t task) {
	raise := func(ctx context.Context) (ha.Event, error) { return e.Register.Raise(ctx, t.Number) }
	e.request(raise, e.member.Revision, ha.Event{On: ha.OnRegisterSilent})
}

package haengine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/internal/ha"
)

// The steps of a planned swap, in their order. Until promote has begun what was
// done can be undone; from then on the way is forward.
const (
	stepLock    = "lock"
	stepFreeze  = "freeze"
	stepDrain   = "drain"
	stepSync    = "sync"
	stepDemote  = "demote"
	stepPromote = "promote"
	stepRelease = "release"
)

const (
	demoteTime  = 3 * time.Minute
	promoteTime = 15 * time.Minute
	syncTime    = 6 * time.Hour
	askTime     = 20 * time.Second // of one question
	swapPoll    = 100 * time.Millisecond
)

// swapper takes the steps of one swap, on the node that becomes Active.
type swapper struct {
	*Engine
	own, peer *nodeapi.Client
	s         nodeapi.Swap
}

// steps gives each step with what it does.
func (w *swapper) steps() []swapStep {
	return []swapStep{
		{stepLock, "nothing happens by itself on either node until the swap is over", w.lock},
		{stepFreeze, w.s.From + " lets no new client in", w.freeze},
		{stepDrain, fmt.Sprintf("the clients of %s have %v to leave, then their connections end", w.s.From, w.now.Load().Settings.Drain), w.drain},
		{stepSync, w.s.To + " copies what " + w.s.From + " has now", w.lastSync},
		{stepDemote, w.s.From + " stops its application and stands by; both do for a moment", w.demote},
		{stepPromote, w.s.To + " becomes Active", w.promote},
		{stepRelease, "both act by themselves again", w.release},
	}
}

type swapStep struct {
	name, does string
	do         func(context.Context) (said string, err error)
}

// plan tells what would be done.
func (w *swapper) plan() (all []string) {
	for _, s := range w.steps() {
		if s.name != stepSync || w.s.Sync {
			all = append(all, s.name+": "+s.does)
		}
	}
	return all
}

// against says what is against a swap now, empty if nothing is.
func (w *swapper) against(ctx context.Context) string {
	own := w.Status()
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	peer, err := w.peer.Status(ctx)
	switch {
	case own.Broken != "":
		return "this node decides nothing: " + own.Broken
	case err != nil:
		return fmt.Sprintf("%v; a planned swap needs both nodes. If %s is down for good: failover mode primary", err, w.PeerName)
	case !own.Enabled || !peer.Enabled:
		return "High Availability is disabled on one of the nodes: failover ha enable"
	case own.State == ha.Active:
		return w.Name + " is Active already"
	case own.State != ha.Standby:
		return fmt.Sprintf("%s is %v (%v): first failover mode secondary there, and failover sync %s", w.Name, own.State, own.Why, w.PeerName)
	case peer.State != ha.Active:
		return fmt.Sprintf("%s is not Active but %v: there is nothing to swap. failover mode primary makes a node Active", w.PeerName, peer.State)
	}
	if own.Own && !w.s.Sync {
		return fmt.Sprintf("%s has not copied from %s since that serves, so what was written there would be lost: swap with a last sync (--data-sync-first)", w.Name, w.PeerName)
	}
	mine, theirs := (&control{w.Engine, nil}).runNow(ctx), nodeapi.Run{}
	if theirs, err = w.peer.Run(ctx); err != nil {
		return err.Error()
	}
	if a, b := mine.Release, theirs.Release; a.Value != b.Value && a.Fault == "" && b.Fault == "" && a.Value != "" && b.Value != "" {
		return fmt.Sprintf("the releases differ: %.60q on %s, %.60q on %s", a.Value, w.Name, b.Value, w.PeerName)
	}
	for _, l := range []*nodeapi.Lock{mine.Lock, theirs.Lock} {
		if l != nil {
			return fmt.Sprintf("the run %s has the lock since %s (%s)", l.Run, l.Since.Format(time.RFC3339), l.Reason)
		}
	}
	w.s.Number = max(mine.Fence, theirs.Fence) + 1
	w.s.Scheduled = mine.Scheduled || theirs.Scheduled
	return ""
}

// run takes the steps, and undoes them if one fails. An engine that ends leaves
// the journal as it is.
func (w *swapper) run(ctx context.Context) {
	defer w.swaps.busy.Unlock()
	for w.peer == nil { // after a restart
		if w.peer = w.peerAPI(); w.peer == nil && !w.wait(ctx) {
			return
		}
	}
	defer w.peer.Close()
	if w.s.State == nodeapi.SwapRuns {
		err := w.forward(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			w.end(nodeapi.SwapDone)
			return
		}
		w.s.State, w.s.Why = nodeapi.SwapUndoing, err.Error()
		w.say("is undone: " + err.Error())
	}
	w.undo(ctx)
}

// forward takes every step that is not done yet.
func (w *swapper) forward(ctx context.Context) error {
	for _, s := range w.steps() {
		if w.did(s.name) || s.name == stepSync && !w.s.Sync {
			continue
		}
		w.s.Step = s.name
		if err := w.swaps.keep(w.s); err != nil {
			return err
		}
		said, err := s.do(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		w.s.Done = append(w.s.Done, nodeapi.SwapStep{Step: s.name, Said: said, At: time.Now().UTC()})
		w.say(s.name + ": " + said)
	}
	return nil
}

func (w *swapper) did(step string) bool {
	for _, d := range w.s.Done {
		if d.Step == step {
			return true
		}
	}
	return false
}

// say writes what has come of the swap so far, and stores it.
func (w *swapper) say(what string) {
	w.send(func() { w.note(fmt.Sprintf("swap %s %s", w.s.ID, what)); w.publish() })
	if err := w.swaps.keep(w.s); err != nil {
		w.Log.Error("the journal of the swap cannot be written", "error", err)
	}
}

func (w *swapper) end(state string) {
	w.s.State, w.s.Ended = state, time.Now().UTC()
	w.say("is over: " + state)
}

// as gives a request of the swap.
func (w *swapper) as(q nodeapi.Request) nodeapi.Request {
	q.Run, q.Number, q.Reason = w.s.ID, w.s.Number, "planned swap "+w.s.ID+" "+w.s.Reason
	return q
}

func (w *swapper) claim() nodeapi.RunRequest {
	return nodeapi.RunRequest{Run: w.s.ID, Number: w.s.Number, Reason: "planned swap to " + w.s.To + " " + w.s.Reason}
}

func (w *swapper) lock(ctx context.Context) (string, error) {
	for _, c := range []*nodeapi.Client{w.own, w.peer} {
		if _, err := ask(ctx, func(ctx context.Context) (nodeapi.Run, error) { return c.Lock(ctx, w.claim()) }); err != nil {
			return "", err
		}
	}
	return "both nodes do nothing by themselves", nil
}

func (w *swapper) freeze(ctx context.Context) (string, error) {
	d, err := ask(ctx, w.peer.Status)
	if err != nil {
		return "", err
	}
	r, err := ask(ctx, w.peer.Run)
	if err != nil {
		return "", err
	}
	if !r.Door {
		return w.s.From + " has no client connection of ours; its clients end with its application", nil
	}
	w.s.Door = d.Door.Setting == able(true)
	if err := w.swaps.keep(w.s); err != nil { // what it was, before it is changed
		return "", err
	}
	no := false
	if _, err := w.doorOf(ctx, nodeapi.Request{Enable: &no}); err != nil {
		return "", err
	}
	return w.s.From + " lets no new client in", nil
}

func (w *swapper) doorOf(ctx context.Context, q nodeapi.Request) (a nodeapi.Answer, err error) {
	return ask(ctx, func(ctx context.Context) (a nodeapi.Answer, err error) {
		return a, w.peer.Ask(ctx, "POST", "client-connection", w.as(q), &a)
	})
}

func (w *swapper) drain(ctx context.Context) (string, error) {
	d, err := w.await(ctx, w.peer, w.now.Load().Settings.Drain, func(d nodeapi.Status) bool { return d.Door.Clients == 0 })
	var late *notYet
	switch {
	case err == nil:
		return "no client is in", nil
	case !errors.As(err, &late):
		return "", err
	}
	no := false
	if _, err := w.doorOf(ctx, nodeapi.Request{Enable: &no, Cut: true}); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d clients did not leave; their connections were ended, each between two requests where it had a pause", d.Door.Clients), nil
}

func (w *swapper) lastSync(ctx context.Context) (string, error) {
	if w.Copier == nil {
		return NoDataset + ": nothing was copied", nil
	}
	before := w.Status().LastSync
	if _, err := ask(ctx, func(ctx context.Context) (a nodeapi.Answer, err error) {
		return a, w.own.Ask(ctx, "POST", "sync", w.as(nodeapi.Request{Host: w.PeerName}), &a)
	}); err != nil {
		return "", err
	}
	d, err := w.await(ctx, w.own, syncTime, func(d nodeapi.Status) bool {
		return d.Sync == nil && d.LastSync != nil && d.LastSync.By != "" && (before == nil || d.LastSync.At != before.At)
	})
	switch {
	case err != nil:
		return "", err
	case d.LastSync.Result != nodeapi.Success:
		return "", fmt.Errorf("%s: %s", d.LastSync.Result, d.LastSync.Detail)
	}
	return "all that " + w.s.From + " has is here", nil
}

func (w *swapper) demote(ctx context.Context) (string, error) {
	if _, err := ask(ctx, func(ctx context.Context) (nodeapi.Answer, error) {
		return w.peer.Role(ctx, "secondary", w.as(nodeapi.Request{}).Reason)
	}); err != nil {
		return "", err
	}
	if _, err := w.await(ctx, w.peer, demoteTime, func(d nodeapi.Status) bool { return d.State == ha.Standby }); err != nil {
		return "", err
	}
	return w.s.From + " is in Standby", nil
}

func (w *swapper) promote(ctx context.Context) (string, error) {
	if _, err := w.own.Role(ctx, "primary", w.as(nodeapi.Request{}).Reason); err != nil {
		return "", err
	}
	d, err := w.await(ctx, w.own, promoteTime, func(d nodeapi.Status) bool {
		return d.State == ha.Active || d.Phase == ha.InHeld || d.Phase >= ha.OutSuperseded
	})
	switch {
	case err != nil:
		return "", err
	case d.State != ha.Active:
		return "", fmt.Errorf("%s did not become Active, it is in %v", w.s.To, d.Phase)
	}
	return fmt.Sprintf("%s is Active at epoch %d", w.s.To, d.Served), nil
}

// release gives both locks back. A peer that cannot be reached any more is
// waited for: it would do nothing by itself for ever.
func (w *swapper) release(ctx context.Context) (string, error) {
	q := w.claim()
	q.Release = true
	if _, err := w.own.Lock(ctx, q); err != nil {
		return "", err
	}
	yes := true
	for {
		err := error(nil)
		if w.s.Door {
			_, err = w.doorOf(ctx, nodeapi.Request{Enable: &yes})
		}
		var no *nodeapi.Refused
		if err == nil || errors.As(err, &no) { // refused: a person has given the lock away meanwhile
			_, err = ask(ctx, func(ctx context.Context) (nodeapi.Run, error) { return w.peer.Lock(ctx, q) })
		}
		if err == nil || errors.As(err, &no) {
			return "both act by themselves again" + w.schedule(ctx), nil
		}
		if w.s.Why != err.Error() {
			w.s.Why = err.Error()
			w.say("waits to give the lock of " + w.s.From + " back: " + err.Error())
		}
		if !w.wait(ctx) {
			return "", ctx.Err()
		}
	}
}

// schedule starts the schedule of the node that stands by now, which stood still
// since that was told to, if the pair had one before.
func (w *swapper) schedule(ctx context.Context) string {
	if !w.s.Scheduled {
		return ""
	}
	if _, err := ask(ctx, func(ctx context.Context) (nodeapi.Answer, error) { return w.peer.Save(ctx, nil, "") }); err != nil {
		return fmt.Sprintf(", but the schedule of syncs is stopped on %s (%v): save the settings there", w.s.From, err)
	}
	return ", and " + w.s.From + " copies by its schedule"
}

// ask asks once, for at most askTime.
func ask[T any](ctx context.Context, question func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	return question(ctx)
}

// notYet is the error of something that has not come in its time.
type notYet struct {
	name string
	d    nodeapi.Status
	most time.Duration
}

func (n *notYet) Error() string {
	return fmt.Sprintf("%s is still %v (%v) after %v", n.name, n.d.State, n.d.Phase, n.most)
}

// await looks at a node until it is so.
func (w *swapper) await(ctx context.Context, c *nodeapi.Client, most time.Duration, so func(nodeapi.Status) bool) (d nodeapi.Status, err error) {
	for began := time.Now(); ; {
		if d, err = ask(ctx, c.Status); err != nil {
			return d, err
		}
		switch {
		case so(d):
			return d, nil
		case time.Since(began) > most:
			return d, &notYet{d.Name, d, most}
		}
		select {
		case <-ctx.Done():
			return d, ctx.Err()
		case <-time.After(swapPoll):
		}
	}
}

// wait is the time between two tries; false: the engine ends.
func (w *swapper) wait(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(time.Second):
		return true
	}
}

package haengine

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/internal/ha"
)

// swapFile is the journal of the newest planned swap to this node.
const swapFile = "swap.json"

// swaps is the planned swaps to a node. Their steps are taken by one goroutine,
// which stores each before it begins.
type swaps struct {
	path  string
	store func(string, any) error
	busy  sync.Mutex                   // held by that goroutine
	now   atomic.Pointer[nodeapi.Swap] // the newest, nil: there was none; never changed, only replaced
}

func openSwaps(dir string, store func(string, any) error) (*swaps, error) {
	s := &swaps{path: filepath.Join(dir, swapFile), store: store}
	var last nodeapi.Swap
	found, err := load(s.path, &last)
	if found {
		s.now.Store(&last)
	}
	return s, err
}

// keep stores a swap as it is now.
func (s *swaps) keep(one nodeapi.Swap) error {
	one.Done = slices.Clone(one.Done)
	if err := s.store(s.path, one); err != nil {
		return fmt.Errorf("store the journal of the swap: %w", err)
	}
	s.now.Store(&one)
	return nil
}

// asked is a Peer whose whole API can be asked.
type asked interface{ API() *nodeapi.Client }

// API gives a client of the peer's API, nil if the nodes do not trust one
// another.
func (t *Trusted) API() *nodeapi.Client {
	if t.call() == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return nodeapi.NewTLS(t.host.URL(), t.trust.TLS(t.host))
}

// peerAPI gives a client of the peer, nil if it cannot be asked.
func (e *Engine) peerAPI() *nodeapi.Client {
	if p, ok := e.Peer.(asked); ok {
		return p.API()
	}
	return nil
}

// ownAPI gives a client of this node, as itself.
func (e *Engine) ownAPI() *nodeapi.Client {
	return nodeapi.NewLocal(e.Control(func(*http.Request) string { return "swap on " + e.Name }))
}

// swap is a planned change of roles: the same as failover mode on the node that
// is to be Active, but the other one gives way first, its clients are kept out
// meanwhile, and what fails before the end is undone.
func (c *control) swap(ctx context.Context, q nodeapi.Request, who string) (Outcome, error) {
	w := &swapper{Engine: c.Engine, own: c.ownAPI(), peer: c.peerAPI()}
	switch {
	case w.peer == nil:
		return Outcome{Refused: "the nodes do not trust one another, and a planned swap needs both engines: failover trusted-hosts"}, nil
	case q.Role == "secondary" || q.Role == "backup":
		defer w.peer.Close()
		return c.handOver(ctx, w.peer, q, who)
	case q.Role != "primary":
		w.peer.Close()
		return Outcome{}, wrong(fmt.Sprintf("the mode %.40q is not known", q.Role), "Say primary or secondary.")
	}
	w.s = nodeapi.Swap{
		ID: "swap-" + rand.Text()[:8], From: c.PeerName, To: c.Name, Sync: q.DataSyncFirst != nil && *q.DataSyncFirst,
		By: who, Reason: q.Reason, Began: time.Now().UTC(), State: nodeapi.SwapRuns, Done: []nodeapi.SwapStep{},
	}
	if why := w.against(ctx); why != "" {
		w.peer.Close()
		return Outcome{Refused: why}, nil
	}
	if q.DryRun {
		w.peer.Close()
		return Outcome{Plan: w.plan()}, nil
	}
	return c.begin(ctx, w)
}

// handOver asks the peer to become Active. With force a node whose peer cannot
// be asked stands by all the same; nobody serves then.
func (c *control) handOver(ctx context.Context, peer *nodeapi.Client, q nodeapi.Request, who string) (Outcome, error) {
	q.Role = "primary"
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	a, err := peer.Swap(ctx, q)
	var no *nodeapi.Refused
	switch {
	case errors.As(err, &no):
		return Outcome{Refused: c.PeerName + " refuses: " + no.Why}, nil
	case err != nil && q.Force && !q.DryRun:
		c.note(fmt.Sprintf("%s says secondary with force, though %v", who, err))
		return c.Say(ctx, ha.Event{On: ha.OnModeSecondary}, who, q.Reason)
	case err != nil:
		return Outcome{Refused: fmt.Sprintf("%s cannot be asked: %v", c.PeerName, err)}, nil
	}
	return Outcome{Plan: a.Warnings}, nil
}

// begin takes the steps in a goroutine, one swap at a time.
func (c *control) begin(ctx context.Context, w *swapper) (Outcome, error) {
	if !c.swaps.busy.TryLock() {
		w.peer.Close()
		return Outcome{Refused: "a swap is under way: see failover status"}, nil
	}
	out, err := c.run(ctx, func() Outcome {
		if err := c.swaps.keep(w.s); err != nil {
			return Outcome{Refused: err.Error()}
		}
		c.note(fmt.Sprintf("%s begins the planned swap %s from %s to %s %s", w.s.By, w.s.ID, w.s.From, w.s.To, w.s.Reason))
		c.tasks.Go(func() { w.run(c.Engine.ctx) })
		return Outcome{}
	})
	if err != nil || out.Refused != "" {
		c.swaps.busy.Unlock()
		w.peer.Close()
	}
	return out, err
}

// resumeSwap goes on with a swap that was under way when the engine ended last.
func (e *Engine) resumeSwap() {
	last := e.swaps.now.Load()
	if last == nil || last.Over() || !e.swaps.busy.TryLock() {
		return
	}
	w := &swapper{Engine: e, own: e.ownAPI(), s: *last}
	w.s.Done = slices.Clone(last.Done)
	if w.s.State == nodeapi.SwapRuns && w.s.Step != stepPromote && w.s.Step != stepRelease {
		w.s.State, w.s.Why = nodeapi.SwapUndoing, "the engine of "+e.Name+" ended in between"
	}
	e.note(fmt.Sprintf("the planned swap %s goes on: %s, %s", w.s.ID, w.s.State, w.s.Step))
	e.tasks.Go(func() { w.run(e.ctx) })
}

// showSwap tells of the newest planned swap between the two nodes, wherever it
// led to; with ?own of the one to this node.
func (c *control) showSwap(w http.ResponseWriter, r *http.Request) {
	var newest nodeapi.Swap
	if own := c.swaps.now.Load(); own != nil {
		newest = *own
	}
	if !r.URL.Query().Has("own") {
		if peer := c.peerAPI(); peer != nil {
			defer peer.Close()
			var other nodeapi.Swap
			if _, err := ask(r.Context(), func(ctx context.Context) (bool, error) { return true, peer.Get(ctx, "swap?own", &other) }); err == nil && other.Began.After(newest.Began) {
				newest = other
			}
		}
	}
	give(w, http.StatusOK, newest)
}

package nodeapi

import (
	"context"
	"net/http"
	"time"
)

// Swap is a planned swap of the roles, as the node that becomes Active knows it:
// its journal, and part of its Status until the next one begins.
type Swap struct {
	ID     string     `json:"id"`     // also the run that has both nodes' locks
	Number uint64     `json:"number"` // of the lock
	From   string     `json:"from"`   // was Active
	To     string     `json:"to"`     // becomes Active
	Sync   bool       `json:"sync"`   // with a last sync while clients are kept out
	By     string     `json:"by"`
	Reason string     `json:"reason,omitempty"`
	Began  time.Time  `json:"began"`
	Ended  time.Time  `json:"ended,omitzero"`
	State  string     `json:"state"`
	Step   string     `json:"step"`          // that was begun last
	Why    string     `json:"why,omitempty"` // it is undone, or waits
	Done   []SwapStep `json:"done"`          // what came of the steps, the first one first
	Door   bool       `json:"door"`          // clients were let in by From before

	Scheduled bool `json:"scheduled"` // the pair's schedule of syncs ran before
}

// SwapStep is what came of one step.
type SwapStep struct {
	Step string    `json:"step"`
	Said string    `json:"said"`
	At   time.Time `json:"at"`
}

// The states of a Swap.
const (
	SwapRuns    = "runs"
	SwapDone    = "done"
	SwapUndoing = "undoing" // the roles become what they were
	SwapUndone  = "undone"
)

// Over says whether nothing of it is left to do.
func (s Swap) Over() bool { return s.State == SwapDone || s.State == SwapUndone }

// Swap has the node become Active, or the stand-by, with the other one giving
// way in an orderly manner. It is under way when this returns: see Status.
func (c *Client) Swap(ctx context.Context, q Request) (a Answer, err error) {
	err = c.Ask(ctx, http.MethodPost, "role", q, &a)
	return a, err
}

// LastSwap tells of the newest planned swap between the two nodes.
func (c *Client) LastSwap(ctx context.Context) (s Swap, err error) {
	err = c.Get(ctx, "swap", &s)
	return s, err
}

// SwapPlan tells what a swap would do, without doing it.
func (c *Client) SwapPlan(ctx context.Context, q Request) (steps []string, err error) {
	q.DryRun = true
	var a Answer
	err = c.Ask(ctx, http.MethodPost, "role", q, &a)
	return a.Warnings, err
}

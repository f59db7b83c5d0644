package nodeapi

import (
	"context"
	"encoding/json"
	"net/http"
	"time"
)

// Course is where a run stands, in the words of its process. A node keeps it for
// people who look there.
type Course struct {
	Kind     string    `json:"kind"` // documented, switchover, repair
	Group    string    `json:"group"`
	To       string    `json:"to,omitempty"` // the version
	State    string    `json:"state"`        // running, waiting, incomplete; succeeded, rolled_back, aborted, unlocked: over
	Says     string    `json:"says"`         // in a sentence
	By       string    `json:"by"`
	Host     string    `json:"host"` // where its process works
	Dir      string    `json:"dir"`  // where it keeps the run there
	Began    time.Time `json:"began"`
	At       string    `json:"at,omitempty"` // the step
	Since    time.Time `json:"since,omitzero"`
	Asks     string    `json:"asks,omitempty"` // of a person, before or in the step At
	Back     []string  `json:"back"`           // what an abort would undo, in its order
	NoReturn string    `json:"no_return,omitempty"`
	Steps    []RunStep `json:"steps"`
}

// Over says whether the run has ended for good.
func (c *Course) Over() bool {
	switch c.State {
	case "running", "waiting", "incomplete":
		return false
	}
	return true
}

// RunStep is one step of a Course.
type RunStep struct {
	Name   string `json:"name"`
	Guide  string `json:"guide,omitempty"` // its number in the guide
	Title  string `json:"title"`
	State  string `json:"state"` // empty: not begun; runs, waits, done, FAILED, undoing, undone
	Said   string `json:"said,omitempty"`
	TookMS int64  `json:"took_ms,omitempty"`
}

// RunAnswer is what a person has said at a node to the process of a run.
type RunAnswer struct {
	Number uint64    `json:"number"` // of the answer, at this node
	Step   string    `json:"step,omitempty"`
	Abort  bool      `json:"abort,omitempty"`
	By     string    `json:"by"`
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
}

// RunCopy is what the process of a run tells a node every few seconds: that it
// lives, where it stands, and the lines of its journal, so that another machine
// can go on with the run. Only the run with the lock is heard; a higher number of
// the same run is a process that has taken the run over, and ends the others.
type RunCopy struct {
	Run    string          `json:"run"`
	Number uint64          `json:"number"`
	Plan   json.RawMessage `json:"plan,omitempty"`   // with the first lines
	Before json.RawMessage `json:"before,omitempty"` // the pair before the run: the same
	From   int             `json:"from"`             // number of the first line; 0: no lines
	Lines  []string        `json:"lines,omitempty"`
	Course *Course         `json:"course,omitempty"`
	Heard  []uint64        `json:"heard,omitempty"` // answers that stand in the journal now
}

// RunKept is what a node gives for a RunCopy.
type RunKept struct {
	Have    int         `json:"have"`    // lines
	Answers []RunAnswer `json:"answers"` // that the process has not taken yet
}

// Keep gives a node the copy of a run. The error is a *Refused with code 410 if
// the run is over there, or another process has taken it over.
func (c *Client) Keep(ctx context.Context, q RunCopy) (k RunKept, err error) {
	err = c.Ask(ctx, http.MethodPut, "run/copy", q, &k)
	return k, err
}

// Kept gives the copy of the newest run that a node has; without a Plan it has
// none.
func (c *Client) Kept(ctx context.Context) (q RunCopy, err error) {
	err = c.Get(ctx, "run/copy", &q)
	return q, err
}

// Answer leaves an answer for the process of a run: to what it asks, or that it
// is to be undone. It is heard when that process is at work, or goes on.
func (c *Client) Answer(ctx context.Context, q RunRequest) (r Run, err error) {
	err = c.Ask(ctx, http.MethodPost, "run/answer", q, &r)
	return r, err
}

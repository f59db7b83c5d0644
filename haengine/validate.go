package haengine

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/internal/ha"
)

// verifyTime bounds the start of an application that is only looked at.
const verifyTime = 10 * time.Minute

// standingBy says whether a node in this phase has an application that may be
// started to be looked at.
func standingBy(p ha.Phase) bool { return p == ha.InStandby || p == ha.InHeld }

// Verify starts the application on the stand-by, counts, compares with the peer
// and stops it again (EPMM guide, Table 3, task 3). It is no promotion: the door
// stays closed, and no sync runs meanwhile. A promotion that comes takes the
// application over as it is. The copy counts as written to afterwards.
func (e *Engine) Verify(ctx context.Context) (v nodeapi.Verified, err error) {
	if len(e.Count) == 0 {
		return v, errors.New("no command tells the device count: set app: {count: …} in node.yaml, on both nodes")
	}
	out, err := e.run(ctx, func() Outcome {
		switch m := e.member; {
		case !standingBy(m.Phase) || e.broken != "":
			return Outcome{Refused: "this node is " + m.Phase.String() + ": only a stand-by starts its application to be looked at"}
		case m.Syncing || e.sync.verifying:
			return Outcome{Refused: "a sync or a validation runs; when it has ended"}
		}
		e.note("the application is started to be looked at; this node does not serve")
		e.sync.verifying = true
		e.trying.Store(true)
		e.App.Start(e.member.Epoch)
		return Outcome{}
	})
	if err != nil {
		return v, err
	}
	if out.Refused != "" {
		return v, errors.New(out.Refused)
	}
	defer e.endVerify()
	if err := e.awaitApp(ctx); err != nil {
		return v, err
	}
	peer, err := e.peerFacts(ctx)
	if err != nil {
		return v, fmt.Errorf("the device count of %s: %w", e.PeerName, err)
	}
	v = nodeapi.Verified{Here: said(ctx, e.Count), There: peer.Count}
	switch {
	case v.Here == "":
		return v, errors.New("the command that tells the device count (app: {count: …}) fails here")
	case v.There == "":
		return v, fmt.Errorf("%s does not tell its device count: set app: {count: …} there, or see why it fails", e.PeerName)
	}
	return v, nil
}

// awaitApp waits until the application is well.
func (e *Engine) awaitApp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, verifyTime)
	defer cancel()
	for !e.App.Well() {
		select {
		case <-ctx.Done():
			return errors.New("the application does not become well on the stand-by: see failover log --module HighAvailability")
		case <-e.ctx.Done():
			return errEnded
		case <-time.After(100 * time.Millisecond):
		}
	}
	return nil
}

// endVerify stops the application, unless this node has been promoted meanwhile.
func (e *Engine) endVerify() {
	e.send(func() {
		e.sync.verifying = false
		e.trying.Store(false)
		if standingBy(e.member.Phase) || e.member.Phase == ha.InSuspect {
			e.note("the application is stopped again")
			e.App.Stop()
		}
	})
}

// validate serves Verify.
func (c *control) validate(w http.ResponseWriter, r *http.Request) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Time{}) // an application may take its time
	c.note(c.who(r) + " validates the copy")
	v, err := c.Verify(r.Context())
	if err != nil {
		give(w, http.StatusConflict, nodeapi.Fault{Why: err.Error()})
		return
	}
	give(w, http.StatusOK, v)
}

package haengine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// Peer is the other node of the pair. Every method gives an error where the
// peer did not answer before ctx ended.
type Peer interface {
	// Look sees how the peer is, and binds it to nothing. A Sight with an error
	// says what was seen nevertheless.
	Look(ctx context.Context) (Sight, error)
	// Ask says that this node wants to be Active; a peer that stands by counts
	// its heartbeats from the start for it.
	Ask(ctx context.Context, own ha.Report) (Sight, error)
	// StepDown asks a peer that serves at an epoch to stop serving; firm says
	// that this node will be Active whatever the peer says. nil: it was told, or
	// it does not serve. ErrNoTrust: it cannot be told.
	StepDown(ctx context.Context, epoch uint64, firm bool) error
	// Tell tells the peer how this node is.
	Tell(ctx context.Context, own ha.Report) (Sight, error)
}

// ErrNoTrust says that a peer serves and cannot be told anything.
var ErrNoTrust = errors.New("the nodes do not trust one another yet, so the peer cannot be asked to step down; it sees the higher epoch on this node's status page at its next heartbeat and stops by itself")

// Sight is what one look at the peer has shown.
type Sight struct {
	Well   bool      // it serves and its application is well
	Heard  bool      // its engine answered
	Report ha.Report // of itself
	Said   string    // its page's words, cut
	Date   time.Time // its clock, zero if it did not say
	Took   time.Duration
}

// words says a sight in the log.
func (s Sight) words(err error) string {
	took := s.Took.Round(time.Millisecond)
	switch {
	case err != nil:
		return fmt.Sprintf("failed after %v: %v", took, err)
	case s.Report.Served > 0:
		return fmt.Sprintf("%v, epoch %d, %v: %q", s.Report.State, s.Report.Served, took, s.Said)
	}
	return fmt.Sprintf("%v, %v: %q", s.Report.State, took, s.Said)
}

// mostAhead is how far an epoch that the peer tells may be above all that are
// known. Every promotion adds a few; more is a lie or damage.
const mostAhead = 1 << 20

// believable says whether a report can be true. One that is not would bar this
// node from serving for ever, for epochs never go back.
func believable(r ha.Report, known uint64) bool {
	return max(r.Served, r.Reign) <= known+mostAhead
}

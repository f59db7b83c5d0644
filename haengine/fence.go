package haengine

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// Fencing is the command that switches the peer off before this node is
// promoted: by its power supply, hypervisor or switch. It ends with 0 once the
// peer is off for certain.
type Fencing struct {
	Line    []string // empty: none, and nothing is fenced
	Timeout time.Duration
}

// fence runs the command. Whatever is not a clear yes is a no.
func (e *Engine) fence() {
	f, epoch := e.Fence, e.member.Epoch
	e.note("fences " + e.PeerName)
	e.Log.Warn("the fence command runs", "peer", e.PeerName)
	e.do(func(ctx context.Context) func() {
		ctx, cancel := context.WithTimeoutCause(ctx, f.Timeout, fmt.Errorf("it took longer than %v", f.Timeout))
		defer cancel()
		said, err := execute(ctx, f.Line, "UNDERSTUDY_PEER="+e.PeerName, "UNDERSTUDY_NODE="+e.Name, "UNDERSTUDY_EPOCH="+strconv.FormatUint(epoch, 10))
		return func() {
			if err != nil {
				e.note(fmt.Sprintf("%s is not fenced: %v", e.PeerName, err))
				e.Log.Error("the fence command has failed; nothing is promoted", "peer", e.PeerName, "error", err)
				e.step(ha.Event{On: ha.OnFenceFailed})
				return
			}
			e.note(fmt.Sprintf("%s is fenced: %q", e.PeerName, said))
			e.step(ha.Event{On: ha.OnFenced})
		}
	})
}

// rules gives what the machine goes by.
func (e *Engine) rules(s Settings) ha.Settings {
	r := s.rules(e.place())
	r.Fence = len(e.Fence.Line) > 0
	if e.Lease != nil {
		e.Safety.rule(&r)
	}
	return r
}

package upgrade

import (
	"context"
	"fmt"
	"strings"

	"github.com/understudy-ha/understudy/internal/config"
)

// commandRouter is a balancer that is told by commands and read back by one.
type commandRouter struct{ config.RunRouter }

// Look runs the command that says how it is.
func (c *commandRouter) Look(ctx context.Context) Router {
	r := Router{Kind: "command", Target: strings.Join(c.Hold, " ")}
	ctx, cancel := c.limited(ctx)
	defer cancel()
	text, err := execute(ctx, c.Read)
	if err != nil {
		r.Fault = err.Error()
		return r
	}
	r.Held, r.Said = text == c.Held, fmt.Sprintf("%q", cut(text, 80))
	return r
}

// Do runs the command of hold or release; that it succeeded proves nothing.
func (c *commandRouter) Do(ctx context.Context, d Deed) error {
	ctx, cancel := c.limited(ctx)
	defer cancel()
	var err error
	switch d.Do {
	case DoHold:
		_, err = execute(ctx, c.Hold)
	case DoRelease:
		_, err = execute(ctx, c.Release)
	default:
		return &Refused{"commands only hold and release"}
	}
	if failedToRun(err) {
		return &Refused{err.Error()}
	}
	return err
}

func (c *commandRouter) limited(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, c.Timeout, fmt.Errorf("not done within timeout %v", c.Timeout))
}

package notify

import (
	"context"
	"fmt"
	"time"
)

// Sender takes messages to one receiver. Its lane calls it from one goroutine,
// with a deadline.
type Sender interface {
	// Name tells senders apart, in the queue's directory, in figures and in
	// logs: letters, digits, dot, dash and underscore, no dot in front. It is
	// the same after a restart, and another one for another receiver.
	Name() string

	// Send delivers m. Its error is a *Rejected for a message that the
	// receiver will never take, a *Busy where the receiver names a time to
	// try again, and anything else for a failure that may pass. An error is
	// logged: it carries no secret.
	Send(ctx context.Context, m Message) error
}

// Rejected is the error of a Sender whose receiver will never take the
// message. The message is dropped.
type Rejected struct{ Why string }

func (r *Rejected) Error() string { return r.Why }

// Busy is the error of a Sender whose receiver wants to be left alone.
type Busy struct {
	Why   string
	After time.Duration // not before this has passed
}

func (b *Busy) Error() string { return fmt.Sprintf("%s, again after %s", b.Why, b.After) }

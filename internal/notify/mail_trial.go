package notify

import (
	"context"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// Trial is the event of a message that only shows that messages arrive.
const Trial ha.Reason = "test"

// SendTrial is what a test button does: it sends one message to one receiver at
// once, past its queue, and gives what became of that. from names who sends.
func SendTrial(ctx context.Context, s Sender, from string) error {
	ctx, cancel := context.WithTimeout(ctx, attemptTime)
	defer cancel()
	now := time.Now()
	return s.Send(ctx, Message{
		ID: newID(now), Event: Trial, Severity: Info, At: now,
		Text: from + ": this is a test; notifications of this node arrive here.",
	})
}

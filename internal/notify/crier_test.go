package notify

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// moved gives a Situation in which traffic has just failed over.
func moved(epoch uint64) ha.Situation {
	now := time.Now()
	t := ha.Traffic{Group: "mdm", Epoch: epoch, Serving: "core2", Order: []string{"core1", "core2"}, Cause: ha.FailedOver, At: now, Since: now}
	return ha.Situation{At: now, Traffic: t, Decision: ha.Decision{Verb: ha.Stay, Reason: ha.Serving, Row: 3}}
}

func TestTheNewestTellerIsInForceUntilItIsDismissed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := NewCrier()
		ctx, cancel := context.WithCancel(t.Context())
		go c.Run(ctx)
		var old, young []uint64
		c.Employ(func(m Message) { old = append(old, m.Epoch) })
		dismiss := c.Employ(func(m Message) { young = append(young, m.Epoch) })
		c.Hear(moved(2))
		synctest.Wait()
		dismiss()
		c.Hear(moved(3))
		cancel() // what was heard before is still told
		synctest.Wait()
		if len(old) != 1 || old[0] != 3 || len(young) != 1 || young[0] != 2 {
			t.Errorf("the old teller told %v, the young one %v; want [3] and [2]", old, young)
		}
	})
}

func TestASlowSubscriberHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := NewCrier()
		ctx, cancel := context.WithCancel(t.Context())
		go c.Run(ctx)
		slow, end := context.WithCancel(ctx)
		channel := c.Subscribe(slow)
		told := 0
		c.Employ(func(Message) { told++ })
		for epoch := range uint64(1000) {
			c.Hear(moved(epoch + 2))
			synctest.Wait()
		}
		end()
		synctest.Wait()
		seen := 0
		for range channel { // closed by the end of its context
			seen++
		}
		if told != 1000 || seen == 0 || seen == 1000 {
			t.Errorf("%d of 1000 were told, and %d reached one who did not listen", told, seen)
		}
		cancel()
	})
}

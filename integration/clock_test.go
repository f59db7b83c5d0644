//go:build linux

package integration

import (
	"context"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/api"
	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/internal/register"
)

// What is stored carries the wall clock, which somebody may have set since; the
// freeze of a swap that never ended stands in it, too.
func TestAClockThatWasSetWhileNobodyRanDelaysNothing(t *testing.T) {
	t.Parallel()
	for name, jump := range map[string]time.Duration{"set back a day": 24 * time.Hour, "set forth a year": -365 * 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			core1, core2 := pair(t)
			f := newFront(t, plan{nodes: []node{core1, core2}})
			stored := time.Now().Add(jump)
			d, err := register.OpenDir(f.at.state)
			if err != nil {
				t.Fatal(err)
			}
			err = d.Save(context.Background(), 0, ha.Traffic{
				Group: "mdm", Epoch: 5, Order: []string{"core1", "core2"}, Serving: "core1",
				Since: stored, At: stored, Cause: ha.Started, QueueUntil: stored.Add(time.Minute),
			})
			if err != nil {
				t.Fatal(err)
			}
			_ = d.Close()
			f.start()
			f.await("the rule says stay", func(g api.Group) bool { return g.Decision.Row == 3 && g.Armed })
			f.expectAllTo("core1")
			core1.Kill()
			if g := f.expectServing("core2"); g.Epoch != 6 || g.Changed.Cause != ha.FailedOver {
				t.Errorf("epoch %d by %s, want 6 by failed_over", g.Epoch, g.Changed.Cause)
			}
			f.expectAllTo("core2")
		})
	}
}

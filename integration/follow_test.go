//go:build linux

package integration

import (
	"context"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/api"
)

// heard is the events of a front's API as they come.
type heard chan moment

// moment is an event and when it came.
type moment struct {
	api.Group
	came time.Time
}

// follow hears the events from now on; the first one tells how the group is.
func (f *front) follow() heard {
	f.t.Helper()
	h := make(heard, 4096)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = f.api.Follow(ctx, "mdm", func(n api.News) {
			if n.Away == nil {
				h <- moment{n.Group, time.Now()}
			}
		})
	}()
	f.t.Cleanup(func() { cancel(); <-ended })
	h.await(f.t, func(api.Group) bool { return true })
	return h
}

// await takes events until one is as it must be. Epochs never go back.
func (h heard) await(t *testing.T, holds func(api.Group) bool) moment {
	t.Helper()
	end := time.NewTimer(patience)
	defer end.Stop()
	var last uint64
	for {
		select {
		case m := <-h:
			if m.Epoch < last {
				t.Errorf("epoch %d was told after %d", m.Epoch, last)
			}
			last = m.Epoch
			if holds(m.Group) {
				return m
			}
		case <-end.C:
			t.Fatalf("the event did not come within %s", patience)
		}
	}
}

package probes

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// companion is a node of a pool that can be switched off, and says which page
// it was asked for.
type companion struct {
	name string
	off  atomic.Bool
	page atomic.Uint32
}

func (c *companion) Check(pages []ha.Page) ha.Reading {
	c.page.Store(uint32(pages[0]))
	r := ha.Reading{Node: c.name, State: ha.Active, At: time.Now(), Took: time.Millisecond}
	if c.off.Load() {
		r.State, r.Cause = ha.NotAvailable, ha.Refused
	}
	return r
}

func TestAPoolTellsWhoIsAvailable(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s1, s2 := &companion{name: "s1"}, &companion{name: "s2"}
		rules := ha.DefaultRules()
		var told atomic.Pointer[ha.Situation]
		p := &Pool{Group: "sentry", Tell: func(s ha.Situation) { told.Store(&s) }, Plan: Plan{
			Nodes: []Node{{Name: "s1", Looker: s1}, {Name: "s2", Looker: s2}}, Rules: rules,
		}}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); p.Run(ctx) }()

		time.Sleep(rules.Interval)
		synctest.Wait()
		last := told.Load()
		if last.Traffic.Group != "sentry" || !last.View.Of("s1").Available() || !last.View.Of("s2").Available() {
			t.Errorf("two companions that answer: %+v", last.View)
		}
		if s1.page.Load()|s2.page.Load() != uint32(ha.StatusPage) {
			t.Errorf("asked for pages %v and %v", s1.page.Load(), s2.page.Load())
		}

		s2.off.Store(true)
		time.Sleep(2 * rules.Interval) // until it is missed, and then the fast interval
		synctest.Wait()
		last = told.Load()
		if last.View.Of("s1").Down() || !last.View.Of("s2").Down() {
			t.Errorf("one that has missed fall probes: %+v", last.View)
		}

		s2.off.Store(false)
		time.Sleep(2 * rules.Interval)
		synctest.Wait()
		if told.Load().View.Of("s2").Down() {
			t.Error("one that answers again is down")
		}
		cancel()
		<-ended
	})
}

package caddymodule

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// starter is a node that refuses until it is up.
type starter struct {
	up    atomic.Bool
	dials atomic.Int32
}

func (n *starter) dial(context.Context) (net.Conn, error) {
	n.dials.Add(1)
	if !n.up.Load() {
		return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	}
	near, _ := net.Pipe()
	return near, nil
}

// refusing gives a route whose traffic has just moved to a node that refuses,
// after one dial of it.
func refusing(t *testing.T) (*route, *starter) {
	t.Helper()
	r, node := routeTo("core1"), new(starter)
	t.Cleanup(r.stop)
	r.tell(situation("core2"))
	c := r.choice.Load()
	if _, err := c.serving.dial(t.Context(), node.dial); !errors.Is(err, errStarting) {
		t.Fatalf("the first dial ended with %v", err)
	}
	if c.calm() || c.why() != ha.Starting {
		t.Fatal("requests would go out to a node that refuses")
	}
	return r, node
}

func TestRequestsWaitForANewNodeThatRefusesWhereWaitingIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, node := refusing(t)
		begun := time.Now()
		out := make(chan outcome)
		for range 5 {
			go func() {
				_, o := r.settle(t.Context(), nil, true, patience{begun.Add(time.Minute), 3})
				out <- o
			}()
		}
		for range 2 {
			if o := <-out; o != givenUp || time.Since(begun) != 0 {
				t.Errorf("one more than queue_max may wait: outcome %d after %s", o, time.Since(begun))
			}
		}
		time.Sleep(time.Second)
		if n := r.waiting.Load(); n != 3 {
			t.Errorf("%d wait, want 3", n)
		}
		node.up.Store(true)
		for range 3 {
			if o := <-out; o != proceed {
				t.Errorf("outcome %d once the node takes connections", o)
			}
		}
		if late := time.Since(begun) - time.Second; late > startWait {
			t.Errorf("released %s after the node took connections", late)
		}
		if n := node.dials.Load(); n < 19 || n > 23 {
			t.Errorf("%d dials in a second and a bit, one every 50 ms is wanted", n)
		}
		if !r.choice.Load().calm() {
			t.Error("not calm once the node takes connections")
		}
		node.up.Store(false)
		if _, err := r.choice.Load().serving.dial(t.Context(), node.dial); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("a node that had accepted refuses: %v, want evidence", err)
		}
		if r.choice.Load().calm() {
			t.Error("requests would use up their tries at a node that refuses for a moment")
		}
	})
}

func TestNobodyKnocksWhenNobodyWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, node := refusing(t)
		time.Sleep(time.Second)
		if n := node.dials.Load(); n != 1 {
			t.Errorf("%d dials though nobody waits", n)
		}
		if !r.choice.Load().calm() {
			t.Error("the next request may not try for itself")
		}
	})
}

func TestTheKnockingEndsWithTheNodesService(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, node := refusing(t)
		out := make(chan string)
		go func() {
			c, _ := r.settle(t.Context(), nil, true, patience{time.Now().Add(time.Minute), 3})
			out <- c.node
		}()
		synctest.Wait()
		r.tell(situation("core1"))
		if to := <-out; to != "core1" {
			t.Errorf("released to %s", to)
		}
		synctest.Wait()
		was := node.dials.Load()
		time.Sleep(time.Second)
		if n := node.dials.Load(); n != was {
			t.Errorf("a node that does not serve was dialled %d times more", n-was)
		}
	})
}

func TestNobodyWaitsForANewNodeThatWentDownAndKeepsItsTraffic(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, _ := refusing(t)
		r.tell(situation("core2", down(ha.LastInOrder)))
		begun := time.Now()
		if _, o := r.settle(t.Context(), nil, false, patience{begun.Add(time.Minute), 3}); o != hopeless || time.Since(begun) != 0 {
			t.Errorf("outcome %d after %s, want an answer at once", o, time.Since(begun))
		}
	})
}

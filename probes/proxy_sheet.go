package probes

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// sheet has the answers about one group as they are in one Situation. It is
// never changed.
type sheet struct {
	pages map[string]*page  // by what follows the group in the path; "" is for any as long as the nodes are not known
	agent map[string][]byte // by node
}

// page is the answer to one path. Where only the group's age counts, until is
// the group's; the page of a node has its own.
type page struct {
	fresh, stale answer
	until        *atomic.Int64
}

// clock counts the nanoseconds since a Proxy was made; no change of the wall
// clock moves it.
type clock struct{ zero time.Time }

func (c clock) at(t time.Time) int64 { return int64(t.Sub(c.zero)) }

// ages turn the time of a reading into the time until which it counts.
type ages struct {
	clock
	most time.Duration // MaxAge
}

// render gives the answers in a Situation.
func (e *entry) render(s ha.Situation) *sheet {
	next := &sheet{pages: make(map[string]*page, 2*len(s.View)+1), agent: make(map[string][]byte, len(s.View))}
	put := func(path string, a answer, until *atomic.Int64) *page {
		next.pages[path] = &page{fresh: a, stale: answerStale(a), until: until}
		return next.pages[path]
	}
	for _, seen := range s.View {
		put(seen.Node, answerNode(s, seen.Node), &e.until)
		own := &atomic.Int64{}
		own.Store(math.MaxInt64) // a node that has not been read is not stale, it is starting
		put(seen.Node+"/raw", answerRaw(seen), own).stale.body = nil
		next.agent[seen.Node] = []byte(sayAgent(s, seen.Node, e.drained))
	}
	put("serving", answerServing(s), &e.until).stale.body = nil // not a node's name
	if len(s.View) == 0 {
		put("", answerNode(s, "?"), &e.until)
	}
	return next
}

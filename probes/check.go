package probes

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// Checker probes one node: it asks for pages over connections of its own and
// gives one Reading. Make it with NewChecker. Its methods may be called from
// any goroutine, several at a time.
type Checker struct {
	node     string
	profile  ha.Profile
	timeout  time.Duration
	requests [2][]byte   // what is sent, by page
	security *tls.Config // nil for plain HTTP
	names    *resolver
	dial     func(addr string, timeout time.Duration) (net.Conn, error)
}

// NewChecker gives a Checker of a node, or says all that is wrong with the
// Target, one line a fault.
func NewChecker(t Target) (*Checker, error) {
	at, err := t.check()
	if err != nil {
		return nil, err
	}
	c := &Checker{node: t.Node, profile: t.Profile, timeout: t.Timeout, dial: t.Dial}
	for _, page := range []ha.Page{ha.StatusPage, ha.HAStatusPage} {
		c.requests[page] = []byte(request(at.header, t.Profile.Path(page)))
	}
	if at.secure {
		if c.security, err = security(t, at.server); err != nil {
			return nil, err
		}
	}
	c.names = newResolver(at, t)
	return c, nil
}

// Close ends a look-up of the node's name that is still under way and waits
// for it. Probes after it use the addresses that are known.
func (c *Checker) Close() { c.names.close() }

// Check asks for pages, all at the same time, and gives one Reading: the first
// available one in the order of pages, else the failure of the first. It
// returns as soon as that is decided and at most after the target's Timeout,
// which covers look-up, connection, handshake, headers and body together.
func (c *Checker) Check(pages []ha.Page) ha.Reading {
	began := time.Now()
	var f finding
	switch deadline := began.Add(c.timeout); len(pages) {
	case 0:
		f = finding{cause: ha.Body, detail: "no page was asked for"}
	case 1:
		f = c.ask(context.Background(), pages[0], deadline)
	default:
		f = c.askAll(pages, deadline)
	}
	return c.reading(f, began)
}

func (c *Checker) reading(f finding, began time.Time) ha.Reading {
	return ha.Reading{
		Node: c.node, State: f.state, Cause: f.cause, Page: cut(f.words), Detail: cut(f.detail),
		Epoch: f.epoch, Safe: f.safe, At: began, Took: time.Since(began),
	}
}

// ask asks for one page.
func (c *Checker) ask(ctx context.Context, page ha.Page, deadline time.Time) finding {
	g := get{Checker: c, page: page, deadline: deadline}
	defer g.end()
	return g.find(ctx)
}

// askAll asks for every page at once. What is under way when the finding is
// known is broken off and waited for.
func (c *Checker) askAll(pages []ha.Page, deadline time.Time) finding {
	ctx, cancel := context.WithCancel(context.Background())
	found := make([]chan finding, len(pages))
	var others sync.WaitGroup
	defer others.Wait()
	defer cancel()
	for i, page := range pages {
		found[i] = make(chan finding, 1)
		if i > 0 {
			others.Go(func() { found[i] <- c.ask(ctx, page, deadline) })
		}
	}
	first := c.ask(ctx, pages[0], deadline)
	found[0] <- first
	for _, next := range found {
		if f := <-next; f.state.Available() {
			return f
		}
	}
	return first
}

package remote

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/understudy-ha/understudy/internal/ha"
)

// The times of a Courier.
const (
	courierTime   = time.Second            // of one call
	courierSoon   = 250 * time.Millisecond // from a call to the next, at first
	courierSeldom = 5 * time.Second        // and when the node has not been promoted for long
)

// Courier has a front tell the nodes' engines where it has sent clients: one
// goroutine a group, which calls the node that serves as long as that one
// stands by. Make it with NewCourier; Close ends it.
type Courier struct {
	trust *Trust
	log   *slog.Logger
	lines map[string]*line // by group
	stop  context.CancelFunc
	work  sync.WaitGroup
}

// line is what is told about one group.
type line struct {
	phones map[string]*phone // by node
	now    atomic.Pointer[ha.Call]
	news   chan struct{}
}

// phone is the way to one node's engine.
type phone struct {
	node, host string
	port       uint16
	breaker    *gobreaker.CircuitBreaker[string]
	said       string // the last failure, logged once; of the line's goroutine
}

// Engines gives, by group and node, host and port of the nodes' engines.
type Engines map[string]map[string]string

// NewCourier gives the Courier of a front.
func NewCourier(t *Trust, engines Engines, log *slog.Logger) (*Courier, error) {
	c := &Courier{trust: t, log: log, lines: map[string]*line{}}
	for group, nodes := range engines {
		l := &line{phones: map[string]*phone{}, news: make(chan struct{}, 1)}
		for node, at := range nodes {
			host, text, err := net.SplitHostPort(at)
			if err != nil {
				return nil, err
			}
			port, err := strconv.ParseUint(text, 10, 16)
			if err != nil {
				return nil, err
			}
			l.phones[node] = &phone{node: node, host: host, port: uint16(port), breaker: newBreaker(node)}
		}
		c.lines[group] = l
	}
	var ctx context.Context
	ctx, c.stop = context.WithCancel(context.Background())
	for _, l := range c.lines {
		c.work.Go(func() { c.serve(ctx, l) })
	}
	return c, nil
}

// newBreaker gives what keeps a node that hangs from being called all the time.
func newBreaker(node string) *gobreaker.CircuitBreaker[string] {
	return gobreaker.NewCircuitBreaker[string](gobreaker.Settings{
		Name: node, Timeout: courierSeldom,
		ReadyToTrip: func(n gobreaker.Counts) bool { return n.ConsecutiveFailures >= 5 },
	})
}

// Close ends the calls and waits for that. A nil Courier has ended.
func (c *Courier) Close() {
	if c != nil {
		c.stop()
		c.work.Wait()
	}
}

// Hear takes what is known of a group now. It never waits.
func (c *Courier) Hear(s ha.Situation) {
	if c == nil || c.lines[s.Traffic.Group] == nil {
		return
	}
	l := c.lines[s.Traffic.Group]
	call, ok := s.Call()
	if !ok {
		l.now.Store(nil)
		return
	}
	l.now.Store(&call)
	select {
	case l.news <- struct{}{}:
	default:
	}
}

// serve calls as long as there is something to tell.
func (c *Courier) serve(ctx context.Context, l *line) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.news:
		}
		every := courierSoon
		for call := l.now.Load(); call != nil; call = l.now.Load() {
			if p := l.phones[call.Node]; p != nil {
				c.tell(ctx, l, p, *call)
			}
			select {
			case <-ctx.Done():
				return
			case <-l.news: // another decision
				every = courierSoon
			case <-time.After(every):
				every = min(every*5/4, courierSeldom)
			}
		}
	}
}

// tell makes one call. Where the engine asks to look again, that is done, and
// told only if it is still so.
func (c *Courier) tell(ctx context.Context, l *line, p *phone, call ha.Call) {
	doc := TrafficDecided{Group: call.Group, Node: call.Node, Epoch: call.Epoch, Left: call.Left, LeftEpoch: call.LeftEpoch}
	again, err := p.breaker.Execute(func() (string, error) {
		peer, err := c.dial(p)
		if err != nil {
			return "", err
		}
		defer peer.Close()
		again, err := peer.TrafficDecided(ctx, doc)
		if now := l.now.Load(); err == nil && again != "" && now != nil && *now == call {
			doc.Again = again
			_, err = peer.TrafficDecided(ctx, doc)
		}
		return again, err
	})
	switch {
	case ctx.Err() != nil, errors.Is(err, gobreaker.ErrOpenState):
	case err == nil && p.said != "", err == nil && again != "":
		p.said = ""
		c.log.Info("the engine of a node was told where clients are", "group", call.Group, "node", call.Node, "left", call.Left)
	case err != nil && p.said != err.Error():
		p.said = err.Error()
		c.log.Warn("the engine of a node cannot be told where clients are; it waits its promotion hold", "group", call.Group, "node", call.Node, "error", err)
	}
}

// dial gives the client of a node's engine, at the address of the configuration.
func (c *Courier) dial(p *phone) (*Peer, error) {
	host, err := c.trust.Hosts.Get(p.node)
	if err != nil {
		return nil, err
	}
	host.Addresses, host.Port = []string{p.host}, p.port
	return c.trust.Peer(host, courierTime), nil
}

package probes

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/understudy-ha/understudy/internal/ha"
)

// Stale is the reason of an answer about a group whose watcher has not read a
// node for longer than the proxy's MaxAge.
const Stale ha.Reason = "stale"

// ProxyConfig is what a Proxy goes by. All of it may be replaced while the
// Proxy serves: see Proxy.Apply.
type ProxyConfig struct {
	// Look gives what is known of a group now; false if it is not watched. The
	// Proxy looks at every group several times in MaxAge, because followers
	// hear only of differences and not that readings go on. It must not block.
	// [Watcher.Situation] of the group's watcher is what is wanted.
	Look func(group string) (ha.Situation, bool)

	// MaxAge is how old the newest reading of a group may be: after that every
	// answer about it is 503 with the reason stale, and the agent check says
	// nothing. At least a second; twice the interval of the readings or more.
	MaxAge time.Duration

	// Allow says which addresses are answered; empty: all. Connections from
	// others are closed without a word.
	Allow []netip.Prefix

	Limits ProxyLimits
	Log    *slog.Logger
}

// ProxyLimits bound what clients can cost. Zero is no limit.
type ProxyLimits struct {
	Conns   int // connections at a time over all listeners
	PerAddr int // connections at a time from one address
	Rate    int // requests a second from one address; a second's worth may come at once
}

// DefaultProxy gives MaxAge 30 s, anybody allowed, 16,384 connections, as many
// from one address as there may be in all, and no limit of the rate: balancers
// that test through one address differ too much for a guess.
func DefaultProxy() ProxyConfig {
	return ProxyConfig{MaxAge: 30 * time.Second, Limits: ProxyLimits{Conns: 16384}, Log: slog.Default()}
}

// Check says what is wrong with the configuration, all at once, or nil.
func (c ProxyConfig) Check() error {
	var errs []error
	if c.Look == nil {
		errs = append(errs, errors.New("the proxy has nobody to ask for the groups"))
	}
	if c.Log == nil {
		errs = append(errs, errors.New("the proxy has no log"))
	}
	if c.MaxAge < time.Second {
		errs = append(errs, fmt.Errorf("max_age %s is less than 1s", c.MaxAge))
	}
	for _, a := range c.Allow {
		if !a.IsValid() {
			errs = append(errs, errors.New("allow has an address that is none"))
		}
	}
	if c.Limits.Conns < 0 || c.Limits.PerAddr < 0 || c.Limits.Rate < 0 {
		errs = append(errs, errors.New("a limit of the proxy is negative; 0 is no limit"))
	}
	return errors.Join(errs...)
}

// Proxy answers the health checks of other load balancers from what has been
// decided, never from the nodes: over HTTP with Serve, over HAProxy's agent
// check with ServeAgent. Its methods may be called from any goroutine.
//
// A request reads what a Situation was rendered to; nobody waits for anybody.
// One goroutine of the Proxy looks at the age of every group.
type Proxy struct {
	config  atomic.Pointer[ProxyConfig]
	book    *book
	door    *door
	server  *fasthttp.Server
	clock   clock
	figures proxyFigures
	ended   chan struct{} // closed when the goroutine that looks has ended
}

// NewProxy gives a Proxy that knows no group yet. It must be shut down, even
// if it never served.
func NewProxy(c ProxyConfig) (*Proxy, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	p := &Proxy{book: newBook(), clock: clock{time.Now()}, ended: make(chan struct{})}
	p.config.Store(&c)
	p.door = newDoor(&p.config)
	p.server = p.newServer()
	go p.watch()
	return p, nil
}

// Tell takes in what is known and decided of a group, a new one or one told of
// before; it is made to be given to [Watcher.Follow]. When it returns, answers
// are by it. It does not block.
func (p *Proxy) Tell(s ha.Situation) { p.book.tell(s, p.ages()) }

// Forget has the group answered as unknown from now on. Its watcher must not
// Tell any more by then.
func (p *Proxy) Forget(group string) { p.book.drop(group) }

// Apply replaces the configuration. Connections stand, but those of addresses
// that are not allowed any more are closed. On an error the old one stays in
// force.
func (p *Proxy) Apply(c ProxyConfig) error {
	if err := c.Check(); err != nil {
		return err
	}
	p.config.Store(&c)
	p.door.expel(c.Allow)
	p.look()
	return nil
}

// Serve answers HTTP on ln until Shutdown, or until ln is closed; then it
// returns nil. It closes ln. A listener with [net.ListenConfig].KeepAlive -1
// saves four calls of the kernel a connection: none may be at rest for longer
// than keep-alives would take to miss its other side.
func (p *Proxy) Serve(ln net.Listener) error {
	ln = p.door.open(ln, func(v *visit) net.Conn { return httpVisit{v} })
	defer ln.Close()
	return p.server.Serve(ln)
}

// Shutdown closes the listeners, has every connection end after the request
// that is being answered, and waits for that. When ctx ends first it closes
// what is left and gives the error of ctx.
func (p *Proxy) Shutdown(ctx context.Context) error {
	err := p.door.shut(ctx)
	<-p.ended
	return err
}

// watch looks at every group until the door closes.
func (p *Proxy) watch() {
	defer close(p.ended)
	for !p.door.closing.Load() {
		p.look()
		p.door.sweep(p.clock.at(time.Now()))
		p.door.pause(min(p.config.Load().MaxAge/10, time.Second))
	}
}

// look moves the age of every group on, and says which one has become stale.
func (p *Proxy) look() {
	c := p.config.Load()
	for _, e := range *p.book.entries.Load() {
		e.refresh(c.Look, p.ages())
		stale := p.clock.at(time.Now()) > e.until.Load()
		switch was := e.stale.Swap(stale); {
		case stale && !was:
			c.Log.Error("a person is needed", "group", e.group, "reason", Stale, "max_age", c.MaxAge)
		case was && !stale:
			c.Log.Info("the group is read again", "group", e.group)
		}
	}
}

// permits says whether a connection may ask now, and counts that it did.
func (p *Proxy) permits(v *visit, now time.Time) bool {
	rate := p.config.Load().Limits.Rate
	return rate <= 0 || v.caller.take(p.clock.at(now), rate)
}

func (p *Proxy) ages() ages { return ages{p.clock, p.config.Load().MaxAge} }

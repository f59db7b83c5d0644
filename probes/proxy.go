package probes

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"time"

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
type Proxy struct{}

// NewProxy gives a Proxy that knows no group yet. It must be shut down, even
// if it never served.
func NewProxy(c ProxyConfig) (*Proxy, error) { return nil, c.Check() }

// Tell takes in what is known and decided of a group, a new one or one told of
// before; it is made to be given to [Watcher.Follow]. When it returns, answers
// are by it. It does not block.
func (p *Proxy) Tell(s ha.Situation) {}

// Forget has the group answered as unknown from now on. Its watcher must not
// Tell any more by then.
func (p *Proxy) Forget(group string) {}

// Apply replaces the configuration. Connections that stand are kept, those
// from addresses that are not allowed any more are closed at their next
// request. On an error the old one stays in force.
func (p *Proxy) Apply(c ProxyConfig) error { return c.Check() }

// Serve answers HTTP on ln until Shutdown; then it returns nil. It closes ln.
func (p *Proxy) Serve(ln net.Listener) error { return nil }

// ServeAgent answers HAProxy's agent check on ln until Shutdown; then it
// returns nil. It closes ln.
func (p *Proxy) ServeAgent(ln net.Listener) error { return nil }

// Shutdown closes the listeners, waits for requests that are being answered
// until ctx ends, and closes every connection.
func (p *Proxy) Shutdown(ctx context.Context) error { return nil }

// ProxyFigures count what a Proxy did since it was made.
type ProxyFigures struct {
	Answers   uint64 // HTTP requests answered, whatever the status
	Agent     uint64 // agent checks that got a line
	Silent    uint64 // agent checks that got none
	Refused   uint64 // connections closed unheard: not allowed, or one too many
	Throttled uint64 // requests above the rate
	Faulty    uint64 // requests that could not be read
	Conns     int    // connections now
	Groups    int    // groups known now
	Stale     int    // those of them that are stale
}

// Figures gives the counters.
func (p *Proxy) Figures() ProxyFigures { return ProxyFigures{} }

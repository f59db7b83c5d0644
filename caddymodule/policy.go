package caddymodule

import (
	"net/http"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// Names of the request variables that only the slow path uses.
const (
	triedVar    = "understudy.tried"    // the *server at which the last attempt of this request failed
	deadlineVar = "understudy.deadline" // until when it may wait, over all its attempts
	refusedVar  = "understudy.refused"  // it gets 503 from us, or 499
)

const (
	defaultQueueTimeout = 10 * time.Second
	defaultQueueMax     = 4096
)

// Policy chooses the upstream of the serving node. While a decision is being
// made it has requests wait in it, bounded.
type Policy struct {
	// Group is the group's name.
	Group string `json:"group"`
	// QueueTimeout is how long a request may wait, over all its attempts.
	// Default 10s; negative: not at all.
	QueueTimeout caddy.Duration `json:"queue_timeout,omitempty"`
	// QueueMax is how many requests of the group may wait at once. Default 4096.
	QueueMax int `json:"queue_max,omitempty"`

	route *route
}

// CaddyModule gives the module's identity.
func (Policy) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.reverse_proxy.selection_policies.understudy",
		New: func() caddy.Module { return new(Policy) },
	}
}

// Provision finds the group.
func (p *Policy) Provision(ctx caddy.Context) error {
	g, err := groupOf(ctx, p.Group)
	if err != nil {
		return err
	}
	p.route = g.route
	if p.QueueTimeout == 0 {
		p.QueueTimeout = caddy.Duration(defaultQueueTimeout)
	}
	if p.QueueMax == 0 {
		p.QueueMax = defaultQueueMax
	}
	g.let(ctx, p)
	return nil
}

// Select gives the serving node's upstream. While nothing is the matter that
// is one atomic load and a comparison of addresses, without lock or allocation.
func (p *Policy) Select(pool reverseproxy.UpstreamPool, r *http.Request, w http.ResponseWriter) *reverseproxy.Upstream {
	c := p.route.choice.Load()
	if !c.calm() {
		if c = p.wait(r, w); c == nil {
			return nil
		}
	}
	for _, u := range pool {
		if u.Dial == c.serving.address {
			if u.Full() {
				break
			}
			return u
		}
	}
	return nil
}

// wait has a request wait for a choice that it can go by; nil means that it
// gets no node, and the answer's headers say why.
func (p *Policy) wait(r *http.Request, w http.ResponseWriter) *choice {
	ctx := r.Context()
	deadline, ok := caddyhttp.GetVar(ctx, deadlineVar).(time.Time)
	if !ok {
		deadline = time.Now().Add(time.Duration(p.QueueTimeout))
		caddyhttp.SetVar(ctx, deadlineVar, deadline)
	}
	tried, _ := caddyhttp.GetVar(ctx, triedVar).(*server)
	c, out := p.route.settle(ctx, tried, !replayable(r), patience{deadline, int64(p.QueueMax)})
	if out == proceed {
		return c
	}
	again := caddyhttp.GetVar(ctx, refusedVar) != nil // Caddy asks as often as it would retry
	caddyhttp.SetVar(ctx, refusedVar, out)
	if out != gone {
		if !again {
			p.route.turnedAway.Add(1)
		}
		w.Header().Set("Retry-After", strconv.Itoa(retryAfter))
		w.Header().Set("X-Understudy-Reason", string(c.why()))
	}
	return nil
}

// retryAfter is what clients that get 503 are told to wait, in seconds.
const retryAfter = 5

// Replayable matches requests that may be sent to another node after they may
// have reached one: an idempotent method and no body.
type Replayable struct{}

// CaddyModule gives the module's identity.
func (Replayable) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.matchers.understudy_replayable",
		New: func() caddy.Module { return new(Replayable) },
	}
}

// MatchWithError says whether r may be sent again.
func (Replayable) MatchWithError(r *http.Request) (bool, error) { return replayable(r), nil }

var (
	_ caddy.Provisioner                 = (*Policy)(nil)
	_ reverseproxy.Selector             = (*Policy)(nil)
	_ caddyhttp.RequestMatcherWithError = (*Replayable)(nil)
)

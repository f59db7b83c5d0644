package caddymodule

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/headers"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/understudy-ha/understudy/internal/config"
)

func init() {
	httpcaddyfile.RegisterHandlerDirective("understudy", parseDirective)
	httpcaddyfile.RegisterDirectiveOrder("understudy", httpcaddyfile.Before, "reverse_proxy")
}

// streamCloseDelay is how long a tunnel outlives the configuration that it
// began under. Tunnels are cut at a failover, not at a reload.
const streamCloseDelay = caddy.Duration(365 * 24 * time.Hour)

// maxTries bounds the attempts of one request.
const maxTries = 5

// ours are the subdirectives of reverse_proxy that the group decides.
var ours = []string{
	"to", "dynamic", "lb_policy", "lb_retries", "lb_try_duration", "lb_try_interval", "lb_retry_match",
	"health_uri", "health_upstream", "health_port", "health_interval", "health_passes", "health_fails", "health_timeout",
	"health_method", "health_request_body", "health_status", "health_body", "health_follow_redirects", "health_headers",
	"max_fails", "fail_duration", "unhealthy_status", "unhealthy_latency",
}

// parseDirective reads the handler directive:
//
//	understudy [<matcher>] <group> {
//		queue_timeout <duration>
//		queue_max <count>
//		# every subdirective of reverse_proxy but those that the group decides
//	}
func parseDirective(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	a, err := option(h)
	if err != nil {
		return nil, err
	}
	proxy, policy, group, err := directive(h.Dispenser, a)
	if err != nil {
		return nil, err
	}
	if err := proxy.FinalizeUnmarshalCaddyfile(h); err != nil {
		return nil, err
	}
	if err := steer(proxy, group, policy); err != nil {
		return nil, h.WrapErr(err)
	}
	return &Handler{Group: policy.Group, Proxy: caddyconfig.JSONModuleObject(proxy, "handler", "reverse_proxy", nil)}, nil
}

// option gives what the global option says; nil if there is none.
func option(h httpcaddyfile.Helper) (*App, error) {
	o, ok := h.Option("understudy").(httpcaddyfile.App)
	if !ok {
		return nil, nil
	}
	a := new(App)
	if err := json.Unmarshal(o.Value, a); err != nil {
		return nil, h.WrapErr(err)
	}
	return a, nil
}

// directive reads the directive's tokens: the proxy as it stands there, what
// is ours, and the group.
func directive(d *caddyfile.Dispenser, a *App) (*reverseproxy.Handler, Policy, *Group, error) {
	d.Next() // the directive's name
	name := d.Token()
	var policy Policy
	if !d.AllArgs(&policy.Group) {
		return nil, policy, nil, d.Err("the directive is written: understudy GROUP { … }")
	}
	g, err := a.named(d, policy.Group)
	if err != nil {
		return nil, policy, nil, err
	}
	rest, err := passOn(d, name, &policy)
	if err != nil {
		return nil, policy, nil, err
	}
	proxy := new(reverseproxy.Handler)
	return proxy, policy, g, proxy.UnmarshalCaddyfile(rest)
}

// named gives a group of the global option, which may be missing; d stands
// where the group is named.
func (a *App) named(d *caddyfile.Dispenser, group string) (*Group, error) {
	if a == nil {
		return nil, d.Errf("there is no group %q: the global option understudy { … } is missing", group)
	}
	if g := a.Groups[group]; g != nil {
		return g, nil
	}
	return nil, d.Errf("there is no group %q; the global option understudy has: %s", group, strings.Join(a.names(), ", "))
}

// passOn takes what is ours out of the block and gives the rest, as the block
// of a reverse_proxy directive.
func passOn(d *caddyfile.Dispenser, name caddyfile.Token, policy *Policy) (*caddyfile.Dispenser, error) {
	name.Text = "reverse_proxy"
	tokens := []caddyfile.Token{name}
	open := name
	open.Text = "{"
	end := name
	for d.NextBlock(0) {
		switch key := d.Val(); {
		case key == "queue_timeout" || key == "queue_max":
			if err := policy.parse(d); err != nil {
				return nil, err
			}
		case slices.Contains(ours, key):
			return nil, d.Errf("%s is not for this directive: the group decides who serves, by its own probes (global option understudy)", key)
		default:
			segment := d.NextSegment()
			if key == "transport" && len(segment) > 1 {
				if segment[1].Text != "http" {
					return nil, d.Errf("only transport http can carry a group's traffic, not %s", segment[1].Text)
				}
				segment[1].Text = "understudy"
			}
			if len(tokens) == 1 {
				tokens = append(tokens, open)
			}
			tokens = append(tokens, segment...)
		}
		end = d.Token()
	}
	if len(tokens) > 1 {
		end.Text = "}"
		end.Line++
		tokens = append(tokens, end)
	}
	return caddyfile.NewDispenser(tokens), nil
}

// parse reads queue_timeout and queue_max.
func (p *Policy) parse(d *caddyfile.Dispenser) error {
	key := d.Val()
	var text string
	if !d.AllArgs(&text) {
		return d.ArgErr()
	}
	if key == "queue_max" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return d.Errf("queue_max must be a number from 1, not %q; to let nothing wait: queue_timeout 0", text)
		}
		p.QueueMax = n
		return nil
	}
	wait, err := caddy.ParseDuration(text)
	switch {
	case err != nil:
		return d.Errf("queue_timeout %q is not a duration like 10s", text)
	case wait < 0:
		return d.Errf("queue_timeout must not be negative")
	case wait == 0:
		wait = -1
	}
	p.QueueTimeout = caddy.Duration(wait)
	return nil
}

// steer gives a proxy the group's nodes, policy, retries and transport.
func steer(proxy *reverseproxy.Handler, g *Group, policy Policy) error {
	secure := false
	for _, n := range g.Nodes {
		u, why := config.Base(n.URL)
		if why != "" {
			continue // reported by check
		}
		secure = u.Scheme == "https"
		proxy.Upstreams = append(proxy.Upstreams, &reverseproxy.Upstream{Dial: u.Host})
	}
	proxy.LoadBalancing = &reverseproxy.LoadBalancing{
		SelectionPolicyRaw: caddyconfig.JSONModuleObject(policy, "policy", "understudy", nil),
		Retries:            maxTries,
		RetryMatchRaw:      caddyhttp.RawMatcherSets{caddy.ModuleMap{"understudy_replayable": json.RawMessage("{}")}},
	}
	if proxy.StreamCloseDelay == 0 {
		proxy.StreamCloseDelay = streamCloseDelay
	}
	transport := map[string]any{}
	if len(proxy.TransportRaw) > 0 {
		if err := json.Unmarshal(proxy.TransportRaw, &transport); err != nil {
			return err
		}
	}
	transport["protocol"], transport["group"] = "understudy", policy.Group
	if secure {
		if transport["tls"] == nil {
			transport["tls"] = g.Probe.trust()
		}
		keepHost(proxy)
	}
	proxy.TransportRaw = caddyconfig.JSON(transport, nil)
	return nil
}

// trust is the TLS side of the transport where the directive does not give its
// own: the nodes are trusted as the probe trusts them.
func (p *Probe) trust() map[string]any {
	tls := map[string]any{}
	if p.Host != "" {
		tls["server_name"] = p.Host
	}
	if p.TLSCA != "" {
		tls["ca"] = map[string]any{"provider": "file", "pem_files": []string{p.TLSCA}}
	}
	if p.TLSInsecure {
		tls["insecure_skip_verify"] = true
	}
	return tls
}

// keepHost keeps the client's Host towards nodes with TLS, unless the
// directive sets another: Caddy would send each node its own address.
func keepHost(proxy *reverseproxy.Handler) {
	if proxy.Headers == nil {
		proxy.Headers = new(headers.Handler)
	}
	if proxy.Headers.Request == nil {
		proxy.Headers.Request = new(headers.HeaderOps)
	}
	ops := proxy.Headers.Request
	if ops.Set.Get("Host") != "" {
		return
	}
	if ops.Set == nil {
		ops.Set = map[string][]string{}
	}
	ops.Set.Set("Host", "{http.request.hostport}")
}

package sidecar

import (
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/understudy-ha/understudy/dnsgtm"
	"github.com/understudy-ha/understudy/internal/config"
	"github.com/understudy-ha/understudy/internal/notify"
	"github.com/understudy-ha/understudy/probes"
)

// parts are what a configuration is made into before anything of it runs.
type parts struct {
	config  *config.Sidecar
	plans   map[string]probes.Plan
	guard   *guard
	renders []*render
	senders []notify.Sender
	names   dnsgtm.Config          // if there is a name server
	pools   map[string]probes.Plan // what it watches besides
}

// assemble makes a configuration into its parts. The faults are those that
// only show when its files are read and its values are put together; with them
// the parts are no good.
func assemble(c *config.Sidecar, log *slog.Logger) (*parts, config.Faults) {
	p := &parts{config: c, plans: map[string]probes.Plan{}, pools: map[string]probes.Plan{}}
	var f config.Faults
	for _, name := range c.Names() {
		plan, err := planOf(c.Groups[name])
		if err != nil {
			f.Add("groups/"+name, "%s", lines(err))
		}
		p.plans[name] = plan
	}
	f = append(append(f, p.assembleNames()...), sharedFaults(c)...)
	var err error
	if p.guard, err = newGuard(c.API); err != nil {
		f.Add("api", "%s", err)
	}
	for i, r := range c.Renders {
		one, err := newRender(r, c)
		if err != nil {
			f.Add(fmt.Sprintf("files/%d/template", i), "%s", err)
		}
		p.renders = append(p.renders, one)
	}
	for _, w := range c.Webhooks {
		sender, err := notify.NewWebhook(notify.WebhookConfig{URL: w.URL, SecretFile: w.SecretFile, TLSCA: w.TLSCA}, log)
		if err != nil {
			f.Add("notify", "%s", lines(err))
			continue
		}
		p.senders = append(p.senders, sender)
	}
	for _, m := range c.Mails {
		sender, err := notify.NewMail(notify.MailConfig{
			Server: m.Server, From: m.From, To: m.To, User: m.User, PasswordFile: m.PasswordFile, TLS: notify.MailTLS(m.TLS), TLSCA: m.TLSCA,
		}, log)
		if err != nil {
			f.Add("notify", "%s", lines(err))
			continue
		}
		p.senders = append(p.senders, sender)
	}
	return p, f
}

// assembleNames makes the name server's part.
func (p *parts) assembleNames() (f config.Faults) {
	if p.config.DNS == nil {
		return nil
	}
	for name, pool := range p.config.Pools {
		g := config.Group{Probe: pool.Probe}
		for _, n := range pool.Nodes {
			g.Nodes = append(g.Nodes, n.Node)
		}
		plan, err := planOf(g)
		if err != nil {
			f.Add("groups/"+name, "%s", lines(err))
		}
		p.pools[name] = plan
	}
	p.names = namesOf(p.config)
	return append(f, misnamed(p.config, p.names.Check(time.Now()))...)
}

// lines gives an error that may have several lines on one.
func lines(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

// planOf gives what the watcher of a group goes by.
func planOf(g config.Group) (probes.Plan, error) {
	rules := g.Rules()
	var targets []probes.Target
	for _, n := range g.Nodes {
		targets = append(targets, probes.Target{
			Node: n.Name, URL: n.Pages(), Host: g.Probe.Host, Profile: g.Probe.Pages,
			Timeout: rules.Timeout, ResolveEvery: rules.Interval, CAFile: g.Probe.TLSCA, Insecure: g.Probe.TLSInsecure,
		})
	}
	return probes.NewPlan(targets, rules, g.Observe)
}

// Check gives what is wrong with a configuration that was read without a
// fault, and what is legal but unwise. Nothing is started and no node is asked.
func Check(c *config.Sidecar, log *slog.Logger) (faults, warnings config.Faults) {
	p, faults := assemble(c, log)
	if len(faults) > 0 {
		return faults, nil
	}
	return nil, append(p.unwise(), stored(c)...)
}

// unwise names what is legal but unwise.
func (p *parts) unwise() (f config.Faults) {
	if p.guard != nil && p.guard.open {
		f.Add("api/token_file", "%s can be read by every user of this machine; chmod 640", p.config.API.TokenFile)
	}
	for i, r := range p.renders {
		if why := r.unwise(); why != "" {
			f.Add(fmt.Sprintf("files/%d/then", i), "%s", why)
		}
	}
	return f
}

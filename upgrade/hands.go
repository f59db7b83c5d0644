package upgrade

import (
	"fmt"
	"os"
	"strings"

	"github.com/understudy-ha/understudy/internal/api"
	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/internal/config"
	"github.com/understudy-ha/understudy/internal/remote"
)

// NewHands gives the hands of a configuration, for the run with a lock; without
// one they only look. host is how this machine is called, actor who acts.
func NewHands(c config.Upgrade, run Lock, host, actor string) (Hands, error) {
	h := Hands{map[string]NodeHand{}, map[string]RouterHand{}}
	var trust *remote.Trust
	if c.AdminKey != "" {
		var err error
		if trust, err = remote.OpenAdmin(c.AdminKey, host); err != nil {
			return h, fmt.Errorf("admin_key: %w", err)
		}
	}
	agents := map[string]*agent{}
	for _, n := range c.Nodes {
		switch {
		case n.Manual:
			h.Nodes[n.Name] = &manual{newPages(n.Pages)}
		case n.SSH != "":
			h.Nodes[n.Name] = &sshHand{pages: newPages(n.Pages), node: n, limits: c.Timeouts, version: c.To, running: run.Run != ""}
		default:
			a, err := newAgent(n, trust)
			if err != nil {
				return h, err
			}
			a.run, a.digest, a.others = run, c.Package, agents
			h.Nodes[n.Name], agents[n.Name] = a, a
		}
	}
	for _, r := range c.Routers {
		one, err := newRouter(r, c.Group, run.Run, actor)
		if err != nil {
			return h, fmt.Errorf("%s: %w", r.Name, err)
		}
		h.Routers[r.Name] = one
	}
	return h, nil
}

// newAgent gives the hand of an engine: by its socket, or where it was paired.
func newAgent(n config.RunNode, trust *remote.Trust) (*agent, error) {
	if n.Agent != config.RunTrusted {
		return &agent{client: nodeapi.New(n.Agent)}, nil
	}
	host, err := trust.Hosts.Get(n.Name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; pair it: failover trusted-hosts invite --admin there, and here: failover trusted-hosts add --admin-key FILE STRING", n.Name, err)
	}
	return &agent{client: nodeapi.NewTLS(host.URL(), trust.TLS(host)), pin: host.Pin.String()}, nil
}

func newRouter(r config.RunRouter, group, run, actor string) (RouterHand, error) {
	switch {
	case r.HAProxy != "":
		return &haproxyRouter{r.HAProxy, r.Backend}, nil
	case len(r.Hold) > 0:
		return &commandRouter{r}, nil
	}
	token := ""
	if r.TokenFile != "" {
		text, err := os.ReadFile(r.TokenFile)
		if err != nil {
			return nil, err
		}
		token = strings.TrimSpace(string(text))
	}
	client, err := api.NewClient(r.API, token)
	if err != nil {
		return nil, err
	}
	return &apiRouter{client, group, run, actor}, nil
}

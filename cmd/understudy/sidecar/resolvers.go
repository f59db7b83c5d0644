package sidecar

import (
	"github.com/understudy-ha/understudy/internal/api"
	"github.com/understudy-ha/understudy/probes"
)

// watchedPool is a pool that the name server follows.
type watchedPool struct {
	*probes.Pool
	policy string
}

// Resolvers gives what the name server answers for a group, false if no name is
// bound to it.
func (g *groups) Resolvers(group string) (api.Resolvers, bool) {
	if g.names == nil || g.names.server() == nil {
		return api.Resolvers{}, false
	}
	s, bound := g.names.server().Standing(group)
	return api.Resolvers{
		Answers: append([]string{}, s.Nodes...), TTLS: s.TTL.Seconds(), Settled: s.Settled, Lowered: s.Lowered, Ready: s.Ready,
	}, bound
}

// Pools gives the pools, sorted by name.
func (g *groups) Pools() (all []api.Pool) {
	if g.names == nil {
		return nil
	}
	server, shown := g.names.server(), g.names.shown.Load()
	if server == nil || shown == nil {
		return nil
	}
	for _, p := range *shown {
		all = append(all, api.ShowPool(p.Group, p.policy, server.Choice(p.Group).Nodes, p.View()))
	}
	return all
}

package sidecar

import (
	"context"
	"fmt"

	"github.com/understudy-ha/understudy/internal/config"
	"github.com/understudy-ha/understudy/internal/remote"
)

// prepareCourier gives how to have the nodes' engines told where traffic
// belongs, by a configuration. Without a peer_key nobody is told.
func (s *Sidecar) prepareCourier(_ context.Context, p *parts) (commit, abort func(), err error) {
	engines := remote.Engines{}
	for name, g := range p.config.Groups {
		for _, n := range g.Nodes {
			if u, why := config.Base(n.Peer); why == "" {
				if engines[name] == nil {
					engines[name] = map[string]string{}
				}
				engines[name][n.Name] = u.Host
			}
		}
	}
	if p.config.PeerKey == "" || len(engines) == 0 {
		return func() { s.untell() }, func() {}, nil
	}
	trust, err := remote.OpenFront(p.config.PeerKey, "sidecar")
	if err != nil {
		return nil, nil, fmt.Errorf("open peer_key: %w", err)
	}
	courier, err := remote.NewCourier(trust, engines, s.log)
	if err != nil {
		return nil, nil, err
	}
	return func() {
		s.untell()
		var leave []func()
		for name := range engines {
			if w := s.groups.find(name); w != nil {
				leave = append(leave, w.Follow(courier.Hear))
			}
		}
		s.told = func() {
			for _, stop := range leave {
				stop()
			}
			courier.Close()
		}
	}, courier.Close, nil
}

// untell ends what the configuration before has had told.
func (s *Sidecar) untell() {
	if s.told != nil {
		s.told()
		s.told = nil
	}
}

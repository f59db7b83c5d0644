package caddymodule

import (
	"fmt"

	"github.com/understudy-ha/understudy/internal/config"
	"github.com/understudy-ha/understudy/internal/remote"
)

// openCourier starts what tells the nodes' engines where this front sends
// clients, for one configuration; the function it gives ends that. Without a
// peer_key nobody is told.
func (a *App) openCourier() (end func(), err error) {
	engines := remote.Engines{}
	for name, g := range a.Groups {
		for _, n := range g.Nodes {
			if u, why := config.Base(n.Peer); why == "" {
				if engines[name] == nil {
					engines[name] = map[string]string{}
				}
				engines[name][n.Name] = u.Host
			}
		}
	}
	if a.PeerKey == "" || len(engines) == 0 {
		return func() {}, nil
	}
	trust, err := remote.OpenFront(a.PeerKey, "front")
	if err != nil {
		return nil, fmt.Errorf("open peer_key: %w", err)
	}
	courier, err := remote.NewCourier(trust, engines, a.ctx.Slogger())
	if err != nil {
		return nil, err
	}
	var leave []func()
	for name := range engines {
		leave = append(leave, a.running[name].watcher.Follow(courier.Hear))
	}
	return func() {
		for _, stop := range leave {
			stop()
		}
		courier.Close()
	}, nil
}

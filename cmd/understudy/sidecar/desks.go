package sidecar

import (
	"cmp"
	"context"
	"fmt"
	"net"

	"github.com/understudy-ha/understudy/cmd/understudy/service"
	"github.com/understudy-ha/understudy/internal/api"
)

// prepareDesks opens the API's listeners that are new and gives how to go on or
// back.
func (s *Sidecar) prepareDesks(ctx context.Context, p *parts) (commit, abort func(), err error) {
	path, address := cmp.Or(p.config.API.Socket, api.SidecarSocket), p.config.API.Listen
	socket, tcp := s.socket, s.tcp
	var unix, inet net.Listener
	abort = func() {
		for _, l := range []net.Listener{unix, inet} {
			if l != nil {
				_ = l.Close()
			}
		}
	}
	if socket == nil || socket.address != path {
		l, err := service.Open(path, "api: {socket: …}")
		if err != nil {
			return nil, nil, err
		}
		unix, socket = l, newDesk(s.api, path, nil, nil, s.log)
	}
	switch {
	case address == "":
		tcp = nil
	case tcp == nil || tcp.address != address:
		if err := s.pages.open(p.config); err != nil {
			abort()
			return nil, nil, err
		}
		if inet, err = new(net.ListenConfig).Listen(ctx, "tcp", address); err != nil {
			abort()
			return nil, nil, fmt.Errorf("listen for the API: %w", err)
		}
		tcp = newDesk(s.api, address, p.guard, s.pages, s.log)
	}
	return func() {
		if unix != nil {
			socket.open(unix)
		}
		if inet != nil {
			tcp.open(inet)
		}
		if tcp != nil {
			tcp.guard.Store(p.guard)
			s.pages.console.SetHosts(p.config.API.Hosts)
		}
		s.socket, s.tcp = swap(s.socket, socket), swap(s.tcp, tcp)
	}, abort, nil
}

// swap gives the new desk and closes the old one if it is another.
func swap(old, next *desk) *desk {
	if old != nil && old != next {
		old.close()
	}
	return next
}

package sidecar

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/understudy-ha/understudy/dnsgtm"
	"github.com/understudy-ha/understudy/internal/config"
)

// succession is how long a sidecar that takes another's place waits: for what is
// known of its groups, and for the other one to make room.
const succession = 10 * time.Second

// Replace is Open in the place of the sidecar that runs by the same state_dir:
// it takes the name server's sockets over, so that no query is lost, and the
// other one ends. Where none runs it is as Open.
func Replace(ctx context.Context, file string, log *slog.Logger) (*Sidecar, error) {
	return open(ctx, file, log, (*Sidecar).succeed)
}

// succeed knows its groups before it answers for them, and opens everything
// else when the other one has gone.
func (s *Sidecar) succeed(ctx context.Context, p *parts, warnings []config.Remark) error {
	if p.config.DNS == nil {
		return errors.New("only a name server is handed over, and this configuration has none; stop the old sidecar first")
	}
	ctx, cancel := context.WithTimeout(ctx, succession)
	defer cancel()
	commit, _, err := s.groups.prepare(ctx, p.plans)
	if err != nil {
		return err
	}
	commit()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !s.groups.known() && ctx.Err() == nil {
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	if err := s.names.take(ctx, p.names); err != nil {
		return err
	}
	for {
		err := s.change(ctx, p, warnings)
		if err == nil || ctx.Err() != nil {
			return err
		}
		select { // the other one is still ending
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// known says whether of every group is known who serves, or that nobody is.
func (g *groups) known() bool {
	for _, name := range g.Names() {
		if s, ok := g.Situation(name); ok && s.Traffic.Epoch == 0 && s.Traffic.Hold == nil {
			return false
		}
	}
	return true
}

// take starts a name server with the sockets of the one that runs.
func (n *names) take(ctx context.Context, c dnsgtm.Config) error {
	server, err := n.newServer(c)
	if err != nil {
		return fmt.Errorf("name server: %w", err)
	}
	if err = server.Take(context.WithoutCancel(ctx), handover(c)); errors.Is(err, dnsgtm.ErrNobody) {
		err = server.Start(context.WithoutCancel(ctx))
	}
	if err != nil {
		_ = server.Close()
		return fmt.Errorf("name server: %w", err)
	}
	n.config = c
	n.now.Store(server)
	return nil
}

// offer lets another sidecar take the name server over.
func (n *names) offer(server *dnsgtm.Server) {
	if n.offered == server {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	taken, err := server.Offer(ctx, handover(n.config))
	if err != nil {
		cancel()
		n.log.Error("the name server cannot be handed over to another process", "error", err)
		return
	}
	n.offered, n.taken, n.withdraw = server, taken, cancel
}

// handover is where one process asks another for its sockets.
func handover(c dnsgtm.Config) string { return filepath.Join(c.StateDir, "handover.sock") }

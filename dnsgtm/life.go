package dnsgtm

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// tasks are the goroutines of a Server that do what may take its time.
type tasks struct {
	ctx   context.Context
	stop  context.CancelFunc
	group *sync.WaitGroup
}

// run starts one; after the end it does nothing.
func (t *tasks) run(do func()) {
	if t.ctx != nil && t.ctx.Err() == nil {
		t.group.Go(do)
	}
}

// Start begins to answer, with what the server has been told so far. The error
// says what could not be opened or read.
func (s *Server) Start(ctx context.Context) error { return s.start(ctx, nil, nil) }

// start is Start with sockets and serials that another process has handed over.
func (s *Server) start(ctx context.Context, given sockets, serials map[string]heirloom) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.table.Load()
	if err := s.enter(t, roots{given: serials}); err != nil {
		return err
	}
	d, err := s.openDoor(ctx, given)
	if err != nil {
		return err
	}
	s.door, s.started = d, true
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.tasks = tasks{running, stop, new(sync.WaitGroup)}
	d.serve(s)
	for _, z := range t.zones {
		s.announce(z, z.now.Load().serial)
	}
	s.tasks.run(func() { s.tend(running) })
	return nil
}

// Close ends the server: what was read is answered, and serials that were not
// used are given back.
func (s *Server) Close() error {
	s.mu.Lock()
	d := s.door
	started := s.started
	s.started = false
	if started {
		s.tasks.stop()
	}
	s.mu.Unlock()
	if d == nil || !started {
		return nil
	}
	s.tasks.group.Wait()
	d.close()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.frozen {
		return nil
	}
	var failed error
	for apex, z := range s.table.Load().zones {
		if _, err := s.serials.save(apex, z.told.serial, z.digest(z.told)); err != nil {
			failed = err
		}
	}
	return failed
}

// tend does what is due at some time: new signatures, and the end of ramps.
func (s *Server) tend(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			s.raise(now)
			if s.stale(now) {
				s.resign(now)
			}
		}
	}
}

// stale says whether a zone wants new signatures.
func (s *Server) stale(now time.Time) bool {
	for _, z := range s.table.Load().zones {
		if z.signer != nil && !now.Before(z.signer.renew) {
			return true
		}
	}
	return false
}

// resign makes every zone anew of the records that it has, which signs it. Key
// files are read again, zone files are not. Where that fails the old signatures
// stay, and it is tried again after a while.
func (s *Server) resign(now time.Time) {
	old := s.table.Load()
	t, faults := newTable(old.config, now, old)
	err := faults.err()
	if err == nil {
		err = s.put(t)
	}
	if err == nil {
		s.log.Info("zones signed anew")
		return
	}
	s.log.Error("zones not signed anew: signatures will run out", "error", err)
	for _, z := range s.table.Load().zones {
		if z.signer != nil {
			z.signer.renew = now.Add(time.Hour)
		}
	}
}

// Choice gives what the names of a group answer now.
func (s *Server) Choice(group string) Choice {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.choices[group]
}

// why explains in one line what the names of a group answer, empty if there is
// no such group.
func (s *Server) why(group string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	config := s.table.Load().config
	for _, g := range config.Groups {
		if strings.EqualFold(g.Name, group) {
			return explain(g, s.choices[g.Name], s.situations[g.Name])
		}
	}
	return ""
}

// explain is why as a function of values.
func explain(g Group, c Choice, s ha.Situation) string {
	answers := "nothing"
	if len(c.Nodes) > 0 {
		answers = strings.Join(c.Nodes, ", ")
	}
	words := fmt.Sprintf("%s answers %s", g.Name, answers)
	if g.Pool != "" {
		return words + fmt.Sprintf("; pool %s", g.Pool)
	}
	t := s.Traffic
	if t.Serving == "" {
		return words + "; nobody is known to serve"
	}
	words += fmt.Sprintf(" since %s; epoch %d; cause %s", t.Since.UTC().Format(time.RFC3339), t.Epoch, t.Cause)
	words += fmt.Sprintf("; decision %s: %s (row %d)", s.Decision.Verb, s.Decision.Reason, s.Decision.Row)
	for _, n := range g.Nodes {
		words += fmt.Sprintf("; %s %s", n.Name, s.View.Of(n.Name).Last.State)
	}
	return words
}

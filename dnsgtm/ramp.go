package dnsgtm

import (
	"time"
)

// ramp is the time around a planned switch of one group: its TTLs are low from
// the beginning until the old TTL has passed once more after the move.
type ramp struct {
	lowered time.Time
	ready   time.Time // when every resolver has seen the low TTL
	moved   time.Time // when the switch was seen; zero: not yet
	until   time.Time // when TTLs are raised again
}

// rampLimit is how long TTLs stay low for a switch that never comes.
const rampLimit = time.Hour

// Lower lowers the TTL of the names of a group before a planned switch, and
// says when every resolver that keeps to TTLs has seen it: the time to switch.
// Once the switch has been seen, or an hour later without one, TTLs are raised
// again. A group whose names have no ramp is ready at once.
func (s *Server) Lower(group string, now time.Time) (ready time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	high, low := s.ttls(group)
	if low == high {
		return now
	}
	r := s.ramps[group]
	if r == nil || !r.moved.IsZero() {
		r = &ramp{lowered: now, ready: now.Add(high)}
		s.ramps[group] = r
	}
	r.until = now.Add(rampLimit + high)
	if s.started {
		s.publish(group, "ttl_lowered")
	}
	return r.ready
}

// Raise ends the ramp of a group at once: the switch was given up.
func (s *Server) Raise(group string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ramps[group] != nil {
		delete(s.ramps, group)
		if s.started {
			s.publish(group, "ttl_raised")
		}
	}
}

// moved notes that traffic of a group moved: with a ramp the TTL stays low for
// one more old TTL. It is called with the lock.
func (s *Server) moved(group string, now time.Time) {
	high, low := s.ttls(group)
	had := high
	if r := s.ramps[group]; r != nil {
		if !now.Before(r.ready) {
			had = low
		}
		r.moved, r.until = now, now.Add(high)
	}
	s.settled[group] = now.Add(had)
}

// Settled says when every resolver that keeps to TTLs has the answers of now:
// zero if they have never changed.
func (s *Server) Settled(group string) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.settled[group]
}

// raise ends the ramps that are over.
func (s *Server) raise(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for group, r := range s.ramps {
		if !now.Before(r.until) {
			delete(s.ramps, group)
			s.publish(group, "ttl_raised")
		}
	}
}

// ttl gives the TTL that a name has now.
func (s *Server) ttl(b *binding) time.Duration {
	if b.RampTTL > 0 && s.ramps[b.group.Name] != nil {
		return b.RampTTL
	}
	return b.TTL
}

// ttls gives the largest TTL of a group's names, and the largest while they
// are low.
func (s *Server) ttls(group string) (high, low time.Duration) {
	for _, z := range s.table.Load().zones {
		for _, b := range z.names {
			if b.group.Name != group {
				continue
			}
			high = max(high, b.TTL)
			if b.RampTTL > 0 {
				low = max(low, b.RampTTL)
			} else {
				low = max(low, b.TTL)
			}
		}
	}
	return high, low
}

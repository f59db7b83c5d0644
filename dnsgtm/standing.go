package dnsgtm

import (
	"slices"
	"time"
)

// Standing is what clients of the names of a group get, and when resolvers
// have it.
type Standing struct {
	Nodes   []string      // whose records are answered; empty: nobody is known to serve
	TTL     time.Duration // the longest of the names now
	Settled time.Time     // when every resolver that keeps to TTLs has these records; zero: they were never others
	Lowered bool          // the TTL is low around a planned move
	Ready   time.Time     // when that move may happen; zero: none is planned, or it has happened
}

// Standing gives what is answered for a group; false if no name is bound to
// it. A move from before this process began is known from the Traffic.
func (s *Server) Standing(group string) (Standing, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	high, low := s.ttls(group)
	if high == 0 {
		return Standing{}, false
	}
	n := Standing{Nodes: slices.Clone(s.choices[group].Nodes), TTL: high, Settled: s.settled[group]}
	if r := s.ramps[group]; r != nil {
		if n.Lowered = low < high; n.Lowered {
			n.TTL = low
		}
		if r.moved.IsZero() {
			n.Ready = r.ready
		}
	}
	if t := s.situations[group].Traffic; n.Settled.IsZero() && t.Epoch > 1 && !t.Since.IsZero() {
		n.Settled = t.Since.Add(high)
	}
	return n, true
}

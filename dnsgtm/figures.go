package dnsgtm

import (
	"sync/atomic"

	"github.com/miekg/dns"
)

// figures are what a Server counts since it began.
type figures struct {
	rcodes      [24]atomic.Uint64 // replies of the slow path
	dropped     atomic.Uint64     // messages that get no reply
	changes     atomic.Uint64     // serials
	unserialled atomic.Uint64     // changes that secondaries could not be told
	unstored    atomic.Uint64     // failures to store serials
	panics      atomic.Uint64     // messages that we could not digest
	transfers   atomic.Uint64
	refused     atomic.Uint64 // transfers
	notified    atomic.Uint64
	unheard     atomic.Uint64 // notifications that nobody confirmed
	connections atomic.Int64
	evicted     atomic.Uint64 // connections that made room
}

// tally is what one worker counts. Nobody else writes it; the padding keeps it
// off the cache lines of others.
type tally struct {
	_        [64]byte
	answered atomic.Uint64 // by the fast path, NOERROR
	nothing  atomic.Uint64 // by the fast path, NXDOMAIN
	slow     atomic.Uint64 // queries left to the slow path
	limited  atomic.Uint64 // replies over the limit that were not sent
	slipped  atomic.Uint64 // replies over the limit that were sent truncated
	dropped  atomic.Uint64
	unsent   atomic.Uint64 // the socket took no more
	_        [64]byte
}

func (s *Server) count(rcode int) {
	if rcode < len(s.figures.rcodes) {
		s.figures.rcodes[rcode].Add(1)
	}
}

// Figures are the counters of a Server since it began.
type Figures struct {
	Replies     map[string]uint64 // by rcode
	Slow        uint64            // queries over UDP that took the slow path
	Limited     uint64            // replies that the rate limit kept back
	Slipped     uint64            // replies that it sent truncated
	Dropped     uint64            // messages that could be no query
	Unsent      uint64            // replies that a socket did not take
	Changes     uint64            // serials
	Unserialled uint64            // changes that secondaries could not be told
	Unstored    uint64            // failures to store serials
	Panics      uint64            // queries that were not answered by a fault of ours
	Transfers   uint64
	Refused     uint64 // transfers
	Notified    uint64
	Unheard     uint64 // notifications that nobody confirmed
	Connections int64  // open now
	Evicted     uint64 // connections that made room for new ones
}

// Figures gives the counters.
func (s *Server) Figures() Figures {
	f := &s.figures
	sum := Figures{
		Replies: map[string]uint64{}, Dropped: f.dropped.Load(), Changes: f.changes.Load(), Unserialled: f.unserialled.Load(),
		Unstored: f.unstored.Load(), Panics: f.panics.Load(), Transfers: f.transfers.Load(), Refused: f.refused.Load(), Notified: f.notified.Load(),
		Unheard: f.unheard.Load(), Connections: f.connections.Load(), Evicted: f.evicted.Load(),
	}
	for rcode := range f.rcodes {
		if n := f.rcodes[rcode].Load(); n > 0 {
			sum.Replies[rcodeName(rcode)] = n
		}
	}
	for _, t := range s.tallies() {
		sum.Replies["NOERROR"] += t.answered.Load()
		sum.Replies["NXDOMAIN"] += t.nothing.Load()
		sum.Slow += t.slow.Load()
		sum.Limited += t.limited.Load()
		sum.Slipped += t.slipped.Load()
		sum.Dropped += t.dropped.Load()
		sum.Unsent += t.unsent.Load()
	}
	return sum
}

// rcodeName gives the name of an rcode; 16 has two, and what goes out with it
// is about EDNS: TSIG has its errors in its own record.
func rcodeName(rcode int) string {
	if rcode == dns.RcodeBadVers {
		return "BADVERS"
	}
	return dns.RcodeToString[rcode]
}

// tallies gives the counters of every worker.
func (s *Server) tallies() []*tally {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.door == nil {
		return nil
	}
	return s.door.tallies()
}

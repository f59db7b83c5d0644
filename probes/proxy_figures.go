package probes

import "sync/atomic"

// proxyFigures are the counters of a Proxy.
type proxyFigures struct {
	answers, agent, silent, throttled, faulty atomic.Uint64
}

// ProxyFigures count what a Proxy did since it was made.
type ProxyFigures struct {
	Answers   uint64 // HTTP requests answered, whatever the status
	Agent     uint64 // agent checks that got a line
	Silent    uint64 // agent checks that got none
	Refused   uint64 // connections closed unheard: not allowed, or one too many
	Throttled uint64 // requests above the rate
	Faulty    uint64 // requests that could not be read
	Conns     int    // connections now
	Groups    int    // groups known now
	Stale     int    // those of them that are stale
}

// Figures gives the counters.
func (p *Proxy) Figures() ProxyFigures {
	f := ProxyFigures{
		Answers: p.figures.answers.Load(), Agent: p.figures.agent.Load(), Silent: p.figures.silent.Load(),
		Refused: p.door.refused.Load(), Throttled: p.figures.throttled.Load(), Faulty: p.figures.faulty.Load(),
		Conns: p.door.count(),
	}
	for _, e := range *p.book.entries.Load() {
		f.Groups++
		if e.stale.Load() {
			f.Stale++
		}
	}
	return f
}

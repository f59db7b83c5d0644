package ha

import "time"

// PanelRule is how the agents of a pair elect a node (Microsoft Defender for IoT
// guide, failover process; the sensors there are the agents here).
type PanelRule struct {
	Interval time.Duration // from one report of an agent to the next
	Takes    time.Duration // how long more than half must be with a node
}

// patience is after how many intervals an agent that says nothing has no vote.
const patience = 3

// Panel is what a node knows of its agents, the clients that can reach either
// node and tell which. An agent that was heard once is counted until it is
// dropped: who cannot be heard is no majority, and elects nobody.
type Panel struct {
	votes map[string]vote
	since Instant // more than half have been with this node since then; off: they are not
}

// vote is what an agent said last.
type vote struct {
	here bool
	at   Instant // off: nothing since the engine began
}

// NewPanel gives the panel of agents that were heard before.
func NewPanel(agents []string) *Panel {
	p := &Panel{votes: make(map[string]vote, len(agents))}
	for _, id := range agents {
		p.votes[id] = vote{}
	}
	return p
}

// Hear notes that an agent is with this node, or with the other one. It says
// whether the agent is a new one.
func (p *Panel) Hear(id string, here bool, now Instant) (added bool) {
	_, known := p.votes[id]
	p.votes[id] = vote{here, now}
	return !known
}

// Drop forgets an agent and says whether there was one.
func (p *Panel) Drop(id string) bool {
	_, known := p.votes[id]
	delete(p.votes, id)
	return known
}

// Tally is how many agents are where.
type Tally struct {
	Agents, Here, There int           // those in neither are silent
	For                 time.Duration // how long more than half have been here
}

// Tally counts at an instant.
func (p *Panel) Tally(r PanelRule, now Instant) Tally {
	t := Tally{Agents: len(p.votes)}
	for _, v := range p.votes {
		switch {
		case v.at == off || now >= v.at.After(patience*r.Interval):
		case v.here:
			t.Here++
		default:
			t.There++
		}
	}
	if p.since != off {
		t.For = time.Duration(now - p.since)
	}
	return t
}

// Elects says whether more than half of the agents have been with this node for
// long enough, and counts from the start then. Exactly half is no majority. It
// is to be asked again and again.
func (p *Panel) Elects(r PanelRule, now Instant) bool {
	t := p.Tally(r, now)
	switch {
	case 2*t.Here <= t.Agents:
		p.since = off
	case p.since == off:
		p.since = now
	case now >= p.since.After(r.Takes):
		p.since = now
		return true
	}
	return false
}

package api

import (
	"fmt"
	"strings"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// Resolvers are what the name server answers for a group, and when those who
// ask it have heard it.
type Resolvers struct {
	Answers []string  `json:"answers"` // the nodes whose records are answered
	TTLS    float64   `json:"ttl_s"`   // the longest of the names, in seconds
	Settled time.Time `json:"settled,omitzero"`
	Lowered bool      `json:"lowered,omitempty"` // the TTL is low around a planned move
	Ready   time.Time `json:"ready,omitzero"`    // when that move may happen
}

// Resolving is what a Groups may have besides: a name server. Resolvers is
// false for a group that no name is bound to.
type Resolving interface {
	Resolvers(group string) (Resolvers, bool)
}

// show gives a situation as the API tells it, with what the groups have
// besides.
func (a *API) show(s ha.Situation) Group {
	g := Show(s)
	if p, ok := a.groups.(Patient); ok {
		if waits, door := p.QueueTimeout(g.Name); door {
			ms := waits.Milliseconds()
			g.QueueTimeoutMS = &ms
		}
	}
	if r, ok := a.groups.(Resolving); ok {
		if names, bound := r.Resolvers(g.Name); bound {
			names.Settled, names.Ready = utc(names.Settled), utc(names.Ready)
			g.Resolvers = &names
		}
	}
	return g
}

// resolverLine tells what is answered, and when every resolver that keeps to
// TTLs has it.
func resolverLine(g Group) string {
	r := g.Resolvers
	if r == nil {
		return ""
	}
	answer := "nobody: SERVFAIL"
	if len(r.Answers) > 0 {
		answer = cut(strings.Join(r.Answers, ", "), 80)
	}
	line := fmt.Sprintf("  names: answer %s, TTL %s", answer, Age(time.Duration(r.TTLS*float64(time.Second))))
	switch {
	case !r.Ready.IsZero() && r.Ready.After(g.At):
		line += ", lowered for a planned move that may be asked for from " + clock(r.Ready, g.At) + " on"
	case !r.Ready.IsZero():
		line += ", lowered for a planned move that may be asked for now"
	case r.Settled.IsZero():
	case r.Settled.After(g.At):
		line += "; a resolver may have the old answer until " + clock(r.Settled, g.At)
	default:
		line += "; every resolver that keeps to it has moved since " + clock(r.Settled, g.At)
	}
	return line + "\n"
}

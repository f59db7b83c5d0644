package upgrade

import "time"

// gap measures how long clients were not served.
type gap struct {
	since  time.Time
	length time.Duration
}

func (g *gap) see(announced bool, n Node, at time.Time) {
	switch bad := n.Fault != "" || n.State != Active || !n.Well; {
	case !announced:
	case bad && g.since.IsZero():
		g.since = at
	case !bad && !g.since.IsZero():
		g.length += at.Sub(g.since)
		g.since = time.Time{}
	}
}

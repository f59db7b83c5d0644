package dnsgtm

import (
	"slices"
	"strings"

	"github.com/understudy-ha/understudy/internal/ha"
)

// Choice is what a Situation means for the names that are bound to a group.
type Choice struct {
	Nodes  []string  // whose records are answered; empty: nobody is known to serve
	Down   bool      // none of them is available, so WhenDown says what is answered
	Reason ha.Reason // why traffic stays on a node that is down, or nobody serves; else empty
}

// Choose gives the Choice of a group. Of an active and stand-by group the
// latched decision alone says who is answered: never what a node reads now.
func Choose(g Group, s ha.Situation) Choice {
	if g.Pool != "" {
		return choosePool(g, s.View)
	}
	c := Choice{}
	if node := ha.Target(s.Traffic, s.View); node != "" {
		c.Nodes = []string{node}
		c.Down = s.View.Of(node).Down()
	}
	if s.Decision.Verb == ha.Wait && (c.Down || c.Nodes == nil) {
		c.Reason = s.Decision.Reason
	}
	return c
}

// choosePool takes a node for available until it has missed fall readings in a
// row. If none is, all are answered: to answer none would help nobody.
func choosePool(g Group, v ha.View) Choice {
	var up, all []string
	for _, n := range g.Nodes {
		all = append(all, n.Name)
		if !v.Of(n.Name).Down() {
			up = append(up, n.Name)
		}
	}
	c := Choice{Nodes: up}
	if len(up) == 0 {
		c = Choice{Nodes: all, Down: true, Reason: ha.NoStandby}
	}
	if g.Pool == ActiveStandby {
		c.Nodes = c.Nodes[:1]
	}
	return c
}

// same says whether two Choices lead to the same answers.
func (c Choice) same(o Choice) bool {
	return c.Down == o.Down && c.Reason == o.Reason && slices.Equal(c.Nodes, o.Nodes)
}

// key names the set of nodes.
func (c Choice) key() string { return strings.Join(c.Nodes, " ") }

// act is what a name does with a Choice.
type act uint8

const (
	answerNodes act = iota // the records of the nodes
	answerFixed            // the fixed addresses
	answerFault            // SERVFAIL
)

// actOf gives what a name does with a Choice.
func actOf(when WhenDown, c Choice) act {
	switch {
	case c.Down && when == ServFail:
		return answerFault
	case (c.Down || len(c.Nodes) == 0) && when == Fixed:
		return answerFixed
	case len(c.Nodes) == 0:
		return answerFault
	}
	return answerNodes
}

// splitKey gives the nodes of a key.
func splitKey(key string) []string { return strings.Fields(key) }

// turns gives the nodes of a pool in the order in which queries are answered
// with one of them each, so that each has its weight and none comes many times
// in a row; nil where weights are the same, and all are answered together.
func turns(g Group, nodes []string) []string {
	var weights []int
	total := 0
	for _, name := range nodes {
		for _, n := range g.Nodes {
			if n.Name == name {
				weights = append(weights, max(1, n.Weight))
				total += max(1, n.Weight)
			}
		}
	}
	if g.Pool != ActiveActive || len(weights) != len(nodes) || len(slices.Compact(slices.Clone(weights))) < 2 {
		return nil
	}
	order := make([]string, 0, total)
	due := make([]int, len(nodes))
	for range total {
		for i, w := range weights {
			due[i] += w
		}
		next := slices.Index(due, slices.Max(due))
		due[next] -= total
		order = append(order, nodes[next])
	}
	return order
}

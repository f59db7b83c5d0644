package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// Pool is a group of companions without a decision: clients get those of them
// that are available.
type Pool struct {
	Name    string     `json:"name"`
	Policy  string     `json:"policy"`  // active_active or active_standby
	Answers []string   `json:"answers"` // the nodes that clients get now
	Nodes   []PoolNode `json:"nodes"`   // in the configured order
}

// PoolNode is what is known of one node of a pool.
type PoolNode struct {
	Name      string    `json:"name"`
	State     string    `json:"state"` // active or not_available
	Cause     ha.Cause  `json:"cause"`
	Detail    string    `json:"detail,omitempty"`
	Misses    int       `json:"misses"`
	At        time.Time `json:"at,omitzero"`         // none: not read yet
	DownSince time.Time `json:"down_since,omitzero"` // none: not down
	TookMS    float64   `json:"took_ms"`
}

// PoolList is every pool.
type PoolList struct {
	Schema int    `json:"schema"`
	Pools  []Pool `json:"pools"`
}

// Pooled is what a Groups may have besides: pools, in the order in which people
// are shown them.
type Pooled interface {
	Pools() []Pool
}

// ShowPool gives a pool as the API tells it.
func ShowPool(name, policy string, answers []string, v ha.View) Pool {
	p := Pool{Name: name, Policy: policy, Answers: append([]string{}, answers...), Nodes: []PoolNode{}}
	for _, s := range v {
		p.Nodes = append(p.Nodes, PoolNode{
			s.Node, states[s.Last.State], s.Last.Cause, s.Last.Detail, s.Misses, utc(s.Last.At), utc(s.DownAt), ms(s.Last.Took),
		})
	}
	return p
}

func (a *API) pools(w http.ResponseWriter, _ *http.Request) {
	list := PoolList{Schema: Schema, Pools: []Pool{}}
	if p, ok := a.groups.(Pooled); ok {
		list.Pools = append(list.Pools, p.Pools()...)
	}
	writeJSON(w, http.StatusOK, list)
}

// Pools gives every pool, none where an older API answers.
func (c *Client) Pools(ctx context.Context) ([]Pool, error) {
	var list PoolList
	err := c.call(ctx, call{method: http.MethodGet, path: "/understudy/pools"}, &list)
	if f := new(Fault); errors.As(err, &f) && f.Status == http.StatusNotFound {
		return nil, nil
	}
	return list.Pools, err
}

// PoolStatus gives the block of a pool.
func PoolStatus(p Pool, now time.Time, paint Paint) string {
	var rows [][]string
	for _, n := range p.Nodes {
		rows = append(rows, []string{cut(n.Name, 40), stateOf(Node{State: n.State, At: n.At}), poolEvidence(n), poolNote(p, n, now)})
	}
	w := widths(rows)
	var out strings.Builder
	fmt.Fprintf(&out, "%s   pool, %s: clients get %s\n", cut(p.Name, 60), p.Policy, cut(strings.Join(p.Answers, ", "), 200))
	for i, row := range rows {
		state := pad(row[1], w[1])
		if p.Nodes[i].State == NotAvailable && !p.Nodes[i].At.IsZero() {
			state = paint.bad(state)
		}
		out.WriteString(strings.TrimRight("  "+pad(row[0], w[0])+"  "+state+"  "+pad(row[2], w[2])+"   "+paint.faint(row[3]), " ") + "\n")
	}
	if !p.Available() {
		out.WriteString(paint.bad("No node of the pool is available, so clients get them as if all were.") + "\n")
	}
	return out.String()
}

// Available says whether a node of the pool has not missed so many readings
// that it counts as down.
func (p Pool) Available() bool {
	return slices.ContainsFunc(p.Nodes, func(n PoolNode) bool { return n.DownSince.IsZero() })
}

// PoolCheckLine gives a pool in one line for monitoring.
func PoolCheckLine(p Pool) string {
	up := 0
	for _, n := range p.Nodes {
		if n.DownSince.IsZero() {
			up++
		}
	}
	return fmt.Sprintf("%s: %d of %s available. Clients get %s.", p.Name, up, count(len(p.Nodes), "node"), strings.Join(p.Answers, ", "))
}

func poolEvidence(n PoolNode) string {
	switch {
	case n.At.IsZero():
		return ""
	case n.State != NotAvailable:
		return took(n.TookMS)
	}
	return evidence(Node{State: n.State, At: n.At, Cause: n.Cause})
}

func poolNote(p Pool, n PoolNode, now time.Time) string {
	var words []string
	if slices.Contains(p.Answers, n.Name) {
		words = append(words, "answered")
	}
	switch {
	case !n.DownSince.IsZero():
		words = append(words, "down since "+clock(n.DownSince, now))
	case n.Misses > 0:
		words = append(words, "missed "+count(n.Misses, "reading"))
	}
	return strings.Join(words, ", ")
}

package probes

import (
	"fmt"
	"strings"

	"github.com/understudy-ha/understudy/internal/ha"
)

// NewPlan gives the Plan to watch targets by, in the configured order of
// succession. What a target says of TLS counts only where it is probed by
// https. The error names the first node that cannot be probed.
func NewPlan(targets []Target, rules ha.Rules, observe bool) (Plan, error) {
	p := Plan{Rules: rules, Observe: observe}
	for _, t := range targets {
		if !strings.HasPrefix(t.URL, "https:") {
			t.CAFile, t.Insecure = "", false
		}
		c, err := NewChecker(t)
		if err != nil {
			return p, err
		}
		key := fmt.Sprintf("%s %s %+v %s %t", t.URL, t.Host, t.Profile, t.CAFile, t.Insecure)
		p.Nodes = append(p.Nodes, Node{Name: t.Node, Key: key, Looker: c})
	}
	return p, nil
}

package caddymodule

import (
	"maps"
	"slices"
	"sync"
)

// present is the groups that run.
var present = roll{groups: map[string][]*group{}}

// roll finds groups by name. There are two of one name while a reload moves
// the state directory; the newer one is shown.
type roll struct {
	mu     sync.Mutex // guards the field below
	groups map[string][]*group
}

func (r *roll) add(g *group) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.groups[g.name] = append(r.groups[g.name], g)
}

func (r *roll) remove(g *group) {
	r.mu.Lock()
	defer r.mu.Unlock()
	left := slices.DeleteFunc(r.groups[g.name], func(o *group) bool { return o == g })
	if r.groups[g.name] = left; len(left) == 0 {
		delete(r.groups, g.name)
	}
}

// find gives the group of a name, nil if none runs.
func (r *roll) find(name string) *group {
	r.mu.Lock()
	defer r.mu.Unlock()
	if g := r.groups[name]; len(g) > 0 {
		return g[len(g)-1]
	}
	return nil
}

// names gives the groups' names, sorted.
func (r *roll) names() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	names := slices.AppendSeq([]string{}, maps.Keys(r.groups)) // never nil, for JSON
	slices.Sort(names)
	return names
}

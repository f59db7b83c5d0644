// Package apitest holds groups in memory for tests of what stands on the API:
// the decisions are the real ones of internal/ha, the nodes are only told.
package apitest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// Start is the time of a Memory's clock at first.
var Start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// Memory is an api.Groups. Its time stands still until Advance.
type Memory struct {
	mu        sync.Mutex // guards the fields below
	now       time.Time
	names     []string
	groups    map[string]*group
	followers map[chan ha.Situation]bool
	full      error // what Act says of a register that cannot be written
}

type group struct {
	rules     ha.Rules
	view      ha.View
	traffic   ha.Traffic
	situation ha.Situation
	history   []ha.Traffic
	readings  map[string][]ha.Reading
}

// New gives a Memory without groups.
func New() *Memory {
	return &Memory{now: Start, groups: map[string]*group{}, followers: map[chan ha.Situation]bool{}}
}

// Add adds a group of nodes in order of succession, of which nothing has been
// read. Nodes in manual are only a person's to choose.
func (m *Memory) Add(name string, order []string, manual ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	rules := ha.DefaultRules()
	rules.Manual = manual
	m.names = append(m.names, name)
	g := &group{rules: rules, view: ha.NewView(order), traffic: ha.Traffic{Group: name, Order: order}, readings: map[string][]ha.Reading{}}
	m.groups[name] = g
	m.decide(g)
}

// Pair adds the group mdm of core1 (Active), core2 and the manual dr1 (both
// Standby), a second and two good readings old.
func (m *Memory) Pair() {
	m.Add("mdm", []string{"core1", "core2", "dr1"}, "dr1")
	for range 2 {
		m.Read("mdm", "core1", ha.Active)
		m.Read("mdm", "core2", ha.Standby)
		m.Read("mdm", "dr1", ha.Standby)
		m.Advance(time.Second)
	}
}

// Now is the time of its clock.
func (m *Memory) Now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now
}

// Advance lets time pass, and what the rule says with it.
func (m *Memory) Advance(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now = m.now.Add(d)
	for _, name := range m.names {
		m.decide(m.groups[name])
	}
}

// Read has a probe of a node learn a state; NotAvailable is a refused
// connection.
func (m *Memory) Read(name, node string, state ha.State) {
	m.mu.Lock()
	defer m.mu.Unlock()
	g := m.groups[name]
	r := ha.Reading{Node: node, State: state, At: m.now, Took: 3 * time.Millisecond}
	page := ha.HAStatusPage
	if len(g.traffic.Order) > 0 && g.traffic.Order[0] == node && g.traffic.Serving == node {
		page = ha.StatusPage
	}
	if _, r.Page = ha.FormatPage(page, state); state == ha.NotAvailable {
		r.Page, r.Cause, r.Detail = "", ha.Refused, "connect: connection refused"
	}
	g.view = g.view.Observe(r, g.traffic.Serving, g.rules.Fall)
	g.readings[node] = append(g.readings[node], r)
	m.decide(g)
}

// ReadPage has a probe of a node bring a page that says nothing we know.
func (m *Memory) ReadPage(name, node, page string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	g := m.groups[name]
	r := ha.Reading{Node: node, State: ha.NotAvailable, Cause: ha.Body, Page: page, At: m.now, Took: 3 * time.Millisecond}
	g.view = g.view.Observe(r, g.traffic.Serving, g.rules.Fall)
	g.readings[node] = append(g.readings[node], r)
	m.decide(g)
}

// Lose has a node miss as many readings as make it down, a fast interval
// apart, and then reads every other node once more as it was.
func (m *Memory) Lose(name, node string) {
	fall, apart := ha.DefaultRules().Fall, ha.DefaultRules().FastInterval
	for range fall {
		m.Read(name, node, ha.NotAvailable)
		m.Advance(apart)
	}
	s, _ := m.Situation(name)
	for _, other := range s.View {
		if other.Node != node {
			m.Read(name, other.Node, other.Last.State)
		}
	}
}

// Break has every further Act end with an error that is no refusal; nil
// repairs it.
func (m *Memory) Break(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.full = err
}

// decide is called with mu held.
func (m *Memory) decide(g *group) {
	before := g.situation
	if g.traffic.Epoch == 0 {
		if t, ok := ha.Begin(g.traffic.Group, g.traffic.Order, g.view, m.now); ok {
			g.store(t)
		}
	}
	s := ha.Assess(g.traffic, g.view, g.rules, m.now)
	s.UnarmedSince = s.Unarmed(&before)
	g.situation = s
	m.tell(before, s)
	if s.Decision.Verb == ha.FailOver && m.full == nil {
		g.store(ha.Apply(g.traffic, s.Decision, g.view, m.now))
		m.decide(g)
	}
}

func (g *group) store(t ha.Traffic) {
	g.traffic = t
	g.history = append(g.history, t)
}

// tell passes a situation on. A follower that does not keep up loses it.
func (m *Memory) tell(before, s ha.Situation) {
	if s.Same(&before) {
		return
	}
	for f := range m.followers {
		select {
		case f <- s:
		default:
		}
	}
}

// Names implements api.Groups.
func (m *Memory) Names() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.names)
}

// Situation implements api.Groups.
func (m *Memory) Situation(name string) (ha.Situation, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if g := m.groups[name]; g != nil {
		return g.situation, true
	}
	return ha.Situation{}, false
}

// Act implements api.Groups.
func (m *Memory) Act(_ context.Context, name, verb string, w ha.Wish, dryRun bool) (ha.Traffic, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	g, act, err := m.groups[name], ha.Act(nil), m.full
	if a, ok := ha.Acts(verb); ok {
		act = a
	}
	if g == nil || act == nil {
		return ha.Traffic{}, errors.New("no such group or verb")
	}
	t, refusal := act(g.traffic, g.view, g.rules, w, m.now)
	switch {
	case refusal != nil:
		return ha.Traffic{}, refusal
	case dryRun:
		return t, nil
	case err != nil:
		return ha.Traffic{}, err
	}
	g.store(t)
	m.decide(g)
	return t, nil
}

// History implements api.Groups.
func (m *Memory) History(_ context.Context, name string, limit int) ([]ha.Traffic, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.full != nil {
		return nil, m.full
	}
	h := m.groups[name].history
	return slices.Clone(h[max(0, len(h)-limit):]), nil
}

// Subscribe implements api.Groups.
func (m *Memory) Subscribe(ctx context.Context) <-chan ha.Situation {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := make(chan ha.Situation, 1024)
	m.followers[f] = true
	context.AfterFunc(ctx, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.followers, f)
		close(f)
	})
	return f
}

// Readings implements api.Ring.
func (m *Memory) Readings(name string) map[string][]ha.Reading {
	m.mu.Lock()
	defer m.mu.Unlock()
	readings := map[string][]ha.Reading{}
	for node, r := range m.groups[name].readings {
		readings[node] = slices.Clone(r)
	}
	return readings
}

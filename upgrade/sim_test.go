package upgrade

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/internal/config"
)

// pair is a model of two nodes and their routers, as far as a run touches them:
// what takes time takes a few looks.
type pair struct {
	mu      sync.Mutex // guards all
	nodes   map[string]*fakeNode
	routers map[string]*fakeRouter
	syncs   int
	deeds   map[string]int  // how often each was carried out
	both    bool            // two nodes were Active at once
	lose    map[string]bool // deeds whose first answer is lost after they were done
	refuse  map[string]string

	spoil    func(*fakeNode, *Job) // bends what came of a validation
	wrong    string                // the version that an upgrade leads to instead
	miscount string                // what a sync leaves on the stand-by
}

type fakeNode struct {
	Node
	pending []func() // by look: what becomes so
	reboot  int      // looks for which it does not answer
	looks   int
	copy    nodeapi.RunCopy
	said    []nodeapi.RunAnswer // by people, there
}

type fakeRouter struct{ Router }

func newPair() *pair {
	p := &pair{nodes: map[string]*fakeNode{}, routers: map[string]*fakeRouter{}, deeds: map[string]int{}, lose: map[string]bool{}, refuse: map[string]string{}}
	one := func(id, peer, mode, state string) *fakeNode {
		return &fakeNode{Node: Node{
			Driver: "agent", ID: id, Version: "1.0", Count: "7", Enabled: Enabled, Mode: mode, State: state, Settled: true, Well: state == Active,
			Door: Enabled, Peer: peer, Heard: true, Beat: "0", Settings: map[string]string{"StartTime": "00:00", "Run Every": "60 minutes"}, Trusted: []string{peer}, Checks: true,
		}}
	}
	p.nodes["core1"], p.nodes["core2"] = one("k1", "core2", Primary, Active), one("k2", "core1", Secondary, Standby)
	p.nodes["core2"].LastSync = &Sync{"2026-01-01T00:00:00Z", "Success"}
	for _, name := range []string{"front", "sidecar"} {
		p.routers[name] = &fakeRouter{Router{Kind: "api", Serving: "core1", Order: []string{"core1", "core2"}, Target: "mdm at " + name, Epoch: 1}}
	}
	p.routers["lb"] = &fakeRouter{Router{Kind: "haproxy", Target: "backend mdm"}}
	return p
}

func (p *pair) hands() Hands {
	h := Hands{map[string]NodeHand{}, map[string]RouterHand{}}
	for name := range p.nodes {
		h.Nodes[name] = nodeOf{p, name}
	}
	for name := range p.routers {
		h.Routers[name] = routerOf{p, name}
	}
	return h
}

type nodeOf struct {
	*pair
	name string
}

func (n nodeOf) Look(context.Context) Node {
	n.mu.Lock()
	defer n.mu.Unlock()
	f := n.nodes[n.name]
	if f.reboot > 0 {
		f.reboot--
		return Node{Driver: "agent", Fault: "no answer"}
	}
	if len(f.pending) > 0 {
		f.pending[0]()
		f.pending = f.pending[1:]
	}
	f.looks++
	f.Beat = fmt.Sprint(f.looks)
	n.both = n.both || n.nodes["core1"].State == Active && n.nodes["core2"].State == Active
	look := f.Node
	look.Jobs = slices.Clone(f.Jobs)
	if f.LastSync != nil {
		s := *f.LastSync
		look.LastSync = &s
	}
	look.Lock = nil
	if f.Lock != nil {
		l := *f.Lock
		look.Lock = &l
	}
	return look
}

// later has something become so after a few looks.
func (f *fakeNode) later(looks int, do func()) {
	for range looks {
		f.pending = append(f.pending, func() {})
	}
	f.pending = append(f.pending, do)
}

func (n nodeOf) Do(_ context.Context, d Deed) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	f := n.nodes[n.name]
	if why := n.refuse[d.String()]; why != "" {
		return &Refused{why}
	}
	if f.reboot > 0 {
		return errors.New("no answer")
	}
	n.deeds[d.String()]++
	peer := n.nodes[f.Peer]
	switch d.Do {
	case DoLock:
		f.Lock = &Lock{"run", 1}
	case DoUnlock:
		f.Lock = nil
	case DoDisable:
		f.Enabled = Disabled
	case DoEnable:
		f.Enabled, f.Mode = Enabled, Secondary
	case DoPrimary:
		f.Mode = Primary
		if f.Enabled == Enabled {
			f.Settled = false
			f.later(2, func() { f.Settled, f.State, f.Well = true, Active, true })
		}
	case DoSecondary:
		f.Mode = Secondary
		if f.Enabled == Enabled {
			f.Settled = false
			f.later(2, func() { f.Settled, f.State, f.Well, f.Clients = true, Standby, false, 0 })
		}
	case DoSync:
		if f.Version != peer.Version {
			return &Refused{"versions differ"}
		}
		f.Syncing = true
		f.later(3, func() {
			n.syncs++
			f.Syncing, f.Count = false, cmp.Or(n.miscount, peer.Count)
			f.LastSync = &Sync{fmt.Sprintf("2026-01-02T00:00:%02dZ", n.syncs), "Success"}
		})
	case DoReschedule:
	case DoClose:
		f.Door, f.Clients = Disabled, 0
	case DoOpen:
		f.Door = Enabled
	case DoDownload, DoUpgrade, DoValidate:
		n.job(f, d)
	case DoUnpair:
		f.Trusted = []string{}
	case DoPair:
		f.Trusted = []string{d.With}
	}
	if n.lose[d.String()] {
		delete(n.lose, d.String())
		return errors.New("the connection broke")
	}
	return nil
}

// Keep keeps a copy as an engine does: of the run that has the lock, and of its
// last words.
func (n nodeOf) Keep(_ context.Context, q nodeapi.RunCopy) (k nodeapi.RunKept, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f := n.nodes[n.name]
	switch {
	case f.reboot > 0:
		return k, errors.New("no answer")
	case q.Number < f.copy.Number:
		return k, &TakenOver{"another process goes on with it"}
	case f.Lock == nil && f.copy.Run == "":
		return k, &Refused{"the run does not have the lock"}
	}
	if lines := f.copy.Lines; q.From > 0 && q.From <= len(lines)+1 && len(q.Lines) > 0 {
		q.Lines = append(slices.Clone(lines[:q.From-1]), q.Lines...)
	} else {
		q.Lines = lines
	}
	f.copy = q
	f.said = slices.DeleteFunc(f.said, func(a nodeapi.RunAnswer) bool { return slices.Contains(q.Heard, a.Number) })
	return nodeapi.RunKept{Have: len(q.Lines), Answers: slices.Clone(f.said)}, nil
}

func (n nodeOf) job(f *fakeNode, d Deed) {
	f.Jobs = append(f.Jobs, Job{Do: d.Do, Run: "run", Version: d.With, State: JobRuns})
	at := len(f.Jobs) - 1
	if d.Do == DoUpgrade && f.State == Active {
		f.Well = false
	}
	f.later(3, func() {
		if f.Jobs[at].State = JobDone; d.Do == DoValidate && n.spoil != nil {
			n.spoil(f, &f.Jobs[at])
		}
		if d.Do == DoUpgrade {
			f.Version, f.Well = cmp.Or(n.wrong, d.With), f.State == Active
		}
	})
}

type routerOf struct {
	*pair
	name string
}

func (r routerOf) Look(context.Context) Router {
	r.mu.Lock()
	defer r.mu.Unlock()
	f := r.routers[r.name].Router
	f.Order = slices.Clone(f.Order)
	if f.Kind == "api" {
		f.Nodes = map[string]string{}
		for name, n := range r.nodes {
			if f.Nodes[name] = n.State; n.State == Active && !n.Well {
				f.Nodes[name] = NotAvailable
			}
		}
	}
	if f.Kind == "haproxy" && !f.Held {
		for name, n := range r.nodes {
			if n.State == Active {
				f.Serving = name
			}
		}
	}
	return f
}

func (r routerOf) Do(_ context.Context, d Deed) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if why := r.refuse[d.String()]; why != "" {
		return &Refused{why}
	}
	r.deeds[d.String()]++
	f := &r.routers[r.name].Router
	switch d.Do {
	case DoHold:
		if f.Held = true; f.Kind == "api" {
			f.Owner = "run"
		}
		f.Outage = false
	case DoAnnounce:
		f.Outage = true
	case DoRelease:
		f.Held, f.Owner, f.Frozen, f.Outage = false, "", false, false
	case DoFreeze:
		f.Frozen = true
	case DoThaw:
		f.Frozen = false
	case DoSwitch:
		if r.nodes[d.With].State != Active {
			return &Refused{"it is not Active"}
		}
		f.Serving, f.Frozen = d.With, false
	case DoReorder:
		f.Order = strings.Split(d.With, ",")
	}
	if r.lose[d.String()] {
		delete(r.lose, d.String())
		return errors.New("the connection broke")
	}
	return nil
}

// end says how the pair is when a run is over, without what is only passing.
func (p *pair) end() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(p.nodes)) {
		n := p.nodes[name].Node
		fmt.Fprintf(&b, "%s %s HA %s, Mode %s, version %s, count %s, door %s, trusts %v, lock %v\n", name, n.State, n.Enabled, n.Mode, n.Version, n.Count, n.Door, n.Trusted, n.Lock)
	}
	for _, name := range slices.Sorted(maps.Keys(p.routers)) {
		r := p.routers[name].Router
		fmt.Fprintf(&b, "%s held %v, outage %v, frozen %v, serving %s, order %v\n", name, r.Held, r.Outage, r.Frozen, r.Serving, r.Order)
	}
	fmt.Fprintf(&b, "upgrades %d %d, two Active: %v\n", p.deeds["core1 upgrade 2.0"], p.deeds["core2 upgrade 2.0"], p.both)
	return b.String()
}

// quick are the settings of a plan for the model.
func quick(kind config.RunKind) config.Upgrade {
	u := config.Upgrade{
		Kind: kind, Group: "mdm", To: "2.0", Package: "sha256:00", DiskFree: 1 << 30, SyncAge: 24 * time.Hour, Drain: time.Second, Swing: config.SwingUs, OnFailure: config.FailStop,
		Timeouts: config.RunTimeouts{Step: 5 * time.Second, Sync: 5 * time.Second, Download: 5 * time.Second, Upgrade: 5 * time.Second, Validate: 5 * time.Second, Person: 5 * time.Second},
	}
	if kind == config.RunSwitchover {
		u.To, u.Package = "", ""
	}
	return u
}

// planFor makes the plan of a kind for a pair.
func planFor(p *pair, kind config.RunKind) Plan {
	plan, err := Make(quick(kind), []byte("text"), p.hands().Look(context.Background(), time.Now()), "anna")
	if err != nil {
		panic(err)
	}
	return plan
}

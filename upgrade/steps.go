package upgrade

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/understudy-ha/understudy/internal/config"
)

// Steps gives what the plan does, in order.
func (p Plan) Steps() []Step {
	m := maker{p.Config, p.Primary, p.Secondary}
	var steps []Step
	switch p.Config.Kind {
	case config.RunSwitchover:
		steps = m.switchover()
	case config.RunRepair:
		steps = m.repair()
	default:
		steps = m.documented()
	}
	for i, s := range steps {
		if s.Timeout == 0 {
			steps[i].Timeout = p.Config.Timeouts.Step
		}
		if s.Gate == "" && slices.Contains(p.Config.Gates, s.Name) {
			steps[i].Gate = "The plan asks before this step."
		}
		if s.Done == nil {
			steps[i].Done = func(View) Verdict { return yes("") }
		}
	}
	return steps
}

// maker makes the steps of one plan.
type maker struct {
	c         config.Upgrade
	primary   string
	secondary string
}

// one is a deed on one node.
func one(on, do, with string) func(View) []Deed {
	return func(View) []Deed { return []Deed{{On: on, Do: do, With: with}} }
}

// each gives a deed for every router that needs it.
func eachRouter(do string, needs func(Router, View) bool) func(View) []Deed {
	return func(v View) (deeds []Deed) {
		for _, name := range slices.Sorted(maps.Keys(v.Routers)) {
			if r := v.Routers[name]; r.Fault == "" && needs(r, v) {
				deeds = append(deeds, Deed{On: name, Do: do})
			}
		}
		return deeds
	}
}

// routers gives OK when every router is as wanted.
func routers(v View, wanted string, is func(Router, View) bool) Verdict {
	for _, name := range slices.Sorted(maps.Keys(v.Routers)) {
		switch r := v.Routers[name]; {
		case r.Fault != "":
			return notYet("%s cannot be read: %s", name, r.Fault)
		case !is(r, v):
			return notYet("%s is not %s yet%s", name, wanted, after(": ", r.Said))
		}
	}
	return yes("all %d are %s, read back", len(v.Routers), wanted)
}

func after(mark, text string) string {
	if text == "" {
		return ""
	}
	return mark + text
}

// node gives a readable node, or why it is none.
func node(v View, name string) (Node, Verdict) {
	n := v.Nodes[name]
	if n.Fault != "" {
		return n, notYet("%s cannot be read: %s", name, n.Fault)
	}
	return n, Verdict{OK: true}
}

// follows says whether a router moves clients by a check of its own: in a
// switchover HAProxy is not held, for held it would send clients to the node that
// has stepped down. Its check finds the one that has taken over, and the roles
// swap one after the other, so that it never finds two.
func (m maker) follows(r Router) bool { return m.c.Kind == config.RunSwitchover && r.Kind == "haproxy" }

func heldByUs(r Router, v View) bool { return r.Held && (r.Owner == "" || r.Owner == v.Run) }

// locks: both nodes' engines know that this run is at work.
func (m maker) lock() Step {
	locked := func(n Node, v View) bool { return n.Lock != nil && n.Lock.Run == v.Run }
	return Step{
		Name: "LockPair", Title: "Take the lock on both nodes",
		Why: "so that no other run, no schedule and no automatic promotion comes between the steps",
		Done: func(v View) Verdict {
			for _, name := range m.both() {
				n, read := node(v, name)
				switch {
				case !read.OK:
					return read
				case n.Driver == "agent" && n.Lock != nil && !locked(n, v):
					return never("%s is locked by the run %s", name, n.Lock.Run)
				case n.Driver == "agent" && !locked(n, v):
					return notYet("%s is not locked yet", name)
				}
			}
			return yes("locked, number %d", v.Number)
		},
		Do:     m.eachNode(DoLock, func(n Node, v View) bool { return n.Driver == "agent" && n.Lock == nil }),
		Undo:   m.eachNode(DoUnlock, func(n Node, v View) bool { return locked(n, v) }),
		Undone: func(v View) Verdict { return m.unlocked(v) },
	}
}

func (m maker) unlocked(v View) Verdict {
	for _, name := range m.both() {
		n, read := node(v, name)
		if !read.OK {
			return read
		}
		if n.Lock != nil && n.Lock.Run == v.Run {
			return notYet("%s is locked still", name)
		}
	}
	return yes("no node is locked by this run")
}

func (m maker) unlock() Step {
	return Step{
		Name: "UnlockPair", Title: "Give the lock back", Why: "the run is over",
		Done: m.unlocked,
		Do:   m.eachNode(DoUnlock, func(n Node, v View) bool { return n.Lock != nil && n.Lock.Run == v.Run }),
	}
}

func (m maker) both() []string { return []string{m.primary, m.secondary} }

func (m maker) eachNode(do string, needs func(Node, View) bool) func(View) []Deed {
	return func(v View) (deeds []Deed) {
		for _, name := range m.both() {
			if n := v.Nodes[name]; n.Fault == "" && needs(n, v) {
				deeds = append(deeds, Deed{On: name, Do: do})
			}
		}
		return deeds
	}
}

func (m maker) hold(guide string) Step {
	return Step{
		Name: "HoldTraffic", Guide: guide, Title: "Hold every router: no failover until the run releases it",
		Why: "a load balancer that sees a node restart would fail over in the middle of the upgrade",
		Done: func(v View) Verdict {
			for name, r := range v.Routers {
				if r.Held && !heldByUs(r, v) {
					return never("%s is held by %s; understudy release ends that, if it is left over", name, r.Owner)
				}
			}
			return routers(v, "held", func(r Router, v View) bool { return m.follows(r) || heldByUs(r, v) })
		},
		Do:   eachRouter(DoHold, func(r Router, v View) bool { return !r.Held && !m.follows(r) }),
		Undo: eachRouter(DoRelease, heldByUs),
		Undone: func(v View) Verdict {
			return routers(v, "released", func(r Router, v View) bool { return !heldByUs(r, v) })
		},
	}
}

func (m maker) release(guide, primary, secondary string) Step {
	return Step{
		Name: "ReleaseTraffic", Guide: guide, Title: "Release every router",
		Why: "failover is armed again; only while " + primary + " reads OK and " + secondary + " Standby",
		Needs: func(v View) Verdict {
			return all(asRead(v, primary, Active), asRead(v, secondary, Standby))
		},
		Done: func(v View) Verdict {
			return routers(v, "released", func(r Router, v View) bool { return !heldByUs(r, v) })
		},
		Do: eachRouter(DoRelease, heldByUs),
	}
}

// asRead says whether a node is in a state by its own word and by that of every
// router that reads it.
func asRead(v View, name, state string) Verdict {
	n, read := node(v, name)
	switch {
	case !read.OK:
		return read
	case n.State != state || !n.Settled:
		return notYet("%s is %s, not %s yet", name, n.State, state)
	}
	for _, router := range slices.Sorted(maps.Keys(v.Routers)) {
		if said, reads := v.Routers[router].Nodes[name]; reads && said != state {
			return notYet("%s reads %s as %s, not %s yet", router, name, said, state)
		}
	}
	return yes("%s is %s, by its own word and by that of the routers", name, state)
}

// copiesNothing is what a step of a sync says where nothing is copied.
const copiesNothing = "left out: the plan says data_sync: false"

func (m maker) awaitSync() Step {
	return Step{
		Name: "AwaitLastSyncSuccess", Guide: "2", Title: "Wait for a running sync; the last one must have Completed with Success",
		Why: "the copy on " + m.secondary + " is what is left if the upgrade goes wrong", Timeout: m.c.Timeouts.Sync,
		Done: func(v View) Verdict {
			n, read := node(v, m.secondary)
			switch {
			case !read.OK:
				return read
			case m.c.NoDataSync:
				return yes(copiesNothing)
			case n.LastSync == nil && v.Confirmed["AwaitLastSyncSuccess"] != "":
				return yes("a person says so: %s", v.Confirmed["AwaitLastSyncSuccess"])
			case n.Syncing:
				return notYet("a sync runs")
			case n.LastSync == nil:
				return never("%s has no Last Sync Status; run one: failover sync %s, or say sync_first: true", m.secondary, m.primary)
			case !n.LastSync.Success():
				return never("the last sync ended with %q; repair it, or say sync_first: true", n.LastSync.Result)
			}
			at, err := time.Parse(time.RFC3339, n.LastSync.Completed)
			if age := n.Clock.Sub(at); err == nil && !n.Clock.IsZero() && age > m.c.SyncAge {
				return never("the last sync completed %s ago, more than sync_age %v allows; say sync_first: true", age.Round(time.Second), m.c.SyncAge)
			}
			return yes("Completed: %s, Result: Success", when(n.LastSync.Completed))
		},
	}
}

// sync runs a replication to a node, and waits for one that ended after the
// step began: judged by the record's change, not by anybody's clock.
func (m maker) sync(name, guide, title, from, to string) Step {
	return Step{
		Name: name, Guide: guide, Title: title, Why: "only a copy that ended with Success counts", Timeout: m.c.Timeouts.Sync,
		Needs: func(v View) Verdict {
			switch n, read := node(v, to); {
			case !read.OK:
				return read
			case n.State != Standby:
				return notYet("%s is %s; only a Standby takes a copy", to, n.State)
			}
			return yes("")
		},
		Done: func(v View) Verdict {
			n, read := node(v, to)
			switch {
			case !read.OK:
				return read
			case m.c.NoDataSync:
				return yes(copiesNothing)
			case v.Confirmed[name] != "":
				return yes("a person says so: %s", v.Confirmed[name])
			case n.Syncing:
				return notYet("the sync runs")
			case n.LastSync == nil || n.LastSync.Completed == v.Mark[to+".sync"]:
				return notYet("no sync has ended since")
			case !n.LastSync.Success():
				return never("the sync ended with %q", n.LastSync.Result)
			}
			return yes("Completed: %s, Result: Success", when(n.LastSync.Completed))
		},
		Do: func(v View) []Deed {
			if v.Nodes[to].Syncing {
				return nil
			}
			return []Deed{{On: to, Do: DoSync, With: from}}
		},
	}
}

// atVersion says whether a node tells the plan's version.
func (m maker) atVersion(v View, name, step string) Verdict {
	n, read := node(v, name)
	switch {
	case !read.OK:
		return read
	case n.Version == m.c.To:
		return yes("%s tells version %s", name, n.Version)
	case n.Version == "" && v.Confirmed[step] != "":
		return yes("a person says so: %s", v.Confirmed[step])
	}
	return notYet("%s tells version %s, not %s yet", name, orNone(n.Version), m.c.To)
}

func orNone(text string) string {
	if text == "" {
		return "none"
	}
	return text
}

// job is a step that a node does by one of its own argument lists.
func (m maker) job(s Step, name, do string, more func(View) Verdict) Step {
	s.Do = func(v View) []Deed {
		if j := v.Nodes[name].job(do, v.Run); j != nil && j.State != JobFailed {
			return nil // it has it; what became of it is Done's
		}
		return []Deed{{On: name, Do: do, With: m.c.To}}
	}
	s.Done = func(v View) Verdict {
		n, read := node(v, name)
		if !read.OK {
			return read
		}
		j := n.job(do, v.Run)
		trial := v.Tried[Deed{On: name, Do: do, With: m.c.To}.String()]
		arrived := more(v)
		switch {
		case v.Confirmed[s.Name] != "":
			return arrived
		case j != nil && j.State == JobRuns:
			return notYet("%s runs on %s%s", do, name, after(": ", j.Said))
		case do == DoUpgrade && arrived.OK:
			return arrived
		case j != nil && j.State == JobFailed && trial != "":
			return never("%s failed on %s%s", do, name, after(": ", j.Said))
		case j != nil && j.State == JobInterrupted:
			return never("%s was interrupted on %s, and nobody knows how far it came; look there, put it right, then: understudy upgrade approve --step %s --reason TEXT", do, name, s.Name)
		case j == nil && n.Driver == "ssh" && trial == TrialUnknown:
			return lost(s.Name, Deed{On: name, Do: do, With: m.c.To}, v)
		case j == nil && trial == TrialTaken && n.Driver != "agent":
			return arrived
		case j == nil || j.State != JobDone:
			return notYet("%s has not begun on %s", do, name)
		}
		return arrived
	}
	return s
}

// lost is the verdict on a command that was begun over ssh and whose end nobody
// has heard of: it may run still. An upgrade shows by its version and is never
// begun a second time; the others are, once a person goes on.
func lost(step string, d Deed, v View) Verdict {
	begun := fmt.Sprintf("%s was begun on %s and nobody knows how it ended%s; it may run there still. Look there", d.Do, d.On, after(": ", v.Lost))
	switch {
	case d.Do == DoUpgrade:
		return never("%s. Once the new version is there: understudy upgrade continue. If it did not begin, put it right by hand, then: understudy upgrade approve --step %s --reason TEXT", begun, step)
	case v.Begun[d.String()]:
		return never("%s; understudy upgrade continue does it again", begun)
	}
	return notYet("%s is done again on %s", d.Do, d.On)
}

func fine(View) Verdict { return yes("done") }

func words(list []string) string { return strings.Join(list, ", ") }

func runs(n Node) string {
	var all []string
	for _, t := range n.Next {
		all = append(all, t.UTC().Format("2006-01-02 15:04 UTC"))
	}
	return fmt.Sprintf("next syncs: %s", orNone(words(all)))
}

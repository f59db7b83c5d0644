package upgrade

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/understudy-ha/understudy/internal/config"
)

// switchover gives the BeyondTrust guide's "failover for planned maintenance":
// freeze, final sync, serial role swap, clients moved, maintenance, and the same
// way back.
func (m maker) switchover() []Step {
	p, s := m.primary, m.secondary
	steps := []Step{m.lock(), m.compareSettings(), m.hold("")}
	steps = append(steps, m.swap("Swap/", p, s)...)
	steps = append(steps, Step{
		Name: "Maintenance", Guide: "6", Title: "Maintenance of " + p, Timeout: m.c.Timeouts.Person,
		Why:  s + " serves; what is changed there meanwhile is copied on the way back",
		Gate: fmt.Sprintf("%s is out of use. Do the maintenance, bring it back, and approve when it is in Standby: then the roles swap back.", p),
		Done: func(v View) Verdict { return all(asRead(v, s, Active), ownState(v, p, Standby)) },
	})
	steps = append(steps, m.swap("Back/", s, p)...)
	return append(steps, m.release("", p, s), m.unlock())
}

// swap hands the role of the Active from one node to the other.
func (m maker) swap(name, from, to string) []Step {
	guide := "3"
	if name == "Back/" {
		guide = "7"
	}
	steps := []Step{m.freeze(name, guide, from), m.closeClients(name, guide, from)}
	if !m.c.NoDataSync {
		final := m.sync(name+"FinalSync", guide, "Copy what has changed since the last sync to "+to, from, to)
		final.Irreversible = false
		steps = append(steps, final)
	}
	steps = append(steps,
		Step{
			Name: name + "StepDown", Guide: guide, Title: from + " becomes Backup",
			Why:  "one after the other: for a moment both are Backup, never both Active",
			Done: func(v View) Verdict { return ownState(v, from, Standby) },
			Do:   one(from, DoSecondary, ""),
			Undo: func(v View) []Deed { return m.backTo(v, from) },
			Undone: func(v View) Verdict {
				return all(ownState(v, from, Active), routers(v, "on "+from, func(r Router, v View) bool {
					return r.Serving == from || m.sentTo(from)(r, v)
				}))
			},
		},
		Step{
			Name: name + "TakeOver", Guide: guide, Title: to + " becomes Primary",
			Why: "its copy is current, and nobody else is Active",
			Needs: func(v View) Verdict {
				if n := v.Nodes[from]; n.Fault == "" && n.State == Active && v.Nodes[to].State != Active {
					return notYet("%s is Active still", from)
				}
				return yes("")
			},
			Done: func(v View) Verdict { return ownState(v, to, Active) },
			Do:   one(to, DoPrimary, ""),
			Undo: func(v View) []Deed {
				return append(freezeOn(v, to), Deed{On: to, Do: DoSecondary})
			},
			Undone: func(v View) Verdict { return ownState(v, to, Standby) },
		},
		m.swing(name, from, to), m.reopen(name, from, to), m.reorder(name, from, to), m.reschedule(name, from),
	)
	return steps
}

// ownState is the state of a node by its own word.
func ownState(v View, name, state string) Verdict {
	n, read := node(v, name)
	switch {
	case !read.OK:
		return read
	case n.State != state || !n.Settled:
		return notYet("%s is %s, not %s yet", name, n.State, state)
	}
	return yes("%s is %s", name, state)
}

func (m maker) compareSettings() Step {
	p, s := m.primary, m.secondary
	return Step{
		Name: "CompareSettings", Guide: "6", Title: "Note the settings that differ",
		Why: "the sync takes those of the one that is Primary; both are saved with the run",
		Done: func(v View) Verdict {
			a, read := node(v, p)
			b, other := node(v, s)
			if !read.OK || !other.OK {
				return all(read, other)
			}
			var differ []string
			for _, key := range slices.Sorted(maps.Keys(b.Settings)) {
				if a.Settings[key] != b.Settings[key] {
					differ = append(differ, fmt.Sprintf("%s: %s on %s, %s on %s", key, orNone(a.Settings[key]), p, orNone(b.Settings[key]), s))
				}
			}
			if len(differ) == 0 {
				return yes("none differs")
			}
			return yes("saved in snapshot-before.json; %s", strings.Join(differ, "; "))
		},
	}
}

func (m maker) freeze(name, guide, from string) Step {
	isOurs := func(r Router) bool { return r.Kind == "api" }
	return Step{
		Name: name + "Freeze", Guide: guide, Title: "Let every request wait at the fronts",
		Why: "so that nothing is lost while nobody serves; a request waits as long as the front's queue_timeout",
		Done: func(v View) Verdict {
			return routers(v, "frozen", func(r Router, v View) bool { return !isOurs(r) || r.Frozen || r.Serving != from })
		},
		Do:     func(v View) []Deed { return freezeOn(v, from) },
		Undo:   eachRouter(DoThaw, func(r Router, v View) bool { return isOurs(r) && r.Frozen }),
		Undone: func(v View) Verdict { return routers(v, "thawed", func(r Router, v View) bool { return !r.Frozen }) },
	}
}

// closeClients closes the door for clients and lets those that are in finish;
// those that stay longer end when the application does.
func (m maker) closeClients(name, guide, from string) Step {
	return Step{
		Name: name + "CloseClientConnection", Guide: guide, Title: "Disable the client connection of " + from + " and let clients finish",
		Why: "no new data comes into being during the sync",
		Done: func(v View) Verdict {
			n, read := node(v, from)
			switch {
			case !read.OK:
				return read
			case n.Door == "" && n.Driver == "agent":
				return yes("%s has no door of ours; the fronts hold its clients back", from)
			case n.Door == "" && v.Tried[Deed{On: from, Do: DoClose}.String()] == TrialTaken:
				return yes("%s was told so", from)
			case n.State != Active: // it has gone on
				return yes("%s is not Active any more", from)
			case n.Door != Disabled:
				return notYet("the client connection of %s is %s", from, orNone(n.Door))
			case n.Clients > 0 && v.Waited < m.c.Drain:
				return notYet("%d client connections are left, until drain_timeout %v", n.Clients, m.c.Drain)
			case n.Clients > 0:
				return yes("%d client connections were left after %v; they are closed", n.Clients, m.c.Drain)
			}
			return yes("no client is connected")
		},
		Do: one(from, DoClose, ""), Undo: one(from, DoOpen, ""),
		Undone: func(v View) Verdict {
			if n := v.Nodes[from]; n.Door == Disabled {
				return notYet("the client connection of %s is disabled", from)
			}
			return yes("the client connection of %s is enabled", from)
		},
	}
}

// swing moves the clients (the guide: "swing DNS or the NAT after you see that
// the roles swap").
func (m maker) swing(name, from, to string) Step {
	guide := "4"
	s := Step{Name: name + "SwingTraffic", Guide: guide, Title: "Send clients to " + to, Why: "the roles have swapped"}
	switch m.c.Swing {
	case config.SwingShared:
		s.Done = func(View) Verdict { return yes("left out: the nodes share an address") }
	case config.SwingByHand:
		s.Gate = fmt.Sprintf("Swing DNS or the NAT to %s now, then approve.", to)
	default:
		s.Done = func(v View) Verdict { return routers(v, "on "+to, m.sentTo(to)) }
		s.Do = func(v View) []Deed { return m.send(v, to) }
		s.Needs = func(v View) Verdict {
			return routers(v, "reading "+to+" as Active", func(r Router, _ View) bool {
				return r.Kind != "api" || r.Serving == to || r.Nodes[to] == Active && r.Nodes[from] != Active
			})
		}
	}
	return s
}

// sentTo says whether a router of ours sends clients to a node, if it is to.
func (m maker) sentTo(node string) func(Router, View) bool {
	return func(r Router, _ View) bool {
		return r.Kind != "api" && !m.follows(r) || m.c.Swing != config.SwingUs || r.Serving == node && !r.Frozen
	}
}

// send moves every router of ours that does not send clients to a node.
func (m maker) send(v View, node string) (deeds []Deed) {
	is := m.sentTo(node)
	for _, name := range slices.Sorted(maps.Keys(v.Routers)) {
		if r := v.Routers[name]; r.Kind == "api" && r.Fault == "" && r.Serving != node && !is(r, v) {
			deeds = append(deeds, Deed{On: name, Do: DoSwitch, With: node})
		}
	}
	return deeds
}

// backTo gives the role back to the node that had it, opens its door, and then
// sends clients there. Those that wait at its door's fronts wait until the freeze
// itself is undone.
func (m maker) backTo(v View, node string) []Deed {
	switch {
	case !ownState(v, node, Active).OK:
		return []Deed{{On: node, Do: DoPrimary}}
	case v.Nodes[node].Door == Disabled:
		return []Deed{{On: node, Do: DoOpen}}
	}
	return m.send(v, node)
}

// freezeOn lets requests to a node wait.
func freezeOn(v View, node string) []Deed {
	return eachRouter(DoFreeze, func(r Router, _ View) bool { return r.Kind == "api" && r.Serving == node && !r.Frozen })(v)
}

// reorder makes the monitors check the right servers (EPMM guide, load balancer
// setup, Important).
func (m maker) reorder(name, from, to string) Step {
	want := to + "," + from
	sorted := func(r Router, _ View) bool { return r.Kind != "api" || inOrder(r.Order, to, from) }
	return Step{
		Name: name + "Reorder", Title: "Order of succession: " + to + ", " + from,
		Why:  "so that the right page is asked of the right node",
		Done: func(v View) Verdict { return routers(v, "in the order "+want, sorted) },
		Do: func(v View) (deeds []Deed) {
			for _, r := range slices.Sorted(maps.Keys(v.Routers)) {
				if f := v.Routers[r]; !sorted(f, v) && f.Fault == "" {
					deeds = append(deeds, Deed{On: r, Do: DoReorder, With: strings.Join(reordered(f.Order, to, from), ",")})
				}
			}
			return deeds
		},
		Undo: func(v View) (deeds []Deed) {
			for _, r := range slices.Sorted(maps.Keys(v.Routers)) {
				if f := v.Routers[r]; f.Kind == "api" && inOrder(f.Order, to, from) {
					deeds = append(deeds, Deed{On: r, Do: DoReorder, With: strings.Join(reordered(f.Order, from, to), ",")})
				}
			}
			return deeds
		},
		Undone: func(v View) Verdict {
			return routers(v, "in the old order", func(r Router, _ View) bool { return r.Kind != "api" || inOrder(r.Order, from, to) })
		},
	}
}

func inOrder(order []string, first, second string) bool {
	return slices.Index(order, first) < slices.Index(order, second)
}

// reordered gives the order with the two in it changed over; others keep their
// places.
func reordered(order []string, first, second string) []string {
	next := slices.Clone(order)
	i, j := slices.Index(order, first), slices.Index(order, second)
	if i >= 0 && j >= 0 && i > j {
		next[i], next[j] = next[j], next[i]
	}
	return next
}

// reopen enables the client connection again: a Standby's door is closed in any
// case, and when it serves again it is to let clients in.
func (m maker) reopen(name, from, to string) Step {
	return Step{
		Name: name + "OpenClientConnection", Title: "Enable the client connection of both", Why: "whoever is Active lets clients in; a Standby does not in any case",
		Done: func(v View) Verdict {
			for _, n := range []string{from, to} {
				if v.Nodes[n].Door == Disabled {
					return notYet("the client connection of %s is disabled", n)
				}
			}
			return yes("enabled on both")
		},
		Do: func(v View) (deeds []Deed) {
			for _, n := range []string{from, to} {
				switch f := v.Nodes[n]; {
				case f.Door == Disabled, f.Driver == "ssh" && n == from:
					deeds = append(deeds, Deed{On: n, Do: DoOpen})
				}
			}
			return deeds
		},
	}
}

// reschedule starts the schedule of the new stand-by: failover mode secondary
// does not (EPMM guide, Table 5).
func (m maker) reschedule(name, standby string) Step {
	return Step{
		Name: name + "StartSchedule", Title: "Start the replication schedule of " + standby,
		Why: "failover mode secondary does not start it again",
		Done: func(v View) Verdict {
			n, read := node(v, standby)
			switch {
			case !read.OK:
				return read
			case n.Driver != "agent":
				return yes("look at it in the portal of %s", standby)
			case n.State == Standby && n.Settled && n.Enabled == Enabled && v.Tried[Deed{On: standby, Do: DoReschedule}.String()] == TrialTaken:
				return yes("%s", runs(n))
			}
			return notYet("%s is %s", standby, n.State)
		},
		Do: one(standby, DoReschedule, ""),
	}
}

package ha

import (
	"fmt"
	"slices"
	"strings"
)

// Phases gives every phase, in the order of the table.
func Phases() []Phase {
	var all []Phase
	for p := range phases {
		all = append(all, p)
	}
	return all
}

// Events gives every kind of event, in the order of the table.
func Events() []On {
	var all []On
	for o := range ons {
		all = append(all, o)
	}
	return all
}

// foreignTo says whether a node of a profile never gets into a phase.
func (p Phase) foreignTo(s Safety) bool {
	switch p {
	case InTaking, InRecording, InEnded, OutIsolated, OutWentBack:
		return s == Documented
	case InLooking:
		return s == Safe
	}
	return false
}

// told says whether a node of a profile is ever told an event.
func told(s Safety, on On) bool {
	register := on >= OnRegisterRead && on <= OnKeyGone || on == OnDeadline || on == OnRenewDue
	return s == Safe || !register
}

// applies says whether a row can fit in a profile, and its other conditions.
func (r Row) applies(s Safety) ([]Cond, bool) {
	var rest []Cond
	for _, c := range r.If {
		switch c {
		case IfSafe, Not | IfSafe:
			if (c == IfSafe) != (s == Safe) {
				return nil, false
			}
		default:
			rest = append(rest, c)
		}
	}
	return rest, true
}

// cell gives the rows of a phase and an event that can fit in a profile.
func (t Table) cell(s Safety, p Phase, on On) []Row {
	var rows []Row
	if !told(s, on) {
		return nil
	}
	for _, r := range t.Rows {
		if rest, ok := r.applies(s); ok && slices.Contains(r.In, p) && slices.Contains(r.On, on) {
			r.If = rest
			rows = append(rows, r)
		}
	}
	return rows
}

// Text prints the table of a profile for people: every phase, what is done on
// its entry, and every event with its rows.
func (t Table) Text(s Safety) string {
	var out strings.Builder
	fmt.Fprintf(&out, "The node's machine, profile %v: %d phases, %d events. Whatever changes what is kept is stored before anything else is done.\n", s, phases, ons)
	for _, p := range Phases() {
		if p.foreignTo(s) {
			continue
		}
		fmt.Fprintf(&out, "\n%v\n", p)
		if list := words(t.Entry[p]); list != "" {
			fmt.Fprintf(&out, "  on entry: %s\n", list)
		}
		var quiet strings.Builder
		for _, on := range Events() {
			for _, r := range t.cell(s, p, on) {
				if r.quiet() {
					fmt.Fprintf(&quiet, "  %v%s: nothing (%s)\n", on, given(r.If), r.Why)
				} else {
					fmt.Fprintf(&out, "  %v%s: %s\n      %s\n", on, given(r.If), r.does(), r.Why)
				}
			}
		}
		out.WriteString(quiet.String())
	}
	return out.String()
}

// quiet says whether nothing happens in a row.
func (r Row) quiet() bool { return r.To == ToStay && len(r.Do)+len(r.End) == 0 }

func given(list []Cond) string {
	if len(list) == 0 {
		return ""
	}
	return " [" + words(list) + "]"
}

// does gives what a row does and where it leads.
func (r Row) does() string {
	list := words(append(slices.Clone(r.Do), r.End...))
	switch {
	case r.To == ToStay:
		return list
	case list == "":
		return fmt.Sprintf("-> %v", r.To)
	}
	return fmt.Sprintf("-> %v; %s", r.To, list)
}

func words[T fmt.Stringer](list []T) string {
	var all []string
	for _, w := range list {
		all = append(all, w.String())
	}
	return strings.Join(all, ", ")
}

// Mermaid prints the ways from phase to phase in a profile as a Mermaid state
// diagram.
func (t Table) Mermaid(s Safety) string {
	var edges []string // "FROM --> TO", in the order of the table
	labels := map[string][]string{}
	add := func(from, to, label string) {
		edge := from + " --> " + to
		if !slices.Contains(edges, edge) {
			edges = append(edges, edge)
		}
		if !slices.Contains(labels[edge], label) {
			labels[edge] = append(labels[edge], label)
		}
	}
	add("[*]", id(InStarting), OnBoot.String())
	for _, p := range Phases() {
		if p.foreignTo(s) {
			continue
		}
		for _, on := range Events() {
			for _, r := range t.cell(s, p, on) {
				switch {
				case r.To == ToStay || r.To == To(p):
				case r.To == ToAfter:
					for _, to := range t.afters(s) {
						add(id(p), to, on.String())
					}
				default:
					add(id(p), id(r.To), on.String())
				}
			}
		}
	}
	out := "stateDiagram-v2\n"
	for _, edge := range edges {
		out += "    " + edge + ": " + strings.Join(labels[edge], " / ") + "\n"
	}
	return out
}

// afters gives where DEMOTING may lead in a profile, some more than once.
func (t Table) afters(s Safety) []string {
	var all []string
	for _, r := range t.Rows {
		_, ok := r.applies(s)
		if !ok || !slices.ContainsFunc(r.On, func(on On) bool { return told(s, on) }) {
			continue
		}
		for _, d := range r.Do {
			if d >= AfterStandby {
				all = append(all, strings.TrimPrefix(id(d), "then_"))
			}
		}
	}
	return all
}

// id gives a word as Mermaid takes it for a name.
func id(w fmt.Stringer) string { return strings.NewReplacer("-", "_", " ", "_").Replace(w.String()) }

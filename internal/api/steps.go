package api

import (
	"slices"
	"strings"

	"github.com/understudy-ha/understudy/internal/ha"
)

// Cure is what a person can do about a decision.
type Cure struct {
	Aim     string
	Command string // empty: Aim says it all
}

// Cures gives what would change the decision in force; none if all is well.
func Cures(g Group) []Cure {
	d := g.Decision
	switch d.Reason {
	case ha.Unknown:
		return []Cure{{"Once you know which node has the current data", command("switch", g.Name, "--to NODE --force")}}
	case ha.DualActive:
		if swapped(g) {
			return []Cure{toNode(g, d.Node)}
		}
		return []Cure{
			{"To keep " + g.Serving + ", on " + d.Node, "failover mode secondary"},
			{"To send clients to " + d.Node + " instead", command("switch", g.Name, "--to "+d.Node+" --force")},
		}
	case ha.Unpromoted:
		return []Cure{{"To promote it, on " + g.Serving, "failover mode primary"}}
	case ha.Held:
		return []Cure{{"To let the rule decide", command("release", g.Name, "")}}
	case ha.NeedsOperator:
		return []Cure{toNode(g, d.Node)}
	case ha.Stranded:
		cures := []Cure{toNode(g, d.Node)}
		if g.Rules.OnPromoted == ha.PromotedWait {
			cures = append(cures, Cure{"To let this happen by itself", "on_promoted follow, see docs/howto/promotion-race.md"})
		}
		return cures
	case ha.LastInOrder:
		return []Cure{{"As soon as " + g.Order[0] + " is Active again", command("resume", g.Name, "")}}
	case ha.NoStandby:
		return []Cure{{"It decides by itself as soon as a node after " + g.Serving + " reads Standby, or " + g.Serving + " comes back.", ""}}
	case ha.RegisterLost:
		return []Cure{{"It decides again as soon as the register can be reached: see docs/reference/register.md.", ""}}
	case ha.RegisterBack:
		return []Cure{{"To put into the register that " + g.Serving + " serves", command("switch", g.Name, "--to "+g.Serving+" --force")}}
	case ha.NoQuorum:
		return []Cure{
			{"It moves by itself as soon as most watchers read " + g.Serving + " down: see that they run and reach the register.", ""},
			toNode(g, d.Node),
		}
	case ha.NotStored:
		return []Cure{{"It moves by itself as soon as the register can be written: look at its disk and its permissions.", ""}}
	}
	return nil
}

func toNode(g Group, node string) Cure {
	line := command("switch", g.Name, "--to "+node)
	if node == g.Order[0] {
		line = command("resume", g.Name, "")
	}
	return Cure{"To send clients to " + node + " now", line}
}

// swapped says whether a node that does not serve is the only Active one.
func swapped(g Group) bool {
	serving, _ := g.Node(g.Serving)
	return serving.State != Active && g.Decision.Reason == ha.DualActive
}

// command gives a command line that wants only a reason to be filled in.
func command(verb, group, flags string) string {
	words := []string{"understudy", verb, group}
	if flags != "" {
		words = append(words, flags)
	}
	return strings.Join(append(words, `--reason "…"`), " ")
}

// Step is one thing to do on the way back after a failover.
type Step struct {
	Done    bool
	Text    string
	On      string // the node to do it on, empty: here
	Command string
}

// WayBack gives the steps that lead from a failover back to the first in order
// (EPMM guide, Table 1, row 3: sync the Primary from the Secondary, swap the
// roles, and only then resume), and where the serving node is Active the one
// step that makes the present state the rule instead. Nothing is open while the
// first in order serves.
func WayBack(g Group) (steps, instead []Step) {
	if g.Serving == "" || len(g.Order) == 0 || g.Serving == g.Order[0] {
		return nil, nil
	}
	first, _ := g.Node(g.Order[0])
	serving, _ := g.Node(g.Serving)
	resume := Step{false, "send clients back to " + first.Name, "", command("resume", g.Name, "")}
	if first.State == Active && serving.State != Active {
		steps = []Step{{true, first.Name + " is Active and " + g.Serving + " is not", "", ""}, resume}
	} else {
		steps = []Step{
			repair(first, g.Serving),
			{false, "sync " + first.Name + " from " + g.Serving, first.Name, "failover sync " + g.Serving},
			{false, "make " + g.Serving + " stand by", g.Serving, "failover mode secondary"},
			{false, "make " + first.Name + " Active again", first.Name, "failover mode primary"},
			resume,
		}
	}
	if serving.State == Active {
		order := slices.DeleteFunc(slices.Clone(g.Order), func(n string) bool { return n == g.Serving })
		order = append([]string{g.Serving}, order...)
		instead = []Step{{false, "let " + g.Serving + " be the first in order from now on", "", command("reorder", g.Name, "--order "+strings.Join(order, ","))}}
	}
	return steps, instead
}

// repair is the step that makes the old Primary a stand-by.
func repair(first Node, serving string) Step {
	switch first.State {
	case Standby:
		return Step{true, first.Name + " is back and stands by", "", ""}
	case Active:
		return Step{false, "make " + first.Name + " stand by: it is Active beside " + serving + ", with older data", first.Name, "failover mode secondary"}
	}
	return Step{false, "repair " + first.Name + " and start it as a stand-by", "", ""}
}

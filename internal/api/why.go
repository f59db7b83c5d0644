package api

import (
	"fmt"
	"strings"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// Why gives the row of the truth table that is in force, the evidence of every
// node, the hold, the policy, the numbers, and what would change it.
func Why(g Group, p Paint) string {
	var out strings.Builder
	out.WriteString(cut(g.Name, 60) + "  " + verdict(g, p) + " " + Because(g) + "\n")
	var rows [][]string
	for _, n := range g.Nodes {
		rows = append(rows, []string{cut(n.Name, 40) + "  ", whyNode(g, n) + "  ", whyPage(g, n)})
	}
	w := widths(rows)
	name := 0
	if len(w) > 0 {
		name = w[0]
	}
	name = max(name, len("policy  "))
	for _, row := range rows {
		line := "  " + pad(row[0], name) + pad(row[1], w[1]) + row[2]
		out.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	for _, row := range [][2]string{{"hold", whyHold(g)}, {"policy", whyPolicy(g)}, {"timing", whyTiming(g)}, {"queue", whyQueue(g)}} {
		if row[1] != "" {
			out.WriteString("  " + pad(row[0], name) + row[1] + "\n")
		}
	}
	if !decided(g) && g.Serving != "" {
		out.WriteString(Sentence(g) + "\n")
	}
	for _, alarm := range alarmWords(g) {
		out.WriteString(p.bad(alarm) + "\n")
	}
	out.WriteString(cureLines(Cures(g)))
	return out.String()
}

// verdict gives the verb, the reason and the row.
func verdict(g Group, p Paint) string {
	verb := strings.ToUpper(strings.ReplaceAll(g.Decision.Verb, "_", " "))
	words := fmt.Sprintf("%s: %s (row %d).", verb, g.Decision.Reason, g.Decision.Row)
	if g.Decision.Alarm == "alarm" {
		return p.bad(words)
	}
	return words
}

// whyNode says what was read of a node, and when.
func whyNode(g Group, n Node) string {
	switch {
	case !n.Known():
		return "not read yet"
	case !n.DownSince.IsZero():
		return fmt.Sprintf("down since %s, %d missed", clock(n.DownSince, g.At), n.Misses)
	case n.Misses > 0:
		return fmt.Sprintf("missed %d of %d, last at %s", n.Misses, g.Rules.Fall, clock(n.At, g.At))
	}
	words := stateWords[n.State] + " at " + clock(n.At, g.At)
	if n.Name != g.Serving && n.AtMiss != "" && n.AtMiss != n.State {
		words += fmt.Sprintf(", %s at %s's first miss", stateWords[n.AtMiss], g.Serving)
	}
	return words
}

// whyPage gives what the last probe brought, in quotes where others wrote it.
func whyPage(g Group, n Node) string {
	if !n.Known() {
		return ""
	}
	var words []string
	if n.State == NotAvailable {
		words = append(words, fmt.Sprintf("%s (last %s ago)", evidence(n), Age(g.At.Sub(n.At))))
		if n.Detail != "" {
			words = append(words, quoted(n.Detail, 100))
		}
	}
	if n.Page != "" {
		words = append(words, quoted(n.Page, 80))
	}
	if n.NodeEpoch > 0 {
		words = append(words, fmt.Sprintf("node epoch %d", n.NodeEpoch))
	}
	if n.Manual {
		words = append(words, "only by hand")
	}
	if !n.Suspect.IsZero() {
		words = append(words, "requests to it fail since "+clock(n.Suspect, g.At))
	}
	return strings.Join(words, ", ")
}

func whyHold(g Group) string {
	if g.Hold == nil {
		return "none"
	}
	return holdWords(g)
}

func whyPolicy(g Group) string {
	return fmt.Sprintf("on_promoted %s, order %s", g.Rules.OnPromoted, strings.Join(g.Order, " "))
}

func whyTiming(g Group) string {
	r := g.Rules
	words := fmt.Sprintf("fall %d, rise %d, interval %s, fast_interval %s, timeout %s",
		r.Fall, r.Rise, short(r.IntervalMS), short(r.FastIntervalMS), short(r.TimeoutMS))
	if quick, slow := Takeover(g); g.Armed {
		words += fmt.Sprintf("; a refusing node is replaced after about %s, a hanging one after about %s", about(quick), about(slow))
	}
	return words
}

func short(ms float64) string { return fromMS(ms).Round(time.Millisecond).String() }

// whyQueue says which requests wait, empty if none does.
func whyQueue(g Group) string {
	switch g.Queue {
	case queues[ha.QueueUnsafe]:
		return "requests that could not be sent again wait"
	case queues[ha.QueueAll]:
		return "all requests wait"
	}
	return ""
}

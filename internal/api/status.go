package api

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/understudy-ha/understudy/internal/ha"
)

// Status gives the block of a group: who serves, one line a node, the hold,
// what would happen if the serving node failed now, the alarms, and after a
// failover the open steps of the way back.
func Status(g Group, p Paint) string {
	rows := statusRows(g)
	w := widths(rows)
	var out strings.Builder
	out.WriteString(headline(g, w, p))
	for i, row := range rows {
		out.WriteString(statusRow(g.Nodes[i], row, w, p))
	}
	out.WriteString(watcherLines(g, p) + resolverLine(g))
	if g.Hold != nil {
		out.WriteString(p.bad("  HELD "+holdWords(g)) + "\n")
	}
	out.WriteString(Sentence(g) + "\n")
	if !decided(g) && g.Decision.Reason != ha.Serving && g.Serving != "" {
		out.WriteString(p.bad(Because(g)) + "\n")
	}
	for _, alarm := range alarmWords(g) {
		out.WriteString(p.bad(alarm) + "\n")
	}
	if decided(g) && g.Decision.Reason != ha.LastInOrder { // its cure stands on the way back
		out.WriteString(cureLines(Cures(g)))
	}
	out.WriteString(wayBackLines(g))
	return out.String()
}

// StatusLine gives a group in one line.
func StatusLine(g Group) string {
	nodes := make([]string, len(g.Nodes))
	for i, n := range g.Nodes {
		nodes[i] = n.Name + " " + stateOf(n)
	}
	return fmt.Sprintf("%s  %s  %s  %s: %s  %s  %s", stamp(g.At), g.Name, trafficWords(g), g.Decision.Verb, g.Decision.Reason, armedWords(g), strings.Join(nodes, ", "))
}

// CheckLine gives a group in one line for monitoring: armed or not, and why.
func CheckLine(g Group) string {
	word := "not armed"
	if g.Armed {
		word = "armed"
	}
	return fmt.Sprintf("%s: %s. %s", g.Name, word, Sentence(g))
}

// headline names the group and who serves it; the word for armed stands above
// the notes of the nodes.
func headline(g Group, w []int, p Paint) string {
	left := cut(g.Name, 60) + "   " + trafficWords(g)
	column := 2
	for _, width := range w[:max(0, len(w)-1)] {
		column += width + 2
	}
	left = pad(left, column+1)
	if utf8.RuneCountInString(left) > column+1 {
		left += "   "
	}
	if g.Armed {
		return left + p.good(armedWords(g)) + "\n"
	}
	return left + p.bad(armedWords(g)) + "\n"
}

func trafficWords(g Group) string {
	switch {
	case g.Starting():
		return "starting"
	case g.Serving == "" && g.Target != "":
		return fmt.Sprintf("traffic → %s for now, epoch %d", g.Target, g.Epoch)
	case g.Serving == "":
		return fmt.Sprintf("traffic → nowhere, epoch %d", g.Epoch)
	}
	return fmt.Sprintf("traffic → %s since %s, epoch %d", g.Serving, Age(g.At.Sub(g.Since)), g.Epoch)
}

func armedWords(g Group) string {
	switch {
	case g.Armed:
		return "failover armed"
	case g.Hold != nil && g.Serving != "":
		return "HELD"
	}
	return "NOT ARMED: " + string(g.ArmedWhy)
}

func statusRows(g Group) [][]string {
	rows := make([][]string, len(g.Nodes))
	for i, n := range g.Nodes {
		rows[i] = []string{cut(n.Name, 40), stateOf(n), evidence(n), "", note(g, n)}
		if n.Known() {
			rows[i][3] = took(n.TookMS)
		}
	}
	return rows
}

func statusRow(n Node, row []string, w []int, p Paint) string {
	state := pad(row[1], w[1])
	switch {
	case n.Known() && n.State == NotAvailable:
		state = p.bad(state)
	case n.State == Active:
		state = p.good(state)
	}
	line := "  " + pad(row[0], w[0]) + "  " + state + "  " + pad(row[2], w[2]) + "  " + padLeft(row[3], w[3]) + "   " + p.faint(row[4])
	return strings.TrimRight(line, " ") + "\n"
}

func stateOf(n Node) string {
	if !n.Known() {
		return "not read yet"
	}
	return stateWords[n.State]
}

// evidence gives the words of the page, or what is wrong with it.
func evidence(n Node) string {
	if n.State == NotAvailable && n.Known() {
		if words, ok := causeWords[n.Cause]; ok {
			return words
		}
		return string(n.Cause)
	}
	return cut(n.Page, 60)
}

// note says what a node is for the group now.
func note(g Group, n Node) string {
	var words []string
	switch i := slices.Index(g.Order, n.Name); {
	case n.Name == g.Serving && i == 0:
		words = append(words, "serves, first in order")
	case n.Name == g.Serving:
		words = append(words, "serves")
	case n.Name == g.ArmedTo:
		words = append(words, "next, ready")
	case i == 0:
		words = append(words, "first in order")
	}
	if n.Manual {
		words = append(words, "only by hand")
	}
	switch {
	case !n.DownSince.IsZero():
		words = append(words, "down since "+clock(n.DownSince, g.At))
	case n.Misses > 0:
		words = append(words, fmt.Sprintf("missed %d of %d", n.Misses, g.Rules.Fall))
	}
	if !n.Suspect.IsZero() {
		words = append(words, "requests to it fail since "+clock(n.Suspect, g.At))
	}
	return strings.Join(words, ", ")
}

func holdWords(g Group) string {
	words := fmt.Sprintf("by %s since %s", cut(g.Hold.Owner, 60), clock(g.Hold.Since, g.At))
	if !g.Hold.Until.IsZero() {
		words += " until " + clock(g.Hold.Until, g.At)
	}
	if g.At.Before(g.Hold.OutageUntil) {
		words += ", outage announced until " + clock(g.Hold.OutageUntil, g.At)
	}
	return words + ": " + cut(g.Hold.Reason, 120)
}

func cureLines(cures []Cure) string {
	var rows [][]string
	for _, c := range cures {
		if c.Command == "" {
			rows = append(rows, []string{c.Aim})
		} else {
			rows = append(rows, []string{c.Aim + ":", c.Command})
		}
	}
	return columns(rows, "")
}

// columns aligns the first cells of rows that have two.
func columns(rows [][]string, indent string) string {
	width := 0
	for _, row := range rows {
		if len(row) > 1 && row[1] != "" {
			width = max(width, utf8.RuneCountInString(row[0]))
		}
	}
	var out strings.Builder
	for _, row := range rows {
		line := row[0]
		if len(row) > 1 && row[1] != "" {
			line = pad(row[0], width) + "   " + row[1]
		}
		out.WriteString(indent + line + "\n")
	}
	return out.String()
}

func wayBackLines(g Group) string {
	steps, instead := WayBack(g)
	if len(steps) == 0 {
		return ""
	}
	var rows [][]string
	for _, s := range steps {
		box := "[ ] "
		if s.Done {
			box = "[x] "
		}
		rows = append(rows, []string{box + s.Text, stepCommand(s)})
	}
	for _, s := range instead {
		rows = append(rows, []string{"or  " + s.Text, s.Command})
	}
	return "The way back to " + g.Order[0] + ", see docs/howto/after-a-failover.md:\n" + columns(rows, "  ")
}

func stepCommand(s Step) string {
	switch {
	case s.Done || s.Command == "":
		return ""
	case s.On != "":
		return "on " + s.On + ": " + s.Command
	}
	return s.Command
}

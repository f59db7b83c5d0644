package api

import (
	"fmt"
	"strings"

	"github.com/understudy-ha/understudy/internal/ha"
)

// HistoryLine tells one change: when, the epoch, what changed, why, by whom,
// and what the nodes showed at that time.
func HistoryLine(c Change) string {
	words := []string{stamp(c.At), fmt.Sprintf("epoch %d", c.Epoch), moved(c), string(c.Cause), by(c.Changed)}
	if c.Reason != "" {
		words = append(words, quoted(c.Reason, 120))
	}
	if e := shortEvidence(c.Evidence); e != "" {
		words = append(words, "["+e+"]")
	}
	return strings.Join(words, "  ")
}

// moved says who serves after a change, and who did before if that is another.
func moved(c Change) string {
	switch {
	case c.Serving == "":
		return "nobody is known to serve"
	case c.Cause == ha.Reordered:
		return c.Serving + ", order " + strings.Join(c.Order, " ")
	case c.From != "" && c.From != c.Serving:
		return c.From + " → " + c.Serving
	}
	return c.Serving
}

func by(c Changed) string {
	words := "by the rule"
	if c.Actor != "" {
		words = "by " + cut(c.Actor, 60)
	}
	if c.Claimed {
		words += " (claimed)"
	}
	if c.Forced {
		words += ", FORCED"
	}
	return words
}

func shortEvidence(readings []Reading) string {
	words := make([]string, len(readings))
	for i, r := range readings {
		words[i] = r.Node + " " + stateWords[r.State]
		if r.State == NotAvailable {
			words[i] = r.Node + " " + string(r.Cause)
		}
	}
	return strings.Join(words, ", ")
}

// ReadingWords tells one probe's result: the state, the words of the page or
// what is wrong with it, and how long it took.
func ReadingWords(r Reading) string {
	words := stateWords[r.State]
	if r.State == NotAvailable {
		words += ": " + string(r.Cause)
		if r.Detail != "" {
			words += ", " + cut(r.Detail, 120)
		}
	}
	if r.Page != "" {
		words += ", " + quoted(r.Page, 80)
	}
	if r.NodeEpoch > 0 {
		words += fmt.Sprintf(", node epoch %d", r.NodeEpoch)
	}
	return words + ", " + took(r.TookMS)
}

// Done says what a wish has changed, or with a dry run would change.
func Done(o Outcome) string {
	c := o.Change
	what := ""
	switch c.Cause {
	case ha.Resumed, ha.Switched:
		what = "traffic → " + c.Serving
		if c.From != "" {
			what += ", before " + c.From
		}
	case ha.Reordered:
		what = "order " + strings.Join(c.Order, " ") + ", traffic stays on " + c.Serving
	case ha.HeldBy:
		what = "held by " + cut(c.Hold.Owner, 60)
		if !c.Hold.Until.IsZero() {
			what += " until " + stamp(c.Hold.Until)
		}
		if !c.Hold.OutageUntil.IsZero() {
			what += ", outage announced until " + stamp(c.Hold.OutageUntil)
		}
	case ha.Frozen:
		what = "every request waits"
	case ha.Thawed:
		what = "requests wait no longer"
	default:
		what = string(c.Cause)
	}
	if o.DryRun {
		return fmt.Sprintf("%s   would be: %s, epoch %d. Nothing was changed.", o.Group, what, c.Epoch)
	}
	return fmt.Sprintf("%s   %s, epoch %d", o.Group, what, c.Epoch)
}

// RefusalLines gives the four lines of a no: what, why, what to do, where to
// read.
func RefusalLines(r ha.Refusal) string {
	out := cut(r.What, 200) + "\n"
	for _, line := range [][2]string{{"why:  ", r.Why}, {"do:   ", r.Do}, {"read: ", r.Read}} {
		if line[1] != "" {
			out += "  " + line[0] + cut(line[1], 400) + "\n"
		}
	}
	return out
}

package api

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

var stateWords = map[string]string{Active: "Active", Standby: "Standby", NotAvailable: "NotAvailable"}

var causeWords = map[ha.Cause]string{
	ha.Refused:  "connection refused",
	ha.Timeout:  "no whole answer in time",
	ha.TLSFault: "TLS fault",
	ha.Status:   "another status than 200",
	ha.Body:     "the page does not say what it must",
	ha.Oversize: "a page of more than 16 KiB",
	ha.Redirect: "a redirect, which is not followed",
	ha.Reset:    "the connection broke",
	ha.DNS:      "the name has no address",
}

// Sentence says what would happen if the serving node failed now; while it is
// down, what happens instead.
func Sentence(g Group) string {
	switch {
	case g.Starting(), g.Serving == "", decided(g):
		return Because(g)
	case g.Armed:
		quick, _ := Takeover(g)
		return fmt.Sprintf("If %s failed now, traffic would move to %s after about %s.", g.Serving, g.ArmedTo, about(quick))
	}
	return fmt.Sprintf("If %s failed now, traffic would not move: %s.", g.Serving, unarmed(g))
}

// decided says whether the serving node is down, so that the rule has spoken.
func decided(g Group) bool {
	return g.Decision.Verb != Stay && g.Decision.Reason != ha.Missing
}

// Takeover says how long a failover takes, from the first failed request of a
// client until traffic moves. quick: the node refuses connections, so that
// fall readings stand fast_interval apart and the first comes at once. slow:
// it hangs, so that each of them lasts the whole timeout. To both comes the
// reading that confirms the next node, taken to last as long as its last one.
// A group without traffic notices up to one interval later.
func Takeover(g Group) (quick, slow time.Duration) {
	r := g.Rules
	next, _ := g.Node(g.ArmedTo)
	apart, confirm := min(r.FastIntervalMS, r.IntervalMS), next.TookMS
	between := float64(max(r.Fall, 1) - 1)
	return fromMS(between*apart + confirm), fromMS(between*max(apart, r.TimeoutMS) + r.TimeoutMS + confirm)
}

func about(d time.Duration) string {
	return fmt.Sprintf("%.1f s", max(d, 100*time.Millisecond).Seconds())
}

// unarmed says why no failover would happen.
func unarmed(g Group) string {
	switch g.ArmedWhy {
	case ha.Held:
		return "routing is held"
	case ha.RegisterLost:
		return "the register cannot be reached"
	case ha.RegisterBack:
		return "the register holds less than this host knows"
	case ha.LastInOrder:
		return "no node follows it in the order"
	case ha.NeedsOperator:
		return "only a person may choose " + byHand(g)
	case ha.Stranded:
		return "a node after it reads Active already, not Standby"
	case ha.NoStandby:
		return "no node after it is in Standby"
	case ha.Confirming:
		return "the nodes after it have not been read yet"
	case ha.NoQuorum:
		return "too few of the watchers that share the register are there to agree"
	}
	return string(g.ArmedWhy)
}

// byHand gives the first node after the serving one that stands by and is only
// a person's to choose.
func byHand(g Group) string {
	for _, name := range g.Order[slices.Index(g.Order, g.Serving)+1:] {
		if n, _ := g.Node(name); n.Manual && n.State == Standby {
			return name
		}
	}
	return "the next node"
}

// Because says in a sentence why the decision is what it is.
func Because(g Group) string {
	s, d := g.Serving, g.Decision
	switch d.Reason {
	case ha.Starting:
		return "Not every node has been read yet, so nobody serves."
	case ha.Unknown:
		return "Nobody is known to serve: " + unknownWhy(g) + "."
	case ha.DualActive:
		if swapped(g) {
			return fmt.Sprintf("%s serves but reads Standby, and %s reads Active.", s, d.Node)
		}
		return fmt.Sprintf("%s serves, but %s reads Active as well; one of them has stale data.", s, d.Node)
	case ha.Unpromoted:
		return fmt.Sprintf("%s has served for more than %s and still reads Standby: it was not promoted.", s, Age(fromMS(g.Rules.PromotionTimeMS)))
	case ha.Serving:
		return s + " serves and is available."
	case ha.Missing:
		return missing(g)
	case ha.Held:
		if g.Decision.Alarm == "" && g.Hold != nil {
			return fmt.Sprintf("%s is down, as %s has announced.", s, g.Hold.Owner)
		}
		return fmt.Sprintf("%s is down, but routing is held.", s)
	case ha.RegisterLost:
		return fmt.Sprintf("%s is down, but the register cannot be reached, so nothing is decided here.", s)
	case ha.RegisterBack:
		return fmt.Sprintf("%s is down, but the register holds less than this host knows, so nothing is decided.", s)
	case ha.LastInOrder:
		return s + " is down, and no node follows it in the order."
	case ha.FailedOver:
		return fmt.Sprintf("%s is down and %s is in Standby: traffic moves to %s.", s, d.To, d.To)
	case ha.NeedsOperator:
		return fmt.Sprintf("%s is down and %s is in Standby, but only a person may choose %s.", s, d.Node, d.Node)
	case ha.FollowedPromoted:
		return fmt.Sprintf("%s is down and %s was promoted in its place: traffic follows to %s.", s, d.To, d.To)
	case ha.Stranded:
		return fmt.Sprintf("%s is down, but %s was not in Standby when we looked.", s, d.Node)
	case ha.NoStandby:
		return noStandby(g)
	case ha.Confirming:
		if d.Row != 13 {
			return fmt.Sprintf("%s is down and %s is ready; the other watchers look too before anything moves.", s, d.Node)
		}
		return fmt.Sprintf("%s is down; %s is read once more before anything moves.", s, d.Node)
	case ha.NoQuorum:
		return fmt.Sprintf("%s is down as seen from here and %s is ready, but too few of the other watchers read %s down, so traffic does not move.", s, d.Node, s)
	case ha.NotStored:
		return fmt.Sprintf("%s is down and %s is ready, but the register cannot be written, so traffic does not move.", s, d.Node)
	}
	return s + ": " + string(d.Reason) + "."
}

func unknownWhy(g Group) string {
	if g.Hold == nil {
		return "nothing is stored"
	}
	return cut(strings.TrimPrefix(g.Hold.Reason, "who serves is unknown: "), 200)
}

func missing(g Group) string {
	n, _ := g.Node(g.Serving)
	if n.Misses == 0 {
		return g.Serving + " has not been read yet."
	}
	return fmt.Sprintf("%s has missed %d of %s; nothing moves before the last of them.", g.Serving, n.Misses, count(g.Rules.Fall, "reading"))
}

func noStandby(g Group) string {
	n, ok := g.Node(g.Decision.Node)
	if !ok {
		return g.Serving + " is down, and so is every node after it."
	}
	return fmt.Sprintf("%s is down, and %s after it has missed %d of %s: it is neither ready nor down.", g.Serving, n.Name, n.Misses, count(g.Rules.Fall, "reading"))
}

// alarmWords says what the alarms mean that no decision tells.
func alarmWords(g Group) []string {
	var words []string
	if slices.Contains(g.Alarms, string(ha.Overdue)) && g.Hold != nil {
		words = append(words, "The hold should have ended at "+clock(g.Hold.Until, g.At)+"; it stays until somebody releases it.")
	}
	if slices.Contains(g.Alarms, string(ha.NotArmed)) {
		words = append(words, "No failover has been possible for ten minutes or longer.")
	}
	return words
}

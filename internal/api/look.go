package api

import (
	"strings"
	"time"
)

// NodeLook is what a page shows of a node, in words.
type NodeLook struct {
	Node
	Evidence string // the page's words, or what is wrong with it
	Took     string // how long the last probe took
	Note     string // what the node is for the group now
	Read     string // what was read, and when
	Proof    string // what the last probe brought, others' words in quotes
}

// Look gives what is known of every node in words, in order of succession.
func Look(g Group) []NodeLook {
	looks := make([]NodeLook, len(g.Nodes))
	for i, n := range g.Nodes {
		looks[i] = NodeLook{Node: n, Evidence: evidence(n), Note: note(g, n), Read: whyNode(g, n), Proof: whyPage(g, n)}
		if n.Known() {
			looks[i].Took = took(n.TookMS)
		}
	}
	return looks
}

// GroupLook is what a page shows of a group, in words.
type GroupLook struct {
	Traffic string // where requests go
	Armed   string // whether a failover would happen
	Verdict string // the row in force
	Hold    string // who holds it, until when and why; empty: nobody
	Policy  string
	Timing  string
	Queue   string
	Alarms  []string
	Quorum  string     // of several watchers: what a failover needs, and has; empty: this watcher is alone
	Votes   [][]string // of each watcher: its name, its vote, what it reads of the serving node, and of every node
	Names   string     // what the name server answers; empty: no name follows the group here
}

// LookGroup gives a group in words.
func LookGroup(g Group) GroupLook {
	l := GroupLook{
		Traffic: trafficWords(g), Armed: armedWords(g), Verdict: verdict(g, Paint{}),
		Policy: whyPolicy(g), Timing: whyTiming(g), Queue: whyQueue(g), Alarms: alarmWords(g),
	}
	if g.Hold != nil {
		l.Hold = holdWords(g)
	}
	if w := g.Watchers; w != nil {
		l.Quorum = quorum(w)
		for _, v := range w.Votes {
			l.Votes = append(l.Votes, voteRow(g, v))
		}
	}
	l.Names = strings.TrimPrefix(strings.TrimSpace(resolverLine(g)), "names: ")
	return l
}

// Moved says who serves after a change, and who did before if it is another.
func Moved(c Change) string { return moved(c) }

// By says who made a change.
func By(c Changed) string { return by(c) }

// Evidences gives what the nodes showed when a change was made, each in a
// sentence.
func Evidences(c Change) []string {
	var all []string
	for _, r := range c.Evidence {
		all = append(all, cut(r.Node, 40)+": "+strings.TrimSpace(ReadingWords(r)))
	}
	return all
}

// PoolLook is what a page shows of a pool, in words.
type PoolLook struct {
	Pool
	Gets  string      // whom clients get
	Nodes [][2]string // of each node, in order: what its last probe brought, and what it is for the pool now
}

// LookPool gives a pool in words.
func LookPool(p Pool, now time.Time) PoolLook {
	l := PoolLook{Pool: p, Gets: cut(strings.Join(p.Answers, ", "), 200)}
	for _, n := range p.Nodes {
		l.Nodes = append(l.Nodes, [2]string{poolEvidence(n), poolNote(p, n, now)})
	}
	return l
}

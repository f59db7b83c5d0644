package api

import (
	"fmt"
	"strings"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// Watchers are those who share a register and decide together.
type Watchers struct {
	Configured int    `json:"configured"` // how many there are
	Present    int    `json:"present"`    // how many say something now
	Needed     int    `json:"needed"`     // so many must read the serving node down before traffic moves
	For        int    `json:"for"`        // so many do
	Votes      []Vote `json:"votes"`      // this watcher's first, then by name
}

// The ways in which a vote counts now.
const (
	VoteYes  = "yes"  // for a failover: it reads the serving node down
	VoteNo   = "no"   // against one
	VoteNone = "none" // it does not count: nothing was read, or it knows another traffic
)

// Vote is what one watcher says.
type Vote struct {
	Watcher string      `json:"watcher"`
	Self    bool        `json:"self,omitempty"` // the watcher that tells this
	Vote    string      `json:"vote"`           // yes, no or none
	Stance  string      `json:"stance"`         // of the serving node: good, missing, down or unknown
	Since   time.Time   `json:"since"`          // when the stance was taken, by that watcher's clock
	Serving string      `json:"serving"`        // who serves, as it knows
	Epoch   uint64      `json:"epoch"`
	Nodes   []VotedNode `json:"nodes"`
}

// VotedNode is what a watcher last read of a node.
type VotedNode struct {
	Name  string    `json:"name"`
	State string    `json:"state"`
	Cause ha.Cause  `json:"cause"`
	At    time.Time `json:"at,omitzero"` // none: not read yet
}

// showWatchers gives the watchers of a group, nil where this one is alone.
func showWatchers(s ha.Situation) *Watchers {
	if s.Rules.Watchers <= 1 {
		return nil
	}
	w := &Watchers{Configured: s.Rules.Watchers, Present: len(s.Votes), Votes: []Vote{}}
	for w.Needed = 1; !s.Rules.Majority(w.Needed, s.View.Of(s.Traffic.Serving).Watching); {
		w.Needed++
	}
	for i, v := range s.Votes {
		shown := Vote{
			Watcher: v.Watcher, Self: i == 0, Vote: VoteNone, Stance: string(v.Stance), Since: utc(v.Since),
			Serving: v.Serving, Epoch: v.Epoch, Nodes: []VotedNode{},
		}
		counts := v.Epoch == s.Traffic.Epoch && v.Serving == s.Traffic.Serving && v.Serving != ""
		switch {
		case v.Stance == ha.StanceUnknown:
			shown.Stance = "unknown"
		case counts && v.Stance == ha.StanceDown:
			shown.Vote = VoteYes
			w.For++
		case counts:
			shown.Vote = VoteNo
		}
		for _, n := range v.Nodes {
			shown.Nodes = append(shown.Nodes, VotedNode{n.Node, states[n.State], n.Cause, utc(n.At)})
		}
		w.Votes = append(w.Votes, shown)
	}
	return w
}

// watcherLines tells who would vote how.
func watcherLines(g Group, p Paint) string {
	w := g.Watchers
	if w == nil {
		return ""
	}
	rows := make([][]string, len(w.Votes))
	for i, v := range w.Votes {
		rows[i] = voteRow(g, v)
	}
	width := widths(rows)
	var out strings.Builder
	out.WriteString("  watchers: " + quorum(w) + "\n")
	for i, row := range rows {
		vote := pad(row[1], width[1])
		if w.Votes[i].Vote != VoteNo {
			vote = p.bad(vote)
		}
		out.WriteString(strings.TrimRight("    "+pad(row[0], width[0])+"  "+vote+"  "+pad(row[2], width[2])+"   "+p.faint(row[3]), " ") + "\n")
	}
	return out.String()
}

func quorum(w *Watchers) string {
	return fmt.Sprintf("a failover needs %s of %d, and has %d%s", count(w.Needed, "vote"), w.Configured, w.For, missingWords(w))
}

func missingWords(w *Watchers) string {
	if gone := w.Configured - w.Present; gone > 0 {
		return fmt.Sprintf("; %d of the watchers cannot be heard", gone)
	}
	return ""
}

func voteRow(g Group, v Vote) []string {
	name := cut(v.Watcher, 40)
	if v.Self {
		name += " (here)"
	}
	reads := cut(v.Serving, 40) + " " + v.Stance + " since " + clock(v.Since, g.At)
	switch {
	case v.Stance == "unknown":
		reads = "has read nothing yet"
	case v.Vote == VoteNone:
		reads = fmt.Sprintf("knows epoch %d, %s", v.Epoch, cut(v.Serving, 40))
	}
	nodes := make([]string, len(v.Nodes))
	for i, n := range v.Nodes {
		nodes[i] = cut(n.Name, 40) + " " + votedState(n)
	}
	return []string{name, map[string]string{VoteYes: "votes yes", VoteNo: "votes no", VoteNone: "no vote"}[v.Vote], reads, strings.Join(nodes, ", ")}
}

func votedState(n VotedNode) string {
	switch {
	case n.At.IsZero():
		return "not read yet"
	case n.State == NotAvailable && n.Cause != "":
		return stateWords[n.State] + " (" + cut(string(n.Cause), 20) + ")"
	}
	return stateWords[n.State]
}

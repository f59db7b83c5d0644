package upgrade

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/understudy-ha/understudy/internal/config"
)

// Report is what an operator attaches to a change ticket.
type Report struct {
	Schema    int           `json:"schema"`
	Run       string        `json:"run"`
	Kind      string        `json:"kind"`
	Group     string        `json:"group"`
	To        string        `json:"to,omitempty"`
	State     State         `json:"state"`
	Sentence  string        `json:"sentence"`
	By        string        `json:"by"`
	Plan      string        `json:"plan"` // digest
	MadeBy    string        `json:"plan_made_by"`
	Began     time.Time     `json:"began"`
	Ended     time.Time     `json:"ended,omitzero"`
	OutageMS  int64         `json:"outage_ms"` // of the nodes' own word: clients' may differ
	Preflight []Item        `json:"preflight"`
	Risks     []Accepted    `json:"accepted_risks,omitempty"`
	Steps     []ReportStep  `json:"steps"`
	Changes   []Difference  `json:"changes"`
	Journal   []ReportEntry `json:"journal"`
}

// Accepted is a risk that somebody took.
type Accepted struct{ Name, Reason string }

// ReportStep is one step of a Report.
type ReportStep struct {
	Name   string `json:"name"`
	Guide  string `json:"guide,omitempty"`
	Title  string `json:"title"`
	State  string `json:"state"`
	Said   string `json:"said,omitempty"`
	TookMS int64  `json:"took_ms"`
	Answer string `json:"answer,omitempty"` // of a person
}

// ReportEntry is a line of the journal.
type ReportEntry struct {
	At   time.Time `json:"at"`
	Line string    `json:"line"`
}

// Difference is one fact of the two snapshots.
type Difference struct {
	What    string `json:"what"`
	Before  string `json:"before"`
	After   string `json:"after"`
	Verdict string `json:"verdict"` // as expected, unchanged, look at it
}

// Report tells the run.
func (r *Record) Report(alive bool) Report {
	c := r.Course
	out := Report{
		Schema: 1, Run: r.Name, Kind: string(r.Plan.Config.Kind), Group: r.Plan.Config.Group, To: r.Plan.Config.To, State: c.State, Sentence: r.Sentence(alive),
		By: c.By, Plan: r.Plan.Digest(), MadeBy: r.Plan.By, Began: c.Began, Ended: c.Ended, Preflight: c.Preflight,
	}
	for _, name := range slices.Sorted(maps.Keys(c.Risks)) {
		out.Risks = append(out.Risks, Accepted{name, c.Risks[name]})
	}
	for _, s := range r.Plan.Steps() {
		l := c.Steps[s.Name]
		if l == nil {
			l = new(Leg)
		}
		step := ReportStep{Name: s.Name, Guide: s.Guide, Title: s.Title, State: strings.Trim(l.word(), " -"), Said: cmp.Or(l.Failed, l.Said), Answer: cmp.Or(l.Confirmed, l.Approved)}
		if !l.Over.IsZero() && !l.Begun.IsZero() {
			step.TookMS = l.Over.Sub(l.Begun).Milliseconds()
		}
		out.OutageMS += l.Outage.Milliseconds()
		out.Steps = append(out.Steps, step)
	}
	for i, e := range r.All {
		out.Journal = append(out.Journal, ReportEntry{e.At, e.line(i + 1)})
	}
	if before, after := r.Worlds(); before != nil && after != nil {
		out.Changes = Compare(r.Plan, *before, *after)
	}
	return out
}

// Looks gives what a reader should look at, in sentences; none: nothing.
func (r Report) Looks() (all []string) {
	for _, s := range r.Steps {
		if s.State == "FAILED" {
			all = append(all, fmt.Sprintf("Step %s failed: %s", s.Name, s.Said))
		}
	}
	for _, a := range r.Risks {
		all = append(all, fmt.Sprintf("A risk was taken, %s: %s", a.Name, a.Reason))
	}
	for _, d := range r.Changes {
		if d.Verdict != "unchanged" && d.Verdict != "as expected" {
			all = append(all, fmt.Sprintf("%s: %s before, %s after: %s", d.What, orNone(d.Before), orNone(d.After), d.Verdict))
		}
	}
	for _, i := range r.Preflight {
		if i.Result == Warn {
			all = append(all, fmt.Sprintf("The preflight warned, %s: %s", i.Name, i.Said))
		}
	}
	if len(r.Changes) == 0 && r.State.Over() {
		all = append(all, "A snapshot is missing, so that nothing was compared.")
	}
	return all
}

// Compare puts the two snapshots side by side.
func Compare(p Plan, before, after World) (all []Difference) {
	add := func(what, was, is string, expected bool) {
		d := Difference{what, was, is, "unchanged"}
		switch {
		case was != is && expected:
			d.Verdict = "as expected"
		case was != is:
			d.Verdict = "look at it"
		case expected && was == is && is != "":
			d.Verdict = "unchanged, though a change was expected"
		}
		all = append(all, d)
	}
	upgrades := p.Config.To != ""
	for _, name := range []string{p.Primary, p.Secondary} {
		a, b := before.Nodes[name], after.Nodes[name]
		add(name+" version", a.Version, b.Version, upgrades && b.Version == p.Config.To)
		add(name+" state", a.State, b.State, false)
		add(name+" High Availability", a.Enabled, b.Enabled, false)
		add(name+" device count", a.Count, b.Count, a.Count != b.Count && name == p.Secondary)
		add(name+" client connection", a.Door, b.Door, false)
		add(name+" trusted hosts", hostWords(a), hostWords(b), p.Config.Kind == config.RunRepair && hostWords(a) != hostWords(b))
		addCopied(add, name, a.Copied, b.Copied)
		add(name+" pages say", pageWords(a), pageWords(b), false)
		for _, key := range slices.Sorted(maps.Keys(b.Settings)) {
			if a.Settings[key] != b.Settings[key] {
				wanted := key == "StartTime" && p.Config.Schedule.StartTime != "" || key == "Run Every" && p.Config.Schedule.RunEvery != ""
				add(name+" "+key, a.Settings[key], b.Settings[key], wanted)
			}
		}
		add(name+" next sync", firstTime(a.Next), firstTime(b.Next), firstTime(a.Next) != firstTime(b.Next))
		add(name+" last sync", syncWords(a.LastSync), syncWords(b.LastSync), syncWords(a.LastSync) != syncWords(b.LastSync))
	}
	for _, name := range slices.Sorted(maps.Keys(before.Routers)) {
		a, b := before.Routers[name], after.Routers[name]
		add(name+" sends clients to", a.Serving, b.Serving, false)
		add(name+" order", words(a.Order), words(b.Order), false)
		add(name+" held", fmt.Sprint(a.Held), fmt.Sprint(b.Held), false)
	}
	for _, s := range before.Seen {
		now := Seen{Fault: "not looked at"}
		if i := slices.IndexFunc(after.Seen, func(o Seen) bool { return o.What == s.What && o.Of == s.Of }); i >= 0 {
			now = after.Seen[i]
		}
		add(s.What+" "+s.Of, s.shows(), now.shows(), false)
	}
	return all
}

// addCopied tells rows and files of a node's copy. A copy that has grown is one
// that is current; one that has lost most of what it had is looked at.
func addCopied(add func(what, was, is string, expected bool), name string, was, is map[string]int64) {
	all := maps.Clone(is)
	if all == nil {
		all = map[string]int64{}
	}
	maps.Copy(all, was)
	for _, what := range slices.Sorted(maps.Keys(all)) {
		a, had := was[what]
		b, has := is[what]
		grown := a != b && has && (!had || b >= a || b >= a-a/10)
		add(name+" copy of "+what, count(a, had), count(b, has), grown)
	}
}

func count(n int64, known bool) string {
	if !known {
		return ""
	}
	return fmt.Sprint(n)
}

func hostWords(n Node) string {
	var all []string
	for _, name := range n.Trusted {
		all = append(all, strings.TrimSpace(name+" "+cut(n.Keys[name], 19)))
	}
	slices.Sort(all)
	return words(all)
}

// pageWords is what clients' probes see: the guide's status pages in our words.
func pageWords(n Node) string {
	switch {
	case n.State == Active && n.Well:
		return "OK"
	case n.State == Standby:
		return "OK (Mode: Standby)"
	}
	return "not OK"
}

func firstTime(list []time.Time) string {
	if len(list) == 0 {
		return ""
	}
	return list[0].UTC().Format("2006-01-02 15:04 UTC")
}

func syncWords(s *Sync) string {
	if s == nil {
		return ""
	}
	return when(s.Completed) + " " + s.Result
}

// Text is the report for people.
func (r Report) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Report of the run %s\n%s\n\n", r.Run, strings.Repeat("=", 18+len(r.Run)))
	for _, row := range [][2]string{
		{"what", r.Title()},
		{"state", string(r.State) + ": " + r.Sentence},
		{"begun", moment(r.Began) + " by " + r.By},
		{"ended", moment(r.Ended)},
		{"plan", short(r.Plan) + " by " + r.MadeBy},
		{"outage", outageWords(r.OutageMS)},
	} {
		fmt.Fprintf(&b, "%-8s %s\n", row[0], row[1])
	}
	b.WriteString("\nWhat to look at\n")
	for _, line := range r.Looks() {
		b.WriteString("  " + line + "\n")
	}
	if len(r.Looks()) == 0 {
		b.WriteString("  nothing\n")
	}
	b.WriteString("\nPreflight\n")
	for _, i := range r.Preflight {
		fmt.Fprintf(&b, "  %-5s %-18s %s\n", i.Result, i.Name, i.Said)
	}
	for _, a := range r.Risks {
		fmt.Fprintf(&b, "  risk  %-18s accepted: %s\n", a.Name, a.Reason)
	}
	b.WriteString("\nSteps\n")
	for i, s := range r.Steps {
		took := length(s.TookMS)
		if s.State == "" {
			took = ""
		}
		line := fmt.Sprintf("%3d  %-7s %-44s %8s  %s", i+1, s.State, s.Name+after(" (guide ", s.Guide)+closing(s.Guide), took, s.Said)
		b.WriteString(strings.TrimRight(line, " ") + "\n")
		if s.Answer != "" {
			fmt.Fprintf(&b, "     approved: %s\n", s.Answer)
		}
	}
	b.WriteString("\nBefore and after\n")
	if len(r.Changes) == 0 {
		b.WriteString("  nothing is compared yet: the pair is looked at again when the run is over\n")
	}
	for _, d := range r.Changes {
		if d.Before != "" || d.After != "" {
			fmt.Fprintf(&b, "  %-28s %-30s %-30s %s\n", d.What, orNone(d.Before), orNone(d.After), d.Verdict)
		}
	}
	b.WriteString("\nJournal\n")
	for _, e := range r.Journal {
		b.WriteString("  " + e.Line + "\n")
	}
	return b.String()
}

func outageWords(ms int64) string {
	if ms == 0 {
		return "none was measured"
	}
	return length(ms) + " by the Primary's own word"
}

// when gives a time as people read it; what is none stays as it is.
func when(text string) string {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return text
	}
	return moment(at)
}

func closing(text string) string {
	if text == "" {
		return ""
	}
	return ")"
}

func moment(t time.Time) string {
	if t.IsZero() {
		return "not yet"
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}

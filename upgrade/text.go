package upgrade

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/understudy-ha/understudy/internal/config"
)

// Text says what a plan will do, for the person who decides on it.
func (p Plan) Text(e Estimate) string {
	var b strings.Builder
	c := p.Config
	fmt.Fprintf(&b, "Plan %s, made %s by %s\n", short(p.Digest()), p.Made.UTC().Format("2006-01-02 15:04 UTC"), p.By)
	fmt.Fprintf(&b, "%s of group %s", c.Kind, c.Group)
	if c.To != "" {
		fmt.Fprintf(&b, ": %s to %s", orNone(p.Pins.Nodes[p.Primary].Version), c.To)
	}
	fmt.Fprintf(&b, "\nPrimary %s, Secondary %s; routers: %s\n\n", p.Primary, p.Secondary, words(routerNames(c)))
	for i, s := range p.Steps() {
		guide := "ours"
		if s.Guide != "" {
			guide = "guide " + s.Guide
		}
		fmt.Fprintf(&b, "%3d  %-38s %-8s %s\n", i+1, s.Name, guide, s.Title)
		if took, known := e.Steps[s.Name]; known && took >= 100*time.Millisecond {
			fmt.Fprintf(&b, "     took %s\n", took.Round(100*time.Millisecond))
		}
		if s.Gate != "" {
			fmt.Fprintf(&b, "     ASKS FIRST  %s\n", s.Gate)
		}
		if s.Irreversible {
			b.WriteString("     NO WAY BACK from here\n")
		}
		if strings.HasSuffix(s.Name, "/Freeze") {
			fmt.Fprintf(&b, "     REQUESTS WAIT until clients are sent to the other node: %s\n", waits(e))
		}
		if s.Outage {
			fmt.Fprintf(&b, "     OUTAGE      clients are not served: %s\n", outage(e))
			fmt.Fprintf(&b, "                 fronts and sidecars know of it and raise no alarm for %s\n", p.lasts(DoAnnounce).Round(time.Second))
		}
	}
	b.WriteString("\n" + p.promises())
	return b.String()
}

func outage(e Estimate) string {
	if e.Runs == 0 {
		return "how long is not known before a first run"
	}
	return fmt.Sprintf("about %s, as in %d earlier runs", e.Outage.Round(100*time.Millisecond), e.Runs)
}

func waits(e Estimate) string {
	if e.Waits() == 0 {
		return "how long is not known before a first run; longer than queue_timeout is an error for them"
	}
	return fmt.Sprintf("about %s, as in %d earlier runs; the preflight compares it with queue_timeout", e.Waits().Round(100*time.Millisecond), e.Runs)
}

func routerNames(c config.Upgrade) (names []string) {
	for _, r := range c.Routers {
		names = append(names, r.Name)
	}
	return names
}

// promises says what can be done while a run goes on.
func (p Plan) promises() string {
	back := "Before the step with NO WAY BACK it undoes what was done, the newest first; after it the only way is forward."
	if p.Config.Kind == config.RunSwitchover {
		back = "It undoes what was done, the newest first: the roles and the traffic go back."
	}
	text := `It may be interrupted at any moment, even by a crash; it then keeps lock and hold:
  understudy upgrade status                          where it stands, what it waits for
  understudy upgrade continue                        go on at the same place
  understudy upgrade approve --reason TEXT           answer what it asks
  understudy upgrade fetch --reason TEXT             take it over on another machine, when this one is lost
  understudy upgrade abort --reason TEXT             ` + back + "\n"
	if dir := p.Config.StateDir; dir != "" && dir != DefaultDir {
		text += "Each with --state-dir " + dir + ", or UNDERSTUDY_RUNS=" + dir + " in the environment; fetch knows it from upgrade.yaml.\n"
	}
	return text
}

// Sentence says where a run stands.
func (r *Record) Sentence(alive bool) string {
	c := r.Course
	switch {
	case r.Fault != nil:
		return r.Fault.Error()
	case c.State == Succeeded:
		return "It is done."
	case c.State == RolledBack:
		return "It failed and was undone: the pair is as before, but for versions."
	case c.State == Aborted:
		return "It was aborted and undone: the pair is as before, but for versions."
	case c.State == Unlocked:
		return "It was given up as it was."
	case alive:
		return "A process works at it" + after(": ", c.At) + "."
	case c.State == Waiting:
		return "It waits for an answer: " + c.Why
	case c.State == Incomplete:
		return "It needs a person; lock and hold are kept. " + c.Why
	}
	return "Its process has died" + after(" at ", c.At) + "; lock and hold are kept."
}

// Next says what a person can do about it.
func (r *Record) Next(alive bool) (lines []string) {
	c := r.Course
	switch {
	case r.Fault != nil:
		return []string{"understudy upgrade unlock --reason TEXT" + r.where()}
	case c.State.Over():
		return []string{"understudy upgrade report " + r.Name + r.where()}
	case c.State == Waiting:
		lines = []string{"understudy upgrade approve --reason TEXT" + r.where()}
	case alive:
		return []string{"understudy upgrade abort --reason TEXT" + r.where()}
	default:
		lines = []string{"understudy upgrade continue" + r.where()}
	}
	if step := c.Committed(r.Plan.Steps()); step != "" {
		return append(lines, "(no abort: "+step+" has begun, and there is only the way forward)")
	}
	return append(lines, "understudy upgrade abort --reason TEXT"+r.where())
}

// where gives the flag that leads back here, if one is needed.
func (r *Record) where() string {
	if dir := filepath.Dir(filepath.Dir(r.Dir)); dir != DefaultDir {
		return " --state-dir " + dir
	}
	return ""
}

// StatusText tells where a run stands, step by step.
func (r *Record) StatusText(alive bool) string {
	var b strings.Builder
	c := r.Course
	fmt.Fprintf(&b, "Run %s   %s of %s%s   begun %s by %s\n%s\n\n", r.Name, r.Plan.Config.Kind, r.Plan.Config.Group, after(" to ", r.Plan.Config.To),
		c.Began.UTC().Format("2006-01-02 15:04:05 UTC"), c.By, r.Sentence(alive))
	for i, s := range r.Plan.Steps() {
		l := c.Steps[s.Name]
		if l == nil {
			l = new(Leg)
		}
		fmt.Fprintf(&b, "%3d  %s  %-38s %s\n", i+1, l.word(), s.Name, l.words())
	}
	for _, line := range r.Next(alive) {
		fmt.Fprintf(&b, "\n  %s", line)
	}
	return b.String() + "\n"
}

// word is where a step stands.
func (l *Leg) word() string {
	switch {
	case l.Undone:
		return "undone "
	case l.Undoing:
		return "undoing"
	case l.Done:
		return "done   "
	case l.Failed != "":
		return "FAILED "
	case l.Waits != "":
		return "waits  "
	case l.Started:
		return "runs   "
	}
	return "-      "
}

func (l *Leg) words() string {
	switch {
	case l.Failed != "":
		return l.Failed
	case l.Waits != "":
		return l.Waits
	case l.Done && l.Over.Sub(l.Begun) >= 50*time.Millisecond:
		return fmt.Sprintf("%s (%s)", l.Said, l.Over.Sub(l.Begun).Round(10*time.Millisecond))
	}
	return l.Said
}

// Line tells an event in one line, for a log or a person who follows.
func (e Event) Line() string {
	at := e.At.UTC().Format("15:04:05.0")
	step := e.Step
	if e.Number > 0 {
		step = fmt.Sprintf("%d/%d %s", e.Number, e.Of, e.Step)
	}
	switch e.Kind {
	case Starts:
		return fmt.Sprintf("%s  %s: %s", at, step, e.Title)
	case Intends, Did:
		return fmt.Sprintf("%s    %s %s", at, e.Kind, e.Said)
	case Is:
		return fmt.Sprintf("%s    done: %s", at, e.Said)
	case waiting:
		return fmt.Sprintf("%s    waits: %s (since %s, until %s)", at, e.Said, e.Since.UTC().Format("15:04:05"), e.Deadline.UTC().Format("15:04:05"))
	case Waits:
		return fmt.Sprintf("%s  %s asks: %s", at, step, e.Said)
	}
	return strings.TrimRight(fmt.Sprintf("%s  %s %s %s", at, e.Kind, step, e.Said), " ")
}

package ha_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// judge is what a rule table is run against: the real functions, or a mutant.
type judge struct {
	next  func(ha.Traffic, ha.View, ha.Rules, time.Time) ha.Decision
	queue func(ha.Traffic, ha.Decision, ha.View, time.Time) ha.Queueing
	armed func(ha.Traffic, ha.View, ha.Rules, time.Time) (string, ha.Reason)
}

func realJudge() judge { return judge{ha.Next, ha.Queue, ha.Armed} }

// assess is ha.Assess by a judge.
func (j judge) assess(s scene) ha.Situation {
	a := ha.Situation{At: now, Traffic: s.traffic, View: s.view, Rules: s.rules}
	a.Decision = j.next(s.traffic, s.view, s.rules, now)
	a.Queue = j.queue(s.traffic, a.Decision, s.view, now)
	a.ArmedTo, a.ArmedWhy = j.armed(s.traffic, s.view, s.rules, now)
	return a
}

// ruling says in one line what the judge decides of a block.
func (j judge) ruling(b block) (line string, err error) {
	s, err := b.build()
	if err != nil {
		return "", err
	}
	defer func() {
		if r := recover(); r != nil {
			line = fmt.Sprint("panic: ", r)
		}
	}()
	a := j.assess(s)
	if s.unarmed > 0 {
		a = next(a, ha.Situation{UnarmedSince: now.Add(-s.unarmed)})
	}
	if s.stuck {
		a = ha.Stuck(a)
	}
	return sayRuling(a), nil
}

// sayRuling puts a Situation into the words of rule.txt.
func sayRuling(a ha.Situation) string {
	d := a.Decision
	line := fmt.Sprintf("row %d: %v", d.Row, d.Verb)
	if d.To != "" {
		line += " to " + d.To
	}
	line += " because " + string(d.Reason)
	if d.About != "" {
		line += " (" + d.About + ")"
	}
	for _, part := range []string{sayAlarm(a), sayQueue(a.Queue), sayArmed(a)} {
		if part != "" {
			line += "; " + part
		}
	}
	return line
}

func sayAlarm(a ha.Situation) string {
	words, alarms := a.Decision.Alarm.String(), a.Alarms()
	if a.Decision.Alarm == ha.Alarmed {
		if len(alarms) == 0 || alarms[0] != a.Decision.Reason {
			return fmt.Sprintf("alarm, which is not among the alarms %v", alarms)
		}
		alarms = alarms[1:]
	}
	for _, r := range alarms {
		words = strings.TrimPrefix(words+", alarm "+string(r), ", ")
	}
	return words
}

func sayQueue(q ha.Queueing) string {
	return map[ha.Queueing]string{ha.QueueUnsafe: "queue unsafe", ha.QueueAll: "queue all"}[q]
}

func sayArmed(a ha.Situation) string {
	if a.ArmedTo != "" {
		return "armed to " + a.ArmedTo
	}
	return "not armed: " + string(a.ArmedWhy)
}

func TestTheRuleIsTheTruthTable(t *testing.T) {
	t.Parallel()
	for _, b := range readTable(t, "rule.txt") {
		t.Run(b.title, func(t *testing.T) {
			t.Parallel()
			got, err := realJudge().ruling(b)
			if err != nil {
				t.Fatal(err)
			}
			if got != b.want {
				t.Errorf("%s\n got %s\nwant %s", b.at, got, b.want)
			}
			s, _ := b.build()
			if got, want := ha.Assess(s.traffic, s.view, s.rules, now), realJudge().assess(s); sayRuling(got) != sayRuling(want) || got.Target != ha.Target(s.traffic, s.view) {
				t.Errorf("%s: Assess says %s", b.at, sayRuling(got))
			}
		})
	}
}

func TestEveryRowOccursInTheTruthTable(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, b := range readTable(t, "rule.txt") {
		row, _, _ := strings.Cut(b.want, ":")
		seen[row] = true
	}
	for row := range 14 {
		if !seen["row "+strconv.Itoa(row)] {
			t.Errorf("no case of rule.txt comes to row %d", row)
		}
	}
	if len(seen) != 14 {
		t.Errorf("rule.txt knows %d rows, want 14", len(seen))
	}
}

func TestEveryReasonOccursInATable(t *testing.T) {
	t.Parallel()
	var said []string
	for _, name := range []string{"rule.txt", "wish.txt", "start.txt"} {
		for _, b := range readTable(t, name) {
			said = append(said, strings.FieldsFunc(b.want, func(r rune) bool { return strings.ContainsRune(" ,;:()", r) })...)
		}
	}
	reasons := declaredReasons(t)
	if len(reasons) < 30 {
		t.Fatalf("found only %d reasons in the source", len(reasons))
	}
	for name, value := range reasons {
		if !slices.Contains(said, value) {
			t.Errorf("no case comes to %s (%s)", name, value)
		}
	}
}

// declaredReasons gives the constants of type Reason, by name.
func declaredReasons(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	reasons := map[string]string{}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || len(spec.Values) != 1 {
				return true
			}
			if kind, ok := spec.Type.(*ast.Ident); !ok || kind.Name != "Reason" {
				return true
			}
			if value, ok := spec.Values[0].(*ast.BasicLit); ok {
				reasons[spec.Names[0].Name], _ = strconv.Unquote(value.Value)
			}
			return true
		})
	}
	return reasons
}

package upgrade

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/internal/config"
)

// death is the panic of a process that is killed.
type death struct{}

// mortal is a journal's file whose process dies at one of its writes.
type mortal struct {
	file
	left int // writes until it dies
	how  string
}

func (m *mortal) Write(text []byte) (int, error) {
	if m.left--; m.left > 0 || m.how == "" {
		return m.file.Write(text)
	}
	switch m.how {
	case "before":
	case "torn":
		_, _ = m.file.Write(text[:len(text)/2])
	case "after", "lost":
		_, _ = m.file.Write(text)
	}
	panic(death{})
}

// Sync does nothing: what a killed process has written is in the file, and the
// thousands of runs here would wait for the disk.
func (m *mortal) Sync() error { return nil }

// live runs a process of a run until it ends or dies.
func live(t *testing.T, p *pair, plan Plan, dir string, kill mortal) (state State, died bool) {
	t.Helper()
	j, err := OpenJournal(filepath.Join(dir, "journal"), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	kill.file = j.file
	j.file = &kill
	defer func() {
		switch r := recover(); r.(type) {
		case nil:
		case death:
			died = true
		default:
			panic(r)
		}
	}()
	if len(j.all) == 0 {
		err = j.Add(entry(Begins, "", "run", "run", "plan", plan.Digest(), "by", "anna", "number", "1"))
	} else {
		err = j.Add(entry(Goes, "", "by", "anna"))
	}
	if err != nil {
		t.Fatal(err)
	}
	r := &Runner{Plan: plan, Hands: p.hands(), Journal: j, Clock: time.Now, Poll: time.Microsecond, Keeper: &Keeper{Host: "desk", Every: time.Hour}}
	if state, err = r.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	return state, false
}

// through runs a plan to its end; every gate is approved.
func through(t *testing.T, p *pair, plan Plan, dir string, kill mortal) (State, *Course) {
	t.Helper()
	for range 12 {
		state, died := live(t, p, plan, dir, kill)
		if died {
			if kill.how == "lost" {
				dir = p.elsewhere(t)
			}
			kill = mortal{}
			continue
		}
		j, err := OpenJournal(filepath.Join(dir, "journal"), time.Now)
		if err != nil {
			t.Fatal(err)
		}
		c := Fold(j.all)
		if state != Waiting {
			_ = j.Close()
			return state, c
		}
		if err := j.Add(entry(Approves, c.At, "by", "bert", "reason", "seen")); err != nil {
			t.Fatal(err)
		}
		_ = j.Close()
	}
	t.Fatal("the run does not end")
	return "", nil
}

// elsewhere gives the folder of another machine that has only what the nodes
// have kept of the run: its own is lost.
func (p *pair) elsewhere(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	best := nodeapi.RunCopy{}
	for _, n := range p.nodes {
		if len(n.copy.Lines) > len(best.Lines) {
			best = n.copy
		}
	}
	if len(best.Lines) > 0 {
		if err := os.WriteFile(filepath.Join(dir, "journal"), []byte(strings.Join(best.Lines, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestARunThatIsKilledAtAnyWriteEndsTheSame(t *testing.T) {
	t.Parallel()
	table := new(strings.Builder)
	fmt.Fprintf(table, "%-12s %8s %8s %8s %8s %8s   %s\n", "kind", "writes", "before", "torn", "after", "lost", "end states that differ")
	for _, kind := range []config.RunKind{config.RunDocumented, config.RunSwitchover, config.RunRepair} {
		whole := newPair()
		plan := planFor(whole, kind)
		dir := t.TempDir()
		state, _ := through(t, whole, plan, dir, mortal{})
		if state != Succeeded {
			text, _ := os.ReadFile(filepath.Join(dir, "journal"))
			t.Fatalf("%s ended %s:\n%s", kind, state, text)
		}
		want := whole.end()
		text, err := os.ReadFile(filepath.Join(dir, "journal"))
		if err != nil {
			t.Fatal(err)
		}
		writes := strings.Count(string(text), "\n")
		differ, counts := 0, map[string]int{}
		for i, how := range []string{"before", "torn", "after", "lost"} {
			for n := 1; n <= writes; n++ {
				if os.Getenv("UNDERSTUDY_SOAK") == "" && n%4 != i { // every write, in one of the ways
					continue
				}
				p := newPair()
				state, _ := through(t, p, plan, t.TempDir(), mortal{left: n, how: how})
				if diff := cmp.Diff(want, p.end()); state != Succeeded || diff != "" {
					differ++
					t.Errorf("%s, killed %s write %d: %s %s", kind, how, n, state, diff)
				}
				counts[how]++
			}
		}
		fmt.Fprintf(table, "%-12s %8d %8d %8d %8d %8d   %d\n", kind, writes, counts["before"], counts["torn"], counts["after"], counts["lost"], differ)
	}
	t.Logf("killed at every write of the journal, then continued:\n%s", table)
}

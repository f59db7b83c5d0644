package upgrade

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

func TestAnEntryReadsBackAsItWasWritten(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOf(rapid.Rune())
		e := entry("did", rapid.SampledFrom([]string{"", "HoldTraffic", "UpgradeSecondary/Download"}).Draw(t, "step"),
			"deed", text.Draw(t, "deed"), "result", "taken", "said", text.Draw(t, "said"))
		e.At = time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)
		n, got, err := parseEntry(e.line(7))
		if err != nil || n != 7 {
			t.Fatal(n, err)
		}
		for key, value := range e.Facts { // what is no UTF-8 is written as what it would be shown as
			e.Facts[key] = strings.ToValidUTF8(value, "\ufffd")
		}
		if diff := cmp.Diff(e, got, cmp.AllowUnexported(Entry{}), cmpopts.EquateEmpty()); diff != "" {
			t.Fatal(diff)
		}
	})
}

// written gives a journal of a few lines.
func written(t *testing.T) (path string, j *Journal) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "journal")
	j, err := OpenJournal(path, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	for _, e := range []Entry{entry(Begins, "", "run", "r", "number", "3"), entry(Starts, "HoldTraffic"), entry(Intends, "HoldTraffic", "deed", "lb hold")} {
		if err := j.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	return path, j
}

func TestALineThatACrashHasCutIsLeftOutAndWrittenOver(t *testing.T) {
	t.Parallel()
	path, _ := written(t)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := len(whole) - 1; cut > 0; cut -= 7 {
		if err := os.WriteFile(path, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		j, err := OpenJournal(path, time.Now)
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		before := len(j.all)
		if err := j.Add(entry(Goes, "", "by", "anna")); err != nil {
			t.Fatal(err)
		}
		_ = j.Close()
		text, _ := os.ReadFile(path)
		all, _, _, err := ParseJournal(text)
		if err != nil || len(all) != before+1 || all[before].What != Goes {
			t.Errorf("cut at %d: %d entries, %v", cut, len(all), err)
		}
	}
}

func TestAJournalThatWasEditedIsRefused(t *testing.T) {
	t.Parallel()
	path, _ := written(t)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(text), "\n")
	for what, edited := range map[string]string{
		"a letter":    strings.Replace(string(text), "lb hold", "lb sold", 1),
		"a lost line": lines[0] + lines[2],
		"two swapped": lines[1] + lines[0] + lines[2],
		"a new line":  string(text) + "4 2026-01-02T03:04:05.000Z ends state=succeeded ~00000000\n",
	} {
		var damaged *Damaged
		if _, _, _, err := ParseJournal([]byte(edited)); !errors.As(err, &damaged) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// full is a file on a full disk: it takes half of a line.
type full struct{ file }

func (f full) Write(text []byte) (int, error) {
	n, _ := f.file.Write(text[:len(text)/2])
	return n, syscall.ENOSPC
}

func TestOnAFullDiskNothingIsDoneAndTheRunGoesOnWhenThereIsRoom(t *testing.T) {
	t.Parallel()
	for n := 1; n <= 12; n++ {
		p, dir := newPair(), t.TempDir()
		plan := planFor(p, "documented")
		j, err := OpenJournal(filepath.Join(dir, journalFile), time.Now)
		if err != nil {
			t.Fatal(err)
		}
		if err := j.Begin("run", plan, Start{By: "anna", Number: 1}); err != nil {
			t.Fatal(err)
		}
		real := j.file
		j.file = &filling{file: real, left: n}
		r := &Runner{Plan: plan, Hands: p.hands(), Journal: j, Clock: time.Now, Poll: time.Microsecond}
		state, err := r.Run(t.Context())
		deeds := len(p.deeds)
		if state != Incomplete || !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("write %d: %s, %v", n, state, err)
		}
		intended := 0
		for _, e := range j.all {
			if e.What == Intends {
				intended++
			}
		}
		if deeds > intended {
			t.Errorf("write %d: %d deeds were done and %d written down", n, deeds, intended)
		}
		_ = j.Close()
		if state, _ := through(t, p, plan, dir, mortal{}); state != Succeeded {
			t.Errorf("write %d: with room again it ended %s", n, state)
		}
	}
}

// filling is full after a few writes.
type filling struct {
	file
	left int
}

func (f *filling) Write(text []byte) (int, error) {
	if f.left--; f.left < 0 {
		return full{f.file}.Write(text)
	}
	return f.file.Write(text)
}

func TestAClockThatJumpsChangesNothing(t *testing.T) {
	t.Parallel()
	p, dir := newPair(), t.TempDir()
	plan := planFor(p, "documented")
	j, err := OpenJournal(filepath.Join(dir, journalFile), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	jump := func() time.Time { // of the journal only: deadlines go by the monotonic clock
		if len(j.all)%2 == 0 {
			return time.Now().Add(-72 * time.Hour)
		}
		return time.Now().Add(48 * time.Hour)
	}
	j.clock = jump
	if err := j.Begin("run", plan, Start{By: "anna", Number: 1}); err != nil {
		t.Fatal(err)
	}
	r := &Runner{Plan: plan, Hands: p.hands(), Journal: j, Clock: time.Now, Poll: time.Microsecond}
	if state, err := r.Run(t.Context()); state != Waiting || err != nil {
		t.Errorf("got %s, %v", state, err)
	}
	if err := j.Approve("UpgradePrimary/Upgrade", "bert", "go"); err != nil {
		t.Fatal(err)
	}
	if state, err := r.Run(t.Context()); state != Succeeded || err != nil {
		t.Errorf("got %s, %v", state, err)
	}
}

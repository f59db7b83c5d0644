package upgrade

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestOneRunAtATimeAndADeadOneIsNeverForgotten(t *testing.T) {
	t.Parallel()
	s := Store{t.TempDir()}
	p := newPair()
	plan, w := planFor(p, "documented"), p.hands().Look(context.Background(), time.Now())
	release, err := s.Claim()
	if err != nil {
		t.Fatal(err)
	}
	var busy *Busy
	if _, err := s.Claim(); !errors.As(err, &busy) || !busy.Alive {
		t.Errorf("a second operator: %v", err)
	}
	r, err := s.Create(plan, w, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	j, err := r.Open(time.Now)
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Begin(r.Name, plan, Start{By: "anna", Number: 7}); err != nil {
		t.Fatal(err)
	}
	_ = j.Close()
	release() // its process dies
	if _, err := s.Create(plan, w, time.Now()); !errors.As(err, &busy) || busy.Alive || busy.Run != r.Name || busy.By != "anna" {
		t.Errorf("after it died: %v", err)
	}
	if n, err := s.NextNumber(w); n != 8 || err != nil {
		t.Errorf("the next number is %d, %v", n, err)
	}
	w.Nodes["core1"] = Node{Fence: 40}
	if n, _ := s.NextNumber(w); n != 41 {
		t.Errorf("the next number is %d, though a node has seen 40", n)
	}
	if err := os.WriteFile(filepath.Join(r.Dir, journalFile), []byte("nonsense\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	damaged, err := s.Load(r.Name)
	if err != nil || damaged.Fault == nil || !strings.Contains(damaged.Sentence(false), "unlock") {
		t.Fatalf("a damaged journal: %v, %v", err, damaged.Fault)
	}
	if err := damaged.GiveUp("bert", "the disk broke", time.Now); err != nil {
		t.Fatal(err)
	}
	if old, err := s.Unfinished(); old != nil || err != nil {
		t.Errorf("given up, and still %v, %v", old, err)
	}
	if _, err := os.Stat(filepath.Join(r.Dir, journalFile+".damaged")); err != nil {
		t.Error(err)
	}
}

func TestAReportTellsWhatWasSeenInAllThreeForms(t *testing.T) {
	t.Parallel()
	s := Store{t.TempDir()}
	p := newPair()
	plan, before := planFor(p, "documented"), p.hands().Look(context.Background(), time.Now())
	plan.By = `<script>alert("anna")</script>`
	r, err := s.Create(plan, before, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if state, _ := through(t, p, plan, r.Dir, mortal{}); state != Succeeded {
		t.Fatal(state)
	}
	if err := r.Snapshot(p.hands().Look(context.Background(), time.Now())); err != nil {
		t.Fatal(err)
	}
	again, err := s.Load(r.Name)
	if err != nil {
		t.Fatal(err)
	}
	doc := again.Report(false)
	var page strings.Builder
	if err := doc.WriteHTML(&page); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"HoldTraffic", "core2 version", "as expected", "seen (bert)", "2.0"} {
		if !strings.Contains(doc.Text(), want) || !strings.Contains(page.String(), want) {
			t.Errorf("%q is missing in one of them", want)
		}
	}
	if strings.Contains(page.String(), "<script>") {
		t.Error("a name becomes a part of the page")
	}
	for _, d := range doc.Changes {
		if d.Verdict == "look at it" {
			t.Errorf("after a run that went well: %+v", d)
		}
	}
	if e := s.Estimates(plan); e.Runs != 1 || len(e.Steps) != len(plan.Steps()) {
		t.Errorf("got %+v", e)
	}
	for _, bad := range []string{"..", "../runs", "a/b", "none"} {
		if _, err := s.Load(bad); err == nil {
			t.Errorf("%q was loaded", bad)
		}
	}
}

func TestAnswersReachTheProcessThatWorksAtARun(t *testing.T) {
	t.Parallel()
	r := &Record{Dir: t.TempDir()}
	if err := r.Say(Answer{Step: "Maintenance", By: "bert", Reason: "done"}, time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := r.Say(Answer{Abort: true, By: "bert"}, time.Now().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(r.Dir, answersDir, "x.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	said := r.Heard()
	if len(said) != 2 || said[0].Step != "Maintenance" || !said[1].Abort || len(r.Heard()) != 0 {
		t.Errorf("got %+v", said)
	}
}

package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func at(ms int) time.Duration { return time.Duration(ms) * time.Millisecond }

func TestALoadIsSummedUp(t *testing.T) {
	outcomes := []outcome{
		{due: at(0), ended: at(10), reply: reply{200, "core1"}},
		{due: at(100), ended: at(400), reply: reply{502, ""}},
		{due: at(200), ended: at(5200), err: os.ErrDeadlineExceeded},
		{due: at(300), ended: at(310), err: errors.New("reset")},
		{due: at(400), ended: at(950), reply: reply{200, "core2"}},
		{due: at(500), ended: at(940), reply: reply{404, "core2"}},
		{due: at(1000), ended: at(1001), reply: reply{200, "core2"}},
	}
	got := sum(outcomes, at(90))
	if got.sent != 7 || got.failed != 3 || reasons(got.why) != "502: 1, cut: 1, timeout: 1" {
		t.Errorf("got %d sent, %d failed: %s", got.sent, got.failed, reasons(got.why))
	}
	if got.gap != at(930) || got.slowest != at(550) || got.moved != at(850) {
		t.Errorf("got gap %s, slowest %s, moved %s, want 930ms, 550ms, 850ms", got.gap, got.slowest, got.moved)
	}
}

func TestALoadThatIsNeverAnsweredAgainIsOneGap(t *testing.T) {
	got := sum([]outcome{
		{due: at(0), ended: at(5), reply: reply{200, "core1"}},
		{due: at(3000), ended: at(8000), err: os.ErrDeadlineExceeded},
	}, at(1))
	if got.gap != at(2995) || got.moved >= 0 {
		t.Errorf("got gap %s, moved %s, want 2.995s and never", got.gap, got.moved)
	}
}

func TestASeriesGivesItsMiddle(t *testing.T) {
	s := series{4, 1, 3, 2, 5}
	if got, want := s.three(1), "1.0 / 3.0 / 5.0"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := s.at(0.9); got != 4.6 {
		t.Errorf("got %v, want 4.6", got)
	}
	if got, want := (series{2, 9}).over(series{4, 3}).three(1), "0.5 / 1.8 / 3.0"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestAnIDThatArrivedTwiceIsCountedOnce(t *testing.T) {
	var files []string
	for i, ids := range []string{"a b c c", "c d b e", ""} {
		file := filepath.Join(t.TempDir(), string(rune('0'+i)))
		if err := os.WriteFile(file, []byte(strings.ReplaceAll(ids, " ", "\n")), 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	if got, err := twice(files...); got != 2 || err != nil {
		t.Errorf("got %d and %v, want 2", got, err)
	}
}

func TestEveryConfigIsFilled(t *testing.T) {
	b := &bench{dir: t.TempDir()}
	s, err := b.newSettings()
	if err != nil {
		t.Fatal(err)
	}
	s.Core1, s.Core2, s.Groups = "127.0.0.1:1", "127.0.0.1:2", []pair{{"g", "127.0.0.1:1", "127.0.0.1:2"}}
	entries, err := configs.ReadDir("configs")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		file, err := s.fill(e.Name())
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(file)
		if err != nil || strings.Contains(string(text), "no value") || strings.Contains(string(text), "{{") {
			t.Errorf("%s: got %v and\n%s", e.Name(), err, text)
		}
	}
}

package main

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/understudy-ha/understudy/internal/api"
	"github.com/understudy-ha/understudy/internal/ha"
)

// heard hands every write to a test.
type heard chan string

func (h heard) Write(text []byte) (int, error) {
	h <- string(text)
	return len(text), nil
}

// watching runs status -w against f until the test ends, and gives what it
// writes.
func watching(t *testing.T, f *front, s session, flags ...string) (out, err heard, end func() int) {
	t.Helper()
	out, err = make(heard, 100), make(heard, 100)
	s.name, s.args = "understudy", append([]string{"status", "-w", "--api", f.url}, flags...)
	s.out, s.err = out, err
	if s.getenv == nil {
		s.getenv = lookup(nil)
	}
	ctx, cancel := context.WithCancel(t.Context())
	code := make(chan int, 1)
	for running := false; !running; { // until the API's own Run has begun
		g, e := api.NewClient(f.url, "")
		if e != nil {
			t.Fatal(e)
		}
		probe, stop := context.WithCancel(ctx)
		_ = g.Follow(probe, "", func(api.News) { running = true; stop() })
		stop()
	}
	go func() { code <- run(ctx, &s) }()
	return out, err, func() int { cancel(); return <-code }
}

func TestWatchAppendsLinesWhereNobodyLooks(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	out, err, end := watching(t, f, session{})
	if line := <-out; !strings.Contains(line, "traffic → core1") || !strings.Contains(line, "failover armed") {
		t.Errorf("first: got %q", line)
	}
	f.Read("mdm", "core2", ha.NotAvailable)
	if line := <-out; !strings.Contains(line, "core2 NotAvailable") || strings.Contains(line, "\x1b") {
		t.Errorf("change: got %q", line)
	}
	f.end()
	if line := <-err; !strings.HasPrefix(line, "No answer from "+f.url+" since ") {
		t.Errorf("away: got %q", line)
	}
	if code := end(); code != exitDone {
		t.Errorf("interrupted: got exit code %d, want 0", code)
	}
}

func TestWatchDrawsOverOnATerminal(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	out, _, end := watching(t, f, session{terminal: true}, "mdm")
	first := <-out
	if !strings.HasPrefix(first, "\x1b[J") || !strings.Contains(first, "first in order") {
		t.Errorf("first: got %q", first)
	}
	f.Read("mdm", "core2", ha.NotAvailable)
	// five lines stood there: the headline, three nodes and the sentence
	if second := <-out; !strings.HasPrefix(second, "\x1b[5A\x1b[J") || !strings.Contains(second, "NOT ARMED") {
		t.Errorf("second: got %q", second)
	}
	f.end()
	if last := <-out; !strings.Contains(last, "core1") || !strings.Contains(last, "No answer from "+f.url+" since ") {
		t.Errorf("away: got %q", last)
	}
	if code := end(); code != exitDone {
		t.Errorf("interrupted: got exit code %d, want 0", code)
	}
}

func TestWatchGivesADocumentALine(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	out, _, end := watching(t, f, session{terminal: true}, "--json")
	line := <-out
	var g api.Group
	if err := json.Unmarshal([]byte(line), &g); err != nil || g.Serving != "core1" || strings.Count(line, "\n") != 1 {
		t.Errorf("got %q, %v", line, err)
	}
	end()
}

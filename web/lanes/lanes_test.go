package lanes

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func openLog(t *testing.T, path string, now time.Time) *Log {
	t.Helper()
	l, err := OpenLog(path, now)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// words gives spans in short.
func words(spans []Span) string {
	var all []string
	for _, s := range spans {
		all = append(all, fmt.Sprintf("%s-%s %s", s.From.Format("15:04"), s.To.Format("15:04"), s.Kind))
	}
	return strings.Join(all, ", ")
}

func TestALogRemembersChangesAndSaysWhenNobodyWatched(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lanes", "mdm.lanes")
	l := openLog(t, path, noon)
	for _, m := range []Mark{{At: noon, State: "active"}, {At: noon.Add(time.Minute), State: "active"}, {At: noon.Add(time.Hour), State: "not_available"}, {At: noon.Add(2 * time.Hour), State: "standby"}} {
		m.Node = "core1"
		if err := l.Note(m); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Note(Mark{At: noon.Add(time.Hour), Node: "core1", State: "not_available"}); err != nil { // news that comes late
		t.Fatal(err)
	}
	if err := l.Alive(noon.Add(3 * time.Hour)); err != nil {
		t.Fatal(err)
	}
	if got, want := words(l.Spans("core1", noon.Add(-time.Hour), noon.Add(4*time.Hour))), "11:00-12:00 unknown, 12:00-13:00 active, 13:00-14:00 not_available, 14:00-16:00 standby"; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = f.WriteString(`{"at":"2026-01-02T15:3`) // a crash
	_ = f.Close()
	l = openLog(t, path, noon.Add(5*time.Hour))
	_ = l.Note(Mark{At: noon.Add(5 * time.Hour), Node: "core1", State: "active"})
	if got, want := words(l.Spans("core1", noon.Add(150*time.Minute), noon.Add(6*time.Hour))), "14:30-15:00 standby, 15:00-17:00 unknown, 17:00-18:00 active"; got != want {
		t.Errorf("after a restart: got %s\nwant %s", got, want)
	}
}

func TestALogForgetsWhatIsOldAndKeepsWhatStillHolds(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "mdm.lanes")
	l := openLog(t, path, noon)
	_ = l.Note(Mark{At: noon.Add(-40 * 24 * time.Hour), Node: "core1", State: "active"})
	for i := range mostMarks + 1000 {
		state := []string{"active", "not_available"}[i%2]
		if err := l.Note(Mark{At: noon.Add(time.Duration(i) * time.Second), Node: "core2", State: state}); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Size() > mostBytes/4 {
		t.Errorf("the file has %d bytes, %v", info.Size(), err)
	}
	if n := len(l.marks); n > mostMarks+2 {
		t.Errorf("%d marks are kept", n)
	}
}

func TestAChartIsShortHoweverOftenANodeFlaps(t *testing.T) {
	t.Parallel()
	lane := Lane{Name: `<script>alert(1)</script>`}
	for i := range 5000 {
		at := noon.Add(time.Duration(i) * 10 * time.Second)
		lane.Spans = append(lane.Spans, Span{From: at, To: at.Add(10 * time.Second), Kind: []string{"active", "not_available"}[i%2], Said: `"><img src=x>`})
	}
	svg := string(Chart{From: noon, To: noon.Add(24 * time.Hour), Lanes: []Lane{lane}}.SVG())
	if len(svg) > 60<<10 || strings.Contains(svg, "<script") || strings.Contains(svg, "<img") {
		t.Errorf("%d bytes: %.300s", len(svg), svg)
	}
	if !strings.Contains(svg, `class="seg not_available"`) {
		t.Error("the outages are not seen")
	}
}

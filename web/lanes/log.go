package lanes

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/understudy-ha/understudy/internal/statefile"
)

// Mark is the moment from which on a node had a state.
type Mark struct {
	At    time.Time `json:"at"`
	Node  string    `json:"node"`
	State string    `json:"state"` // Unwatched: nobody looked from here on
	Said  string    `json:"said,omitempty"`
}

// Unwatched is the state of a node at which nobody looks.
const Unwatched = ""

// The bounds of a Log.
const (
	keep      = 31 * 24 * time.Hour
	mostMarks = 20_000   // of a group
	mostBytes = 16 << 20 // of its file
	fileMode  = fs.FileMode(0o640)
)

// Log remembers the states of the nodes of one group. Its methods may be called
// from any goroutine.
type Log struct {
	path string

	mu    sync.Mutex // guards the fields below
	marks []Mark     // oldest first
	now   map[string]Mark
	alive time.Time // when it was last known that somebody watches
	lines int       // of the file
}

// OpenLog opens the log at path. What the process before could not end, its end
// ends: from its last sign of life on nobody watched.
func OpenLog(path string, now time.Time) (*Log, error) {
	l := &Log{path: path, now: map[string]Mark{}}
	if err := statefile.MakeDir(filepath.Dir(path), 0o750); err != nil {
		return nil, fmt.Errorf("make the folder of the lanes: %w", err)
	}
	text, err := statefile.Read(path, mostBytes)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, statefile.ErrTooLarge) {
		return nil, fmt.Errorf("read the lanes: %w", err)
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 64<<10)
	for lines.Scan() {
		var m Mark
		if json.Unmarshal(lines.Bytes(), &m) != nil || m.At.IsZero() || m.At.After(now) {
			continue
		}
		l.alive = m.At
		if m.Node != "" {
			l.marks, l.now[m.Node] = append(l.marks, m), m
		}
	}
	for node, m := range l.now {
		if m.State != Unwatched {
			l.add(Mark{At: l.alive, Node: node})
		}
	}
	slices.SortStableFunc(l.marks, func(a, b Mark) int { return a.At.Compare(b.At) })
	return l, l.rewrite(now)
}

func (l *Log) add(m Mark) {
	l.marks, l.now[m.Node] = append(l.marks, m), m
}

// Note tells the state of a node, as often as you like; only a change is
// remembered.
func (l *Log) Note(m Mark) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if was, known := l.now[m.Node]; known && (was.State == m.State || m.At.Before(was.At)) {
		return nil // the same, or news that came late
	}
	l.add(m)
	if l.lines > mostMarks {
		return l.rewrite(m.At)
	}
	return l.append(m)
}

// Alive tells that somebody watches; a minute's precision is enough.
func (l *Log) Alive(at time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.alive = at
	if l.lines > mostMarks {
		return l.rewrite(at)
	}
	return l.append(Mark{At: at})
}

func (l *Log) append(m Mark) error {
	line, err := json.Marshal(m)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, fileMode)
	if err != nil {
		return err
	}
	l.lines++
	_, err = f.Write(append(line, '\n'))
	return errors.Join(err, f.Close())
}

// rewrite leaves out what is too old to be shown, but for what still holds.
func (l *Log) rewrite(now time.Time) error {
	from := now.Add(-keep)
	last := map[string]int{}
	for i, m := range l.marks {
		if m.At.Before(from) {
			last[m.Node] = i
		}
	}
	var kept []Mark
	for i, m := range l.marks {
		if !m.At.Before(from) || last[m.Node] == i {
			kept = append(kept, m)
		}
	}
	l.marks = kept[max(0, len(kept)-mostMarks/2):]
	var text []byte
	for _, m := range l.marks {
		line, err := json.Marshal(m)
		if err != nil {
			return err
		}
		text = append(append(text, line...), '\n')
	}
	l.lines = len(l.marks)
	return statefile.Write(l.path, text, fileMode)
}

// Spans gives the states of a node between two times, the last one until to.
func (l *Log) Spans(node string, from, to time.Time) []Span {
	l.mu.Lock()
	defer l.mu.Unlock()
	spans := []Span{{From: from, To: to, Kind: "unknown", Said: "nobody watched"}}
	for _, m := range l.marks {
		if m.Node != node || !m.At.Before(to) {
			continue
		}
		s := Span{From: m.At, To: to, Kind: m.State, Said: m.Said}
		if m.State == Unwatched {
			s.Kind, s.Said = "unknown", "nobody watched"
		}
		if !m.At.After(from) {
			s.From = from
			spans = []Span{s}
			continue
		}
		spans[len(spans)-1].To = m.At
		spans = append(spans, s)
	}
	return spans
}

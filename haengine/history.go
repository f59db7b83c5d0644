package haengine

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/internal/statefile"
)

// entry is one line of the file: one of the two.
type entry struct {
	Transition *nodeapi.Transition `json:"transition,omitempty"`
	Sync       *nodeapi.Sync       `json:"sync,omitempty"`
}

// mostEntries is how many lines are kept; twice as many stand in the file
// before it is rewritten.
const mostEntries = 1000

// history is the file of transitions and syncs. A line that a crash has cut is
// left out.
type history struct {
	path string

	mu  sync.Mutex // guards all
	all []entry
}

func openHistory(dir string) (*history, error) {
	h := &history{path: filepath.Join(dir, historyFile)}
	text, err := statefile.Read(h.path, 8<<20)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, statefile.ErrTooLarge) {
		return nil, err
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 64<<10)
	for lines.Scan() {
		var one entry
		if json.Unmarshal(lines.Bytes(), &one) == nil && (one.Transition != nil || one.Sync != nil) {
			h.all = append(h.all, one)
		}
	}
	h.all = h.all[max(0, len(h.all)-mostEntries):]
	return h, h.rewrite()
}

func (h *history) rewrite() error {
	var text []byte
	for _, one := range h.all {
		line, err := json.Marshal(one)
		if err != nil {
			return err
		}
		text = append(append(text, line...), '\n')
	}
	return statefile.Write(h.path, text, storeMode)
}

func (h *history) add(t nodeapi.Transition) error { return h.append(entry{Transition: &t}) }
func (h *history) sync(s nodeapi.Sync) error      { return h.append(entry{Sync: &s}) }

func (h *history) append(one entry) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.all = append(h.all, one); len(h.all) > 2*mostEntries {
		h.all = append([]entry(nil), h.all[len(h.all)-mostEntries:]...)
		return h.rewrite()
	}
	line, err := json.Marshal(one)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(h.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, storeMode)
	if err != nil {
		return err
	}
	_, err = f.Write(append(line, '\n'))
	return errors.Join(err, f.Close())
}

// transitions gives what is kept, the oldest first.
func (h *history) transitions() []nodeapi.Transition {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := []nodeapi.Transition{}
	for _, one := range h.all {
		if one.Transition != nil {
			list = append(list, *one.Transition)
		}
	}
	return list
}

// syncs gives the Sync History, the oldest first.
func (h *history) syncs() []nodeapi.Sync {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := []nodeapi.Sync{}
	for _, one := range h.all {
		if one.Sync != nil {
			list = append(list, *one.Sync)
		}
	}
	return list
}

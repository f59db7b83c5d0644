package notify

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/understudy-ha/understudy/internal/statefile"
)

// queue is the messages for one sender, a file each, oldest first. Several
// processes may put; the one that holds the lock takes. While the disk takes
// nothing it goes on in memory.
type queue struct {
	dir   string
	limit int

	mu     sync.Mutex      // guards the fields below
	memory []Message       // those that could not be written
	gone   map[string]bool // IDs taken out whose file could not be removed
}

// openQueue gives the queue in a directory and makes that where it is missing.
func openQueue(dir string, limit int) (*queue, error) {
	return &queue{dir: dir, limit: limit, gone: map[string]bool{}}, makeShared(dir)
}

// put adds a message and gives those that had to leave the full queue for it.
// With an error the message is kept in memory only.
func (q *queue) put(m Message) (left []Message, err error) {
	if err := q.write(m); err != nil {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.memory = append(q.memory, m)
		if len(q.memory) > q.limit {
			i := leaver(q.memory)
			left = append(left, q.memory[i])
			q.memory = slices.Delete(q.memory, i, i+1)
		}
		return left, fmt.Errorf("write message: %w", err)
	}
	ids, err := q.ids()
	if err != nil || len(ids) <= q.limit {
		return nil, err
	}
	return q.shrink(ids), nil
}

// shrink removes messages until the queue is no longer than its limit. What
// another process takes meanwhile is not counted.
func (q *queue) shrink(ids []string) (left []Message) {
	var waiting []Message
	for _, id := range ids {
		if m, err := q.read(id); err == nil {
			waiting = append(waiting, m)
		}
	}
	for len(waiting) > q.limit {
		i := leaver(waiting)
		if os.Remove(q.path(waiting[i].ID)) == nil {
			left = append(left, waiting[i])
		}
		waiting = slices.Delete(waiting, i, i+1)
	}
	return left
}

// leaver gives the place of the message that leaves a full queue: the oldest
// that is no alarm, else the oldest.
func leaver(waiting []Message) int {
	return max(0, slices.IndexFunc(waiting, func(m Message) bool { return m.Severity != Alarm }))
}

// first gives the oldest message, and false if there is none. Its error is a
// *damagedFile for a file that holds none; any other may pass.
func (q *queue) first() (Message, bool, error) {
	ids, err := q.ids()
	q.mu.Lock()
	memory := slices.Clone(q.memory)
	q.mu.Unlock()
	if err != nil && len(memory) == 0 {
		return Message{}, false, err
	}
	for _, id := range ids {
		if len(memory) > 0 && memory[0].ID < id {
			break
		}
		m, err := q.read(id)
		if !errors.Is(err, fs.ErrNotExist) { // it may have left the full queue meanwhile
			return m, err == nil, err
		}
	}
	if len(memory) > 0 {
		return memory[0], true, nil
	}
	return Message{}, false, nil
}

// remove takes a message out. With an error its file still stands, and this
// process does not see it any more.
func (q *queue) remove(id string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.memory = slices.DeleteFunc(q.memory, func(m Message) bool { return m.ID == id })
	if err := drop(q.path(id)); err != nil {
		q.gone[id] = true
		return fmt.Errorf("remove message: %w", err)
	}
	return nil
}

// settle tries again what the disk refused before: to write what is only in
// memory, to remove what was taken out. It gives how many stay in memory.
func (q *queue) settle() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.memory = slices.DeleteFunc(q.memory, func(m Message) bool { return q.write(m) == nil })
	maps.DeleteFunc(q.gone, func(id string, _ bool) bool {
		return drop(q.path(id)) == nil
	})
	return len(q.memory)
}

// drop removes a file; one that is not there is no error.
func drop(path string) error {
	err := os.Remove(path)
	if err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil
	}
	return err
}

// size is how many messages wait.
func (q *queue) size() int {
	ids, _ := q.ids()
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(ids) + len(q.memory)
}

// newest gives the time in the youngest ID, zero if there is none.
func (q *queue) newest() time.Time {
	ids, _ := q.ids()
	if len(ids) == 0 {
		return time.Time{}
	}
	at, _ := stamped(ids[len(ids)-1])
	return at
}

// ids gives the written messages, oldest first.
func (q *queue) ids() ([]string, error) {
	entries, err := os.ReadDir(q.dir) // sorted by name
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	var ids []string
	for _, e := range entries {
		id, ok := strings.CutSuffix(e.Name(), ".json")
		if _, is := stamped(id); ok && is && !q.gone[id] {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

func (q *queue) write(m Message) error {
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if err := makeShared(q.dir); err != nil {
		return err
	}
	return statefile.Write(q.path(m.ID), data, 0o660)
}

// messageLimit is the most bytes that the file of a message may have.
const messageLimit = 1 << 20

// damagedFile is the error for a file that does not hold a message. It has
// been set aside under another name.
type damagedFile struct {
	path string
	why  error
}

func (d *damagedFile) Error() string { return fmt.Sprintf("%s: %v", d.path, d.why) }

func (q *queue) read(id string) (Message, error) {
	data, err := statefile.Read(q.path(id), messageLimit)
	if err != nil && !errors.Is(err, statefile.ErrTooLarge) {
		return Message{}, err
	}
	var m Message
	if err == nil {
		err = json.Unmarshal(data, &m)
	}
	if err == nil && m.ID != id {
		err = fmt.Errorf("it holds message %.60q", m.ID)
	}
	if err == nil {
		return m, nil
	}
	aside := filepath.Join(q.dir, id+".damaged")
	if err := os.Rename(q.path(id), aside); err != nil {
		return Message{}, err
	}
	return Message{}, &damagedFile{aside, err}
}

func (q *queue) path(id string) string { return filepath.Join(q.dir, id+".json") }

// makeShared makes the directories of a queue that are missing, for the Unix
// group that shares the state.
func makeShared(dir string) error {
	queues := filepath.Dir(dir)
	for _, d := range []string{filepath.Dir(queues), queues, dir} {
		if err := statefile.MakeDir(d, 0o770|fs.ModeSetgid); err != nil {
			return err
		}
	}
	return nil
}

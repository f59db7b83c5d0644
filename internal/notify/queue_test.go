package notify

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// filled gives a queue with messages of the given severities, one second
// apart, and the IDs of those that left it.
func filledQueue(t *testing.T, limit int, severities string) (q *queue, left []string) {
	t.Helper()
	q, err := openQueue(filepath.Join(t.TempDir(), "queue", "chat"), limit)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for i, s := range severities {
		m := Message{ID: newID(at.Add(time.Duration(i) * time.Second)), Severity: Info, Text: fmt.Sprint(i)}
		if s == 'A' {
			m.Severity = Alarm
		}
		gone, err := q.put(m)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range gone {
			left = append(left, m.Text)
		}
	}
	return q, left
}

// emptied gives the texts of a queue, first to last.
func emptied(t *testing.T, q *queue) (texts []string) {
	t.Helper()
	for {
		m, found, err := q.first()
		if err != nil {
			t.Fatal(err)
		}
		if !found {
			return texts
		}
		texts = append(texts, m.Text)
		if err := q.remove(m.ID); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAFullQueueDropsTheOldestThatIsNoAlarm(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, put, left, stay string
	}{
		{"not full", "iii", "", "0 1 2"},
		{"the oldest leaves", "iiiii", "0 1", "2 3 4"},
		{"an alarm stays", "AiAii", "1 3", "0 2 4"},
		{"even the new one leaves before an alarm", "AAAi", "3", "0 1 2"},
		{"of alarms the oldest leaves", "AAAAA", "0 1", "2 3 4"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			q, left := filledQueue(t, 3, tt.put)
			if got := strings.Join(left, " "); got != tt.left {
				t.Errorf("left: got %q, want %q", got, tt.left)
			}
			if got := strings.Join(emptied(t, q), " "); got != tt.stay {
				t.Errorf("stay: got %q, want %q", got, tt.stay)
			}
		})
	}
}

func TestAFullQueueInMemoryDropsTheSame(t *testing.T) {
	t.Parallel()
	q, _ := filledQueue(t, 2, "")
	mend := breakDisk(t, filepath.Dir(q.dir))
	var left []string
	for i, s := range []Severity{Alarm, Info, Alarm} {
		gone, err := q.put(Message{ID: newID(time.Now()), Severity: s, Text: fmt.Sprint(i)})
		if err == nil {
			t.Error("a broken disk took a message")
		}
		for _, m := range gone {
			left = append(left, m.Text)
		}
	}
	mend()
	same(t, "left", left, []string{"1"})
	same(t, "stay", emptied(t, q), []string{"0", "2"})
}

func TestMemoryAndDiskAreOneQueue(t *testing.T) {
	t.Parallel()
	q, _ := filledQueue(t, 9, "ii")
	newer := time.Now()
	for i := 2; i < 6; i++ {
		mend := func() {}
		if i%2 == 0 {
			mend = breakDisk(t, filepath.Dir(q.dir))
		}
		_, err := q.put(Message{ID: newID(newer.Add(time.Duration(i))), Text: fmt.Sprint(i)})
		if (err != nil) != (i%2 == 0) {
			t.Fatal(err)
		}
		mend()
	}
	if got := q.size(); got != 6 {
		t.Errorf("size %d, want 6", got)
	}
	same(t, "queue", emptied(t, q), []string{"0", "1", "2", "3", "4", "5"})
}

func TestDroppedMessagesAreCountedAndLogged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		chat := &recorder{name: "chat"}
		chat.dead()
		n := start(t, t.TempDir(), func(c *Config) { c.Limit = 4 }, chat)
		n.Tell(alarmOf(ha.Stranded, time.Now()))
		for i := range 10 {
			n.Tell(say(i))
		}
		synctest.Wait()
		if got := n.count(overflow); got != 7 {
			t.Errorf("counted %d dropped, want 7", got)
		}
		if got := strings.Count(n.log.String(), `level=ERROR msg="notification dropped: the queue is full"`); got != 7 {
			t.Errorf("logged %d dropped, want 7", got)
		}
		chat.answers(nil)
		time.Sleep(2 * longestWait)
		same(t, "chat", chat.texts(), append([]string{"stranded"}, saying(7, 9)...))
	})
}

func TestADamagedFileIsSetAsideAndTheRestDelivered(t *testing.T) {
	t.Parallel()
	whole := func(id string) string {
		return fmt.Sprintf(`{"version":1,"id":%q,"group":"mdm","event":"test","severity":"info","at":"2026-01-02T03:04:05Z","text":"x"}`, id)
	}
	for name, content := range map[string]func(id string) string{
		"empty":          func(string) string { return "" },
		"cut":            func(id string) string { return whole(id)[:40] },
		"future version": func(id string) string { return strings.Replace(whole(id), `"version":1`, `"version":2`, 1) },
		"no version":     func(id string) string { return strings.Replace(whole(id), `"version":1,`, ``, 1) },
		"another's ID":   func(string) string { return whole("20200102T030405.000000000Z-00000000") },
		"huge":           func(id string) string { return whole(id) + strings.Repeat(" ", messageLimit) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				dir, chat := t.TempDir(), &recorder{name: "chat"}
				id := newID(time.Now().Add(-time.Hour))
				queue := filepath.Join(dir, "queue", "chat")
				if err := errors.Join(os.MkdirAll(queue, 0o770), os.WriteFile(filepath.Join(queue, id+".json"), []byte(content(id)), 0o660)); err != nil {
					t.Fatal(err)
				}
				n := start(t, dir, nil, chat)
				n.Tell(say(1))
				synctest.Wait()
				same(t, "chat", chat.texts(), saying(1, 1))
				if got := files(t, dir, "chat", "*.damaged"); len(got) != 1 || n.count(damaged) != 1 {
					t.Errorf("set aside %v, counted %d, want one", got, n.count(damaged))
				}
			})
		})
	}
}

func TestWhatIsNoMessageIsLeftAlone(t *testing.T) {
	t.Parallel()
	q, _ := filledQueue(t, 1, "i")
	for _, name := range []string{"notes.json", ".hidden.json", "ledger", "20260102.json", "lock"} {
		if err := os.WriteFile(filepath.Join(q.dir, name), []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	same(t, "queue", emptied(t, q), []string{"0"})
	for _, name := range []string{"notes.json", ".hidden.json", "20260102.json"} {
		if _, err := os.Stat(filepath.Join(q.dir, name)); err != nil {
			t.Error(err)
		}
	}
}

func TestAFileThatCannotBeRemovedIsNotDeliveredAgain(t *testing.T) {
	t.Parallel()
	q, _ := filledQueue(t, 5, "i")
	m, _, err := q.first()
	if err != nil {
		t.Fatal(err)
	}
	path := q.path(m.ID)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// A directory with something in it cannot be removed, even by root.
	if err := errors.Join(os.Remove(path), os.MkdirAll(filepath.Join(path, "x"), 0o700)); err != nil {
		t.Fatal(err)
	}
	if err := q.remove(m.ID); err == nil {
		t.Fatal("removed what cannot be removed")
	}
	if _, found, err := q.first(); found || err != nil {
		t.Errorf("first: %v %v, want nothing", found, err)
	}
	if err := errors.Join(os.RemoveAll(path), os.WriteFile(path, data, 0o600)); err != nil {
		t.Fatal(err)
	}
	q.settle()
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file still stands: %v", err)
	}
}

func TestIDsSortByTime(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	last := ""
	for _, d := range []time.Duration{0, 1, 10, time.Microsecond, time.Second, time.Hour, 24 * 400 * time.Hour} {
		id := newID(at.Add(d))
		if id <= last {
			t.Errorf("%s does not come after %s", id, last)
		}
		if got, ok := stamped(id); !ok || !got.Equal(at.Add(d)) {
			t.Errorf("%s: got %s, want %s", id, got, at.Add(d))
		}
		last = id
	}
}

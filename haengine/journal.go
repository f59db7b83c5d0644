package haengine

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// mostLogged is how many bytes a file of the log has before it is put aside;
// one that was put aside before is then gone.
const mostLogged = 2 << 20

// journal is the log HighAvailability: one line a heartbeat and a change of
// state (EPMM guide, Table 3, task 5).
type journal struct {
	path string

	mu   sync.Mutex // guards the fields below
	file *os.File   // nil: it could not be opened
	size int64
}

func openJournal(dir string) (*journal, error) {
	j := &journal{path: filepath.Join(dir, logFile)}
	return j, j.open()
}

func (j *journal) open() error {
	f, err := os.OpenFile(j.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, storeMode)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return err
	}
	j.file, j.size = f, info.Size()
	return nil
}

// write adds a line. A log that cannot be written stops nobody.
func (j *journal) write(at time.Time, node, text string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.size > mostLogged && j.file != nil {
		_ = j.file.Close()
		j.file = nil
		if err := os.Rename(j.path, j.path+".1"); err != nil {
			return err
		}
	}
	if j.file == nil {
		if err := j.open(); err != nil {
			return err
		}
	}
	n, err := fmt.Fprintf(j.file, "%s %s %s\n", at.UTC().Format("2006-01-02T15:04:05.000Z"), node, printable(text))
	j.size += int64(n)
	return err
}

func (j *journal) close() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file != nil {
		_ = j.file.Close()
	}
}

// export writes the whole log, the oldest line first; with most above zero at
// most so many bytes of its end, from the beginning of a line.
func (j *journal) export(w io.Writer, most int64) error {
	for _, path := range []string{j.path + ".1", j.path} {
		if most > 0 && path != j.path {
			continue
		}
		f, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		err = copyEnd(w, f, most)
		_ = f.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

func copyEnd(w io.Writer, f *os.File, most int64) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if most <= 0 || info.Size() <= most {
		_, err = io.Copy(w, io.LimitReader(f, 2*mostLogged))
		return err
	}
	text := make([]byte, most)
	if _, err := f.ReadAt(text, info.Size()-most); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	_, rest, _ := strings.Cut(string(text), "\n")
	_, err = io.WriteString(w, rest)
	return err
}

// printable gives a text on one line, without what a terminal would act on.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
}

// note writes a line into the log HighAvailability.
func (e *Engine) note(text string) {
	if err := e.journal.write(time.Now(), e.Name, text); err != nil {
		e.Log.Error("the log HighAvailability cannot be written", "error", err)
	}
}

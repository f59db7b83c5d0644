package replicate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/understudy-ha/understudy/internal/statefile"
)

// journal is the file that decides whether a generation is in force: it is, or
// will be, from the moment that its commit is on disk. Lines are only added,
// each with its checksum and synced before anything is done that follows from
// it.
type journal struct {
	path string
	open *unfinished // what the last line leaves to do; nil: nothing
}

// unfinished is a run that has not ended, as its lines tell.
type unfinished struct {
	begin  jotted
	commit *commitment
}

// jotted is one line.
type jotted struct {
	Do         word        `json:"do"`
	Generation uint64      `json:"generation"`
	Datasets   []string    `json:"datasets,omitempty"` // begin
	Commit     *commitment `json:"commit,omitempty"`   // commit
	Step       int         `json:"step,omitempty"`     // done: how many of the commit's steps
}

type word string

const (
	jotBegin  word = "begin"  // something may be prepared
	jotCommit word = "commit" // from here on only forward
	jotDone   word = "done"
	jotEnd    word = "end" // nothing is left to do
)

// commitment is everything that is needed to end a commit without the source.
type commitment struct {
	Generation Generation        `json:"generation"`
	Records    map[string]record `json:"records,omitempty"`
	Archive    *Archive          `json:"archive,omitempty"` // of what this node alone had
	Back       []Change          `json:"back,omitempty"`    // of a rollback: what is undone, in this order
	To         uint64            `json:"to,omitempty"`      // of a rollback
}

// steps gives what is to be done, in order.
func (c *commitment) steps() []Change {
	if c.Back != nil {
		return c.Back
	}
	return c.Generation.Changes
}

const (
	journalFile  = "commit.journal"
	journalLimit = 64 << 20
	journalLong  = 1 << 20 // from here on it begins anew when nothing is open
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// openJournal reads the journal in a folder. A last line that is not whole was
// being written when the power went; a bad one before others is damage.
func openJournal(dir string) (*journal, error) {
	j := &journal{path: filepath.Join(dir, journalFile)}
	text, err := statefile.Read(j.path, journalLimit)
	if errors.Is(err, fs.ErrNotExist) {
		return j, nil
	}
	if err != nil {
		return nil, err
	}
	good := 0
	for good < len(text) {
		end := bytes.IndexByte(text[good:], '\n')
		one, err := unjot(text[good : good+max(end, 0)])
		if end < 0 || err != nil {
			if end >= 0 && good+end+1 < len(text) {
				return nil, fmt.Errorf("%s is damaged at byte %d: whether the last sync went live is not known; look at the datasets, then remove the file", j.path, good)
			}
			break
		}
		j.take(one)
		good += end + 1
	}
	if good < len(text) {
		if err := os.Truncate(j.path, int64(good)); err != nil {
			return nil, err
		}
	}
	return j, nil
}

func (j *journal) take(one jotted) {
	switch {
	case one.Do == jotBegin:
		j.open = &unfinished{begin: one}
	case one.Do == jotCommit && j.open != nil:
		j.open.commit = one.Commit
	case one.Do == jotEnd:
		j.open = nil
	}
}

func jot(one jotted) ([]byte, error) {
	text, err := json.Marshal(one)
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, "%08x %s\n", crc32.Checksum(text, castagnoli), text), nil
}

func unjot(text []byte) (one jotted, err error) {
	if len(text) < 10 || text[8] != ' ' {
		return one, errors.New("no checksum")
	}
	want, err := strconv.ParseUint(string(text[:8]), 16, 32)
	if err != nil || uint32(want) != crc32.Checksum(text[9:], castagnoli) {
		return one, errors.New("wrong checksum")
	}
	return one, json.Unmarshal(text[9:], &one)
}

// add writes a line, durably. A line that was written in part, for the disk is
// full, is taken back: others must not follow it.
func (j *journal) add(one jotted) error {
	text, err := jot(one)
	if err != nil {
		return err
	}
	how := os.O_WRONLY | os.O_CREATE | os.O_APPEND
	info, err := os.Stat(j.path)
	if err == nil && info.Size() > journalLong && j.open == nil {
		if err := os.Remove(j.path); err != nil {
			return err
		}
	}
	fresh := err != nil || info.Size() > journalLong && j.open == nil
	f, err := os.OpenFile(j.path, how, 0o640)
	if err != nil {
		return err
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err == nil {
		if _, err = f.Write(text); err == nil {
			err = f.Sync()
		}
		if err != nil {
			err = errors.Join(err, f.Truncate(size))
		}
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write the commit journal: %w", err)
	}
	if fresh {
		if err := statefile.SyncDir(filepath.Dir(j.path)); err != nil {
			return err
		}
	}
	j.take(one)
	return nil
}

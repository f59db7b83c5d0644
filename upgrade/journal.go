package upgrade

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Entry is one line of a Journal.
type Entry struct {
	At    time.Time
	What  string            // one of the words below
	Step  string            // empty: of the run
	Facts map[string]string // in the line's own order when it was read
	keys  []string
}

// What an Entry says.
const (
	Begins    = "begins"    // of a run: plan, by, number
	Goes      = "goes-on"   // continued: by, and from another machine: number, from
	Preflight = "preflight" // name, result, said
	Risk      = "risk"      // accepted: name, by, reason
	Starts    = "starts"    // of a step, with its marks
	Intends   = "intends"   // deed
	Did       = "did"       // deed, result, said
	Is        = "done"      // of a step: said, outage
	Fails     = "fails"     // of a step: said
	Waits     = "waits"     // of a step, for a person: say
	Approves  = "approved"  // of a step: by, reason, answer
	Undoes    = "undoes"    // of a step that is taken back
	Undone    = "undone"    // of a step: said
	Aborts    = "aborts"    // of a run: by, reason, with, answer
	Passes    = "too-late"  // an answer that has no effect any more: by, reason, answer
	Stops     = "stops"     // the program leaves the run as it is: why
	Ends      = "ends"      // of a run: state
)

// Fact gives one of the facts.
func (e Entry) Fact(key string) string { return e.Facts[key] }

// entry makes an Entry of keys and values.
func entry(what, step string, facts ...string) Entry {
	e := Entry{What: what, Step: step, Facts: map[string]string{}}
	for i := 0; i+1 < len(facts); i += 2 {
		if facts[i+1] != "" {
			e.keys = append(e.keys, facts[i])
			e.Facts[facts[i]] = facts[i+1]
		}
	}
	return e
}

// stamp is how times stand in a journal.
const stamp = "2006-01-02T15:04:05.000Z"

// line writes the entry as people and programs read it, without its seal.
func (e Entry) line(number int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d %s %s", number, e.At.UTC().Format(stamp), e.What)
	if e.Step != "" {
		b.WriteString(" " + e.Step)
	}
	for _, key := range e.keys {
		fmt.Fprintf(&b, " %s=%s", key, quoted(e.Facts[key]))
	}
	return b.String()
}

// quoted leaves a plain word as it is.
func quoted(text string) string {
	plain := func(r rune) bool {
		return r > ' ' && r < 0x7f && r != '"' && r != '\\' && r != '='
	}
	if text != "" && strings.IndexFunc(text, func(r rune) bool { return !plain(r) }) < 0 {
		return text
	}
	return strconv.Quote(text)
}

// parseEntry reads a line without its seal.
func parseEntry(line string) (number int, e Entry, err error) {
	words, rest := strings.SplitN(line, " ", 4), ""
	if len(words) < 3 {
		return 0, e, errors.New("it has fewer than three words")
	}
	if number, err = strconv.Atoi(words[0]); err != nil {
		return 0, e, err
	}
	if e.At, err = time.Parse(stamp, words[1]); err != nil {
		return 0, e, err
	}
	if e.What, e.Facts = words[2], map[string]string{}; len(words) == 4 {
		rest = words[3]
	}
	if head, tail, _ := strings.Cut(rest, " "); head != "" && !strings.Contains(head, "=") {
		e.Step, rest = head, tail
	}
	for rest != "" {
		key, value, ok := strings.Cut(rest, "=")
		if !ok {
			return 0, e, fmt.Errorf("%.40q is no fact", rest)
		}
		word, after, _ := strings.Cut(value, " ")
		if strings.HasPrefix(value, `"`) {
			prefix, err := strconv.QuotedPrefix(value)
			if err != nil {
				return 0, e, err
			}
			word, _ = strconv.Unquote(prefix)
			after = strings.TrimPrefix(value[len(prefix):], " ")
		}
		e.keys = append(e.keys, key)
		e.Facts[key], rest = word, after
	}
	return number, e, nil
}

// seal binds a line to the one before it, so that an edited or a lost line shows.
func seal(before, line string) string {
	sum := sha256.Sum256([]byte(before + "\n" + line))
	return hex.EncodeToString(sum[:4])
}

// Damaged is the error of a journal whose lines do not follow from one another.
type Damaged struct {
	Line int
	Why  string
}

func (d *Damaged) Error() string {
	return fmt.Sprintf("line %d of the journal is damaged: %s; look at it by hand, then: understudy upgrade unlock", d.Line, d.Why)
}

// ParseJournal reads a journal. A last line without its end was cut by a crash:
// it is left out, and whole says how many bytes are sound.
func ParseJournal(text []byte) (all []Entry, whole int, last string, err error) {
	for len(text[whole:]) > 0 {
		end := bytes.IndexByte(text[whole:], '\n')
		if end < 0 {
			return all, whole, last, nil
		}
		full := string(text[whole : whole+end])
		i := strings.LastIndex(full, " ~")
		number := len(all) + 1
		if i < 0 || full[i+2:] != seal(last, full[:i]) {
			return all, whole, last, &Damaged{number, "its seal is wrong"}
		}
		n, e, err := parseEntry(full[:i])
		if err != nil || n != number {
			return all, whole, last, &Damaged{number, fmt.Sprintf("it cannot be read (%v)", err)}
		}
		all, last, whole = append(all, e), full[i+2:], whole+end+1
	}
	return all, whole, last, nil
}

// file is what a journal is written to.
type file interface {
	io.Writer
	Sync() error
	Truncate(size int64) error
	Close() error
}

// Journal is the file of a run: what it is about to do before it does it, and
// what came of it. A line is on the disk when Add returns.
type Journal struct {
	file  file
	all   []Entry
	lines []string // the same as they stand in the file
	last  string   // seal of the last line
	size  int64
	clock func() time.Time
}

// OpenJournal opens the journal of a run, or begins one.
func OpenJournal(path string, clock func() time.Time) (*Journal, error) {
	text, err := os.ReadFile(path) // #nosec G304 -- of our own state_dir
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	all, whole, last, err := ParseJournal(text)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640) // #nosec G302 G304 -- for the group that may look
	if err != nil {
		return nil, err
	}
	j := &Journal{file: f, all: all, last: last, size: int64(whole), clock: clock}
	if whole > 0 {
		j.lines = strings.Split(strings.TrimSuffix(string(text[:whole]), "\n"), "\n")
	}
	if whole < len(text) {
		if err := errors.Join(f.Truncate(j.size), f.Sync()); err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	return j, nil
}

// Add writes an entry and waits until it is on the disk. After an error nothing
// may be done: what could not be written down would not be known later.
func (j *Journal) Add(e Entry) error {
	e.At = j.clock()
	line := e.line(len(j.all) + 1)
	mark := seal(j.last, line)
	text := line + " ~" + mark + "\n"
	if _, err := io.WriteString(j.file, text); err != nil {
		_ = j.file.Truncate(j.size) // else the rest of it would be read as damage
		return fmt.Errorf("write the journal: %w", err)
	}
	if err := j.file.Sync(); err != nil {
		return fmt.Errorf("write the journal: %w", err)
	}
	j.all, j.lines, j.last, j.size = append(j.all, e), append(j.lines, line+" ~"+mark), mark, j.size+int64(len(text))
	return nil
}

// Entries gives all, the oldest first.
func (j *Journal) Entries() []Entry { return slices.Clone(j.all) }

// Lines gives them as they stand in the file.
func (j *Journal) Lines() []string { return slices.Clone(j.lines) }

// Close closes the file.
func (j *Journal) Close() error { return j.file.Close() }

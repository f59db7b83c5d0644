package account

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/understudy-ha/understudy/internal/statefile"
)

// Entry is one line of the audit log.
type Entry struct {
	At      time.Time `json:"at"`
	Who     string    `json:"who"`
	From    string    `json:"from"`
	Did     string    `json:"did"`
	Reason  string    `json:"reason,omitempty"`
	Outcome string    `json:"outcome"` // done, or why not
}

// Done is the Outcome of what was done.
const Done = "done"

// mostAudit is how long the log may grow; then it becomes audit.log.1.
const mostAudit = 8 << 20

// Note writes a line of the audit log, and has it on disk when it returns.
// What cannot be written is logged: it must not keep anybody from acting in a
// crisis.
func (b *Book) Note(e Entry) {
	e.At = b.now().UTC()
	for _, text := range []*string{&e.Who, &e.From, &e.Did, &e.Reason, &e.Outcome} {
		*text = short(*text)
	}
	b.log.Info("audit", "who", e.Who, "from", e.From, "did", e.Did, "reason", e.Reason, "outcome", e.Outcome)
	if err := b.append(e); err != nil {
		b.log.Error("the audit log cannot be written", "error", err)
	}
}

func short(text string) string {
	if len(text) <= 500 {
		return text
	}
	cut := 500
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "…"
}

func (b *Book) append(e Entry) error {
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	b.auditing.Lock()
	defer b.auditing.Unlock()
	path := b.path(auditFile)
	if info, err := os.Stat(path); err == nil && info.Size() > mostAudit {
		if err := os.Rename(path, path+".1"); err != nil {
			return err
		}
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, b.mode)
	if err != nil {
		return err
	}
	_, err = f.Write(append(line, '\n'))
	return errors.Join(err, f.Sync(), f.Close())
}

// Audit gives the newest entries, the newest first. A line that a crash has cut
// is left out.
func (b *Book) Audit(most int) ([]Entry, error) {
	var all []Entry
	for _, name := range []string{auditFile + ".1", auditFile} {
		text, err := statefile.Read(b.path(name), 2*mostAudit)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read the audit log: %w", err)
		}
		lines := bufio.NewScanner(bytes.NewReader(text))
		lines.Buffer(nil, 64<<10)
		for lines.Scan() {
			var e Entry
			if json.Unmarshal(lines.Bytes(), &e) == nil && !e.At.IsZero() {
				all = append(all, e)
			}
		}
	}
	slices.Reverse(all)
	return all[:min(most, len(all))], nil
}

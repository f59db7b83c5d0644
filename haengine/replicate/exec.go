package replicate

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Exec is the dataset of something that the operator's own commands dump and
// restore. They are argument lists, run without a shell, and are told in their
// environment what to do:
//
//	UNDERSTUDY_DO          dump, prepare, switch, back or drop
//	UNDERSTUDY_DATASET     the dataset's name
//	UNDERSTUDY_DIR         of dump: the empty folder to fill; of prepare: what has arrived
//	UNDERSTUDY_GENERATION  of all but dump: the number that no other attempt has
//	UNDERSTUDY_SIDE        of drop: new (what was prepared) or old (what it replaced)
//	UNDERSTUDY_PREPARED    of drop: yes, or no if prepare has not ended
//
// What they have to do in each case is what [Dataset] says of the method of that
// name. Lines like devices=2000 on the standard output of dump and prepare are
// counts, and have to be the same.
type Exec struct {
	Name    string
	Dump    []string
	Restore []string
	Timeout time.Duration // of one command; 0: ExecTimeout
}

// ExecTimeout is how long a command may take unless it is said.
const ExecTimeout = time.Hour

const (
	mostOutput    = 256 << 10 // bytes of a command's standard output
	mostExecFiles = 100_000
)

// NewExec gives the dataset with its defaults filled in.
func NewExec(e Exec) (*Exec, error) {
	for name, line := range map[string][]string{"dump": e.Dump, "restore": e.Restore} {
		switch {
		case len(line) == 0 || line[0] == "":
			return nil, fmt.Errorf("the command %s is empty", name)
		case strings.Contains(strings.Join(line, ""), "\x00"):
			return nil, fmt.Errorf("the command %s holds a NUL", name)
		}
	}
	if e.Timeout == 0 {
		e.Timeout = ExecTimeout
	}
	if e.Timeout < 0 {
		return nil, fmt.Errorf("a timeout of %v is none", e.Timeout)
	}
	return &e, nil
}

// Offer runs the dump command.
func (e *Exec) Offer(ctx context.Context, spool string) (Offer, error) {
	o := Offer{Tree: spool}
	said, err := e.run(ctx, e.Dump, "dump", spool, "UNDERSTUDY_DIR="+spool)
	if err != nil {
		return o, err
	}
	files, err := plainFiles(spool)
	if err != nil {
		return o, err
	}
	if len(files) == 0 {
		return o, fmt.Errorf("the dump command of %s has put nothing into its folder", e.Name)
	}
	if o.Counts, err = countsSaid(said); err != nil {
		return o, err
	}
	o.Digest, err = digestTree(spool, files...)
	return o, err
}

// Prepare runs the restore command to make what switch can put into force.
func (e *Exec) Prepare(ctx context.Context, s Staged) (Prepared, error) {
	said, err := e.run(ctx, e.Restore, "prepare", "", "UNDERSTUDY_DIR="+s.Dir, generationOf(s.Generation))
	if err != nil {
		return Prepared{}, err
	}
	counts, err := countsSaid(said)
	if err != nil {
		return Prepared{}, err
	}
	data, err := json.Marshal(struct {
		Generation uint64 `json:"generation"`
	}{s.Generation})
	return Prepared{Data: data, Counts: counts}, err
}

// Switch runs the restore command to put what it prepared into force.
func (e *Exec) Switch(ctx context.Context, c Change) error {
	_, err := e.run(ctx, e.Restore, "switch", "", generationOf(c.Generation))
	return err
}

// Back runs it to undo that.
func (e *Exec) Back(ctx context.Context, c Change) error {
	_, err := e.run(ctx, e.Restore, "back", "", generationOf(c.Generation))
	return err
}

// Drop runs it to free one side.
func (e *Exec) Drop(ctx context.Context, c Change, side Side) error {
	which, prepared := "old", "yes"
	if side == New || len(c.Data) == 0 {
		which = "new"
	}
	if len(c.Data) == 0 {
		prepared = "no"
	}
	_, err := e.run(ctx, e.Restore, "drop", "", generationOf(c.Generation), "UNDERSTUDY_SIDE="+which, "UNDERSTUDY_PREPARED="+prepared)
	return err
}

func generationOf(n uint64) string {
	return "UNDERSTUDY_GENERATION=" + strconv.FormatUint(n, 10)
}

// run runs a command and gives its standard output.
func (e *Exec) run(ctx context.Context, line []string, do, roomIn string, env ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, e.Timeout, fmt.Errorf("it took longer than %v", e.Timeout))
	defer cancel()
	out := new(limited)
	p := program{line: line, env: append(env, "UNDERSTUDY_DO="+do, "UNDERSTUDY_DATASET="+e.Name), out: out, roomIn: roomIn}
	if err := p.run(ctx); err != nil {
		return nil, fmt.Errorf("%s: %w", do, err)
	}
	if out.over {
		return nil, fmt.Errorf("%s: %s wrote more than %s to its standard output, which is for counts", do, filepath.Base(line[0]), size(mostOutput))
	}
	return out.text, nil
}

// limited keeps the first bytes that are written to it.
type limited struct {
	text []byte
	over bool
}

func (l *limited) Write(p []byte) (int, error) {
	room := mostOutput - len(l.text)
	l.over = l.over || len(p) > room
	l.text = append(l.text, p[:min(room, len(p))]...)
	return len(p), nil
}

// countsSaid reads the lines of an output that are counts.
func countsSaid(said []byte) (map[string]int64, error) {
	counts := map[string]int64{}
	for line := range strings.Lines(string(said)) {
		name, number, found := strings.Cut(strings.TrimSpace(line), "=")
		if !found || name == "" {
			continue
		}
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			continue
		}
		if _, twice := counts[name]; twice {
			return nil, fmt.Errorf("%.80q is counted twice", name)
		}
		if counts[name] = n; len(counts) > mostTables {
			return nil, fmt.Errorf("there are more than %d counts", mostTables)
		}
	}
	return counts, nil
}

// plainFiles lists the files of a tree, which has nothing but files and folders.
func plainFiles(dir string) (files []string, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if !d.Type().IsRegular() {
			return fmt.Errorf("the dump holds %.80q, which is neither file nor folder", name)
		}
		if files = append(files, name); len(files) > mostExecFiles {
			return fmt.Errorf("the dump has more than %d files: put them into archives, or copy them as type files", mostExecFiles)
		}
		return os.Chmod(path, spoolMode)
	})
	return files, err
}

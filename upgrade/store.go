package upgrade

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/understudy-ha/understudy/internal/statefile"
)

// DefaultDir is where runs are kept when nobody says it.
const DefaultDir = "/var/lib/understudy/upgrade"

// Store is a state_dir: a folder a run, and a lock that a living process holds.
type Store struct{ Dir string }

// The files of a run's folder.
const (
	planFile    = "plan.json"
	journalFile = "journal"
	beforeFile  = "snapshot-before.json"
	afterFile   = "snapshot-after.json"
	answersDir  = "answers"
	fileMode    = 0o640
)

// Record is a run as it is kept.
type Record struct {
	Name   string
	Dir    string
	Plan   Plan
	Course *Course
	All    []Entry
	Fault  error // why its journal cannot be read
}

// Busy is the error of a store in which another run is at work, or was.
type Busy struct {
	Run   string
	By    string
	Alive bool
	State State
}

func (b *Busy) Error() string {
	if b.Alive {
		return fmt.Sprintf("the run %s by %s is at work", b.Run, b.By)
	}
	return fmt.Sprintf("the run %s by %s is not over (%s), and no process works at it", b.Run, b.By, b.State)
}

// Claim makes this process the one that works here, until release.
func (s Store) Claim() (release func(), err error) {
	if err := statefile.MakeDir(s.Dir, 0o750); err != nil {
		return nil, err
	}
	release, err = statefile.TryLock(filepath.Join(s.Dir, "lock"), fileMode)
	if errors.Is(err, statefile.ErrLocked) {
		busy := &Busy{Run: "unknown", By: "somebody", Alive: true}
		if r, _ := s.Unfinished(); r != nil {
			busy.Run, busy.By, busy.State = r.Name, r.Course.By, r.Course.State
		}
		return nil, busy
	}
	return release, err
}

// Alive says whether a process works here.
func (s Store) Alive() bool {
	release, err := s.Claim()
	if err == nil {
		release()
	}
	var busy *Busy
	return errors.As(err, &busy)
}

// List gives every run, the oldest first.
func (s Store) List() ([]*Record, error) {
	names, err := os.ReadDir(filepath.Join(s.Dir, "runs"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var all []*Record
	for _, n := range names {
		if n.IsDir() {
			if r, err := s.Load(n.Name()); err == nil {
				all = append(all, r)
			}
		}
	}
	slices.SortFunc(all, func(a, b *Record) int { return strings.Compare(a.Name, b.Name) })
	return all, err
}

// Load reads a run.
func (s Store) Load(name string) (*Record, error) {
	if name != filepath.Base(name) || name == "." || name == ".." {
		return nil, fmt.Errorf("there is no run %q", name)
	}
	r := &Record{Name: name, Dir: filepath.Join(s.Dir, "runs", name)}
	text, err := os.ReadFile(filepath.Join(r.Dir, planFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no run %q; see: understudy upgrade history", name)
	}
	if err != nil {
		return nil, err
	}
	if r.Plan, err = ReadPlan(text); err != nil {
		return nil, err
	}
	text, err = os.ReadFile(filepath.Join(r.Dir, journalFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	r.All, _, _, r.Fault = ParseJournal(text)
	r.Course = Fold(r.All)
	return r, nil
}

// Unfinished gives the run that is not over; nil if there is none.
func (s Store) Unfinished() (*Record, error) {
	all, err := s.List()
	for _, r := range all {
		if len(r.All) > 0 && !r.Course.State.Over() {
			return r, err
		}
	}
	return nil, err
}

// Last gives the newest run; nil if there is none.
func (s Store) Last() (*Record, error) {
	all, err := s.List()
	if len(all) == 0 {
		return nil, err
	}
	return all[len(all)-1], err
}

// Create makes the folder of a new run. Whoever calls it has the claim.
func (s Store) Create(p Plan, w World, now time.Time) (*Record, error) {
	if old, err := s.Unfinished(); err != nil || old != nil {
		if old != nil {
			err = &Busy{Run: old.Name, By: old.Course.By, State: old.Course.State}
		}
		return nil, err
	}
	name := now.UTC().Format("20060102-150405") + "-" + strings.TrimPrefix(p.Digest(), "sha256:")[:6]
	r := &Record{Name: name, Dir: filepath.Join(s.Dir, "runs", name), Plan: p, Course: Fold(nil)}
	if err := statefile.MakeDir(r.Dir, 0o750); err != nil {
		return nil, err
	}
	if err := r.write(planFile, p); err != nil {
		return nil, err
	}
	return r, r.write(beforeFile, w)
}

// write replaces a file of the run.
func (r *Record) write(name string, doc any) error {
	text, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return err
	}
	return statefile.Write(filepath.Join(r.Dir, name), append(text, '\n'), fileMode)
}

// Snapshot keeps how the pair is when the run is over.
func (r *Record) Snapshot(w World) error { return r.write(afterFile, w) }

// Worlds gives the two snapshots; the second is nil while the run is not over.
func (r *Record) Worlds() (before, after *World) {
	read := func(name string) *World {
		text, err := os.ReadFile(filepath.Join(r.Dir, name))
		w := new(World)
		if err != nil || json.Unmarshal(text, w) != nil {
			return nil
		}
		return w
	}
	return read(beforeFile), read(afterFile)
}

// Keeper gives what tells the nodes of the run, from a machine of a name.
func (r *Record) Keeper(host string) *Keeper {
	plan, err := os.ReadFile(filepath.Join(r.Dir, planFile))
	before, other := os.ReadFile(filepath.Join(r.Dir, beforeFile))
	if err != nil || other != nil {
		return nil // nothing that another machine could go on with
	}
	return &Keeper{Host: host, Dir: r.Dir, Plan: plan, Before: before}
}

// Open opens the run's journal for whoever has the claim.
func (r *Record) Open(clock func() time.Time) (*Journal, error) {
	return OpenJournal(filepath.Join(r.Dir, journalFile), clock)
}

// Say leaves an answer for the process that works at the run.
func (r *Record) Say(a Answer, now time.Time) error {
	dir := filepath.Join(r.Dir, answersDir)
	if err := statefile.MakeDir(dir, 0o770); err != nil {
		return err
	}
	return r.write(filepath.Join(answersDir, now.UTC().Format("20060102-150405.000000000")+".json"), a)
}

// Heard gives the answers that were left, and takes them away.
func (r *Record) Heard() (said []Answer) {
	dir := filepath.Join(r.Dir, answersDir)
	names, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	for _, n := range names {
		if filepath.Ext(n.Name()) != ".json" {
			continue
		}
		path := filepath.Join(dir, n.Name())
		text, err := os.ReadFile(path) // #nosec G304 -- of our own state_dir
		var a Answer
		if err == nil && json.Unmarshal(text, &a) == nil && (a.Abort || a.Step != "") {
			said = append(said, a)
		}
		_ = os.Remove(path)
	}
	return said
}

// NextNumber gives a fencing number above every one that the nodes and the runs
// here have seen.
func (s Store) NextNumber(w World) (uint64, error) {
	all, err := s.List()
	highest := uint64(0)
	for _, r := range all {
		highest = max(highest, r.Course.Number)
	}
	for _, n := range w.Nodes {
		highest = max(highest, n.Fence)
	}
	return highest + 1, err
}

// GiveUp ends a run as it is, whatever state it is in; a damaged journal is kept
// beside the new one.
func (r *Record) GiveUp(by, reason string, clock func() time.Time) error {
	path := filepath.Join(r.Dir, journalFile)
	if r.Fault != nil {
		if err := os.Rename(path, path+".damaged"); err != nil {
			return err
		}
	}
	j, err := r.Open(clock)
	if err != nil {
		return err
	}
	defer j.Close()
	if len(j.all) == 0 {
		if err := j.Add(entry(Begins, "", "run", r.Name, "by", by, "plan", r.Plan.Digest())); err != nil {
			return err
		}
	}
	return j.Add(entry(Ends, "", "state", string(Unlocked), "by", by, "reason", reason))
}

package upgrade

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/internal/config"
	"github.com/understudy-ha/understudy/internal/statefile"
)

// Fetched is a run that was taken over from the copies that its nodes keep.
type Fetched struct {
	Record *Record
	From   string   // the node whose copy was the longest
	Number uint64   // the run's new one
	Behind []string // nodes that could not be told, and why
}

// holder is a NodeHand that gives the copy of a run.
type holder interface {
	Kept(ctx context.Context) (nodeapi.RunCopy, error)
}

// Fetch takes over the run that has the lock of a pair, from a machine that has
// not begun it: first its number is raised at the nodes, so that the process
// that had it can do nothing more; then the longest copy of its journal is
// written here. Said again after a crash it does the same once more. force takes
// a run from a process that is heard.
func (s Store) Fetch(ctx context.Context, c config.Upgrade, h Hands, by, reason string, force bool) (*Fetched, error) {
	w := h.Look(ctx, time.Now())
	run, number := "", uint64(0)
	for name, n := range w.Nodes {
		number = max(number, n.Fence+1)
		switch {
		case n.Lock == nil:
		case run != "" && run != n.Lock.Run:
			return nil, &Refused{fmt.Sprintf("two runs have a lock: %s has that of %s, the other node that of %s", name, n.Lock.Run, run)}
		default:
			run = n.Lock.Run
		}
	}
	if run == "" {
		return nil, &Refused{"no run has the lock of a node that answers" + faults(w)}
	}
	f := &Fetched{Number: number}
	best, err := f.fence(ctx, w, h, Lock{run, number}, force)
	if err != nil {
		return nil, err
	}
	r, err := s.adopt(best, c, w)
	if err != nil {
		return nil, err
	}
	j, err := r.Open(time.Now)
	if err != nil {
		return nil, err
	}
	defer j.Close()
	if err := j.TakeOver(by, reason, f.From, number); err != nil {
		return nil, err
	}
	f.Record, err = s.Load(r.Name)
	return f, err
}

// fence raises the run's number at every node that has its lock, and gives the
// longest copy.
func (f *Fetched) fence(ctx context.Context, w World, h Hands, lock Lock, force bool) (best nodeapi.RunCopy, err error) {
	d := Deed{Do: DoLock}
	if force {
		d.With = ByForce
	}
	for name, n := range w.Nodes {
		a, ok := h.Nodes[name].(holder)
		if !ok {
			continue
		}
		if n.Fault != "" {
			f.Behind = append(f.Behind, name+": "+n.Fault)
			continue
		}
		if n.Lock != nil {
			d.On = name
			if named, ok := h.Nodes[name].(interface{ as(Lock) }); ok {
				named.as(lock)
			}
			if err := h.Nodes[name].Do(ctx, d); err != nil {
				return best, fmt.Errorf("%s: %w", name, err)
			}
		}
		q, err := a.Kept(ctx)
		if err == nil && q.Run == lock.Run && len(q.Plan) > 0 && (best.Run == "" || len(q.Lines) > len(best.Lines)) {
			best, f.From = q, name
		}
		if err != nil {
			f.Behind = append(f.Behind, name+": "+err.Error())
		}
	}
	slices.Sort(f.Behind)
	if best.Run == "" {
		return best, &Refused{"no node has a copy of the run " + lock.Run + " yet; look at the pair, and free its lock: in the portal, Upgrade"}
	}
	return best, nil
}

func faults(w World) (text string) {
	for name, n := range w.Nodes {
		if n.Fault != "" {
			text += "; " + name + ": " + n.Fault
		}
	}
	return text
}

// adopt writes a copy into a folder of this store, after its seals were checked,
// and that the nodes are those of its plan.
func (s Store) adopt(q nodeapi.RunCopy, c config.Upgrade, w World) (*Record, error) {
	if q.Run != filepath.Base(q.Run) || strings.HasPrefix(q.Run, ".") {
		return nil, &Refused{fmt.Sprintf("%q is no name of a run", q.Run)}
	}
	text := []byte(strings.Join(q.Lines, "\n") + "\n")
	all, whole, _, err := ParseJournal(text)
	if err != nil || whole != len(text) {
		return nil, errors.Join(err, fmt.Errorf("the copy of the journal of %s is not whole", q.Run))
	}
	p, err := ReadPlan(q.Plan)
	if err != nil {
		return nil, err
	}
	if begun := Fold(all); begun.Plan != p.Digest() {
		return nil, &Refused{"the copy of the plan is not the one that the run was begun with"}
	}
	if err := p.fits(c, w); err != nil {
		return nil, err
	}
	r := &Record{Name: q.Run, Dir: filepath.Join(s.Dir, "runs", q.Run)}
	if err := statefile.MakeDir(r.Dir, 0o750); err != nil {
		return nil, err
	}
	mine, err := os.ReadFile(filepath.Join(r.Dir, journalFile))
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, err
	case strings.HasPrefix(string(mine), string(text)): // it was fetched before, or is at home here
		text = mine
	case !strings.HasPrefix(string(text), string(mine)):
		return nil, &Refused{"the journal of " + q.Run + " here says something else than the copy; look at both, and keep one: " + r.Dir}
	}
	for name, doc := range map[string][]byte{journalFile: text, beforeFile: q.Before} {
		if err := statefile.Write(filepath.Join(r.Dir, name), doc, fileMode); err != nil {
			return nil, err
		}
	}
	return r, errors.Join(r.write(meansFile, c), r.write(planFile, p)) // the plan last: without it there is no run
}

// fits says whether a configuration leads to the nodes and routers of a plan.
func (p Plan) fits(c config.Upgrade, w World) error {
	var want, have []string
	for _, r := range p.Config.Routers {
		want = append(want, r.Name)
	}
	for _, r := range c.Routers {
		have = append(have, r.Name)
	}
	slices.Sort(want)
	slices.Sort(have)
	if c.Group != p.Config.Group || c.Kind != p.Config.Kind || !slices.Equal(want, have) {
		return &Refused{fmt.Sprintf("the run is a %s of %s with the routers %s, and %s is for a %s of %s with %s", p.Config.Kind, p.Config.Group, words(want), c.File, c.Kind, c.Group, words(have))}
	}
	for name, pin := range p.Pins.Nodes {
		n, known := w.Nodes[name]
		if id, _, _ := strings.Cut(pin.ID, " "); !known || n.Fault == "" && !strings.HasPrefix(n.ID, id) {
			return &Refused{fmt.Sprintf("%s is not the node that the run is about", name)}
		}
	}
	return nil
}

// meansFile says how this machine reaches what a fetched run is about.
const meansFile = "means.json"

// Means is the plan's configuration with the ways of this machine.
func (r *Record) Means() config.Upgrade {
	c := r.Plan.Config
	text, err := os.ReadFile(filepath.Join(r.Dir, meansFile))
	var own config.Upgrade
	if err != nil || json.Unmarshal(text, &own) != nil {
		return c
	}
	c.File, c.AdminKey, c.Nodes, c.Routers, c.Webhooks, c.Mails = own.File, own.AdminKey, own.Nodes, own.Routers, own.Webhooks, own.Mails
	return c
}

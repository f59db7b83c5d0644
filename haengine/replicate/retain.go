package replicate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

// retain frees what nobody goes back to: of the generations beyond the newest
// Keep the data that they replaced, and of dumps all but the last.
func (r *Replica) retain(ctx context.Context) error {
	p := r.Book.read()
	if most := len(p.Generations) - r.Keep; most > 0 {
		for _, g := range p.Generations[:most] {
			if err := r.drop(ctx, g.Changes, Old); err != nil {
				return fmt.Errorf("free generation %d: %w", g.Number, err)
			}
		}
		err := r.Book.change(func(p *pages) { p.Generations = slices.Clone(p.Generations[most:]) })
		if err != nil {
			return err
		}
	}
	return r.forget(ctx)
}

// giveUp frees the older generations of a copy on which the application has run:
// they share files with it, which it may have written to.
func (r *Replica) giveUp(ctx context.Context) error {
	p := r.Book.read()
	if !p.Dirty || p.Rolled || len(p.Generations) == 0 {
		return nil
	}
	for _, g := range p.Generations {
		if err := r.drop(ctx, g.Changes, Old); err != nil {
			return fmt.Errorf("free generation %d: %w", g.Number, err)
		}
	}
	return r.Book.change(func(p *pages) { p.Generations = nil })
}

func (r *Replica) drop(ctx context.Context, changes []Change, side Side) error {
	for _, c := range changes {
		if set := r.set(c.Dataset); set != nil {
			if err := set.Dataset.Drop(ctx, c, side); err != nil {
				return fmt.Errorf("dataset %s: %w", c.Dataset, err)
			}
		}
	}
	return nil
}

// forget removes from the shelves and from the dumps what nothing in the book
// names: what crashes have left, and what was dropped half.
func (r *Replica) forget(context.Context) error {
	p := r.Book.read()
	var all error
	kept := map[string]bool{}
	for _, a := range p.Archives {
		kept[archived(a.Generation)] = true
	}
	for _, set := range r.Sets {
		rec := p.Datasets[set.Name]
		keep := map[string]bool{}
		if rec.Left != "" && rec.Boot == bootID() {
			keep[filepath.Base(rec.Left)] = true
		}
		dir := shelf(set.Tree)
		if set.Tree == "" {
			dir = filepath.Join(r.Dir, "dumps", set.Name)
			keep[filepath.Base(rec.Dump)] = rec.Dump != ""
		} else {
			for _, g := range p.Generations {
				keep[strconv.FormatUint(g.Number, 10)] = true
			}
			maps.Copy(keep, kept)
		}
		all = errors.Join(all, removeBut(filepath.Join(r.Dir, "archives", set.Name), kept))
		all = errors.Join(all, removeBut(dir, keep))
		if rec.Left != "" && rec.Boot != bootID() {
			all = errors.Join(all, r.Book.note(set.Name, func(r *record) { r.Left = "" }))
		}
	}
	return all
}

func removeBut(dir string, keep map[string]bool) error {
	entries, err := os.ReadDir(dir)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !keep[e.Name()] {
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
		}
	}
	return err
}

// Rollback puts an older generation into force: the one before the present one
// if to is 0, and what was there before the first that is kept. What was in force
// since is kept until the next sync.
func (r *Replica) Rollback(ctx context.Context, to uint64) (Generation, error) {
	if !r.busy.TryLock() {
		return Generation{}, errors.New("a sync runs; go back when it has ended")
	}
	defer r.busy.Unlock()
	if r.journal.open != nil {
		return Generation{}, errors.New("the journal has a commit that has not ended; restart the engine, which ends it")
	}
	free, err := r.standBehind(ctx)
	if err != nil {
		return Generation{}, err
	}
	defer free()
	p := r.Book.read()
	if p.Dirty && !p.Rolled {
		return Generation{}, errors.New("the application has run on this copy, and older generations share files with it: they are given up")
	}
	g, back, err := pathBack(p, to)
	if err != nil {
		return Generation{}, err
	}
	number := p.Attempt + 1
	if err := r.Book.change(func(p *pages) { p.Attempt = number }); err != nil {
		return Generation{}, err
	}
	c := &commitment{Generation: Generation{Number: number}, Back: back, To: g.Number}
	if err := r.journal.add(jotted{Do: jotBegin, Generation: number}); err != nil {
		return Generation{}, err
	}
	if err := r.journal.add(jotted{Do: jotCommit, Generation: number, Commit: c}); err != nil {
		return Generation{}, err
	}
	return g, r.finish(context.WithoutCancel(ctx), c)
}

// pathBack gives a generation and what is to be undone to get to it, the newest
// change first. Before the first kept generation lies what was there before it.
func pathBack(p pages, to uint64) (Generation, []Change, error) {
	at := slices.IndexFunc(p.Generations, func(g Generation) bool { return g.Number == p.Current })
	if at < 0 {
		return Generation{}, nil, errors.New("no generation is kept that could be gone back to")
	}
	if to == 0 && at > 0 {
		to = p.Generations[at-1].Number
	}
	target := slices.IndexFunc(p.Generations, func(g Generation) bool { return g.Number == to })
	if first := to == 0 && at == 0; !first && (target < 0 || target >= at) {
		return Generation{}, nil, fmt.Errorf("generation %d cannot be gone back to; older than the present one, %d, are: %s", to, p.Current, older(p.Generations[:at]))
	}
	back := []Change{}
	for i := at; i > target; i-- {
		changes := slices.Clone(p.Generations[i].Changes)
		slices.Reverse(changes)
		back = append(back, changes...)
	}
	if target < 0 {
		return Generation{}, back, nil
	}
	return p.Generations[target], back, nil
}

// bury frees the generations that were gone back from.
func (r *Replica) bury(ctx context.Context) error {
	p := r.Book.read()
	for _, g := range p.Generations {
		if g.Number <= p.Current {
			continue
		}
		if err := r.drop(ctx, g.Changes, New); err != nil {
			return fmt.Errorf("free generation %d: %w", g.Number, err)
		}
	}
	return r.Book.change(func(p *pages) {
		p.Generations = slices.DeleteFunc(p.Generations, func(g Generation) bool { return g.Number > p.Current })
	})
}

func older(all []Generation) string {
	if len(all) == 0 {
		return "none"
	}
	text := ""
	for i, g := range all {
		if i > 0 {
			text += ", "
		}
		text += strconv.FormatUint(g.Number, 10)
	}
	return text
}

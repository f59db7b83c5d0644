package replicate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// commit puts everything that was prepared into force. Nothing has to be done
// where nothing has changed but what is known of it.
func (v *run) commit(ctx context.Context) error {
	err := v.task(ctx, "hello again", "", func(ctx context.Context) (string, error) {
		var h hello
		if err := v.session.ask(ctx, request{Do: "hello"}, &h); err != nil {
			return "", err
		}
		if h.Epoch != v.hello.Epoch || h.Boot != v.hello.Boot || h.Active != v.hello.Active {
			return "", fmt.Errorf("%s was restarted, or another node serves since: the copy is not taken", v.order.From)
		}
		return "", v.meets(ctx, h)
	})
	if err != nil {
		return err
	}
	v.report.Root = v.root()
	if len(v.changes) == 0 {
		if err := v.equal(); err != nil {
			return err
		}
		v.report.Detail = "no changes"
		return v.tell(ctx)
	}
	if err := v.keepOwn(ctx); err != nil {
		return err
	}
	if err := v.bury(ctx); err != nil {
		return err
	}
	for _, dir := range v.staged {
		if err := syncTree(dir); err != nil {
			return err
		}
	}
	if err := v.step("staged"); err != nil {
		return err
	}
	err = v.task(ctx, "commit", "", func(ctx context.Context) (string, error) { return "", v.live(ctx) })
	if err != nil {
		return err
	}
	v.report.Generation = v.number
	if err := v.tell(ctx); err != nil {
		v.Log.Warn("the source could not be told that its copy is in force", "error", err)
	}
	return nil
}

// equal notes that both sides are the same without anything to switch.
func (v *run) equal() error {
	return v.Book.change(func(p *pages) {
		for name, r := range v.records {
			p.Datasets[name] = r.after(p.Datasets[name], v.order.From)
		}
		p.AsOf, p.Equal, p.Dirty, p.Rolled = v.asOf, v.asOf, false, false
	})
}

// tell tells the source that this node is as it was at the run's beginning.
func (v *run) tell(ctx context.Context) error {
	var none struct{}
	return v.session.ask(ctx, request{Do: "end", Done: &Taken{Generation: v.number, At: time.Now().UTC(), Root: v.report.Root}}, &none)
}

// outgoingWait is how long a commit waits for a node that fetches from this one.
const outgoingWait = 10 * time.Minute

// live asks whether the copy may go live, and does it.
func (v *run) live(ctx context.Context) error {
	free, err := v.standBehind(ctx)
	if err != nil {
		return err
	}
	defer free()
	if v.order.Allow != nil {
		if err := v.order.Allow(ctx, v.hello.Epoch); err != nil {
			return err
		}
	}
	if v.order.Over != nil {
		defer func() {
			if v.journal.open == nil || v.journal.open.commit == nil {
				v.order.Over()
			}
		}()
	}
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	c := &commitment{
		Generation: Generation{
			Number: v.number, Source: v.order.From, Epoch: v.hello.Epoch, Release: v.hello.Release,
			AsOf: v.asOf, Committed: time.Now().UTC(), Root: v.report.Root, Changes: v.changes,
		},
		Records: v.records,
		Archive: v.archive,
	}
	if err := v.journal.add(jotted{Do: jotCommit, Generation: v.number, Commit: c}); err != nil {
		return err
	}
	if err := v.step("committed"); err != nil {
		return err
	}
	return v.finish(context.WithoutCancel(ctx), c)
}

// standBehind waits until no node fetches from this one.
func (r *Replica) standBehind(ctx context.Context) (free func(), err error) {
	if r.outgoing == nil {
		return func() {}, nil
	}
	end := time.NewTimer(outgoingWait)
	defer end.Stop()
	for {
		if free, ok := r.outgoing(); ok {
			return free, nil
		}
		again := time.NewTimer(time.Second)
		select {
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return nil, context.Cause(ctx)
		case <-end.C:
			again.Stop()
			return nil, fmt.Errorf("another node has fetched from this one for %v, so the copy cannot go live; set the schedules apart", outgoingWait)
		}
	}
}

// finish does what a commit says, from the beginning: every step may be done
// twice.
func (r *Replica) finish(ctx context.Context, c *commitment) error {
	for i, change := range c.steps() {
		set := r.set(change.Dataset)
		if set == nil {
			return fmt.Errorf("dataset %s is not in node.yaml any more, and its commit has not ended: bring it back", change.Dataset)
		}
		do := set.Dataset.Switch
		if c.Back != nil {
			do = set.Dataset.Back
		}
		if err := do(ctx, change); err != nil {
			return fmt.Errorf("dataset %s: %w", change.Dataset, err)
		}
		if err := r.journal.add(jotted{Do: jotDone, Generation: c.Generation.Number, Step: i + 1}); err != nil {
			return err
		}
		if err := r.step("switched " + change.Dataset); err != nil {
			return err
		}
	}
	if err := r.Book.change(c.apply); err != nil {
		return err
	}
	if err := r.step("booked"); err != nil {
		return err
	}
	return r.journal.add(jotted{Do: jotEnd, Generation: c.Generation.Number})
}

// apply writes a commit into the book, where it may be already.
func (c *commitment) apply(p *pages) {
	for name, r := range c.Records {
		p.Datasets[name] = r.after(p.Datasets[name], c.Generation.Source)
	}
	if c.Back != nil {
		p.Current, p.Rolled, p.Dirty = c.To, true, true
		for name, r := range p.Datasets {
			r.Live, r.Digest, r.Base = 0, "", nil
			p.Datasets[name] = r
		}
		p.AsOf = time.Time{}
		for _, g := range p.Generations {
			if g.Number == c.To {
				p.AsOf = g.AsOf
			}
		}
		return
	}
	if p.Current == c.Generation.Number {
		return
	}
	// Generations that were gone back from are followed by nothing.
	p.Generations = slices.DeleteFunc(p.Generations, func(g Generation) bool { return g.Number > p.Current })
	p.Generations = append(p.Generations, c.Generation)
	p.Current, p.AsOf, p.Equal = c.Generation.Number, c.Generation.AsOf, c.Generation.AsOf
	p.Dirty, p.Rolled = false, false
	if c.Archive != nil {
		p.Archives = append(slices.Clone(p.Archives), *c.Archive)
	}
}

// discard removes what was prepared and will not go live.
func (r *Replica) discard(ctx context.Context, generation uint64, datasets []string) error {
	var all error
	for _, name := range datasets {
		set := r.set(name)
		if set == nil {
			continue
		}
		all = errors.Join(all, set.Dataset.Drop(ctx, Change{Dataset: name, Generation: generation}, New), os.RemoveAll(r.archiveDir(*set, generation)))
		if set.Tree == "" {
			all = errors.Join(all, os.RemoveAll(filepath.Join(r.Dir, "dumps", name, fmt.Sprint(generation))))
		}
	}
	if all != nil {
		return all
	}
	return r.journal.add(jotted{Do: jotEnd, Generation: generation})
}

// keepLeft sets aside what has arrived, so that the next run need not fetch it
// again. It is verified then like everything else.
func (v *run) keepLeft(why error) {
	var full *fullDisk
	var no *Refused
	for _, s := range v.sets {
		p := &part{run: v, Set: s}
		from := p.stagingDir()
		left := filepath.Join(filepath.Dir(from), "left")
		if _, err := os.Lstat(from); err != nil || s.Tree == "" {
			continue
		}
		if errors.As(why, &full) || errors.As(why, &no) {
			continue
		}
		err := os.RemoveAll(left)
		if err == nil {
			err = os.Rename(from, left)
		}
		if err == nil {
			err = v.Book.note(s.Name, func(r *record) { r.Left, r.Boot = left, bootID() })
		}
		if err != nil {
			v.Log.Warn("what was fetched cannot be kept for the next run", "dataset", s.Name, "error", err)
		}
	}
}

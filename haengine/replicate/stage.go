package replicate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/understudy-ha/understudy/internal/statefile"
)

// rounds is how often what changes while it is copied is copied again.
const rounds = 3

// stage fetches a tree, verifies it and has it prepared.
func (p *part) stage(ctx context.Context, contents bool) error {
	if err := p.open(); err != nil {
		return err
	}
	p.dir = p.stagingDir()
	if err := p.makeStaging(); err != nil {
		return err
	}
	defer every(flushEvery, func() { _ = syncTree(p.dir) })() // what fails here fails again before the commit
	defer os.Remove(p.verified())
	for round := 1; ; round++ {
		if err := p.task(ctx, "transfer", p.Name, func(ctx context.Context) (string, error) { return p.transfer(ctx, contents) }); err != nil {
			return err
		}
		done := false
		err := p.task(ctx, "verify", p.Name, func(ctx context.Context) (detail string, err error) {
			done, detail, err = p.verify(ctx, round == rounds)
			return detail, err
		})
		if err != nil {
			return err
		}
		if done {
			break
		}
	}
	return p.task(ctx, "prepare", p.Name, p.prepare)
}

// flushEvery is how often what arrives is written to the disk, so that little is
// left to wait for before the commit.
const flushEvery = 250 * time.Millisecond

// makeStaging makes an empty folder where what arrives is staged.
func (p *part) makeStaging() error {
	if err := statefile.MakeDir(filepath.Dir(p.dir), 0o700); err != nil {
		return err
	}
	if err := os.RemoveAll(p.dir); err != nil {
		return err
	}
	if err := os.Mkdir(p.dir, 0o700); err != nil {
		return err
	}
	if err := Room(p.dir, max(0, p.source.Bytes-p.live.Bytes)); err != nil {
		return &fullDisk{err.Error()}
	}
	return nil
}

// transfer runs rsync. What did not change is linked to the tree in force, or
// to what an earlier run has left.
func (p *part) transfer(ctx context.Context, contents bool) (string, error) {
	var last transferred
	f := fetch{
		remote: p.remote, from: p.offer.Tree, to: p.dir, exclude: p.Exclude, owners: p.owners, plain: p.Tree == "", contents: contents, holes: p.source.Holes > 0,
		progress: func(t transferred) {
			last = t
			total := p.source.Bytes
			p.advance(t.files, t.bytes, total)
		},
	}
	for _, like := range []string{p.Tree, p.record.Dump, p.record.Left} {
		if _, err := inode(like); like != "" && err == nil && !p.alone {
			f.like = append(f.like, like)
		}
	}
	err := f.run(ctx)
	if errors.Is(err, errVanished) {
		err = nil // the next walk of the source tells which
	}
	return fmt.Sprintf("%d files, %s", last.files, size(last.bytes)), err
}

// mostLooks is how often a copy is compared with a source that does not hold
// still, after the last transfer.
const mostLooks = 5

// verify compares what arrived with the source, as far as that holds still. It
// is done if all is well; otherwise what is not is removed, and fetched again.
func (p *part) verify(ctx context.Context, last bool) (done bool, detail string, err error) {
	root, err := os.OpenRoot(p.dir)
	if err != nil {
		return false, "", err
	}
	defer root.Close()
	p.moved = map[string]bool{}
	for looks := 1; ; looks++ {
		if err := p.walkThere(ctx); err != nil {
			return false, "", err
		}
		passed, err := p.unsettled(last)
		if err == nil {
			err = p.remove(root, passed)
		}
		if err != nil || len(p.moved) > 0 && !last {
			return false, fmt.Sprintf("%d changed while they were copied: again", len(p.moved)), err
		}
		c := &contents{part: p, wrong: map[string]bool{}, gone: map[string]bool{}}
		done, detail, err = p.verifyStill(ctx, root, last, c)
		if len(c.gone) == 0 || looks == mostLooks || err != nil && !errors.Is(err, errDiffers) {
			return done, detail, err
		}
		// They came and went between two looks at the source.
		if err := p.remove(root, c.gone); err != nil {
			return false, "", err
		}
		if !last {
			return false, fmt.Sprintf("%d came and went while they were copied: again", len(c.gone)), nil
		}
		maps.Copy(p.moved, c.gone)
	}
}

// unsettled notes what has moved since the transfer, and gives what of it must
// not stay: nobody misses what came or went after the run began. What has changed
// is fetched again, and may stay as it is at the end only if that does no harm.
func (p *part) unsettled(last bool) (passed map[string]bool, err error) {
	passed = map[string]bool{}
	for _, path := range append(slices.Clone(p.source.New), p.source.Gone...) {
		passed[string(path)], p.moved[string(path)] = true, true
	}
	for _, path := range p.source.Changed {
		p.moved[string(path)] = true
		switch harmless := patterns(p.Volatile).matchBelow(string(path)); {
		case !last:
			passed[string(path)] = true
		case !harmless:
			return nil, keepChanging(len(p.source.Changed), string(path))
		}
	}
	return passed, nil
}

// verifyStill compares names and sizes of everything that did not move, and the
// contents of everything that is not the very file that is in force already.
func (p *part) verifyStill(ctx context.Context, root *os.Root, last bool, c *contents) (bool, string, error) {
	path := filepath.Join(p.Dir, p.Name+".manifest")
	defer os.Remove(path)
	var before *against
	var deleted int64
	if p.Tree != "" {
		if err := p.manifestOf(ctx, p.Tree, path); err != nil {
			return false, "", err
		}
		m, err := openManifest(path)
		if err != nil {
			return false, "", err
		}
		defer m.close()
		before = &against{m: m, skip: func(e entry) error {
			if e.kind == file {
				deleted++
			}
			return nil
		}}
	}
	m, err := newManifest(p.verified())
	if err != nil {
		return false, "", err
	}
	s := newSum()
	w := walk{root: p.dir, owners: p.owners, plain: p.Tree == "", exclude: p.Exclude, visit: func(e entry) error {
		if p.moved[e.path] {
			return nil
		}
		s.add(e)
		return errors.Join(m.add(e), c.meet(ctx, e, before))
	}}
	err = errors.Join(w.run(ctx), m.close())
	if err == nil {
		err = c.flush(ctx)
	}
	if err == nil && before != nil {
		err = before.rest()
	}
	if err != nil {
		return false, "", err
	}
	if len(c.wrong) > 0 && last {
		return false, "", p.blame(ctx, c.wrong)
	}
	return p.judge(root, last, s.totals(), c, deleted)
}

// blame says why contents differ at the end: the source has changed them since,
// or something is broken.
func (p *part) blame(ctx context.Context, wrong map[string]bool) error {
	if err := p.walkThere(ctx); err != nil {
		return err
	}
	for _, path := range p.source.Changed {
		delete(wrong, string(path))
	}
	if len(wrong) == 0 {
		return keepChanging(len(p.source.Changed), string(p.source.Changed[0]))
	}
	return fmt.Errorf("the contents of %d files are not those of the source, like %s: look at the disks of both nodes", len(wrong), quoted(slices.Sorted(maps.Keys(wrong))[0]))
}

func keepChanging(n int, like string) error {
	return fmt.Errorf("%d files keep changing while they are copied, like %s: name them as volatile if a torn copy of them does no harm, or sync when less is written", n, quoted(like))
}

// errDiffers says that the names and sizes on both sides are not the same.
var errDiffers = errors.New("what arrived is not what the source has")

// judge says what a comparison means.
func (p *part) judge(root *os.Root, last bool, got Totals, c *contents, deleted int64) (bool, string, error) {
	switch {
	case len(c.wrong) > 0:
		return false, fmt.Sprintf("%d files differ: again", len(c.wrong)), p.remove(root, c.wrong)
	case got.Root != p.source.Root && !p.alone && !last:
		p.alone = true
		return false, "names, owners or links differ: again, without the tree in force to link to", p.makeStaging()
	case got.Root != p.source.Root:
		return false, "", fmt.Errorf("%w: %d entries and %s here, %d and %s there; if the numbers are equal, see that owners, access lists and attributes can be set here", errDiffers, got.Entries, size(got.Bytes), p.source.Entries, size(p.source.Bytes))
	case p.Tree != "" && !p.first && !p.order.AcceptDeletions && mass(deleted, p.live.Files):
		return false, "", deletions(p.Tree, p.order.From, deleted, p.live.Files)
	}
	return true, fmt.Sprintf("%d entries; contents of %d files, %s", got.Entries, c.files, size(c.bytes)), nil
}

// remove takes paths out of what is staged, so that they are fetched anew: a
// file that is linked to the one in force must not be changed through the link.
// A path from the source leads nowhere else, for root does not.
func (p *part) remove(root *os.Root, paths map[string]bool) error {
	list := slices.SortedFunc(maps.Keys(paths), func(a, b string) int { return order(b, a) })
	for _, path := range list {
		if path == "" {
			continue
		}
		info, err := root.Lstat(path)
		if err != nil {
			continue
		}
		if err := root.Remove(path); err != nil && !info.IsDir() {
			return err
		}
	}
	return nil
}

// prepare has the dataset make what can be switched.
func (p *part) prepare(ctx context.Context) (string, error) {
	if p.Tree != "" {
		if err := carry(p.Tree, p.dir, p.Exclude); err != nil {
			return "", fmt.Errorf("take over what belongs to this node: %w", err)
		}
	}
	got, err := p.Dataset.Prepare(ctx, Staged{Generation: p.number, Dir: p.dir, Offer: p.offer.Offer, Source: p.order.From})
	if err != nil {
		return "", err
	}
	if !maps.Equal(got.Counts, p.offer.Counts) {
		return "", fmt.Errorf("the counts differ: %s", countsDiffer(p.offer.Counts, got.Counts))
	}
	p.changes = append(p.changes, Change{p.Name, p.number, got.Data})
	p.staged = append(p.staged, p.dir)
	if p.Tree == "" {
		p.record.Dump, p.record.Digest, p.record.Root, p.record.Counts, p.record.Left = p.dir, p.offer.Digest, p.source.Root, p.offer.Counts, ""
		p.sameDump()
		return got.Detail, nil
	}
	return got.Detail, p.equalTo(ctx, p.dir)
}

// countsDiffer names the first counts that are not the same.
func countsDiffer(there, here map[string]int64) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(merged(there, here))) {
		if a, b := there[name], here[name]; a != b {
			all = append(all, fmt.Sprintf("%s %d here, %d on the source", quoted(name), b, a))
		}
	}
	return strings.Join(all[:min(len(all), 5)], "; ")
}

func merged(a, b map[string]int64) map[string]int64 {
	all := maps.Clone(a)
	if all == nil {
		all = map[string]int64{}
	}
	maps.Copy(all, b)
	return all
}

// unchanged says whether what is in force here is as it was copied, where the
// dataset can tell.
func (p *part) unchanged() bool {
	d, tells := p.Dataset.(interface{ Unchanged(digest string) bool })
	return !tells || d.Unchanged(p.offer.Digest)
}

// sameDump notes that what is in force here is made of the source's dump.
func (p *part) sameDump() {
	p.record = p.record.with(p.order.From, base{At: p.asOf, Digest: p.offer.Digest, Counts: p.offer.Counts, Fetched: true})
}

// bringDump brings a dump, unless its digest says that nothing has changed.
func (p *part) bringDump(ctx context.Context) error {
	same := false
	err := p.task(ctx, "compare", p.Name, func(context.Context) (string, error) {
		p.first = p.record.Counts == nil
		if p.offer.Digest != "" && p.offer.Digest == p.record.Digest && !p.order.Full && p.unchanged() {
			same = true
			return "no changes", nil
		}
		if p.first || p.order.AcceptDeletions {
			return "differs", nil
		}
		return "differs", rows(p.Name, p.order.From, p.offer.Counts, p.record.Counts)
	})
	if err == nil && same {
		p.sameDump()
	}
	if err != nil || same {
		return err
	}
	if err := p.walkThere(ctx); err != nil {
		return err
	}
	return p.stage(ctx, false)
}

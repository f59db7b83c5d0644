package replicate

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// part is one dataset in a run.
type part struct {
	*run
	Set
	offer  offered
	record record          // as it will be when the run has succeeded
	known  base            // when this node and the source were the same for the last time
	there  string          // what the source calls that
	served bool            // this node may have written since
	first  bool            // nothing of this dataset has ever been copied here
	live   Totals          // of the tree in force
	source walked          // of the tree that is offered
	dir    string          // where it is staged
	moved  map[string]bool // paths that have moved on the source since the last transfer
	alone  bool            // nothing is linked to the tree in force: rsync would join what it has joined
}

func (p *part) bring(ctx context.Context) error {
	if p.Tree == "" {
		return p.bringDump(ctx)
	}
	same, clean := false, false
	err := p.task(ctx, "compare", p.Name, func(ctx context.Context) (detail string, err error) {
		if err := p.ready(); err != nil {
			return "", err
		}
		if err := p.compare(ctx); err != nil {
			return "", err
		}
		now, err := inode(p.Tree)
		clean = now == p.record.Live && !p.order.Full
		same = p.live.Root == p.source.Root
		switch {
		case err != nil:
			return "", err
		case !same:
			return "differs", p.guards()
		case clean:
			return "no changes", nil
		}
		return "names and sizes are the same", nil
	})
	if err != nil {
		return err
	}
	if same {
		whole, err := p.scrub(ctx, clean)
		if err != nil {
			return err
		}
		if whole {
			return p.equalTo(ctx, p.Tree)
		}
		clean = false
	}
	return p.stage(ctx, !clean)
}

// ready looks whether the tree in force can be exchanged, and makes an empty one
// where there is none.
func (p *part) ready() error {
	var in, above unix.Stat_t
	dir := filepath.Dir(p.Tree)
	if err := unix.Stat(dir, &above); err != nil {
		return fmt.Errorf("look at %s, in which %s is to be: %w", dir, filepath.Base(p.Tree), err)
	}
	err := unix.Lstat(p.Tree, &in)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.Mkdir(p.Tree, 0o700); err != nil {
			return err
		}
		err = unix.Lstat(p.Tree, &in)
	}
	switch {
	case err != nil:
		return fmt.Errorf("look at %s: %w", p.Tree, err)
	case in.Mode&unix.S_IFMT != unix.S_IFDIR:
		return fmt.Errorf("%s is no folder: it has to be one, not a link to one", p.Tree)
	case in.Dev != above.Dev:
		return fmt.Errorf("%s is where a file system is mounted, and that cannot be exchanged: declare a folder in it as the dataset, on both nodes", p.Tree)
	}
	there, err := readMarker(p.Tree)
	if err != nil {
		return err
	}
	if p.record.ID == "" {
		p.record.ID = there
	}
	p.first = p.record.ID == ""
	if err := identity(p.record, p.Tree, p.order.From, p.offer); err != nil && !p.order.AcceptDeletions {
		return err
	}
	p.record.ID = p.offer.ID
	volumes := maps.Clone(p.record.Volumes)
	if volumes == nil {
		volumes = map[string]string{}
	}
	volumes[p.order.From] = p.offer.Volume
	p.record.Volumes = volumes
	return nil
}

// compare walks both trees at once.
func (p *part) compare(ctx context.Context) error {
	done := make(chan error, 1)
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	go func() {
		s := newSum()
		w := walk{root: p.Tree, owners: p.owners, exclude: p.Exclude, sub: noMounts, visit: func(e entry) error { s.add(e); return nil }}
		err := w.run(ctx)
		p.live = s.totals()
		done <- err
	}()
	err := p.walkThere(ctx)
	if err != nil {
		stop(err)
	}
	return errors.Join(err, <-done)
}

func noMounts(path string) error {
	return fmt.Errorf("a file system is mounted at %s in the dataset, which would go away with the old tree: make it a dataset of its own", quoted(path))
}

func (p *part) walkThere(ctx context.Context) error {
	p.source = walked{}
	q := request{Do: "walk", Dataset: p.Name, Owners: p.owners, Exclude: p.Set.Exclude}
	for path := range p.moved {
		q.Paths = append(q.Paths, []byte(path))
	}
	return p.session.ask(ctx, q, &p.source)
}

func (p *part) guards() error {
	if p.first || p.order.AcceptDeletions {
		return nil
	}
	return emptied(p.Tree, p.order.From, p.source.Files, p.live.Files)
}

// scrub reads a share of the files again on both sides, or all of them if the
// tree is not known to be clean; false: some are not the same.
func (p *part) scrub(ctx context.Context, clean bool) (same bool, err error) {
	s := scrub{Share: 1_000_000}
	if clean {
		if p.Scrub < 0 {
			return true, nil
		}
		if p.source.Bytes > p.Scrub {
			s.Share = uint32(float64(p.Scrub) / float64(p.source.Bytes) * 1_000_000) // #nosec G115 -- below a million
		}
	}
	var seed [8]byte
	_, _ = rand.Read(seed[:])
	s.Seed = binary.LittleEndian.Uint64(seed[:])
	err = p.task(ctx, "scrub", p.Name, func(ctx context.Context) (string, error) {
		here, there, err := p.readBoth(ctx, request{Do: "digest", Dataset: p.Name, Scrub: s}, func(ctx context.Context, r *reader) (digests, error) {
			return p.scrubHere(ctx, r, s)
		})
		same = err == nil && string(here.All) == string(there.All)
		if err == nil && !same {
			return "contents differ though names and times do not: everything is compared", nil
		}
		return fmt.Sprintf("%d files, %s", here.Files, size(here.Bytes)), err
	})
	return same, err
}

// readBoth reads files here while the source reads its own.
func (p *part) readBoth(ctx context.Context, q request, read func(context.Context, *reader) (digests, error)) (here, there digests, err error) {
	dir := p.dir
	if dir == "" {
		dir = p.Tree
	}
	r, err := newReader(dir)
	if err != nil {
		return here, there, err
	}
	defer r.close()
	done := make(chan error, 1)
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	go func() {
		var err error
		here, err = read(ctx, r)
		done <- err
	}()
	err = p.session.ask(ctx, q, &there)
	if err != nil {
		stop(err)
	}
	return here, there, errors.Join(err, <-done)
}

// scrubHere reads what a scrub takes of the tree in force.
func (p *part) scrubHere(ctx context.Context, r *reader, s scrub) (digests, error) {
	path := filepath.Join(p.Dir, p.Name+".manifest")
	defer os.Remove(path)
	if err := p.manifestOf(ctx, p.Tree, path); err != nil {
		return digests{}, err
	}
	return r.scrubbed(ctx, path, s)
}

// manifestOf writes the manifest of a tree here.
func (p *part) manifestOf(ctx context.Context, tree, path string) error {
	m, err := newManifest(path)
	if err != nil {
		return err
	}
	w := walk{root: tree, owners: p.owners, plain: p.Tree == "", exclude: p.Exclude, visit: m.add}
	return errors.Join(w.run(ctx), m.close())
}

// equalTo notes that a tree is as the source's.
func (p *part) equalTo(ctx context.Context, tree string) (err error) {
	p.record.Root, p.record.Left = p.source.Root, ""
	p.record.Counts = map[string]int64{"files": p.source.Files}
	b := base{At: p.asOf, Root: p.source.Root}
	err = keepBase(baseAt{p.Dir, p.order.From, p.Name, b.Root}, p.known, func(path string) error {
		if tree == p.dir {
			return os.Rename(p.verified(), path)
		}
		return p.manifestOf(ctx, tree, path)
	})
	if err != nil {
		return err
	}
	p.record = p.record.with(p.order.From, b)
	p.record.Live, err = inode(tree)
	return err
}

// verified is where the manifest of what was staged and verified is.
func (p *part) verified() string { return filepath.Join(p.Dir, p.Name+".verified") }

// stagingDir is where a generation of this dataset is staged.
func (p *part) stagingDir() string {
	n := strconv.FormatUint(p.number, 10)
	if p.Tree == "" {
		return filepath.Join(p.Dir, "dumps", p.Name, n)
	}
	return filepath.Join(shelf(p.Tree), n)
}

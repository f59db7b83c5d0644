package replicate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/understudy-ha/understudy/internal/statefile"
)

// Archive is what only this node had when a sync replaced it: what was written
// here after the other node had fetched for the last time, and would be lost
// otherwise. Retention never takes it away; a person does.
type Archive struct {
	Generation uint64     `json:"generation"` // that replaced it
	At         time.Time  `json:"at"`
	From       string     `json:"from"`  // the node whose data replaced it
	Epoch      uint64     `json:"epoch"` // of that node
	Datasets   []Diverged `json:"datasets"`
}

// archiveDir is where what is kept of a dataset is: a tree's on its own file
// system, where it costs no room, a dump's with the other dumps.
func (r *Replica) archiveDir(set Set, generation uint64) string {
	if set.Tree != "" {
		return filepath.Join(shelf(set.Tree), archived(generation))
	}
	return filepath.Join(r.Dir, "archives", set.Name, archived(generation))
}

func archived(generation uint64) string { return "archive-" + strconv.FormatUint(generation, 10) }

// keepOwn makes an archive of what only this node has, if it may have served
// since it was the same as another one. It is there before anything is switched.
func (v *run) keepOwn(ctx context.Context) error {
	a := &Archive{Generation: v.number, At: time.Now().UTC(), From: v.order.From, Epoch: v.hello.Epoch}
	for _, p := range v.parts {
		if !p.served || p.dir == "" {
			continue
		}
		if v.order.Discard {
			v.skip("keep", p.Name, "Discarded", "as a person has said; what only this node has is lost")
			continue
		}
		err := v.task(ctx, "keep", p.Name, func(ctx context.Context) (string, error) {
			d, err := p.keep(ctx)
			if err == nil && !d.None() {
				a.Datasets = append(a.Datasets, d)
			}
			return d.Words(), err
		})
		if err != nil {
			return err
		}
	}
	if len(a.Datasets) > 0 {
		v.archive = a
		v.report.Detail = fmt.Sprintf("what only this node had is kept: failover diverged show %d", a.Generation)
	}
	return nil
}

// keep keeps what only this node has of a dataset.
func (p *part) keep(ctx context.Context) (d Diverged, err error) {
	dir := p.archiveDir(p.Set, p.number)
	if err = errors.Join(os.RemoveAll(dir), os.MkdirAll(filepath.Dir(dir), 0o700), os.Mkdir(dir, 0o700)); err != nil {
		return d, noRoom(err)
	}
	d = Diverged{Dataset: p.Name, Type: p.Type}
	if p.Tree != "" {
		err = p.keepTree(ctx, dir, &d)
	} else {
		err = p.keepDump(ctx, dir, &d)
	}
	if err != nil || d.None() {
		return d, noRoom(errors.Join(err, os.RemoveAll(dir)))
	}
	d.Folder = dir
	p.staged = append(p.staged, dir)
	return d, statefile.SyncDir(filepath.Dir(dir))
}

// noRoom says what to do where an archive does not fit.
func noRoom(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return &fullDisk{err.Error() + "; what only this node has cannot be kept: make room, or give it up with failover sync HOST --discard"}
	}
	return err
}

// keepTree links what only this tree has into the archive: what replaces the
// tree shares none of it.
func (p *part) keepTree(ctx context.Context, dir string, d *Diverged) error {
	own, next := filepath.Join(p.Dir, p.Name+".own"), filepath.Join(p.Dir, p.Name+".next")
	defer os.Remove(own)
	defer os.Remove(next)
	if err := errors.Join(p.manifestOf(ctx, p.Tree, own), p.manifestOf(ctx, p.dir, next)); err != nil {
		return err
	}
	here, err := openManifest(own)
	if err != nil {
		return err
	}
	defer here.close()
	there, err := openManifest(next)
	if err != nil {
		return err
	}
	defer there.close()
	var then *against
	if b := p.known; b.Root != "" && b.Root == p.there {
		m, err := openManifest(baseAt{p.Dir, p.order.From, p.Name, b.Root}.file())
		if err == nil {
			defer m.close()
			then, d.Since = &against{m: m}, b.At
		}
	}
	root, err := os.OpenRoot(filepath.Dir(p.Tree))
	if err != nil {
		return err
	}
	defer root.Close()
	from, to := filepath.Base(p.Tree), filepath.Join(filepath.Base(filepath.Dir(dir)), filepath.Base(dir))
	d.Gone, err = alone(here, &against{m: there, skip: func(entry) error { return nil }}, then, func(e entry, only bool) error {
		if e.path == markerName {
			return nil
		}
		d.meet(e, only)
		p.advance(d.Files, d.Bytes, 0)
		return errors.Join(ctx.Err(), keepFile(root, from+"/"+e.path, to+"/"+e.path))
	})
	return err
}

// keepFile links a file into an archive, or copies it where that is not allowed.
func keepFile(root *os.Root, from, to string) error {
	err := root.Link(from, to)
	if errors.Is(err, fs.ErrNotExist) {
		if err = root.MkdirAll(path.Dir(to), 0o700); err == nil {
			err = root.Link(from, to)
		}
	}
	if !errors.Is(err, syscall.EPERM) && !errors.Is(err, syscall.EMLINK) {
		return err
	}
	info, err := root.Lstat(from)
	if err != nil {
		return err
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		leads, err := root.Readlink(from)
		if err != nil {
			return err
		}
		return root.Symlink(leads, to)
	}
	in, err := root.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := root.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, info.Mode().Perm())
	if err != nil {
		return err
	}
	if _, err = io.Copy(out, in); err == nil {
		err = giveAttributes(in, out)
	}
	return errors.Join(err, out.Sync(), out.Close(), root.Chtimes(to, time.Time{}, info.ModTime()))
}

// keepDump dumps what is in force here into the archive, unless it is as it was
// when both sides were the same, or as it is there.
func (p *part) keepDump(ctx context.Context, dir string, d *Diverged) error {
	o, some, err := ownOffer(ctx, p.Set, dir)
	if err != nil {
		return fmt.Errorf("what only this node has cannot be kept: %w; mend that, or give it up with failover sync HOST --discard", err)
	}
	if !some {
		return nil
	}
	known := base{}
	if b := p.known; b.Digest != "" && b.Digest == p.there {
		known, d.Since = b, b.At
	}
	if o.Digest == "" || o.Digest != known.Digest && o.Digest != p.offer.Digest {
		d.count(o.Counts, known.Counts, p.offer.Counts)
		d.Rewrote = true
	}
	return nil
}

// ownOffer is what a node has of a dataset in a dump: of what is there, for a
// stand-by may have none yet, and a returned node none any more. some is false if
// there is nothing.
func ownOffer(ctx context.Context, set Set, spool string) (o Offer, some bool, err error) {
	if d, tells := set.Dataset.(interface {
		OfferOwn(ctx context.Context, spool string) (Offer, bool, error)
	}); tells {
		return d.OfferOwn(ctx, spool)
	}
	o, err = set.Dataset.Offer(ctx, spool)
	return o, true, err
}

// Own tells what this node has written since the named one has fetched, or it
// from that one, for the last time; what the other has meanwhile is not looked
// at. It takes as long as to walk the trees, and to dump the databases.
func (r *Replica) Own(ctx context.Context, peer string) (all []Diverged, err error) {
	if !r.busy.TryLock() {
		return nil, errors.New("a sync runs; look again when it has ended")
	}
	defer r.busy.Unlock()
	for _, set := range r.Sets {
		b := r.Book.record(set.Name).Base[peer]
		d := Diverged{Dataset: set.Name, Type: set.Type, Since: b.At}
		switch {
		case b.name() == "":
		case set.Tree != "":
			err = r.ownTree(ctx, set, peer, b, &d)
		default:
			err = r.ownDump(ctx, set, b, &d)
		}
		if err != nil {
			return nil, fmt.Errorf("dataset %s: %w", set.Name, err)
		}
		all = append(all, d)
	}
	return all, nil
}

func (r *Replica) ownTree(ctx context.Context, set Set, peer string, b base, d *Diverged) error {
	m, err := openManifest(baseAt{r.Dir, peer, set.Name, b.Root}.file())
	if errors.Is(err, fs.ErrNotExist) {
		d.Since = time.Time{}
		return nil
	}
	if err != nil {
		return err
	}
	defer m.close()
	path := filepath.Join(r.Dir, set.Name+".own")
	defer os.Remove(path)
	own, err := newManifest(path)
	if err != nil {
		return err
	}
	w := walk{root: set.Tree, owners: os.Geteuid() == 0, exclude: set.Exclude, visit: own.add}
	if err := errors.Join(w.run(ctx), own.close()); err != nil {
		return err
	}
	here, err := openManifest(path)
	if err != nil {
		return err
	}
	defer here.close()
	d.Gone, err = alone(here, nil, &against{m: m}, func(e entry, _ bool) error { d.meet(e, false); return nil })
	return err
}

func (r *Replica) ownDump(ctx context.Context, set Set, b base, d *Diverged) error {
	dir := filepath.Join(r.Dir, "archives", set.Name, "look")
	defer os.RemoveAll(dir)
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o700)); err != nil {
		return err
	}
	o, some, err := ownOffer(ctx, set, dir)
	if err != nil || !some {
		return err
	}
	if o.Digest == "" || o.Digest != b.Digest {
		d.count(o.Counts, b.Counts, nil)
		d.Rewrote = !b.Fetched || len(d.Tables) > 0
	}
	return nil
}

// archive gives one by the generation that replaced it.
func (r *Replica) archive(generation uint64) (Archive, error) {
	all := r.Book.read().Archives
	i := slices.IndexFunc(all, func(a Archive) bool { return a.Generation == generation })
	if i < 0 {
		return Archive{}, fmt.Errorf("no archive of generation %d is kept: %s", generation, archivesOf(all))
	}
	return all[i], nil
}

func archivesOf(all []Archive) string {
	if len(all) == 0 {
		return "there is none"
	}
	var numbers []string
	for _, a := range all {
		numbers = append(numbers, strconv.FormatUint(a.Generation, 10))
	}
	return "there is " + strings.Join(numbers, ", ")
}

// DropArchive removes an archive for good.
func (r *Replica) DropArchive(generation uint64) error {
	if !r.busy.TryLock() {
		return errors.New("a sync runs; drop it when it has ended")
	}
	defer r.busy.Unlock()
	a, err := r.archive(generation)
	if err != nil {
		return err
	}
	err = r.Book.change(func(p *pages) {
		p.Archives = slices.DeleteFunc(slices.Clone(p.Archives), func(a Archive) bool { return a.Generation == generation })
	})
	if err != nil {
		return err
	}
	for _, d := range a.Datasets {
		err = errors.Join(err, os.RemoveAll(d.Folder))
	}
	return err
}

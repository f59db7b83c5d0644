package replicate

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// mostMoving bounds how many paths may change from one walk to the next.
const mostMoving = 20000

// walk walks an offered tree, and tells what has changed since it last did.
func (v *serving) walk(ctx context.Context, q request) (walked, error) {
	o, ok := v.offers[q.Dataset]
	if !ok || o.Tree == "" {
		return walked{}, errors.New("it was not offered: ask begin first")
	}
	for _, p := range q.Exclude {
		if err := CheckPattern(p); err != nil {
			return walked{}, err
		}
	}
	path := manifestOf(v.Dir, q.Dataset)
	before, err := openManifest(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return walked{}, err
	}
	next, err := newManifest(path + ".next")
	if err != nil {
		return walked{}, err
	}
	l := &look{next: next, sum: newSum(), out: map[string]bool{}}
	for _, path := range q.Paths {
		l.out[string(path)] = true
	}
	if before != nil {
		defer before.close()
		l.before = &against{m: before, skip: l.vanished}
	}
	set := v.set(q.Dataset)
	w := walk{root: o.Tree, owners: q.Owners, plain: set.Tree == "", exclude: append(patterns(set.Exclude), q.Exclude...), visit: l.meet}
	err = errors.Join(w.run(ctx), next.close())
	if err == nil && l.before != nil {
		err = l.before.rest()
	}
	if err != nil {
		return walked{}, err
	}
	l.walked.Totals, l.Holes = l.totals(), w.holes
	v.note(q.Dataset, l.walked, l.out)
	return l.walked, os.Rename(path+".next", path)
}

// look compares a walk with the one before.
type look struct {
	*sum
	before *against // nil: this is the first
	next   *manifestWriter
	out    map[string]bool // paths that have moved before, and do not count
	walked
}

// meet takes the next entry of the walk. Only what has not moved counts for the
// root.
func (l *look) meet(e entry) error {
	if err := l.next.add(e); err != nil {
		return err
	}
	if l.before == nil {
		l.add(e)
		return nil
	}
	was, err := l.before.find(e.path)
	switch {
	case err != nil:
		return err
	case was == nil:
		l.New = append(l.New, []byte(e.path))
		return l.full()
	case was.untouched(e):
		if !l.out[e.path] {
			l.add(e)
		}
		return nil
	}
	l.Changed = append(l.Changed, []byte(e.path))
	return l.full()
}

// vanished takes what the walk before has met and this one has not.
func (l *look) vanished(e entry) error {
	l.Gone = append(l.Gone, []byte(e.path))
	return l.full()
}

func (l *look) full() error {
	if len(l.New)+len(l.Changed)+len(l.Gone) > mostMoving {
		return fmt.Errorf("more than %d files changed while they were copied; sync when less is written", mostMoving)
	}
	return nil
}

// scrub chooses files by chance: the same on both sides.
type scrub struct {
	Seed  uint64 `json:"seed"`
	Share uint32 `json:"share"` // of a million; 0: none
}

func (s scrub) takes(path string) bool {
	if s.Share == 0 {
		return false
	}
	h := fnv.New64a()
	var seed [8]byte
	for i := range seed {
		seed[i] = byte(s.Seed >> (8 * i))
	}
	_, _ = h.Write(seed[:])
	_, _ = io.WriteString(h, path)
	x := h.Sum64()
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	return x%1_000_000 < uint64(s.Share)
}

// digest reads files of an offered tree: those that are named, or those that a
// scrub takes of the last walk.
func (v *serving) digest(ctx context.Context, q request) (digests, error) {
	o, ok := v.offers[q.Dataset]
	if !ok || o.Tree == "" {
		return digests{}, errors.New("it was not offered: ask begin first")
	}
	r, err := newReader(o.Tree)
	if err != nil {
		return digests{}, err
	}
	defer r.close()
	if q.Scrub.Share == 0 {
		return r.named(ctx, q.Paths, q.Each)
	}
	return r.scrubbed(ctx, manifestOf(v.Dir, q.Dataset), q.Scrub)
}

// reader reads the contents of files in a tree, and nowhere else.
type reader struct {
	root *os.Root
	buf  []byte
}

func newReader(tree string) (*reader, error) {
	root, err := os.OpenRoot(tree)
	if err != nil {
		return nil, err
	}
	return &reader{root, make([]byte, 256<<10)}, nil
}

func (r *reader) close() { _ = r.root.Close() }

// one gives the digest of a file; nil if it is not there, or is no file now.
func (r *reader) one(ctx context.Context, path string) (digest []byte, n int64, err error) {
	f, err := r.root.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ELOOP) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, 0, err
	}
	h := sha256.New()
	for {
		k, err := f.Read(r.buf)
		h.Write(r.buf[:k])
		n += int64(k)
		if errors.Is(err, io.EOF) {
			return h.Sum(nil), n, nil
		}
		if err != nil {
			return nil, n, err
		}
		if err := ctx.Err(); err != nil {
			return nil, n, err
		}
	}
}

// named reads the files of a list.
func (r *reader) named(ctx context.Context, paths [][]byte, each bool) (d digests, err error) {
	all := sha256.New()
	for _, path := range paths {
		sum, n, err := r.one(ctx, string(path))
		if err != nil {
			return d, err
		}
		if sum == nil {
			d.Missing++
		}
		d.Files++
		d.Bytes += n
		all.Write(path)
		all.Write([]byte{0})
		all.Write(sum)
		if each {
			d.Each = append(d.Each, sum)
		}
	}
	d.All = all.Sum(nil)
	return d, nil
}

// scrubbed reads the files of a manifest that a scrub takes.
func (r *reader) scrubbed(ctx context.Context, path string, s scrub) (d digests, err error) {
	m, err := openManifest(path)
	if err != nil {
		return d, err
	}
	defer m.close()
	all := sha256.New()
	for {
		e, err := m.next()
		if errors.Is(err, io.EOF) {
			d.All = all.Sum(nil)
			return d, nil
		}
		if err != nil {
			return d, err
		}
		if e.kind != file || !s.takes(e.path) {
			continue
		}
		sum, n, err := r.one(ctx, e.path)
		if err != nil {
			return d, err
		}
		d.Files++
		d.Bytes += n
		all.Write([]byte(e.path))
		all.Write([]byte{0})
		all.Write(sum)
	}
}

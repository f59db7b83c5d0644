package replicate

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/understudy-ha/understudy/internal/statefile"
)

// base is the state of a dataset at which this node and another one were the
// same for the last time. Each of the two has it, so what one of them alone has
// written since can be told: it is what differs from there.
type base struct {
	At     time.Time        `json:"at"`               // no write before it is missing on either side
	Root   string           `json:"root,omitempty"`   // of a tree; its manifest is in a file
	Digest string           `json:"digest,omitempty"` // of a dump
	Counts map[string]int64 `json:"counts,omitempty"` // of a dump

	// Fetched says that this node made its own from the other's dump: a dump of
	// the same data that this node makes may be written otherwise.
	Fetched bool `json:"fetched,omitempty"`
}

// name is what both sides know it by; "" if there was none.
func (b base) name() string { return b.Root + b.Digest }

// baseAt names the manifest of a base.
type baseAt struct{ dir, peer, dataset, root string }

// file is where it is kept. The name is made of what no node chooses alone.
func (b baseAt) file() string {
	sum := sha256.Sum256([]byte(b.peer + "\x00" + b.dataset + "\x00" + b.root))
	return filepath.Join(b.dir, "base", fmt.Sprintf("%x", sum[:16]))
}

// keepBase notes that a tree is the same on both sides now, unless that is known.
// write writes its manifest.
func keepBase(at baseAt, known base, write func(path string) error) error {
	path := at.file()
	if _, err := os.Stat(path); err == nil && known.Root == at.root {
		return nil
	}
	if err := statefile.MakeDir(filepath.Dir(path), 0o750); err != nil {
		return err
	}
	err := write(path + ".next")
	if err == nil {
		err = os.Rename(path+".next", path)
	}
	if err != nil {
		_ = os.Remove(path + ".next")
		return fmt.Errorf("keep what is the same on both sides: %w", err)
	}
	return nil
}

// forgetBases removes the manifests that nothing in the book names.
func (r *Replica) forgetBases() error {
	keep := map[string]bool{}
	for name, rec := range r.Book.read().Datasets {
		for peer, b := range rec.Base {
			keep[filepath.Base(baseAt{r.Dir, peer, name, b.Root}.file())] = true
		}
	}
	return removeBut(filepath.Join(r.Dir, "base"), keep)
}

// without copies a manifest, less the paths in out.
func without(from, to string, out map[string]bool) error {
	m, err := openManifest(from)
	if err != nil {
		return err
	}
	defer m.close()
	w, err := newManifest(to)
	if err != nil {
		return err
	}
	for {
		e, err := m.next()
		switch {
		case errors.Is(err, io.EOF):
			return w.close()
		case err == nil && !out[e.path]:
			err = w.add(e)
		}
		if err != nil {
			_ = w.close()
			return err
		}
	}
}

// taken notes what the peer has taken in this session, which is the same on both
// sides now.
func (v *serving) taken(t Taken) error {
	bases := map[string]base{}
	for name, o := range v.offers {
		set := v.set(name)
		if set == nil || o.Tree == "" {
			continue
		}
		b := base{At: v.began, Digest: o.Digest, Counts: o.Counts}
		if set.Tree != "" {
			last, walked := v.walks[name]
			if !walked {
				continue
			}
			b = base{At: v.began, Root: last.root}
			err := keepBase(baseAt{v.Dir, v.peer, name, b.Root}, v.Book.record(name).Base[v.peer], func(path string) error {
				return without(manifestOf(v.Dir, name), path, last.out)
			})
			if err != nil {
				return err
			}
		}
		bases[name] = b
	}
	return v.Book.change(func(p *pages) {
		p.Taken = &t
		for name, b := range bases {
			r := p.Datasets[name].with(v.peer, b)
			r.Served = r.Served || v.active // it may have been started before there was any copy: see Alone
			p.Datasets[name] = r
		}
	})
}

// with gives a record that knows a base.
func (r record) with(peer string, b base) record {
	all := map[string]base{peer: b}
	for other, was := range r.Base {
		if other != peer {
			all[other] = was
		}
	}
	r.Base = all
	return r
}

// after gives a record that replaces another one at the end of a run: what is
// known of other nodes than the one it came from stays.
func (r record) after(was record, from string) record {
	b, known := r.Base[from]
	r.Base = was.Base
	if known {
		r = r.with(from, b)
	}
	return r
}

// lastWalk is what taken has to know of the last walk of a session.
type lastWalk struct {
	root string
	out  map[string]bool // what does not count for the root
}

// note remembers a walk.
func (v *serving) note(dataset string, w walked, out map[string]bool) {
	out = mergedPaths(out, w.New, w.Changed)
	v.walks[dataset] = lastWalk{w.Root, out}
}

func mergedPaths(all map[string]bool, more ...[][]byte) map[string]bool {
	for _, path := range slices.Concat(more...) {
		all[string(path)] = true
	}
	return all
}

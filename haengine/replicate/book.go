package replicate

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/understudy-ha/understudy/internal/statefile"
)

// Generation is one committed copy of all datasets.
type Generation struct {
	Number    uint64    `json:"number"`
	Source    string    `json:"source"`
	Epoch     uint64    `json:"epoch"`             // of the source
	Release   string    `json:"release,omitempty"` // of the application there
	AsOf      time.Time `json:"as_of"`             // no write before it is missing
	Committed time.Time `json:"committed"`
	Root      string    `json:"root"` // digest of all datasets: the same on both sides
	Changes   []Change  `json:"changes,omitempty"`
}

// record is what a node knows of a dataset.
type record struct {
	ID      string            `json:"id,omitempty"`      // of a tree's marker
	Volumes map[string]string `json:"volumes,omitempty"` // by node: what its tree is on
	Live    uint64            `json:"live,omitempty"`    // the folder in force that is known to be as the source's; 0: somebody may have written to it
	Root    string            `json:"root,omitempty"`    // of the copy in force
	Digest  string            `json:"digest,omitempty"`  // the offer's, of the copy in force
	Counts  map[string]int64  `json:"counts,omitempty"`  // of the copy in force
	Dump    string            `json:"dump,omitempty"`    // the last dump, to compare the next with
	Left    string            `json:"left,omitempty"`    // what a run that did not end had staged
	Boot    string            `json:"boot,omitempty"`    // of the machine, at which Left was left
	Base    map[string]base   `json:"base,omitempty"`    // by node: when both were the same; never changed, only replaced
	Served  bool              `json:"served,omitempty"`  // the node may have served with it since
}

// pages is what a Book keeps on disk.
type pages struct {
	Version     int               `json:"version"`
	Attempt     uint64            `json:"attempt"` // the number of the newest run
	Current     uint64            `json:"current"` // the generation in force; 0: none
	AsOf        time.Time         `json:"as_of,omitzero"`
	Equal       time.Time         `json:"equal,omitzero"`        // when both sides were last seen to be the same
	Dirty       bool              `json:"dirty,omitempty"`       // the data in force is not as it was copied
	Rolled      bool              `json:"rolled_back,omitempty"` // for an older generation was put into force, not for the application ran
	Generations []Generation      `json:"generations,omitempty"` // the oldest first
	Datasets    map[string]record `json:"datasets,omitempty"`
	Taken       *Taken            `json:"taken,omitempty"` // by the node that stands by for this one
	Archives    []Archive         `json:"archives,omitempty"`
}

// Book is what a node knows of its datasets and generations, on disk. Several
// goroutines may use it.
type Book struct {
	path string

	mu sync.Mutex // guards the field below and the file
	p  pages
}

const (
	bookFile  = "book.json"
	bookLimit = 8 << 20
)

// OpenBook reads the book in a folder, which it makes if need be.
func OpenBook(dir string) (*Book, error) {
	if err := statefile.MakeDir(dir, 0o750); err != nil {
		return nil, err
	}
	b := &Book{path: filepath.Join(dir, bookFile)}
	text, err := statefile.Read(b.path, bookLimit)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		b.p = pages{Version: protocol, Datasets: map[string]record{}}
		return b, nil
	case err != nil:
		return nil, err
	}
	if err := json.Unmarshal(text, &b.p); err != nil || b.p.Version != protocol {
		return nil, fmt.Errorf("%s is damaged or of another release: bring it back from a backup, or remove it to copy everything anew (version %d, %w)", b.path, b.p.Version, err)
	}
	if b.p.Datasets == nil {
		b.p.Datasets = map[string]record{}
	}
	return b, nil
}

// read gives what is kept; its parts must not be changed.
func (b *Book) read() pages {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.p
	p.Generations, p.Datasets = slices.Clone(p.Generations), maps.Clone(p.Datasets)
	return p
}

// change stores what change makes of the pages. On an error nothing has
// changed.
func (b *Book) change(change func(*pages)) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.p
	p.Generations, p.Datasets = slices.Clone(p.Generations), maps.Clone(p.Datasets)
	change(&p)
	text, err := json.Marshal(p)
	if err != nil {
		return err
	}
	if err := statefile.Write(b.path, text, 0o640); err != nil {
		return err
	}
	b.p = p
	return nil
}

// Counts gives the rows and files of the copy in force, each by its dataset and
// its own name.
func (b *Book) Counts() map[string]int64 {
	all := map[string]int64{}
	for dataset, r := range b.read().Datasets {
		for name, n := range r.Counts {
			all[dataset+" "+name] = n
		}
	}
	return all
}

func (b *Book) record(name string) record {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.p.Datasets[name]
}

// note changes what is known of one dataset.
func (b *Book) note(name string, change func(*record)) error {
	return b.change(func(p *pages) {
		r := p.Datasets[name]
		r.Volumes = maps.Clone(r.Volumes)
		change(&r)
		p.Datasets[name] = r
	})
}

// Serve notes that the application is going to write to the data: from now on
// the data in force is no copy of anybody's. What it writes to the named datasets
// is not lost without a word: see [Archive].
func (b *Book) Serve(datasets ...string) error {
	p := b.read()
	clean := !p.Dirty || p.Rolled
	for _, r := range p.Datasets {
		clean = clean || r.Live != 0 || r.Digest != ""
	}
	for _, name := range datasets {
		clean = clean || !p.Datasets[name].Served
	}
	if !clean {
		return nil
	}
	return b.change(func(p *pages) {
		p.Dirty, p.Rolled = true, false
		for _, name := range datasets {
			r := p.Datasets[name]
			r.Served = true
			p.Datasets[name] = r
		}
		for name, r := range p.Datasets {
			r.Live, r.Digest = 0, ""
			p.Datasets[name] = r
		}
	})
}

// identify gives the identity of a tree that is to be offered. A tree gets one
// when the node serves and never had one; a tree that had one and has none now
// has lost its data.
func (b *Book) identify(set Set, active bool) (string, error) {
	if _, err := os.Stat(set.Tree); errors.Is(err, fs.ErrNotExist) {
		return "", &Refused{Guard, fmt.Sprintf("%s is not there on the source: mount or restore it", set.Tree)}
	}
	there, err := readMarker(set.Tree)
	known := b.record(set.Name).ID
	switch {
	case err != nil:
		return "", err
	case there != "" && there == known:
		return there, nil
	case there == "" && known != "":
		return "", &Refused{Guard, fmt.Sprintf("%s on the source has lost its marker %s: the volume is not mounted, or it was emptied; mount or restore it, or if it is right as it is, write %s into that file", set.Tree, markerName, known)}
	case there != "" && known != "":
		return "", &Refused{Guard, fmt.Sprintf("%s on the source holds another dataset than before: its marker %s says %s instead of %s", set.Tree, markerName, there, known)}
	case there == "" && !active:
		return "", fmt.Errorf("%s has never been copied to this node, and the node does not serve: sync it first", set.Tree)
	case there == "":
		if there, err = mark(set.Tree); err != nil {
			return "", fmt.Errorf("mark the dataset: %w", err)
		}
	}
	return there, b.note(set.Name, func(r *record) { r.ID = there })
}

package replicate

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"
)

// Diverged is what one node alone has of a dataset: it was written there while
// the other one did not fetch any more. Lists are bounded, counts are not.
type Diverged struct {
	Dataset string    `json:"dataset"`
	Type    string    `json:"type"`
	Since   time.Time `json:"since,omitzero"` // both sides were the same then; zero: not known, so what the other side has changed counts too

	// Of a tree.
	Files  int64          `json:"files,omitempty"` // and links: only here, or not as they are there
	Bytes  int64          `json:"bytes,omitempty"` // in them
	Gone   int64          `json:"gone,omitempty"`  // deleted here, and still there
	Oldest time.Time      `json:"oldest,omitzero"` // change among the files
	Newest time.Time      `json:"newest,omitzero"`
	Latest []DivergedFile `json:"latest,omitempty"` // the newest first

	// Of a database.
	Tables  []DivergedTable `json:"tables,omitempty"` // that have not as many rows as there, or as then; those with most rows of their own first
	More    int             `json:"more,omitempty"`   // tables that are not listed
	Rewrote bool            `json:"rewrote,omitempty"`

	Folder string `json:"folder,omitempty"` // of an archive: where it is
}

// DivergedFile is one file that only one node has as it is.
type DivergedFile struct {
	Path    string    `json:"path"` // odd bytes are written as escapes
	Bytes   int64     `json:"bytes"`
	Changed time.Time `json:"changed"`
	Only    bool      `json:"only,omitempty"` // the other node has none of that name
}

// DivergedTable compares the rows of a table.
type DivergedTable struct {
	Name  string `json:"name"`
	Here  int64  `json:"here"`
	Then  int64  `json:"then"`  // when both sides were the same; -1: not known
	There int64  `json:"there"` // on the other node; -1: not known
}

// The bounds of what is listed.
const (
	mostLatest = 20
	mostListed = 50
)

// None says whether nothing is only here.
func (d Diverged) None() bool {
	return d.Files == 0 && d.Gone == 0 && len(d.Tables) == 0 && !d.Rewrote
}

// Words says it in a line.
func (d Diverged) Words() string {
	if d.None() {
		return "nothing is only here"
	}
	var text string
	add := func(format string, args ...any) {
		if text != "" {
			text += "; "
		}
		text += fmt.Sprintf(format, args...)
	}
	if d.Files > 0 {
		add("%d files, %s, changed from %s to %s", d.Files, size(d.Bytes), clock(d.Oldest), clock(d.Newest))
	}
	if d.Gone > 0 {
		add("%d deleted here only", d.Gone)
	}
	for i, t := range d.Tables {
		if i == 3 {
			add("%d more tables", len(d.Tables)-i+d.More)
			break
		}
		add("%s has %d rows", t.Name, t.Here)
		if t.Then >= 0 {
			text += fmt.Sprintf(", had %d", t.Then)
		}
		if t.There >= 0 {
			text += fmt.Sprintf(", there %d", t.There)
		}
	}
	if d.Rewrote && len(d.Tables) == 0 {
		add("rows were changed, and no table has more or fewer")
	}
	return text
}

func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// meet counts a file.
func (d *Diverged) meet(e entry, only bool) {
	at := time.Unix(0, e.mtime).UTC()
	d.Files++
	d.Bytes += e.size
	if d.Files == 1 || at.Before(d.Oldest) {
		d.Oldest = at
	}
	if d.Files == 1 || at.After(d.Newest) {
		d.Newest = at
	}
	at2 := slices.IndexFunc(d.Latest, func(f DivergedFile) bool { return f.Changed.Before(at) })
	if at2 < 0 {
		at2 = len(d.Latest)
	}
	if at2 < mostLatest {
		d.Latest = slices.Insert(d.Latest, at2, DivergedFile{quoted(e.path), e.size, at, only})
		d.Latest = d.Latest[:min(len(d.Latest), mostLatest)]
	}
}

// count compares rows. there and then may be nil: not known.
func (d *Diverged) count(here, then, there map[string]int64) {
	of := func(counts map[string]int64, name string) int64 {
		if counts == nil {
			return -1
		}
		return counts[name]
	}
	all := merged(merged(here, then), there)
	var tables []DivergedTable
	for _, name := range slices.Sorted(maps.Keys(all)) {
		t := DivergedTable{quoted(name), here[name], of(then, name), of(there, name)}
		if t.Then >= 0 && t.Then != t.Here || t.There >= 0 && t.There != t.Here {
			tables = append(tables, t)
		}
	}
	slices.SortStableFunc(tables, func(a, b DivergedTable) int { return cmp.Compare(b.own(), a.own()) })
	d.More = max(0, len(tables)-mostListed)
	d.Tables = tables[:len(tables)-d.More]
}

// own is by how much a table has more rows than it had, or than there.
func (t DivergedTable) own() int64 { return t.Here - max(t.Then, t.There) }

// alone finds out what of a tree is only here: what is neither as it is there nor
// as it was when both sides were the same. there or then may be nil: not known.
// gone is what was deleted here since, and is there.
func alone(here *manifest, there, then *against, meet func(e entry, only bool) error) (gone int64, err error) {
	if then != nil {
		then.skip = func(e entry) error {
			if e.kind == folder {
				return nil
			}
			is, err := seek(there, e.path)
			if is != nil || there == nil {
				gone++
			}
			return err
		}
	}
	for {
		e, err := here.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return gone, err
		}
		was, err := seek(then, e.path)
		if err != nil {
			return gone, err
		}
		is, err := seek(there, e.path)
		if err != nil {
			return gone, err
		}
		if e.kind == folder || was != nil && was.alike(e) || is != nil && is.alike(e) {
			continue
		}
		if err := meet(e, there != nil && is == nil); err != nil {
			return gone, err
		}
	}
	if then != nil {
		err = then.rest()
	}
	return gone, err
}

func seek(a *against, path string) (*entry, error) {
	if a == nil {
		return nil, nil
	}
	return a.find(path)
}

// alike says whether two entries have the same content and rights, whoever owns
// them and however often they are linked.
func (e entry) alike(o entry) bool {
	e.uid, e.gid, e.hard, o.uid, o.gid, o.hard = 0, 0, 0, 0, 0, 0
	return e.same(o)
}

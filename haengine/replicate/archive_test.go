package replicate

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// back is the pair after a failover: core2 serves at a higher epoch, core1 has
// come back and stands by. What the application writes on either side from now
// on has served.
func (d *duo) back(t *testing.T) *duo {
	t.Helper()
	b := &duo{source: d.sink, sink: d.source}
	b.source.be(func(f *Facts) { f.Epoch, f.Active, f.Standby = f.Epoch+1, true, false })
	b.sink.be(func(f *Facts) { f.Active, f.Standby = false, true })
	sets := d.cfg.Sets
	b.src = &Source{Dir: d.sink.dir, Sets: sets, Book: d.sink.book, Log: quiet(), Facts: b.source.tell}
	b.serve(t)
	b.remote.Args = append(b.remote.Args, "as=core1")
	b.cfg = Config{Dir: d.source.dir, Sets: d.src.Sets, Book: d.source.book, Facts: b.sink.tell, Log: quiet()}
	for _, one := range []*side{b.source, b.sink} {
		var names []string
		for _, s := range sets {
			names = append(names, s.Name)
		}
		must(t, one.book.Serve(names...))
	}
	return b
}

// from syncs core1 from core2.
func from2(o *Order) { o.From = "core2" }

// exported gives the files of an archive by their names.
func exported(t *testing.T, r *Replica, generation uint64) map[string]string {
	t.Helper()
	var b bytes.Buffer
	must(t, r.ExportArchive(t.Context(), generation, &b))
	all := map[string]string{}
	for in := tar.NewReader(&b); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		must(t, err)
		text, err := io.ReadAll(in)
		must(t, err)
		if h.Typeflag == tar.TypeSymlink {
			text = []byte("-> " + h.Linkname)
		}
		if h.Typeflag != tar.TypeDir {
			all[h.Name] = string(text)
		}
	}
}

func TestWhatOnlyTheReturnedNodeHasIsKeptBeforeItIsReplaced(t *testing.T) {
	t.Parallel()
	d := newDuo(t)
	odd := "odd\n\xff name"
	put(t, d.source.tree, map[string]string{"same": "1", "both": "1", "theirs": "1", "gone there": "1", "gone here": "1", "touched": "1"})
	d.sync(t, Success)
	// core1 writes on, and dies; nobody has fetched that.
	put(t, d.source.tree, map[string]string{"mine/deep/new": "only here", "both": "mine", odd: "odd"})
	must(t, os.Symlink("/etc/passwd", filepath.Join(d.source.tree, "mine/link")))
	must(t, os.Remove(filepath.Join(d.source.tree, "gone here")))
	// core2 serves, and writes too.
	b := d.back(t)
	put(t, b.source.tree, map[string]string{"both": "theirs", "theirs": "2", "new there": "2"})
	must(t, os.Remove(filepath.Join(b.source.tree, "gone there")))

	own, err := b.replica(t).Own(t.Context(), "core2")
	must(t, err)
	if len(own) != 1 || own[0].Files != 4 || own[0].Gone != 1 || own[0].Since.IsZero() {
		t.Errorf("before it is replaced: %+v", own)
	}
	r := b.sync(t, Success, from2)
	equalTrees(t, b.source.tree, b.sink.tree)
	archives := b.replica(t).State().Archives
	if len(archives) != 1 || archives[0].Generation != r.Generation || archives[0].From != "core2" || len(archives[0].Datasets) != 1 {
		t.Fatalf("got %+v\n%s", archives, tasks(r))
	}
	got := archives[0].Datasets[0]
	if got.Files != 4 || got.Gone != 1 || len(got.Latest) != 4 || got.Since.IsZero() || got.Newest.Before(got.Oldest) {
		t.Errorf("got %+v", got)
	}
	if !strings.Contains(r.Detail, "failover diverged") || !strings.Contains(tasks(r), "4 files") {
		t.Errorf("it says %q\n%s", r.Detail, tasks(r))
	}
	files := exported(t, b.replica(t), r.Generation)
	var report Archive
	must(t, json.Unmarshal([]byte(files[ReportFile]), &report))
	delete(files, ReportFile)
	want := map[string]string{"files/mine/deep/new": "only here", "files/mine/link": "-> /etc/passwd", "files/both": "mine", "files/" + odd: "odd"}
	if len(files) != len(want) {
		t.Errorf("exported %q", files)
	}
	for name, text := range want {
		if files[name] != text {
			t.Errorf("%q is %q, want %q", name, files[name], text)
		}
	}

	// Retention, a rollback and another sync leave it; a person drops it.
	for i := range 5 {
		put(t, b.source.tree, map[string]string{"theirs": strings.Repeat("x", i+3)})
		b.sync(t, Success, from2)
	}
	if files := exported(t, b.replica(t), r.Generation); files["files/both"] != "mine" {
		t.Errorf("after retention: %q", files)
	}
	if len(b.replica(t).State().Archives) != 1 {
		t.Errorf("a clean copy was kept too: %+v", b.replica(t).State().Archives)
	}
	if err := b.replica(t).DropArchive(r.Generation + 1); err == nil || !strings.Contains(err.Error(), "no archive") {
		t.Errorf("got %v", err)
	}
	must(t, b.replica(t).DropArchive(r.Generation))
	if _, err := os.Stat(got.Folder); !os.IsNotExist(err) {
		t.Errorf("it is still there: %v", err)
	}
	if len(b.replica(t).State().Archives) != 0 {
		t.Error("it is still listed")
	}
}

// The tar file brings attributes and access lists; GNU tar restores them.
func TestAnExportedArchiveHasAttributesAndAccessLists(t *testing.T) {
	t.Parallel()
	d := newDuo(t)
	put(t, d.source.tree, map[string]string{"a": "1"})
	d.sync(t, Success)
	put(t, d.source.tree, map[string]string{"mine": "1"})
	mine := filepath.Join(d.source.tree, "mine")
	must(t, unix.Setxattr(mine, "user.colour", []byte("red\x00blue"), 0))
	must(t, unix.Setxattr(mine, acls[0], accessList, 0))
	b := d.back(t)
	r := b.sync(t, Success, from2)
	file, to := filepath.Join(t.TempDir(), "kept.tar"), t.TempDir()
	out, err := os.Create(file)
	must(t, err)
	must(t, errors.Join(b.replica(t).ExportArchive(t.Context(), r.Generation, out), out.Close()))
	said, err := exec.Command("tar", "--xattrs", "--acls", "-C", to, "-xf", file).CombinedOutput()
	if err != nil || len(said) > 0 {
		t.Fatalf("tar: %v: %s", err, said)
	}
	value := make([]byte, 100)
	for name, want := range map[string]string{"user.colour": "red\x00blue", acls[0]: string(accessList)} {
		n, err := unix.Getxattr(filepath.Join(to, "files/mine"), name, value)
		if err != nil || string(value[:n]) != want {
			t.Errorf("%s is %q, %v", name, value[:max(n, 0)], err)
		}
	}
}

func TestAnAccessListIsWrittenAsText(t *testing.T) {
	t.Parallel()
	if got, err := listText(accessList); err != nil || got != "user::rw-,user:1:r--,group::r--,mask::r--,other::r--" {
		t.Errorf("got %q, %v", got, err)
	}
	for _, bad := range []string{"", "\x02\x00\x00\x00\x01", "\x01\x00\x00\x00", "\x02\x00\x00\x00\x03\x00\x07\x00\x00\x00\x00\x00"} {
		if got, err := listText([]byte(bad)); err == nil {
			t.Errorf("%q is %q", bad, got)
		}
	}
}

// A file that must not be linked, here as one to which is only added, is copied
// with all that belongs to it.
func TestWhatCannotBeLinkedIsKeptAsACopy(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root makes such a file")
	}
	t.Parallel()
	dir := t.TempDir()
	put(t, dir, map[string]string{"from": "1"})
	in, err := os.Open(filepath.Join(dir, "from"))
	must(t, err)
	defer in.Close()
	must(t, unix.Fsetxattr(int(in.Fd()), "user.colour", []byte("red"), 0))
	const appendOnly = 0x20
	must(t, unix.IoctlSetPointerInt(int(in.Fd()), unix.FS_IOC_SETFLAGS, appendOnly))
	defer func() { must(t, unix.IoctlSetPointerInt(int(in.Fd()), unix.FS_IOC_SETFLAGS, 0)) }()
	root, err := os.OpenRoot(dir)
	must(t, err)
	defer root.Close()
	if err := root.Link("from", "link"); !errors.Is(err, unix.EPERM) {
		t.Fatalf("it can be linked: %v", err)
	}
	must(t, keepFile(root, "from", "kept/to"))
	out, err := root.Open("kept/to")
	must(t, err)
	defer out.Close()
	if got, err := attributesOf(out); err != nil || got["user.colour"] != "red" || has(t, filepath.Join(dir, "kept/to")) != "1" {
		t.Errorf("got %q, %v", got, err)
	}
}

// A planned swap copies everything before the roles change, so that the sync
// after it has nothing to keep.
func TestAfterAPlannedSwapNothingIsOnlyHere(t *testing.T) {
	t.Parallel()
	all := engines(t)
	all = all[:3] // of exec both nodes have the same commands in this test
	d := dataDuo(t, all...)
	d.src.Sets = append(d.src.Sets, d.source.set)
	d.cfg.Sets = append(d.cfg.Sets, d.sink.set)
	must(t, d.src.Open())
	put(t, d.source.tree, map[string]string{"a": "1", "b": "1"})
	d.sync(t, Success)
	put(t, d.source.tree, map[string]string{"a": "2"})
	for _, e := range all {
		e.put(t, 5, "before the swap")
	}
	d.sync(t, Success)
	b := d.back(t)
	put(t, b.source.tree, map[string]string{"b": "2", "c": "2"})
	r := b.sync(t, Success, from2)
	if got := b.replica(t).State().Archives; len(got) != 0 {
		t.Errorf("kept %+v\n%s", got, tasks(r))
	}
	if strings.Count(tasks(r), "nothing is only here") != 4 {
		t.Errorf("%s", tasks(r))
	}
}

func TestRowsThatOnlyTheReturnedNodeHasAreKeptAsADump(t *testing.T) {
	t.Parallel()
	all := engines(t)[:3]
	d := dataDuo(t, all...)
	d.sync(t, Success)
	for _, e := range all {
		e.put(t, 1000, "only here")
		e.put(t, 7, "rewritten here")
	}
	b := d.back(t)
	own, err := b.replica(t).Own(t.Context(), "core2")
	must(t, err)
	for _, one := range own {
		if !slices.ContainsFunc(one.Tables, func(t DivergedTable) bool {
			return strings.HasSuffix(t.Name, "devices") && t.Here == 151 && t.Then == 150 && t.There == -1
		}) {
			t.Errorf("before it is replaced: %+v", one)
		}
	}
	r := b.sync(t, Success, from2)
	archives := b.replica(t).State().Archives
	if len(archives) != 1 || len(archives[0].Datasets) != len(all) {
		t.Fatalf("got %+v\n%s", archives, tasks(r))
	}
	for i, got := range archives[0].Datasets {
		if !got.Rewrote || !slices.ContainsFunc(got.Tables, func(t DivergedTable) bool {
			return strings.HasSuffix(t.Name, "devices") && t == (DivergedTable{t.Name, 151, 150, 150})
		}) {
			t.Errorf("%s: %+v", all[i].kind, got)
		}
	}
	files := exported(t, b.replica(t), r.Generation)
	found := map[string]bool{}
	for name, text := range files {
		if dataset, _, _ := strings.Cut(name, "/"); strings.Contains(text, "rewritten here") {
			found[dataset] = true
		}
	}
	if len(found) != len(all) {
		t.Errorf("the rows are in %v", found)
	}
	for _, e := range all {
		if strings.Contains(e.there(t), "only here") {
			t.Errorf("%s: not replaced", e.kind)
		}
	}
}

// A stand-by that has served need not have the databases: none was ever made, or
// somebody has dropped them.
func TestADatabaseThatIsNotThereHasNothingToKeep(t *testing.T) {
	t.Parallel()
	all := engines(t)[:3]
	d := dataDuo(t, all...)
	var names []string
	for _, s := range d.cfg.Sets {
		names = append(names, s.Name)
	}
	nothing := func(r Report, at *duo) {
		t.Helper()
		if got := at.replica(t).State().Archives; len(got) != 0 || strings.Count(tasks(r), "nothing is only here") != len(all) {
			t.Errorf("kept %+v\n%s", got, tasks(r))
		}
	}
	must(t, d.sink.book.Serve(names...))
	nothing(d.sync(t, Success), d)

	b := d.back(t)
	pg, maria, lite := b.cfg.Sets[0].Dataset.(*Postgres), b.cfg.Sets[1].Dataset.(*MariaDB), b.cfg.Sets[2].Dataset.(*SQLite)
	pgRun(t, pg, pgMaintenance, "DROP DATABASE "+pg.Database+" WITH (FORCE)")
	mariaRun(t, maria, "DROP DATABASE "+maria.Database)
	must(t, os.RemoveAll(lite.tree))
	own, err := b.replica(t).Own(t.Context(), "core2")
	must(t, err)
	for _, one := range own {
		if !one.None() {
			t.Errorf("before the sync: %+v", one)
		}
	}
	nothing(b.sync(t, Success, from2), b)
}

// Of several databases in a folder those are kept that are there.
func TestOfAFolderThoseDatabasesAreKeptThatAreThere(t *testing.T) {
	t.Parallel()
	folder, _ := liteMade(t, devices)
	put(t, folder, map[string]string{"empty.db": ""})
	s, err := NewSQLite(folder, "app.db", "empty.db", "missing.db")
	must(t, err)
	o, some, err := s.OfferOwn(t.Context(), t.TempDir())
	if err != nil || !some || len(o.Counts) != 1 || o.Counts["app.db/devices"] != 2000 {
		t.Errorf("got %+v, %t, %v", o, some, err)
	}
	if _, err := s.Offer(t.Context(), t.TempDir()); err == nil {
		t.Error("it is offered to others though one is missing")
	}
}

// What a server wrote before it had a role is the oldest generation, and no more
// than that; what it wrote to what was a copy once is not lost so easily.
func TestANodeThatWasNeverActiveHasNothingOfItsOwn(t *testing.T) {
	t.Parallel()
	d := newDuo(t)
	put(t, d.source.tree, map[string]string{"a": "1"})
	put(t, d.sink.tree, map[string]string{"was here": "1"})
	must(t, d.replica(t).Alone())
	r := d.sync(t, Success)
	if got := d.replica(t).State(); len(got.Archives) != 0 || strings.Contains(tasks(r), "keep") {
		t.Errorf("kept %+v\n%s", got.Archives, tasks(r))
	}
	_, err := d.replica(t).Rollback(t.Context(), 0)
	must(t, err)
	if got := has(t, filepath.Join(d.sink.tree, "was here")); got != "1" {
		t.Errorf("after a rollback it is %q", got)
	}
	d.sync(t, Success)
	if !d.source.book.record("files").Served || d.sink.book.record("files").Served {
		t.Error("who was copied from while it served has something of its own from then on, and nobody else")
	}
	must(t, d.replica(t).Alone())
	put(t, d.sink.tree, map[string]string{"written alone": "1"})
	d.sync(t, Success)
	if got := d.replica(t).State().Archives; len(got) != 1 || got[0].Datasets[0].Files != 1 {
		t.Errorf("kept %+v", got)
	}
}

func TestWhatAPersonGivesUpIsNotKept(t *testing.T) {
	t.Parallel()
	d := newDuo(t)
	put(t, d.source.tree, map[string]string{"a": "1"})
	d.sync(t, Success)
	put(t, d.source.tree, map[string]string{"mine": "1"})
	b := d.back(t)
	r := b.sync(t, Success, from2, func(o *Order) { o.Discard = true })
	if got := b.replica(t).State(); len(got.Archives) != 0 || got.Served || !strings.Contains(tasks(r), "Discarded") {
		t.Errorf("got %+v\n%s", got, tasks(r))
	}
}

func TestWhatAnApplicationWroteThatWasOnlyLookedAtIsNotKept(t *testing.T) {
	t.Parallel()
	d := newDuo(t)
	put(t, d.source.tree, map[string]string{"a": "1"})
	d.sync(t, Success)
	must(t, d.replica(t).Try())
	put(t, d.sink.tree, map[string]string{"log": "started"})
	put(t, d.source.tree, map[string]string{"a": "2"})
	d.sync(t, Success)
	if got := d.replica(t).State().Archives; len(got) != 0 {
		t.Errorf("got %+v", got)
	}
	equalTrees(t, d.source.tree, d.sink.tree)
}

// Where it is not known when both were the same, everything counts that is not as
// it is there: too much is kept rather than too little.
func TestWithoutACommonStateEverythingThatDiffersIsKept(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(b *duo){
		"the returned node has forgotten": func(b *duo) { must(t, os.RemoveAll(filepath.Join(b.sink.dir, "base"))) },
		"the other one has forgotten": func(b *duo) {
			must(t, b.source.book.note("files", func(r *record) { r.Base = nil }))
		},
		"they speak of different states": func(b *duo) {
			must(t, b.source.book.note("files", func(r *record) { *r = r.with("core1", base{At: time.Now(), Root: "another"}) }))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDuo(t)
			put(t, d.source.tree, map[string]string{"a": "1", "b": "1", "c": "1"})
			d.sync(t, Success)
			put(t, d.source.tree, map[string]string{"mine": "1"})
			b := d.back(t)
			put(t, b.source.tree, map[string]string{"b": "changed there"})
			must(t, os.Remove(filepath.Join(b.source.tree, "c")))
			lose(b)
			r := b.sync(t, Success, from2)
			got := b.replica(t).State().Archives
			if len(got) != 1 || got[0].Datasets[0].Files != 3 || !got[0].Datasets[0].Since.IsZero() {
				t.Errorf("got %+v\n%s", got, tasks(r))
			}
		})
	}
}

// A run is ended at each of its steps: either nothing is replaced, or what only
// this node had is in an archive.
func TestNothingIsReplacedUnkeptWhereverARunIsCutOff(t *testing.T) {
	t.Parallel()
	cut := errors.New("cut off")
	for at := 0; ; at++ {
		d := newDuo(t)
		put(t, d.source.tree, map[string]string{"a": "1"})
		d.sync(t, Success)
		put(t, d.source.tree, map[string]string{"mine": "only here"})
		b := d.back(t)
		put(t, b.source.tree, map[string]string{"a": "2"})
		n, last := 0, "over"
		b.cfg.step = func(step string) error {
			if n++; n > at {
				last = step
				return cut
			}
			return nil
		}
		b.replica(t).Run(t.Context(), Order{From: "core2"}, b.how)
		b.cfg.step = nil
		r := b.replica(t) // rolls forward or discards
		kept := r.State().Archives
		switch here := has(t, filepath.Join(b.sink.tree, "mine")); {
		case here == "only here" && len(kept) == 0:
		case here == "-" && len(kept) == 1 && exported(t, r, kept[0].Generation)["files/mine"] == "only here":
		default:
			t.Fatalf("cut off after %s: here is %q, kept are %+v", last, here, kept)
		}
		b.sync(t, Success, from2)
		if kept := b.replica(t).State().Archives; len(kept) != 1 {
			t.Fatalf("cut off after %s, and then a sync: kept are %+v", last, kept)
		}
		entries, err := os.ReadDir(shelf(b.sink.tree))
		must(t, err)
		if len(entries) > 3 {
			t.Errorf("cut off after %s the shelf holds %v", last, entries)
		}
		if last == "over" {
			return
		}
	}
}

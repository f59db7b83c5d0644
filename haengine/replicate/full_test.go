package replicate

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// fill fills a file system to its last block, until free is called.
func fill(t testing.TB, at string) (free func()) {
	t.Helper()
	path := filepath.Join(at, "filler")
	f, err := os.Create(path)
	must(t, err)
	defer f.Close()
	for size := 1 << 20; size > 0; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			if !errors.Is(err, syscall.ENOSPC) {
				t.Fatal(err)
			}
			size /= 2
		}
	}
	_ = f.Sync() // what was put off is counted now
	return func() { must(t, os.Remove(path)) }
}

// returned is a pair whose core1 has come back: what only it has is kept by the
// next sync. Everything of core1 is in a folder.
func returned(t *testing.T, at string) *duo {
	t.Helper()
	d := newDuoOf(t, newSide(t, at, "core1"), newSide(t, t.TempDir(), "core2"))
	for n := range 20 {
		put(t, d.source.tree, map[string]string{fmt.Sprintf("d/%d", n): strings.Repeat("old", 1000)})
	}
	d.sync(t, Success)
	for n := range 20 {
		put(t, d.source.tree, map[string]string{fmt.Sprintf("mine/%d/%d", n, n): strings.Repeat("mine", 1000)})
	}
	b := d.back(t)
	for n := range 20 {
		put(t, b.source.tree, map[string]string{fmt.Sprintf("d/%d", n): strings.Repeat("new", 1000), fmt.Sprintf("e/%d", n): "more"})
	}
	return b
}

// afresh is what a new process finds.
func (d *duo) afresh(t *testing.T) {
	t.Helper()
	book, err := OpenBook(d.sink.dir)
	must(t, err)
	d.cfg.Book, d.sink.book, d.cfg.step = book, book, nil
}

// keptWhole says whether what only core1 had is in an archive, as a whole.
func (d *duo) keptWhole(t *testing.T) bool {
	t.Helper()
	r := d.replica(t)
	all := r.State().Archives
	if len(all) != 1 {
		return false
	}
	files := exported(t, r, all[0].Generation)
	for n := range 20 {
		if files[fmt.Sprintf("files/mine/%d/%d", n, n)] != strings.Repeat("mine", 1000) {
			return false
		}
	}
	return true
}

// archivesAt lists what looks like an archive on the shelf of a tree.
func archivesAt(t *testing.T, tree string) (all []string) {
	t.Helper()
	entries, _ := os.ReadDir(shelf(tree))
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "archive") {
			all = append(all, e.Name())
		}
	}
	return all
}

// settled looks at a returned node after something has gone wrong: it has either
// what it had, and no archive, or the new generation and all that only it had.
func (d *duo) settled(t *testing.T, old string) (forward bool) {
	t.Helper()
	d.replica(t)
	if snapshot(t, d.sink.tree) == old {
		if all := archivesAt(t, d.sink.tree); len(all) > 0 || len(d.replica(t).State().Archives) > 0 {
			t.Errorf("nothing was replaced, and there is %q", all)
		}
		return false
	}
	equalTrees(t, d.source.tree, d.sink.tree)
	if !d.keptWhole(t) {
		t.Errorf("it was replaced, and what only core1 had is not kept as a whole: %+v", d.replica(t).State().Archives)
	}
	return true
}

func TestADiskThatIsFullAtAnyMomentLosesNothing(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root mounts a disk")
	}
	t.Parallel()
	all := slices.Insert(slices.Clone(moments), slices.Index(moments, "staged"), "keep files")
	for _, moment := range all {
		t.Run(strings.TrimSpace(moment), func(t *testing.T) {
			t.Parallel()
			k := newDisk(t, 24)
			d := returned(t, k.at)
			old := snapshot(t, d.sink.tree)
			var free func()
			d.cfg.step = func(at string) error {
				if at == moment && free == nil {
					free = fill(t, k.at)
				}
				return nil
			}
			r := d.replica(t).Run(t.Context(), Order{From: "core2"}, d.how)
			if free == nil {
				t.Fatalf("it never came to %s\n%s", moment, tasks(r))
			}
			// Somebody starts the node again before there is room.
			if book, err := OpenBook(d.sink.dir); err != nil {
				t.Errorf("with a full disk: %v", err)
			} else {
				d.cfg.Book = book
				if again, err := Open(d.cfg); err != nil {
					t.Errorf("with a full disk: %v", err)
				} else if err := again.Recover(t.Context()); err != nil {
					t.Logf("with a full disk: %v", err)
				}
			}
			free()
			d.afresh(t)
			forward := d.settled(t, old)
			if committed := slices.Index(all, moment) >= slices.Index(all, "committed"); committed && !forward || r.Result == Success && !forward {
				t.Errorf("the run said %s: %s, and nothing was replaced", r.Result, r.Detail)
			}
			d.sync(t, Success, from2)
			if !d.settled(t, old) {
				t.Error("the next sync has replaced nothing")
			}
			t.Logf("%s: %s", r.Result, r.Detail)
		})
	}
}

// The archive is on the disk before anything replaces what is in it.
func TestAPowerCutWhileAnArchiveIsMadeLosesNothing(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root mounts a disk")
	}
	t.Parallel()
	for i, moment := range []string{"keep files", "staged", "committed", "booked"} {
		t.Run(moment, func(t *testing.T) {
			t.Parallel()
			k := newDisk(t, 24)
			d := returned(t, k.at)
			must(t, syncTree(k.at))
			old := snapshot(t, d.sink.tree)
			d.cfg.step = func(at string) error {
				if at != moment {
					return nil
				}
				return errors.Join(errors.New("the power is off"), k.cut())
			}
			if r := d.replica(t).Run(t.Context(), Order{From: "core2"}, d.how); r.Result != Failure {
				t.Fatalf("got %s: %s\n%s", r.Result, r.Detail, tasks(r))
			}
			k.restore()
			d.afresh(t)
			if forward := d.settled(t, old); forward != (i >= 2) {
				t.Errorf("it is replaced: %t", forward)
			}
			d.sync(t, Success, from2)
			if !d.settled(t, old) {
				t.Error("the next sync has replaced nothing")
			}
		})
	}
}

// keepMoments are when a process is killed while it makes an archive: a few, or as
// many as a soak draws.
func keepMoments(t *testing.T) (all []moment) {
	t.Helper()
	if os.Getenv("UNDERSTUDY_SOAK") != "" {
		for _, m := range killed(t) {
			all = append(all, moment{"hello again", m.Later})
		}
		return all
	}
	return []moment{{"hello again", 300 * time.Microsecond}, {"hello again", 2 * time.Millisecond}, {"keep", 0}, {"committed", 0}}
}

// A process is killed while it makes an archive, or soon after: no half of one is
// taken for a whole, and nothing is replaced without one.
func TestAKillWhileAnArchiveIsMadeLeavesItWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	program := sinkProgram(t)
	before, after := 0, 0
	for i, m := range keepMoments(t) {
		d := returned(t, t.TempDir())
		old := snapshot(t, d.sink.tree)
		s := sinkProcess{Dir: d.sink.dir, SSH: d.remote.SSH, Socket: d.remote.Args[0], Files: d.sink.tree, Kill: m, Returned: true}
		was := diesAt(t, program, s)
		d.afresh(t)
		forward := d.settled(t, old)
		switch {
		case !was:
		case forward:
			after++
		default:
			before++
		}
		d.sync(t, Success, from2)
		if !d.settled(t, old) {
			t.Errorf("after kill %d (%+v) and a sync nothing is replaced", i, m)
		}
		if t.Failed() {
			t.Fatalf("kill %d (%+v)", i, m)
		}
	}
	t.Logf("%d kills before the commit, %d after it", before, after)
	if before == 0 {
		t.Error("no kill was before the commit")
	}
}

// The same of a database, whose archive is a dump.
func TestAKillWhileADumpIsKeptLeavesItWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	program := sinkProgram(t)
	for _, e := range engines(t)[:3] {
		t.Run(e.kind, func(t *testing.T) {
			t.Parallel()
			d := dataDuo(t, e)
			d.sync(t, Success)
			e.put(t, 1000, "only here")
			b := d.back(t)
			mine := e.devices(t, e.source)
			for _, later := range []time.Duration{time.Millisecond, 40 * time.Millisecond, 120 * time.Millisecond} {
				s := engine{kind: e.kind, sink: e.source}.process(b, moment{"hello again", later})
				s.Returned = true
				diesAt(t, program, s)
				b.afresh(t)
				kept := b.replica(t).State().Archives
				if here := e.devices(t, e.source); here == mine != (len(kept) == 0) {
					t.Fatalf("killed %v after hello again: here is %.80q, kept are %+v", later, here, kept)
				}
			}
			b.sync(t, Success, from2)
			kept := b.replica(t).State().Archives
			if len(kept) != 1 || !slices.ContainsFunc(kept[0].Datasets[0].Tables, func(d DivergedTable) bool { return d.Here == 151 && d.Then == 150 }) {
				t.Fatalf("kept are %+v", kept)
			}
			for name, text := range exported(t, b.replica(t), kept[0].Generation) {
				if strings.Contains(text, "only here") && name != ReportFile {
					return
				}
			}
			t.Error("the row is not in what is kept")
		})
	}
}

// A line of the journal that has only in part found room is taken back.
func TestAJournalGoesOnAfterItsDiskWasFull(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root mounts a disk")
	}
	t.Parallel()
	at := t.TempDir()
	must(t, unix.Mount("tmpfs", at, "tmpfs", 0, "size=256k"))
	t.Cleanup(func() { _ = unix.Unmount(at, unix.MNT_DETACH) })
	j, err := openJournal(at)
	must(t, err)
	number := uint64(0)
	for left := 4096; left > 60 || left < 20; left = int(4096 - size1(t, j.path)%4096) {
		number++
		must(t, j.add(jotted{Do: jotBegin, Generation: number, Datasets: []string{strings.Repeat("x", left%7)}}))
	}
	free := fill(t, at)
	before := size1(t, j.path)
	if err := j.add(jotted{Do: jotCommit, Generation: number, Commit: &commitment{}}); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("got %v", err)
	}
	if got := size1(t, j.path); got != before {
		t.Errorf("the journal has %d bytes, %d before", got, before)
	}
	free()
	must(t, j.add(jotted{Do: jotEnd, Generation: number}))
	must(t, j.add(jotted{Do: jotBegin, Generation: number + 1}))
	again, err := openJournal(at)
	must(t, err)
	if again.open == nil || again.open.begin.Generation != number+1 || again.open.commit != nil {
		text, _ := json.Marshal(again.open)
		t.Errorf("it says %s", text)
	}
}

func size1(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	must(t, err)
	return info.Size()
}

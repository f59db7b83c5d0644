package replicate

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// accessList is user::rw-, user:1:r--, group::r--, mask::r--, other::r--.
var accessList = []byte{2, 0, 0, 0, 1, 0, 6, 0, 0xff, 0xff, 0xff, 0xff, 2, 0, 4, 0, 1, 0, 0, 0, 4, 0, 4, 0, 0xff, 0xff, 0xff, 0xff, 0x10, 0, 4, 0, 0xff, 0xff, 0xff, 0xff, 0x20, 0, 4, 0, 0xff, 0xff, 0xff, 0xff}

// oddities fills a tree with what copies get wrong.
func oddities(t testing.TB, tree string) {
	t.Helper()
	at := func(name string) string { return filepath.Join(tree, name) }
	put(t, tree, map[string]string{
		"plain": "x", "name with\na newline": "1", "not utf-8 \xff\xfe": "2", " leading": "3", "-rf": "4", "*": "5", "a\\b": "6", "d/e/f/g": "7", "empty": "",
	})
	must(t, os.Link(at("plain"), at("d/second path")))
	must(t, os.Link(at("plain"), at("a third")))
	for name, to := range map[string]string{"out": "/etc/passwd", "up": "../../../etc", "dangling": "nowhere", "d/in": "e/f"} {
		must(t, os.Symlink(to, at(name)))
	}
	f, err := os.Create(at("sparse"))
	must(t, err)
	_, err = f.WriteAt([]byte("end"), 20<<20)
	must(t, err)
	must(t, f.Close())
	must(t, os.Chmod(at("empty"), 0o4711))
	must(t, os.Mkdir(at("nobody's"), 0o111))
	must(t, unix.Setxattr(at("plain"), "user.colour", []byte("red\x00blue"), 0))
	must(t, unix.Setxattr(at("d"), "user.colour", []byte("green"), 0))
	must(t, unix.Setxattr(at("-rf"), "system.posix_acl_access", accessList, 0))
	must(t, os.Chtimes(at(" leading"), time.Time{}, time.Date(1971, 2, 3, 4, 5, 6, 7, time.UTC)))
	if os.Geteuid() == 0 {
		must(t, os.Lchown(at("d/e/f/g"), 12345, 54321))
		must(t, os.Lchown(at("dangling"), 12345, 54321))
	}
	must(t, unix.Mkfifo(at("pipe"), 0o600)) // belongs to a machine: left out
}

func TestEverythingThatATreeMayHoldArrives(t *testing.T) {
	t.Parallel()
	d := newDuo(t)
	oddities(t, d.source.tree)
	d.sync(t, Success)
	must(t, os.Remove(filepath.Join(d.source.tree, "pipe")))
	equalTrees(t, d.source.tree, d.sink.tree)
	if got, want := inodeOf(t, d.sink.tree, "plain"), inodeOf(t, d.sink.tree, "d/second path"); got != want {
		t.Error("a file with three paths has become several")
	}
	var s syscall.Stat_t
	must(t, syscall.Stat(filepath.Join(d.sink.tree, "sparse"), &s))
	if s.Blocks*512 > 1<<20 {
		t.Errorf("the sparse file takes %d bytes", s.Blocks*512)
	}
	if r := d.sync(t, Success); r.Detail != "no changes" {
		t.Errorf("%s\n%s", r.Detail, tasks(r))
	}
}

func inodeOf(t testing.TB, tree, name string) uint64 {
	t.Helper()
	var s syscall.Stat_t
	must(t, syscall.Lstat(filepath.Join(tree, name), &s))
	return s.Ino
}

// changes are what must not be missed: each is done to a tree that was copied.
var changes = map[string]func(t *testing.T, tree string){
	"a file of the same size in the same second": func(t *testing.T, tree string) {
		path := filepath.Join(tree, "f")
		info, err := os.Stat(path)
		must(t, err)
		must(t, os.WriteFile(path, []byte("B"), 0o644))
		must(t, os.Chtimes(path, time.Time{}, info.ModTime().Truncate(time.Second).Add(time.Duration(info.ModTime().Nanosecond()^1))))
	},
	"a mode":          func(t *testing.T, tree string) { must(t, os.Chmod(filepath.Join(tree, "f"), 0o600)) },
	"a folder's mode": func(t *testing.T, tree string) { must(t, os.Chmod(filepath.Join(tree, "d"), 0o700)) },
	"an attribute": func(t *testing.T, tree string) {
		must(t, unix.Setxattr(filepath.Join(tree, "f"), "user.x", []byte("2"), 0))
	},
	"an attribute gone": func(t *testing.T, tree string) { must(t, unix.Removexattr(filepath.Join(tree, "g"), "user.x")) },
	"a link": func(t *testing.T, tree string) {
		must(t, os.Remove(filepath.Join(tree, "l")))
		must(t, os.Symlink("there", filepath.Join(tree, "l")))
	},
	"a file for a folder": func(t *testing.T, tree string) {
		must(t, os.RemoveAll(filepath.Join(tree, "d")))
		put(t, tree, map[string]string{"d": "file"})
	},
	"a folder for a file": func(t *testing.T, tree string) {
		must(t, os.Remove(filepath.Join(tree, "f")))
		put(t, tree, map[string]string{"f/x": "in it"})
	},
	"a second path": func(t *testing.T, tree string) { must(t, os.Link(filepath.Join(tree, "f"), filepath.Join(tree, "z"))) },
	"two paths no more": func(t *testing.T, tree string) {
		info, err := os.Stat(filepath.Join(tree, "h1"))
		must(t, err)
		must(t, os.Remove(filepath.Join(tree, "h2")))
		put(t, tree, map[string]string{"h2": "H"})
		must(t, os.Chtimes(filepath.Join(tree, "h2"), time.Time{}, info.ModTime()))
	},
	"an empty folder":      func(t *testing.T, tree string) { must(t, os.Mkdir(filepath.Join(tree, "new"), 0o755)) },
	"an empty folder gone": func(t *testing.T, tree string) { must(t, os.Remove(filepath.Join(tree, "hollow"))) },
	"a name": func(t *testing.T, tree string) {
		must(t, os.Rename(filepath.Join(tree, "f"), filepath.Join(tree, "F")))
	},
	"bytes within a larger": func(t *testing.T, tree string) {
		put(t, tree, map[string]string{"large": strings.Repeat("x", 99999) + "y"})
	},
}

func TestNoChangeIsMissed(t *testing.T) {
	t.Parallel()
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDuo(t)
			put(t, d.source.tree, map[string]string{"f": "A", "g": "G", "d/x": "1", "h1": "H", "large": strings.Repeat("x", 100000)})
			must(t, os.Link(filepath.Join(d.source.tree, "h1"), filepath.Join(d.source.tree, "h2")))
			must(t, os.Mkdir(filepath.Join(d.source.tree, "hollow"), 0o755))
			must(t, os.Symlink("here", filepath.Join(d.source.tree, "l")))
			must(t, unix.Setxattr(filepath.Join(d.source.tree, "g"), "user.x", []byte("1"), 0))
			d.sync(t, Success)
			old := snapshot(t, d.sink.tree)
			change(t, d.source.tree)
			if r := d.sync(t, Success); r.Generation != 2 {
				t.Errorf("not seen:\n%s", tasks(r))
			}
			equalTrees(t, d.source.tree, d.sink.tree)
			if _, err := d.replica(t).Rollback(t.Context(), 0); err != nil {
				t.Fatal(err)
			}
			if got := snapshot(t, d.sink.tree); got != old {
				t.Errorf("the generation before has changed:\n%s\nwas\n%s", got, old)
			}
		})
	}
}

// snapshot gives the manifest of a tree.
func snapshot(t testing.TB, tree string) string {
	t.Helper()
	var b bytes.Buffer
	w := walk{root: tree, owners: true, visit: func(e entry) error {
		text := ""
		if e.kind == file {
			text = has(t, filepath.Join(tree, e.path))
		}
		e.inode, e.ctime, e.hard = 0, 0, 0
		b.WriteString(strings.TrimSpace(strings.Join([]string{e.path, string(e.kind), e.link, text}, " ")) + "\n")
		b.Write(e.put(nil))
		return nil
	}}
	must(t, w.run(t.Context()))
	return b.String()
}

func TestABrokenDiskOnEitherSideIsFoundByTheScrub(t *testing.T) {
	t.Parallel()
	d := newDuo(t)
	put(t, d.source.tree, map[string]string{"a": "good", "b": "good"})
	d.sync(t, Success)
	path := filepath.Join(d.sink.tree, "a")
	info, err := os.Stat(path)
	must(t, err)
	must(t, os.WriteFile(path, []byte("rott"), 0o644))
	must(t, os.Chtimes(path, time.Time{}, info.ModTime()))
	r := d.sync(t, Success)
	if r.Generation == 0 || !strings.Contains(tasks(r), "contents differ") {
		t.Errorf("not found:\n%s", tasks(r))
	}
	equalTrees(t, d.source.tree, d.sink.tree)
}

func TestWhatTheApplicationWroteOnTheCopyIsFoundThoughTimesAreEqual(t *testing.T) {
	t.Parallel()
	d := newDuo(t)
	put(t, d.source.tree, map[string]string{"a": "good", "b": "good"})
	d.cfg.Scrub = -1
	d.sync(t, Success)
	path := filepath.Join(d.sink.tree, "a")
	info, err := os.Stat(path)
	must(t, err)
	must(t, d.sink.book.Serve())
	must(t, os.WriteFile(path, []byte("mine"), 0o644))
	must(t, os.Chtimes(path, time.Time{}, info.ModTime()))
	d.sync(t, Success)
	equalTrees(t, d.source.tree, d.sink.tree)
	if r := d.sync(t, Success); r.Detail != "no changes" || strings.Contains(tasks(r), "scrub") {
		t.Errorf("%s", tasks(r))
	}
}

func TestWhatBelongsToANodeNeverTravelsAndStays(t *testing.T) {
	t.Parallel()
	d := newDuo(t)
	d.src.Sets[0].Exclude = []string{"etc/hostname", "cache"}
	d.cfg.Sets[0].Exclude = []string{"etc/*.key"}
	put(t, d.source.tree, map[string]string{"etc/hostname": "core1", "etc/host.key": "secret1", "etc/app.conf": "x", "cache/1": "c1", "data": "1"})
	put(t, d.sink.tree, map[string]string{"etc/hostname": "core2", "etc/host.key": "secret2", "cache/2/3": "c2"})
	for range 2 {
		d.sync(t, Success)
		for name, want := range map[string]string{"etc/hostname": "core2", "etc/host.key": "secret2", "etc/app.conf": "x", "cache/1": "-", "cache/2/3": "c2"} {
			if got := has(t, filepath.Join(d.sink.tree, name)); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
		put(t, d.source.tree, map[string]string{"data": "2"})
	}
	put(t, d.source.tree, map[string]string{"cache/another": "c"})
	if r := d.sync(t, Success); r.Detail == "no changes" {
		t.Error("the changed data was not seen") // data = 2
	}
	put(t, d.source.tree, map[string]string{"cache/yet another": "c"})
	if r := d.sync(t, Success); r.Detail != "no changes" {
		t.Errorf("what is excluded counts as a change:\n%s", tasks(r))
	}
}

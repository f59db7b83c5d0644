package statefile

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

func TestWriteMakesAndReplacesAFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "value")
	for _, want := range []string{"first", "", strings.Repeat("longer ", 50_000), "short"} {
		if err := Write(path, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := Read(path, 1<<20); string(got) != want || err != nil {
			t.Errorf("read %d bytes, %v; want the %d that were written", len(got), err, len(want))
		}
	}
	alone(t, path)
}

func TestWriteGivesTheModeItIsTold(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "value")
	for _, want := range []fs.FileMode{0o600, 0o666, 0o660, 0o444, 0o640} {
		if err := Write(path, nil, want); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode() != want {
			t.Errorf("mode is %v, %v; want %v", info.Mode(), err, want)
		}
	}
}

func TestAFileGetsTheGroupOfItsDirectory(t *testing.T) {
	t.Parallel()
	const group = 54321
	dir := filepath.Join(t.TempDir(), "shared")
	if err := MakeDir(dir, fs.ModeSetgid|0o770); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(dir, -1, group); err != nil {
		t.Skip("only root gives files away: ", err)
	}
	if err := os.Chmod(dir, fs.ModeSetgid|0o770); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "value")
	if err := Write(path, nil, 0o660); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Sys().(*syscall.Stat_t).Gid; got != group || info.Mode() != 0o660 {
		t.Errorf("group %d, mode %v; want %d, -rw-rw----", got, info.Mode(), group)
	}
}

func TestMakeDirGivesTheModeAndLeavesWhatIsThere(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a", "b", "c")
	const mode = fs.ModeSetgid | 0o770
	for range 2 {
		if err := MakeDir(dir, mode); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := os.Stat(dir); err != nil || info.Mode() != fs.ModeDir|mode {
		t.Errorf("mode is %v, %v; want %v", info.Mode(), err, fs.ModeDir|mode)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := MakeDir(dir, mode); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode is %v, %v; want the one it had", info.Mode(), err)
	}
	file := filepath.Join(dir, "file")
	if err := Write(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	names(t, MakeDir(file, mode), "make directory", file, syscall.ENOTDIR)
	names(t, MakeDir(filepath.Join(file, "below"), mode), "make directory", filepath.Join(file, "below"), syscall.ENOTDIR)
}

func TestAWriteThatFailsLeavesTheOldFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	full := filepath.Join(dir, "full", "of", "files")
	if err := os.MkdirAll(full, 0o755); err != nil {
		t.Fatal(err)
	}
	full = filepath.Join(dir, "full")
	names(t, Write(full, []byte("new"), 0o600), "rename", full, nil)
	alone(t, full)

	missing := filepath.Join(dir, "missing", "value")
	names(t, Write(missing, nil, 0o600), "open directory of", missing, fs.ErrNotExist)
}

func TestAnUnwritableDirectoryIsAnErrorThatNamesTheFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "value")
	if err := Write(path, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(path), 0o555); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(filepath.Dir(path), 0o755) })
	asNobody(t, filepath.Dir(path), func() {
		names(t, Write(path, []byte("new"), 0o644), "create", path, fs.ErrPermission)
		_, err := Lock(t.Context(), path+".lock", 0o660)
		names(t, err, "lock", path+".lock", fs.ErrPermission)
	})
	if got, err := Read(path, 10); string(got) != "old" || err != nil {
		t.Errorf("the old file is now %q, %v", got, err)
	}
	alone(t, path)
}

func TestAFullDiskLeavesTheOldFile(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		verb string
		attr *syscall.SysProcAttr
	}{
		{"limited", nil},
		{"full", ownMounts()},
	} {
		t.Run(tt.verb, func(t *testing.T) {
			t.Parallel()
			lines, _ := start(t, tt.verb, t.TempDir(), tt.attr)
			lines.Scan()
			switch said := lines.Text(); {
			case strings.HasPrefix(said, "skip:"):
				t.Skip(said)
			case said != "done: <nil>":
				t.Errorf("the process says %q", said)
			}
		})
	}
}

func TestAReaderNeverSeesHalfAValueThoughWritersAreKilled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "value")
	if err := Write(path, value(0), 0o640); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var reader sync.WaitGroup
	reader.Go(func() {
		for {
			data, err := Read(path, 1<<20)
			if err == nil {
				err = whole(data)
			}
			if err != nil {
				t.Error(err)
				return
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	for round := range 15 {
		lines, kill := start(t, "rewrite", dir, nil)
		for range 1 + round*3 {
			lines.Scan()
		}
		kill()
	}
	close(stop)
	reader.Wait()
	if err := Clean(dir); err != nil {
		t.Error(err)
	}
	alone(t, path)
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o640 {
		t.Errorf("mode is %v, %v; want -rw-r-----", info.Mode(), err)
	}
}

func TestCleanRemovesWhatTheDeadLeftAndNothingElse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	dead, err := newTemp(dir, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	dead.Close() // a process that ends gives its locks back
	alive, err := newTemp(dir, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer alive.Close()
	for _, name := range []string{"value", ".hidden", ".statefile-", "statefile-x.tmp"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("value", filepath.Join(dir, tempPrefix+"link"+tempSuffix)); err != nil {
		t.Fatal(err)
	}
	if err := Clean(dir); err == nil || !strings.Contains(err.Error(), tempPrefix+"link") {
		t.Errorf("got %v, want an error that names the link, which is not ours", err)
	}
	if _, err := os.Lstat(dead.Name()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the dead writer's file is still there: %v", err)
	}
	entries, err := os.ReadDir(dir)
	if len(entries) != 6 {
		t.Errorf("there are %v, %v; want the four files, the link and the living writer's", entries, err)
	}
	names(t, Clean(filepath.Join(dir, "missing")), "clean", filepath.Join(dir, "missing"), fs.ErrNotExist)
}

func TestCleanHarmsNoLivingWriter(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var writers, cleaners sync.WaitGroup
	var over atomic.Bool
	for w := range 4 {
		path := filepath.Join(dir, fmt.Sprint(w))
		writers.Go(func() {
			for n := range 100 {
				want := value(n)
				if err := Write(path, want, 0o600); err != nil {
					t.Error(err)
					return
				}
				if got, err := Read(path, 1<<20); !bytes.Equal(got, want) {
					t.Errorf("%s: %d bytes, %v; want %d", path, len(got), err, len(want))
				}
			}
		})
	}
	for range 2 {
		cleaners.Go(func() {
			for !over.Load() {
				if err := Clean(dir); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	over.Store(true)
	cleaners.Wait()
	if entries, err := os.ReadDir(dir); len(entries) != 4 {
		t.Errorf("there are %v, %v; want four files", entries, err)
	}
}

// alone checks that nothing stands beside the file at path.
func alone(t *testing.T, path string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("beside %s there are %v, %v; want nothing", path, entries, err)
	}
}

// names checks that an error tells operation and path, and is what it should.
func names(t *testing.T, err error, op, path string, is error) {
	t.Helper()
	var at *fs.PathError
	if !errors.As(err, &at) || at.Op != op || at.Path != path {
		t.Errorf("got %v, want one that begins with %q", err, op+" "+path)
	}
	if is != nil && !errors.Is(err, is) {
		t.Errorf("got %v, want one that is %v", err, is)
	}
}

package register

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/internal/register/registertest"
	"github.com/understudy-ha/understudy/internal/statefile"
)

func TestADirKeepsThePromisesOfARegister(t *testing.T) {
	t.Parallel()
	registertest.Run(t, func(t *testing.T) func() registertest.Register {
		dir := t.TempDir()
		return func() registertest.Register { return openFor(t, dir, never) }
	})
}

func TestDirectoryAndFilesAreSharedByAGroup(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "below", "state")
	d := openFor(t, path, never)
	saved(t, d, "app", 2)
	write(t, d.file("app", trafficFile), []byte("damaged"))
	if err := d.Save(t.Context(), 2, forced("app", 3)); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	err := filepath.Walk(path, func(at string, info fs.FileInfo, err error) error {
		if err == nil {
			got[filepath.Base(at)] = info.Mode().String()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"state":         "dgrwxrwx---",
		"app.traffic":   "-rw-rw----",
		"app.history":   "-rw-rw----",
		"app.lock":      "-rw-rw----",
		"app.damaged.1": "-rw-rw----",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("modes (-want +got):\n%s", diff)
	}
}

func TestOpenDirTakesLitterAwayAndLeavesTheMode(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	litter := filepath.Join(path, ".statefile-OF-A-CRASH.tmp")
	write(t, litter, nil)
	d, err := OpenDir(path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if _, err := os.Stat(litter); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the litter is still there: %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != fs.ModeDir|0o755 {
		t.Errorf("mode is %v, %v; want the one it had", info.Mode(), err)
	}
}

func TestOpenDirSaysWhatToDo(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	file := filepath.Join(path, "file")
	write(t, file, nil)
	for _, at := range []string{file, filepath.Join(file, "below")} {
		if d, err := OpenDir(at); err == nil || !strings.Contains(err.Error(), at) {
			t.Errorf("got %v, %v; want an error that names %s", d, err, at)
		}
	}
	asNobody(t, path, func() {
		if os.Getuid() == 0 { // else the user owns it
			_, err := OpenDir(filepath.Join(path, "new"))
			wantAdvice(t, err, path, "permission denied", "mode 2770")
		}
	})
}

func TestAnUnreadableFileIsNeitherDamagedNorNone(t *testing.T) {
	t.Parallel()
	d := openFor(t, t.TempDir(), never)
	saved(t, d, "app", 1)
	if err := os.Chmod(d.file("app", trafficFile), 0); err != nil {
		t.Fatal(err)
	}
	asNobody(t, d.path, func() {
		_, err := d.Load(t.Context(), "app")
		wantAdvice(t, err, "load traffic of app", d.file("app", trafficFile), "permission denied", "0660")
		wantAdvice(t, d.Save(t.Context(), 1, forced("app", 2)), "permission denied")
	})
	saved(t, d, "other", 1)
	remove(t, d.file("other", trafficFile))
	if err := os.Chmod(d.file("other", historyFile), 0); err != nil {
		t.Fatal(err)
	}
	asNobody(t, d.path, func() {
		_, err := d.Load(t.Context(), "other")
		wantAdvice(t, err, d.file("other", historyFile), "permission denied")
		_, err = d.History(t.Context(), "other", 1)
		wantAdvice(t, err, "read history of other", "permission denied")
	})
}

func TestASaveIntoAnUnwritablePlaceLeavesTheOldTraffic(t *testing.T) {
	t.Parallel()
	d := openFor(t, t.TempDir(), never)
	saved(t, d, "app", 1)
	for _, kind := range []string{lockFile, trafficFile, historyFile} {
		if err := os.Chmod(d.file("app", kind), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	unwritable := func(what string, mode fs.FileMode, path string) {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		asNobody(t, d.path, func() {
			wantAdvice(t, d.Save(t.Context(), 1, traffic("app", 2)), "save traffic of app", what, "permission denied", "mode 2770")
			wantLoad(t, d, traffic("app", 1))
		})
	}
	unwritable("app.traffic", 0o555, d.path)
	t.Cleanup(func() { _ = os.Chmod(d.path, 0o755) })
	if err := os.Chmod(d.path, 0o777); err != nil {
		t.Fatal(err)
	}
	unwritable("app.history", 0o444, d.file("app", historyFile))
	wantEpochs(t, d, "app", 10, 1)
}

func TestSaveLeavesItsArgumentAsItIs(t *testing.T) {
	t.Parallel()
	d := openFor(t, t.TempDir(), never)
	given := traffic("app", 1)
	given.Evidence = []ha.Reading{{Node: "mi1", At: time.Now()}}
	given.Hold = &ha.Hold{Since: time.Now()}
	reading, hold := given.Evidence[0], *given.Hold
	if err := d.Save(t.Context(), 0, given); err != nil {
		t.Fatal(err)
	}
	if given.Evidence[0] != reading || *given.Hold != hold {
		t.Errorf("got %+v and %+v, want %+v and %+v", given.Evidence[0], *given.Hold, reading, hold)
	}
}

func TestALostDirectoryIsAnErrorAndNoFirstStart(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state")
	d := openFor(t, path, never)
	saved(t, d, "app", 1)
	if err := os.Rename(path, path+".away"); err != nil {
		t.Fatal(err)
	}
	_, err := d.Load(t.Context(), "app")
	wantAdvice(t, err, path, "no such file", "bring the directory")
	wantAdvice(t, d.Save(t.Context(), 1, traffic("app", 2)), path, "bring the directory")
	if err := os.Rename(path+".away", path); err != nil {
		t.Fatal(err)
	}
	wantLoad(t, d, traffic("app", 1))
}

func TestAStoppedHolderDelaysASaveAndNoLoad(t *testing.T) {
	t.Parallel()
	d := openFor(t, t.TempDir(), never)
	saved(t, d, "app", 2)
	write(t, d.file("app", historyFile), nil) // so that Load would like the lock too
	unlock, err := statefile.TryLock(d.file("app", lockFile), fileMode)
	if err != nil {
		t.Fatal(err)
	}
	wantLoad(t, d, traffic("app", 2))
	began := time.Now()
	wantAdvice(t, d.Save(t.Context(), 2, traffic("app", 3)), d.file("app", lockFile), "find the process")
	if took := time.Since(began); took < lockWait || took > patience {
		t.Errorf("save gave up after %v, want %v", took, lockWait)
	}
	unlock()
	if err := d.Save(t.Context(), 2, traffic("app", 3)); err != nil {
		t.Error(err)
	}
	wantEpochs(t, d, "app", 10, 2, 3)
}

func TestErrorsOfTheKernelSayWhatToDo(t *testing.T) {
	t.Parallel()
	d := &Dir{path: "/state"}
	for err, want := range map[syscall.Errno]string{
		syscall.ENOSPC: "free space on the file system of /state",
		syscall.EDQUOT: "free space on the file system of /state",
		syscall.EFBIG:  "ulimit -f",
		syscall.EROFS:  "mount the file system of /state writable",
		syscall.EACCES: "mode 2770",
		syscall.EPERM:  "mode 2770",
		syscall.ENOENT: "bring the directory /state back",
		syscall.EIO:    "input/output error",
	} {
		got := d.advise(&fs.PathError{Op: "write", Path: "/state/app.traffic", Err: err})
		if !errors.Is(got, err) || !strings.Contains(got.Error(), want) {
			t.Errorf("%v: got %q, want it to say %q", err, got, want)
		}
	}
	for err, want := range map[syscall.Errno]string{
		syscall.EMFILE: "fs.inotify.max_user_instances",
		syscall.ENOSPC: "fs.inotify.max_user_watches",
		syscall.EACCES: "mode 2770",
		syscall.EIO:    "",
	} {
		if got := inotifyAdvice(err); !strings.Contains(got, want) || (want == "" && got != "") {
			t.Errorf("%v: got %q, want it to say %q", err, got, want)
		}
	}
}

func TestTheFileIsForPeopleToRead(t *testing.T) {
	t.Parallel()
	d := openFor(t, t.TempDir(), never)
	v := traffic("app", 17)
	v.Hold = &ha.Hold{Owner: "ann", Reason: "a <b> & c", Since: instant.In(time.FixedZone("CET", 3600))}
	v.Evidence = []ha.Reading{{Node: "mi2", State: ha.Standby, At: instant, Took: time.Millisecond}}
	if err := d.Save(t.Context(), 0, v); err != nil {
		t.Fatal(err)
	}
	const example = "testdata/version1.traffic"
	if os.Getenv("UPDATE") != "" {
		write(t, example, read(t, d.file("app", trafficFile)))
	}
	if diff := cmp.Diff(string(read(t, example)), string(read(t, d.file("app", trafficFile)))); diff != "" {
		t.Errorf("files of version 1 must stay as they are (-want +got):\n%s", diff)
	}
}

package register

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/understudy-ha/understudy/internal/ha"
)

const (
	never    = 24 * time.Hour // so that nothing but the kernel's notice can signal
	patience = 20 * time.Second
)

func openFor(t *testing.T, dir string, poll time.Duration) *Dir {
	t.Helper()
	d, err := openDir(dir, poll)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

var instant = time.Date(2026, 2, 3, 4, 5, 6, 789012345, time.UTC)

func traffic(group string, epoch uint64) ha.Traffic {
	return ha.Traffic{
		Group: group, Epoch: epoch, Order: []string{"mi1", "mi2"}, Serving: "mi1",
		Since: instant, At: instant, Cause: ha.Switched, Actor: "ann",
	}
}

func forced(group string, epoch uint64) ha.Traffic {
	t := traffic(group, epoch)
	t.Forced, t.Words = true, "the file was lost"
	return t
}

// saved stores the epochs from 1 to last.
func saved(t *testing.T, d *Dir, group string, last uint64) {
	t.Helper()
	for was := range last {
		if err := d.Save(t.Context(), was, traffic(group, was+1)); err != nil {
			t.Fatal(err)
		}
	}
}

func wantLoad(t *testing.T, d *Dir, want ha.Traffic) {
	t.Helper()
	got, err := d.Load(t.Context(), want.Group)
	if err != nil {
		t.Errorf("load: %v", err)
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("load (-want +got):\n%s", diff)
	}
}

// wantEpochs checks which epochs the newest lines of a history have.
func wantEpochs(t *testing.T, d *Dir, group string, limit int, want ...uint64) {
	t.Helper()
	past, err := d.History(t.Context(), group, limit)
	if err != nil {
		t.Fatal(err)
	}
	var got []uint64
	for _, p := range past {
		got = append(got, p.Epoch)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
}

// wantDamaged checks the words and the floor of a *ha.Damaged.
func wantDamaged(t *testing.T, err error, place, words string, floor uint64) {
	t.Helper()
	var damaged *ha.Damaged
	if !errors.As(err, &damaged) {
		t.Errorf("got %v, want a damaged traffic", err)
		return
	}
	if !strings.HasPrefix(damaged.Why, place+" ") || !strings.Contains(damaged.Why, words) {
		t.Errorf("why is %q, want it to begin with %s and to say %q", damaged.Why, place, words)
	}
	if damaged.Floor != floor {
		t.Errorf("floor is %d, want %d (%s)", damaged.Floor, floor, damaged.Why)
	}
}

// wantAdvice checks an error of the file system that says what to do.
func wantAdvice(t *testing.T, err error, words ...string) {
	t.Helper()
	var damaged *ha.Damaged
	if err == nil || errors.As(err, &damaged) || errors.Is(err, ha.ErrNone) || errors.Is(err, ha.ErrStale) {
		t.Errorf("got %v, want an error of the file system", err)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("got %q, want it to say %q", err, w)
		}
	}
}

func wantSignal(t *testing.T, signal <-chan struct{}, after string) {
	t.Helper()
	select {
	case _, ok := <-signal:
		if !ok {
			t.Errorf("%s: the watch has ended", after)
		}
	case <-time.After(patience):
		t.Errorf("%s: no signal", after)
	}
}

func watch(t *testing.T, d *Dir, group string) <-chan struct{} {
	t.Helper()
	signal, err := d.Watch(t.Context(), group)
	if err != nil {
		t.Fatal(err)
	}
	return signal
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

// asNobody runs do with the rights that a user without any has in dir. As root
// it borrows another user's for one thread, which ends with it.
func asNobody(t *testing.T, dir string, do func()) {
	t.Helper()
	if os.Getuid() != 0 {
		do()
		return
	}
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread must not serve others
		const nobody = 65534
		syscall.RawSyscall(syscall.SYS_SETFSUID, nobody, 0, 0)
		syscall.RawSyscall(syscall.SYS_SETFSGID, nobody, 0, 0)
		if _, err := os.Stat(filepath.Join(dir, ".")); err != nil {
			t.Logf("not tried: %v", err)
			return
		}
		do()
	}()
	<-done
}

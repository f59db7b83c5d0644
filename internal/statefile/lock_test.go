package statefile

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

func TestOnlyOneHoldsALock(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	count := 0 // the race detector knows nothing of the lock, hence the mutex
	var mu sync.Mutex
	var holders sync.WaitGroup
	for range 8 {
		holders.Go(func() {
			for range 25 {
				unlock, err := Lock(t.Context(), path, 0o660)
				if err != nil {
					t.Error(err)
					return
				}
				if !mu.TryLock() {
					t.Error("two hold the lock")
					unlock()
					return
				}
				count++
				mu.Unlock()
				unlock()
				unlock() // a second time does nothing, even if another holds it now
			}
		})
	}
	holders.Wait()
	if count != 200 {
		t.Errorf("the lock was held %d times, want 200", count)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o660 {
		t.Errorf("mode is %v, %v; want -rw-rw----", info.Mode(), err)
	}
}

func TestWaitingForALockEndsWithTheContext(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := Lock(t.Context(), path, 0o660)
	if err != nil {
		t.Fatal(err)
	}
	_, err = TryLock(path, 0o660)
	names(t, err, "lock", path, ErrLocked)
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err = Lock(short, path, 0o660)
	names(t, err, "lock", path, ErrLocked)
	names(t, err, "lock", path, context.DeadlineExceeded)
	unlock()
	if _, err := Lock(short, path, 0o660); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("after the deadline a free lock gave %v", err)
	}
	unlock, err = TryLock(path, 0o660)
	if err != nil {
		t.Fatal(err)
	}
	unlock()
}

func TestALockDiesWithItsHolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "lock")
	for range 3 {
		lines, kill := start(t, "hold", dir, nil)
		if !lines.Scan() || lines.Text() != "held" {
			t.Fatalf("the holder says %q", lines.Text())
		}
		_, err := TryLock(path, 0o660)
		names(t, err, "lock", path, ErrLocked)
		kill()
		unlock, err := TryLock(path, 0o660)
		if err != nil {
			t.Fatal(err)
		}
		unlock()
	}
}

func TestALockFileThatIsRemovedIsMadeAgain(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	for range 3 {
		unlock, err := Lock(t.Context(), path, 0o660)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		unlock()
	}
	if err := os.Symlink("elsewhere", path); err != nil {
		t.Fatal(err)
	}
	if _, err := TryLock(path, 0o660); err == nil {
		t.Error("a link was taken for a lock")
	}
	gone := filepath.Join(filepath.Dir(path), "gone", "lock")
	_, err := TryLock(gone, 0o660)
	names(t, err, "lock", gone, fs.ErrNotExist)
}

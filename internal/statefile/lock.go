package statefile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"syscall"
	"time"
)

// ErrLocked is what TryLock answers, and Lock when its time is over, while
// somebody else holds the lock.
var ErrLocked = errors.New("somebody else holds the lock")

// How long Lock waits between two looks: doubled from the first to the last.
const (
	firstWait = 250 * time.Microsecond
	lastWait  = 2 * time.Millisecond
)

// Lock takes the exclusive lock that the file at path stands for, and waits
// for it until ctx ends. The file is made, with exactly perm, if need be, and
// stays for ever. The lock ends with unlock, which may be called twice, or
// with the process. It excludes other holders within the process too.
func Lock(ctx context.Context, path string, perm fs.FileMode) (unlock func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, fail("lock", path, err)
	}
	for wait := firstWait; ; wait = min(2*wait, lastWait) {
		unlock, err = TryLock(path, perm)
		if !errors.Is(err, ErrLocked) {
			return unlock, err
		}
		again := time.NewTimer(wait/2 + rand.N(wait)) // spread, so that two never look in step
		select {
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return nil, fail("lock", path, fmt.Errorf("%w: %w", ErrLocked, ctx.Err()))
		}
	}
}

// TryLock is Lock without waiting: ErrLocked if somebody else holds the lock.
func TryLock(path string, perm fs.FileMode) (unlock func(), err error) {
	for range 100 {
		f, err := openLock(path, perm)
		if err != nil {
			return nil, fail("lock", path, err)
		}
		if err := flock(f, syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
			f.Close()
			if errors.Is(err, syscall.EWOULDBLOCK) {
				err = ErrLocked
			}
			return nil, fail("lock", path, err)
		}
		if stillAt(f, path) {
			return func() { release(f) }, nil
		}
		release(f) // somebody removed the file: others would lock a new one
	}
	return nil, fail("lock", path, errors.New("the file is removed again and again"))
}

// openLock opens the lock file without following a link, and gives a new one
// its mode.
func openLock(path string, perm fs.FileMode) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|os.O_CREATE|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, perm.Perm())
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err == nil && info.Mode().Perm() != perm.Perm() {
		_ = f.Chmod(perm) // only its owner can, and its owner has
	}
	return f, nil
}

// release unlocks before it closes: a child process that is just being started
// may still share the open file.
func release(f *os.File) {
	_ = flock(f, syscall.LOCK_UN)
	_ = f.Close()
}

func flock(f *os.File, how int) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var locked error
	err = conn.Control(func(fd uintptr) {
		for {
			if locked = syscall.Flock(int(fd), how); !errors.Is(locked, syscall.EINTR) {
				return
			}
		}
	})
	return errors.Join(err, locked)
}

package statefile

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Temporary files are named so that no other file of ours is. Their writer
// holds a lock on them until they have their real name: a temporary file that
// can be locked is a dead writer's.
const (
	tempPrefix = ".statefile-"
	tempSuffix = ".tmp"
)

func isTemp(name string) bool {
	return strings.HasPrefix(name, tempPrefix) && strings.HasSuffix(name, tempSuffix)
}

// newTemp makes an empty temporary file in dir and locks it.
func newTemp(dir string, perm fs.FileMode) (*os.File, error) {
	for range 100 {
		name := filepath.Join(dir, tempPrefix+rand.Text()+tempSuffix)
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm.Perm())
		if err != nil {
			return nil, err
		}
		if own(f) {
			return f, nil
		}
		f.Close() // a Clean came between creating and locking, and removes it
	}
	return nil, errors.New("temporary files are removed while they are made")
}

// own locks a new temporary file and says whether it still has its name. Where
// the file system knows no locks, Clean can take none either.
func own(f *os.File) bool {
	if err := flock(f, syscall.LOCK_EX|syscall.LOCK_NB); errors.Is(err, syscall.EWOULDBLOCK) {
		return false
	}
	_, err := os.Lstat(f.Name())
	return err == nil
}

// Clean removes what crashed calls of Write have left in dir. It is safe while
// any number of processes write there: what has a living writer stays.
func Clean(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fail("clean", dir, err)
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return fail("clean", dir, err)
	}
	var faults []error
	for _, name := range names {
		if isTemp(name) {
			faults = append(faults, removeDead(filepath.Join(dir, name)))
		}
	}
	return errors.Join(faults...)
}

// removeDead removes a temporary file unless its writer lives.
func removeDead(path string) error {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fail("clean", path, err)
	}
	defer f.Close()
	if err := flock(f, syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil // its writer lives, or nobody can tell
	}
	if !stillAt(f, path) { // it got its real name before we had the lock
		return nil
	}
	if err := os.Remove(path); err != nil {
		return fail("clean", path, err)
	}
	return nil
}

// stillAt says whether path names the open file.
func stillAt(f *os.File, path string) bool {
	open, err := f.Stat()
	if err != nil {
		return false
	}
	named, err := os.Lstat(path)
	return err == nil && os.SameFile(open, named)
}

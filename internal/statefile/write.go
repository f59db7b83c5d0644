// Package statefile keeps small files whole: a file that is replaced has
// either all of its old or all of its new bytes, whatever crashes, and what was
// written outlives a power cut; a lock that dies with its holder lets several
// processes of one host take turns.
//
// Nothing here starts a goroutine, and only a Shared keeps a value: everything
// may be called from anywhere at any time. Every error is an *fs.PathError that names
// the operation and the path that the caller gave, never a temporary one.
package statefile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Write replaces the file at path, or makes it, with exactly perm whatever the
// umask. Its group is the one that the directory gives to new files.
//
// After nil the data is durable. After an error the old file is as it was and
// nothing is left behind, with one exception: if the very last step fails
// ("sync directory of"), the new data is in place, but a power cut may bring
// the old back.
func Write(path string, data []byte, perm fs.FileMode) error {
	return replace(path, data, perm, syncDir)
}

// replace is Write with a way to sync the directory in which path stands.
func replace(path string, data []byte, perm fs.FileMode, sync func(dir *os.File, path string) error) error {
	dir, err := os.Open(filepath.Dir(path)) // before anything moves: it must not fail later
	if err != nil {
		return fail("open directory of", path, err)
	}
	defer dir.Close()
	temp, err := newTemp(filepath.Dir(path), perm)
	if err != nil {
		return fail("create", path, err)
	}
	defer temp.Close() // only after the rename, for its lock keeps Clean away
	if err := fill(temp, path, data, perm); err != nil {
		os.Remove(temp.Name())
		return err
	}
	if err := os.Rename(temp.Name(), path); err != nil {
		os.Remove(temp.Name())
		return fail("rename", path, err)
	}
	return sync(dir, path)
}

func fill(temp *os.File, path string, data []byte, perm fs.FileMode) error {
	if err := temp.Chmod(perm); err != nil {
		return fail("set mode of", path, err)
	}
	if _, err := temp.Write(data); err != nil {
		return fail("write", path, err)
	}
	if err := temp.Sync(); err != nil {
		return fail("sync", path, err)
	}
	return nil
}

// SyncDir makes durable that the file at path stands in its directory.
func SyncDir(path string) error {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fail("open directory of", path, err)
	}
	defer dir.Close()
	return syncDir(dir, path)
}

func syncDir(dir *os.File, path string) error {
	err := dir.Sync()
	if err == nil || errors.Is(err, syscall.EINVAL) { // a file system that cannot do it has nothing to do
		return nil
	}
	return fail("sync directory of", path, err)
}

// MakeDir makes the directory at path with exactly perm, which may have
// fs.ModeSetgid, whatever the umask; missing parents get 0755 less the umask.
// A directory that exists stays as it is.
func MakeDir(path string, perm fs.FileMode) error {
	path = filepath.Clean(path)
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return nil
	case err == nil:
		return fail("make directory", path, syscall.ENOTDIR)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fail("make directory", path, err)
	}
	if err := os.Mkdir(path, perm.Perm()); err != nil {
		if errors.Is(err, fs.ErrExist) { // another process was quicker
			return nil
		}
		return fail("make directory", path, err)
	}
	if err := os.Chmod(path, perm); err != nil {
		return fail("set mode of", path, err)
	}
	return SyncDir(path)
}

// fail gives err as that of op on path. What the os package says of the path
// is dropped: it would name a temporary file, or say the same twice.
func fail(op, path string, err error) error {
	var atPath *fs.PathError
	var atLink *os.LinkError
	switch {
	case errors.As(err, &atPath):
		err = atPath.Err
	case errors.As(err, &atLink):
		err = atLink.Err
	}
	return &fs.PathError{Op: op, Path: path, Err: err}
}

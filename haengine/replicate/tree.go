package replicate

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// against finds entries of a manifest in the order of a walk.
type against struct {
	m     *manifest
	ahead *entry
	skip  func(entry) error // told of those that the walk does not meet
}

// find gives the entry of a path, nil if there is none.
func (a *against) find(path string) (*entry, error) {
	for {
		was, err := a.peek()
		if err != nil || was == nil || order(was.path, path) > 0 {
			return nil, err
		}
		a.ahead = nil
		if was.path == path {
			return was, nil
		}
		if err := a.skip(*was); err != nil {
			return nil, err
		}
	}
}

// rest tells skip of what follows.
func (a *against) rest() error {
	for {
		was, err := a.peek()
		if err != nil || was == nil {
			return err
		}
		a.ahead = nil
		if err := a.skip(*was); err != nil {
			return err
		}
	}
}

func (a *against) peek() (*entry, error) {
	if a.ahead == nil {
		e, err := a.m.next()
		if errors.Is(err, io.EOF) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		a.ahead = &e
	}
	return a.ahead, nil
}

// ownerOf gives who owns a folder.
func ownerOf(path string) (uid, gid int, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, 0, err
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, fmt.Errorf("%s: its owner is not known", path)
	}
	return int(s.Uid), int(s.Gid), nil
}

// syncTree writes everything of the file system that a folder is on to its disk.
// Without it a power cut after the switch may leave empty files.
func syncTree(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil { // #nosec G115 -- a descriptor
		return fmt.Errorf("write the file system of %s to its disk: %w", dir, err)
	}
	return nil
}

// carry takes into a staged tree what belongs to this node alone: whatever in
// the tree in force the patterns name.
func carry(live, staged string, keep patterns) error {
	if len(keep) == 0 {
		return nil
	}
	return filepath.WalkDir(live, func(at string, d fs.DirEntry, err error) error {
		if err != nil || at == live {
			return err
		}
		path := at[len(live)+1:]
		if !keep.match(path) {
			return nil
		}
		dir := filepath.Dir(filepath.Join(staged, path))
		info, err := os.Lstat(dir)
		if err != nil {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil // the folder that held it is gone on the source
		}
		err = errors.Join(carryOne(at, filepath.Join(staged, path)), os.Chtimes(dir, time.Time{}, info.ModTime()))
		if err == nil && d.IsDir() {
			return fs.SkipDir
		}
		return err
	})
}

// carryOne links a file, or makes a folder again with everything in it.
func carryOne(from, to string) error {
	info, err := os.Lstat(from)
	if err != nil {
		return err
	}
	if info.Mode().Type()&(fs.ModeSocket|fs.ModeNamedPipe|fs.ModeDevice|fs.ModeCharDevice) != 0 {
		return nil
	}
	if !info.IsDir() {
		return os.Link(from, to)
	}
	if err := os.Mkdir(to, 0o700); err != nil {
		return err
	}
	names, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, one := range names {
		if err := carryOne(filepath.Join(from, one.Name()), filepath.Join(to, one.Name())); err != nil {
			return err
		}
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	if ok && os.Geteuid() == 0 {
		if err := os.Lchown(to, int(s.Uid), int(s.Gid)); err != nil {
			return err
		}
	}
	return errors.Join(os.Chmod(to, info.Mode()), os.Chtimes(to, time.Time{}, info.ModTime()))
}

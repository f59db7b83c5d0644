package replicate

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// walk is one pass over a tree: one lstat for each thing in it, and one look
// for extended attributes.
type walk struct {
	root    string
	owners  bool // compare them: only root can give a file to anybody
	plain   bool // a dump: only names, kinds, sizes and links matter
	exclude patterns
	sub     func(path string) error // what to do about a file system mounted below; nil: it is left out
	visit   func(entry) error

	ctx   context.Context // of run
	dev   uint64
	holes int64             // files with holes
	first map[uint64]uint64 // by inode: the name of the first path of a file with several
	names []byte
	value []byte
}

// run meets everything in the tree, in the order of [order]. What vanishes
// meanwhile is as if it had never been there, but for the root.
func (w *walk) run(ctx context.Context) error {
	w.ctx, w.first = ctx, map[uint64]uint64{}
	w.names, w.value = make([]byte, 4<<10), make([]byte, 64<<10)
	fd, err := unix.Open(w.root, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", w.root, err)
	}
	var s unix.Stat_t
	if err := unix.Fstat(fd, &s); err != nil {
		_ = unix.Close(fd)
		return fmt.Errorf("look at %s: %w", w.root, err)
	}
	w.dev = s.Dev
	return w.dir(fd, "", &s)
}

// dir meets an open folder and what is in it, and closes it.
func (w *walk) dir(fd int, path string, s *unix.Stat_t) error {
	d := os.NewFile(uintptr(fd), w.at(path)) // #nosec G115 -- a descriptor
	defer d.Close()
	e, err := w.entry(path, s)
	if err != nil {
		return err
	}
	if err := w.visit(e); err != nil {
		return err
	}
	if err := w.ctx.Err(); err != nil {
		return err
	}
	names, err := d.Readdirnames(-1)
	if err != nil {
		return fmt.Errorf("read the folder %s: %w", quoted(w.at(path)), err)
	}
	slices.Sort(names)
	for _, name := range names {
		if err := w.one(fd, join(path, name), name); err != nil {
			return err
		}
	}
	return nil
}

func (w *walk) one(fd int, path, name string) error {
	if w.exclude.match(path) {
		return nil
	}
	var s unix.Stat_t
	err := unix.Fstatat(fd, name, &s, unix.AT_SYMLINK_NOFOLLOW)
	switch {
	case errors.Is(err, unix.ENOENT):
		return nil
	case err != nil:
		return fmt.Errorf("look at %s: %w", quoted(w.at(path)), err)
	}
	switch s.Mode & unix.S_IFMT {
	case unix.S_IFREG, unix.S_IFLNK:
		e, err := w.entry(path, &s)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		return w.visit(e)
	case unix.S_IFDIR:
		return w.below(fd, path, name, &s)
	}
	return nil
}

func (w *walk) below(fd int, path, name string, s *unix.Stat_t) error {
	if s.Dev != w.dev {
		if w.sub != nil {
			return w.sub(path)
		}
		e, err := w.entry(path, s)
		if err != nil {
			return err
		}
		return w.visit(e)
	}
	child, err := unix.Openat(fd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP):
		return nil
	case err != nil:
		return fmt.Errorf("open %s: %w", quoted(w.at(path)), err)
	}
	return w.dir(child, path, s)
}

func (w *walk) at(path string) string {
	if path == "" {
		return w.root
	}
	return w.root + "/" + path
}

// leastHole is the hole that is worth keeping: to look for some costs as much as
// the transfer.
const leastHole = 64 << 10

// entry makes the entry of what was looked at.
func (w *walk) entry(path string, s *unix.Stat_t) (entry, error) {
	e := entry{path: path, mode: s.Mode &^ unix.S_IFMT, inode: s.Ino, ctime: s.Ctim.Nano()}
	if w.owners {
		e.uid, e.gid = s.Uid, s.Gid
	}
	if w.plain {
		return w.bare(e, s)
	}
	var err error
	switch s.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		e.kind = folder
		e.attrs, err = w.attributes(path)
	case unix.S_IFLNK:
		e.kind, e.mode, e.mtime = link, 0, s.Mtim.Nano()
		e.link, err = os.Readlink(w.at(path))
	default:
		e.kind, e.size, e.mtime = file, s.Size, s.Mtim.Nano()
		if s.Size > leastHole && s.Blocks*512 < s.Size-leastHole {
			w.holes++
		}
		if s.Nlink > 1 {
			e.hard = w.several(path, s.Ino)
		}
		e.attrs, err = w.attributes(path)
	}
	return e, err
}

// bare makes the entry of a part of a dump.
func (w *walk) bare(e entry, s *unix.Stat_t) (entry, error) {
	e.mode, e.uid, e.gid = 0, 0, 0
	switch s.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		e.kind = folder
	case unix.S_IFLNK:
		return e, fmt.Errorf("%s is a link, and a dump has none", quoted(w.at(e.path)))
	default:
		e.kind, e.size = file, s.Size
	}
	return e, nil
}

// several names a file by the first of its paths. The first path itself has no
// name, so that a file which only shares its blocks with another tree is like one
// that shares them with none.
func (w *walk) several(path string, inode uint64) uint64 {
	name, known := w.first[inode]
	if !known {
		h := fnv.New64a()
		_, _ = h.Write([]byte(path))
		w.first[inode] = h.Sum64() | 1
		return 0
	}
	return name
}

// acls are the attributes in which the kernel keeps access lists. Attributes of
// other namespaces than these and user belong to a machine.
var acls = []string{"system.posix_acl_access", "system.posix_acl_default"}

func travels(attribute string) bool {
	return strings.HasPrefix(attribute, "user.") || slices.Contains(acls, attribute)
}

// attributes names the extended attributes of a file or folder.
func (w *walk) attributes(path string) (uint64, error) {
	at := w.at(path)
	n, err := unix.Llistxattr(at, w.names)
	for errors.Is(err, unix.ERANGE) && len(w.names) < 1<<20 {
		w.names = make([]byte, 2*len(w.names))
		n, err = unix.Llistxattr(at, w.names)
	}
	switch {
	case n == 0 || errors.Is(err, unix.ENOTSUP):
		return 0, nil
	case err != nil:
		return 0, &fs.PathError{Op: "list attributes", Path: quoted(at), Err: err}
	}
	var names []string
	for name := range strings.SplitSeq(strings.TrimSuffix(string(w.names[:n]), "\x00"), "\x00") {
		if travels(name) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return 0, nil
	}
	slices.Sort(names)
	h := fnv.New64a()
	for _, name := range names {
		n, err := unix.Lgetxattr(at, name, w.value)
		if errors.Is(err, unix.ENODATA) {
			continue
		}
		if err != nil {
			return 0, &fs.PathError{Op: "read attribute " + quoted(name), Path: quoted(at), Err: err}
		}
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(n)) // #nosec G115 -- a length
		_, _ = h.Write([]byte(name + "\x00"))
		_, _ = h.Write(length[:])
		_, _ = h.Write(w.value[:n])
	}
	return h.Sum64() | 1, nil
}

func join(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}

// quoted writes a name for people: it may hold anything.
func quoted(name string) string {
	const most = 300
	if len(name) > most {
		name = name[:most] + "..."
	}
	return strings.Trim(fmt.Sprintf("%q", name), `"`)
}

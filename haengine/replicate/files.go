package replicate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/understudy-ha/understudy/internal/statefile"
)

// Files is the dataset of a tree of files. Its generations are whole trees on a
// shelf beside the one in force, which share the files that are the same; a
// switch exchanges two folders, which the kernel does at once.
type Files struct{ tree string }

// NewFiles gives the dataset of the tree at an absolute path.
func NewFiles(tree string) *Files { return &Files{filepath.Clean(tree)} }

// shelf is the folder beside a tree that holds what is staged and what was in
// force before: only on the same file system can folders be exchanged.
func shelf(tree string) string {
	return filepath.Join(filepath.Dir(tree), ".understudy-"+filepath.Base(tree))
}

// slot is where a generation is staged, and where the switch leaves what it
// replaced.
func (f *Files) slot(generation uint64) string {
	return filepath.Join(shelf(f.tree), strconv.FormatUint(generation, 10))
}

// exchange is what a Files keeps of a change: the two folders by their inodes,
// so that it can be told at any time which of them is in force.
type exchange struct {
	New uint64 `json:"new"`
	Old uint64 `json:"old"`
}

// Offer offers the tree as it is.
func (f *Files) Offer(context.Context, string) (Offer, error) { return Offer{Tree: f.tree}, nil }

// Prepare notes which folder is which. There is nothing else to do: the tree was
// staged on the shelf.
func (f *Files) Prepare(_ context.Context, s Staged) (Prepared, error) {
	if s.Dir != f.slot(s.Generation) {
		return Prepared{}, fmt.Errorf("%s is staged at %s, which is not beside it", f.tree, s.Dir)
	}
	if err := os.Mkdir(f.tree, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return Prepared{}, err
	}
	var x exchange
	var err error
	if x.Old, err = inode(f.tree); err == nil {
		x.New, err = inode(s.Dir)
	}
	if err != nil {
		return Prepared{}, err
	}
	data, err := json.Marshal(x)
	return Prepared{Data: data}, err
}

// Switch exchanges the folders, unless that is done.
func (f *Files) Switch(_ context.Context, c Change) error {
	var x exchange
	if err := json.Unmarshal(c.Data, &x); err != nil {
		return fmt.Errorf("read the change of %s: %w", f.tree, err)
	}
	return f.put(c.Generation, x.New, x.Old)
}

// Back exchanges them again.
func (f *Files) Back(_ context.Context, c Change) error {
	var x exchange
	if err := json.Unmarshal(c.Data, &x); err != nil {
		return fmt.Errorf("read the change of %s: %w", f.tree, err)
	}
	return f.put(c.Generation, x.Old, x.New)
}

// put puts one folder into force in place of another, durably.
func (f *Files) put(generation, wanted, other uint64) error {
	slot := f.slot(generation)
	now, err := inode(f.tree)
	if err != nil {
		return err
	}
	switch there, err := inode(slot); {
	case now == wanted:
	case err != nil:
		return err
	case now != other || there != wanted:
		return fmt.Errorf("%s or %s is not the folder that the sync has left there: somebody has moved it; put it back, or remove %s and sync anew", f.tree, slot, filepath.Dir(slot))
	default:
		if err := unix.Renameat2(unix.AT_FDCWD, f.tree, unix.AT_FDCWD, slot, unix.RENAME_EXCHANGE); err != nil {
			return fmt.Errorf("exchange %s and %s: %w", f.tree, slot, err)
		}
	}
	return errors.Join(statefile.SyncDir(filepath.Dir(f.tree)), statefile.SyncDir(shelf(f.tree)))
}

// Drop removes the tree that is not in force.
func (f *Files) Drop(ctx context.Context, c Change, side Side) error {
	slot := f.slot(c.Generation)
	if len(c.Data) == 0 {
		return removeTree(ctx, slot)
	}
	var x exchange
	if err := json.Unmarshal(c.Data, &x); err != nil {
		return fmt.Errorf("read the change of %s: %w", f.tree, err)
	}
	want := x.Old
	if side == New {
		want = x.New
	}
	if there, err := inode(slot); errors.Is(err, fs.ErrNotExist) || there != want {
		return nil
	} else if err != nil {
		return err
	}
	return removeTree(ctx, slot)
}

// inode gives the number of the folder at path, which is no link.
func inode(path string) (uint64, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return 0, err
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.IsDir() {
		return 0, fmt.Errorf("%s is no folder: it has to be one, not a link to one", path)
	}
	return s.Ino, nil
}

// removeTree removes a tree that nothing uses. What a mount hides or a program
// still writes is left with an error. ctx does not end it: what is half removed
// would only have to be removed later.
func removeTree(_ context.Context, path string) error { return os.RemoveAll(path) }

package replicate

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/understudy-ha/understudy/internal/statefile"
)

// markerName is the file in a tree's root by which a dataset is known. It
// travels with the tree. An empty disk, or the folder below a volume that is not
// mounted, has none.
const markerName = ".understudy-dataset"

// readMarker gives a tree's identity, "" if it has none.
func readMarker(tree string) (string, error) {
	f, err := os.OpenFile(filepath.Join(tree, markerName), os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	b := make([]byte, 128)
	n, err := f.Read(b)
	if id := strings.TrimSpace(string(b[:max(n, 0)])); plainID(id) {
		return id, nil
	}
	return "", errors.Join(err, fmt.Errorf("%s is not what Understudy has written there", f.Name()))
}

func plainID(id string) bool {
	return len(id) >= 16 && len(id) <= 64 && strings.Trim(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == ""
}

// mark gives a tree an identity.
func mark(tree string) (string, error) {
	id := rand.Text()
	return id, statefile.Write(filepath.Join(tree, markerName), []byte(id+"\n"), 0o644)
}

// volume names the file system that a folder is on; "" where the kernel does
// not tell.
func volume(dir string) (string, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return "", fmt.Errorf("look at the file system of %s: %w", dir, err)
	}
	if s.Fsid.Val == [2]int32{} {
		return "", nil
	}
	return fmt.Sprintf("%x-%x%08x", s.Type, uint32(s.Fsid.Val[0]), uint32(s.Fsid.Val[1])), nil // #nosec G115 -- bits
}

package remote

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// own gives a file of ours to the owner of its directory. Only root can, and
// only root has to.
func own(path string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	dir, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return err
	}
	uid, gid := owner(dir)
	return os.Lchown(path, uid, gid)
}

func owner(info fs.FileInfo) (uid, gid int) {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(s.Uid), int(s.Gid)
	}
	return -1, -1
}

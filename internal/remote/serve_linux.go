package remote

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
)

// oPath opens a place and not what is there: search permission on the way to it
// is enough (open(2), O_PATH).
const oPath = 0x200000

// openExactly opens the folder at an absolute path on which no element is a
// link, step by step, so that none can become one in between.
func openExactly(path string) (*os.File, error) {
	const how = oPath | syscall.O_DIRECTORY | syscall.O_NOFOLLOW | syscall.O_CLOEXEC
	at, err := syscall.Open("/", how, 0)
	if err != nil {
		return nil, err
	}
	for name := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
		next, err := syscall.Openat(at, name, how, 0)
		_ = syscall.Close(at)
		if errors.Is(err, syscall.ELOOP) || errors.Is(err, syscall.ENOTDIR) {
			return nil, fmt.Errorf("%s in it is no folder but a link or a file; restart the engine if that is right", cut(name))
		}
		if err != nil {
			return nil, err
		}
		at = next
	}
	return os.NewFile(uintptr(at), path), nil
}

// Exec runs what Serve gave in place of this process, with an environment of
// its own. It returns only if that fails.
func (s Served) Exec() error {
	if _, _, errno := syscall.Syscall(syscall.SYS_FCNTL, s.Root.Fd(), syscall.F_SETFD, 0); errno != 0 {
		return errno
	}
	env := []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8"}
	return fmt.Errorf("run %s: %w", s.Argv[0], syscall.Exec(s.Argv[0], s.Argv, env))
}

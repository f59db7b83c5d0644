package register

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/understudy-ha/understudy/internal/statefile"
)

// The modes that let processes of several users of one Unix group share.
const (
	dirMode  = fs.ModeSetgid | 0o770
	fileMode = fs.FileMode(0o660)
)

// The bounds of a group's files, and of waiting for one.
const (
	mostTraffic = 1 << 20         // bytes of a GROUP.traffic
	mostName    = 200             // bytes of a group's name, so that every file name fits
	lockWait    = 5 * time.Second // a holder needs milliseconds; a stopped one must not stop us
	mostSaves   = 16              // at once: each needs a thread, and the disk writes as fast for a few
	pollEvery   = 5 * time.Second // should the kernel's notice of a change ever fail to come
)

// Dir is a register in a directory that the processes of one host share. All
// its methods may be called from any goroutine; after Close all but Watch
// still work.
type Dir struct {
	path    string // absolute
	files   statefile.Shared
	turns   chan struct{} // a place for each Save under way
	closing chan struct{}
	gone    chan struct{} // closed when the goroutine has ended

	mu       sync.Mutex // guards the fields below
	closed   bool
	subjects map[string]*subject // the groups that somebody watches
}

// OpenDir gives the register in dir. A directory that does not exist is made,
// with mode 2770; one that does keeps its mode. The error says what to do.
//
// A process should have one Dir for a directory: it holds one inotify instance
// with one watch, however many groups are watched.
func OpenDir(dir string) (*Dir, error) { return openDir(dir, pollEvery) }

func openDir(dir string, poll time.Duration) (*Dir, error) {
	path, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open register %s: %w", dir, err)
	}
	d := &Dir{
		path:     path,
		turns:    make(chan struct{}, mostSaves),
		closing:  make(chan struct{}),
		gone:     make(chan struct{}),
		subjects: map[string]*subject{},
	}
	if err := statefile.MakeDir(path, dirMode); err != nil {
		return nil, fmt.Errorf("open register: %w", d.advise(err))
	}
	_ = statefile.Clean(path) // what crashed writers left is litter, not damage
	e, err := look(path)
	if err != nil {
		return nil, fmt.Errorf("open register: %w", err)
	}
	go d.run(e, poll)
	return d, nil
}

// Close ends every watch, as if its context had ended. It may be called twice.
func (d *Dir) Close() error {
	if d.deafenAll() {
		close(d.closing)
	}
	<-d.gone
	return nil
}

// The files of a group.
const (
	trafficFile = ".traffic"
	historyFile = ".history"
	lockFile    = ".lock"
	damagedFile = ".damaged."
)

func (d *Dir) file(group, kind string) string { return filepath.Join(d.path, group+kind) }

// begin says why a call cannot begin: its context has ended, or the group's
// name would lead elsewhere.
func begin(ctx context.Context, group string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return checkName(group)
}

func checkName(group string) error {
	switch {
	case group == "":
		return errors.New("a group needs a name")
	case len(group) > mostName:
		return fmt.Errorf("group name %q is longer than %d bytes", cut(group), mostName)
	case group[0] == '.':
		return fmt.Errorf("group name %q begins with a dot", group)
	}
	for _, c := range group {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (c < '0' || c > '9') && !strings.ContainsRune("._-", c) {
			return fmt.Errorf("group name %q has more than letters, digits, dots, dashes and underscores", group)
		}
	}
	return nil
}

// advise adds to the error of a file what a person can do about it.
func (d *Dir) advise(err error) error {
	var advice string
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		advice = "free space on the file system of " + d.path
	case errors.Is(err, syscall.EFBIG):
		advice = "raise the limit on file sizes (ulimit -f, LimitFSIZE) of this process"
	case errors.Is(err, syscall.EROFS):
		advice = "mount the file system of " + d.path + " writable"
	case errors.Is(err, fs.ErrPermission):
		advice = "give this process's user the Unix group of " + d.path + ", and that group the directory (mode 2770) and its files (0660)"
	case errors.Is(err, fs.ErrNotExist):
		advice = "bring the directory " + d.path + " back, or start understudy anew"
	case errors.Is(err, statefile.ErrLocked):
		advice = "find the process that does not go on (fuser shows who has the file open), and end it"
	default:
		return err
	}
	return fmt.Errorf("%w; %s", err, advice)
}

package statefile

import (
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// Shared replaces files of one directory as Write does, for many callers at the
// same time: their new names become durable by one sync. The zero value is
// ready; it must not be copied.
type Shared struct {
	do func(dir *os.File, path string) error // syncs the directory; nil: syncDir

	mu    sync.Mutex // guards the fields below
	under *turn      // the sync under way, nil if none is
	next  *turn      // the one that begins when it has ended, nil if nobody waits for one
}

// turn is one sync of the directory.
type turn struct {
	over chan struct{}
	err  error // set before over is closed
}

// Write is Write.
func (s *Shared) Write(path string, data []byte, perm fs.FileMode) error {
	return replace(path, data, perm, s.sync)
}

// sync syncs the directory once more after everything that its callers have
// done before they called.
func (s *Shared) sync(dir *os.File, path string) error {
	s.mu.Lock()
	t := s.next
	if t != nil { // it has not begun
		s.mu.Unlock()
		<-t.over
		return t.tell(path)
	}
	t = &turn{over: make(chan struct{})}
	if before := s.under; before != nil {
		s.next = t
		s.mu.Unlock()
		<-before.over
		s.mu.Lock()
		s.next = nil
	}
	s.under = t
	s.mu.Unlock()
	if s.do != nil {
		t.err = s.do(dir, filepath.Dir(path))
	} else {
		t.err = syncDir(dir, filepath.Dir(path))
	}
	s.mu.Lock()
	if s.under == t {
		s.under = nil
	}
	s.mu.Unlock()
	close(t.over)
	return t.tell(path)
}

// tell gives the error of the sync as that of one of its callers.
func (t *turn) tell(path string) error {
	if t.err == nil {
		return nil
	}
	return fail("sync directory of", path, t.err)
}

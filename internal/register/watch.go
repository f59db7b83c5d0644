package register

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"
)

// subject is a group that somebody watches.
type subject struct {
	seen fs.FileInfo                   // of the traffic file when it was last polled, nil if there was none
	ears map[chan struct{}]func() bool // each with what stops waiting for its context
}

// Watch gives a channel that receives after every change of a group's Traffic
// by anyone, this Dir included; several changes may be one signal, and a
// signal may come without a change. Load after the last signal gives the last
// Traffic. The channel is closed when ctx ends or the Dir is closed.
func (d *Dir) Watch(ctx context.Context, group string) (<-chan struct{}, error) {
	if err := begin(ctx, group); err != nil {
		return nil, fmt.Errorf("watch traffic: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, fmt.Errorf("watch traffic of %s: %w", group, fs.ErrClosed)
	}
	s := d.subjects[group]
	if s == nil {
		s = &subject{seen: d.stat(group), ears: map[chan struct{}]func() bool{}}
		d.subjects[group] = s
	}
	ear := make(chan struct{}, 1)
	s.ears[ear] = context.AfterFunc(ctx, func() { d.deafen(group, ear) })
	return ear, nil
}

// deafen ends one watch.
func (d *Dir) deafen(group string, ear chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.subjects[group]
	if s == nil { // closed meanwhile
		return
	}
	delete(s.ears, ear)
	close(ear)
	if len(s.ears) == 0 {
		delete(d.subjects, group)
	}
}

// deafenAll ends every watch for good, and says whether it is the first to.
func (d *Dir) deafenAll() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return false
	}
	d.closed = true
	for _, s := range d.subjects {
		for ear, stop := range s.ears {
			stop()
			close(ear)
		}
	}
	clear(d.subjects)
	return true
}

// run hears of changes until the Dir is closed. It owns e.
func (d *Dir) run(e eye, poll time.Duration) {
	defer close(d.gone)
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		select {
		case <-d.closing:
			e.close()
			return
		case event := <-e.Events:
			d.heard(event.Name)
		case <-e.Errors: // too many events at once, or one that cannot be read: any group may have changed
			d.signalAll()
		case <-tick.C:
			e = d.renew(e)
			d.sweep()
		}
	}
}

// heard signals the group whose traffic file has the given path.
func (d *Dir) heard(path string) {
	if path == d.path { // the directory itself has changed, or is gone
		d.signalAll()
		return
	}
	group, ok := strings.CutSuffix(filepath.Base(path), trafficFile)
	if !ok {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if s := d.subjects[group]; s != nil {
		s.signal()
	}
}

func (d *Dir) signalAll() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.subjects {
		s.signal()
	}
}

// signal tells every ear that has not yet been told. Dir.mu must be held.
func (s *subject) signal() {
	for ear := range s.ears {
		select {
		case ear <- struct{}{}:
		default:
		}
	}
}

// sweep looks at every watched file and signals those that have changed.
func (d *Dir) sweep() {
	d.mu.Lock()
	groups := make([]string, 0, len(d.subjects))
	for group := range d.subjects {
		groups = append(groups, group)
	}
	d.mu.Unlock()
	for _, group := range groups {
		now := d.stat(group)
		d.mu.Lock()
		if s := d.subjects[group]; s != nil && !same(s.seen, now) {
			s.seen = now
			s.signal()
		}
		d.mu.Unlock()
	}
}

func (d *Dir) stat(group string) fs.FileInfo {
	info, err := os.Stat(d.file(group, trafficFile))
	if err != nil {
		return nil
	}
	return info
}

func same(a, b fs.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime()) && a.Mode() == b.Mode()
}

// eye is the kernel's notice of changes in one directory. The zero value sees
// nothing.
type eye struct {
	*fsnotify.Watcher
	Events <-chan fsnotify.Event
	Errors <-chan error
	dir    fs.FileInfo // the directory that it sees
}

// look gives an eye on the directory at path.
func look(path string) (eye, error) {
	dir, err := os.Stat(path)
	if err != nil {
		return eye{}, err
	}
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return eye{}, fmt.Errorf("watch %s: %w%s", path, err, inotifyAdvice(err))
	}
	if err := w.Add(path); err != nil {
		_ = w.Close()
		return eye{}, fmt.Errorf("watch %s: %w%s", path, err, inotifyAdvice(err))
	}
	return eye{w, w.Events, w.Errors, dir}, nil
}

func inotifyAdvice(err error) string {
	switch {
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return "; raise the sysctl fs.inotify.max_user_instances or the limit of open files"
	case errors.Is(err, syscall.ENOSPC):
		return "; raise the sysctl fs.inotify.max_user_watches"
	case errors.Is(err, fs.ErrPermission):
		return "; let this process's user read the directory (mode 2770, shared Unix group)"
	}
	return ""
}

// renew gives e, or a new eye if another directory stands at the path by now
// or the kernel has stopped to watch; the zero eye if the path cannot be
// watched, until it can. It signals whenever nobody saw what happened.
func (d *Dir) renew(e eye) eye {
	if now, err := os.Stat(d.path); err == nil && e.on(now) {
		return e
	}
	e.close()
	next, _ := look(d.path) // whoever loads now is told why it fails
	d.signalAll()
	return next
}

// on says whether the eye sees the directory dir.
func (e eye) on(dir fs.FileInfo) bool {
	return e.Watcher != nil && os.SameFile(e.dir, dir) && len(e.WatchList()) == 1
}

func (e eye) close() {
	if e.Watcher != nil {
		_ = e.Watcher.Close()
	}
}

package sidecar

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/internal/notify"
	"github.com/understudy-ha/understudy/internal/statefile"
)

// scribe keeps the files that load balancers read as the decisions have them.
// Each file has one goroutine, which alone writes it and runs its command.
type scribe struct {
	groups *groups
	tell   func(notify.Message)
	log    *slog.Logger
	dir    string // keeps which commands are still owed

	mu    sync.Mutex // guards the fields below
	pages []*page
	end   func()
}

// The events of a file that cannot be written or followed by its command, and
// of the end of that.
const (
	fileFailed   ha.Reason = "file_failed"
	fileFollowed ha.Reason = "file_followed"
)

// The times between two tries: doubled from the first to the last.
const (
	firstAgain = time.Second
	lastAgain  = time.Minute
)

// page is one file in force.
type page struct {
	*render
	*scribe
	wake chan struct{}

	mu       sync.Mutex // guards the field below
	failures int        // tries in a row that failed
}

// begin has the files written from now on, in place of those before.
func (s *scribe) begin(renders []*render) {
	s.stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	var stops []func()
	s.pages = nil
	for _, r := range renders {
		p := &page{render: r, scribe: s, wake: make(chan struct{}, 1)}
		s.pages = append(s.pages, p)
		for name := range r.groups {
			if w := s.groups.find(name); w != nil {
				stops = append(stops, w.Follow(p.stir))
			}
		}
		running.Go(func() { p.run(ctx) })
	}
	s.end = func() {
		for _, stop := range stops {
			stop()
		}
		cancel()
		running.Wait()
	}
}

// stop ends every page and waits for it, commands under way included.
func (s *scribe) stop() {
	s.mu.Lock()
	end := s.end
	s.end, s.pages = nil, nil
	s.mu.Unlock()
	if end != nil {
		end()
	}
}

// stir has the page looked at again.
func (p *page) stir(ha.Situation) {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// run keeps the file as it must be until ctx ends.
func (p *page) run(ctx context.Context) {
	again := firstAgain
	retry := time.NewTimer(0)
	defer retry.Stop()
	for {
		due := false
		select {
		case <-ctx.Done():
			return
		case <-p.wake:
			due = !p.failing() // else only a changed file is a reason to try before its time
		case <-retry.C:
			due = true
		}
		changed, err := p.turn()
		if changed {
			again = firstAgain
		}
		if err == nil && (changed || due) {
			err = p.follow(ctx)
		} else if err == nil {
			continue
		}
		if ctx.Err() != nil {
			return
		}
		if p.report(err); err != nil {
			retry.Reset(again)
			again = min(2*again, lastAgain)
		}
	}
}

// turn writes the file if it differs, and says whether it did. While a group
// has not been read yet the file stays as the process before left it.
func (p *page) turn() (changed bool, err error) {
	situations, known := p.situations()
	if !known {
		return false, nil
	}
	text, err := p.make(situations)
	if err != nil {
		return false, fmt.Errorf("render %s: %w", p.To, err)
	}
	was, err := statefile.Read(p.To, mostRendered)
	switch {
	case err == nil && bytes.Equal(was, text):
		return false, nil
	case err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, statefile.ErrTooLarge):
		return false, err
	}
	if err := p.write(text); err != nil {
		return false, err
	}
	p.log.Info("file written", "file", p.To)
	return true, nil
}

// follow runs the command if it is owed.
func (p *page) follow(ctx context.Context) error {
	if _, err := os.Stat(p.debt()); err != nil {
		return nil
	}
	if len(p.Then) > 0 {
		begun := time.Now()
		if err := execute(ctx, p.Then, p.Timeout); err != nil {
			return err
		}
		p.log.Info("command done", "file", p.To, "command", p.Then[0], "took", time.Since(begun).Round(time.Millisecond).String())
	}
	if err := os.Remove(p.debt()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// situations gives what the file is made of; false while a group has not been
// read yet.
func (p *page) situations() (map[string]ha.Situation, bool) {
	all := map[string]ha.Situation{}
	for name := range p.render.groups {
		s, ok := p.scribe.groups.Situation(name)
		if !ok || s.At.IsZero() || (s.Traffic.Serving == "" && s.Traffic.Hold == nil) {
			return nil, false
		}
		all[name] = s
	}
	return all, true
}

// write replaces the file. That its command is owed is stored before, so that a
// crash in between does not leave the load balancer behind.
func (p *page) write(text []byte) error {
	if err := statefile.MakeDir(p.dir, 0o770|fs.ModeSetgid); err != nil {
		return err
	}
	if err := statefile.Write(p.debt(), []byte(p.To+"\n"), 0o660); err != nil {
		return err
	}
	mode := fs.FileMode(0o644)
	if info, err := os.Stat(p.To); err == nil {
		mode = info.Mode().Perm()
	}
	return statefile.Write(p.To, text, mode)
}

// debt is the file that says that the command is owed.
func (p *page) debt() string {
	return filepath.Join(p.dir, fmt.Sprintf("%x.owed", sha256.Sum256([]byte(p.To)))[40:])
}

// patience is how many tries have to fail before somebody is told: at a start
// of the machine the load balancer may come a moment later than we do.
const patience = 2

// report logs and tells when the page fails, and when that is over.
func (p *page) report(err error) {
	p.mu.Lock()
	before := p.failures
	if p.failures++; err == nil {
		p.failures = 0
	}
	now := p.failures
	p.mu.Unlock()
	names := strings.Join(p.names(), ", ")
	m := notify.Message{Group: names, Event: fileFailed, Severity: notify.Alarm, At: time.Now()}
	switch {
	case now == patience:
		p.log.Error("a load balancer is not told", "file", p.To, "error", err)
		m.Text = fmt.Sprintf("The load balancer that reads %s is not told of the traffic of %s: %s.", p.To, names, err)
		m.Do = "Look at the command and the file; it is tried again every minute."
		p.tell(m)
	case err != nil:
		p.log.Warn("a load balancer could not be told; it is tried again", "file", p.To, "error", err)
	case before >= patience:
		p.log.Info("a load balancer is told again", "file", p.To)
		m.Event, m.Severity = fileFollowed, notify.Info
		m.Text = fmt.Sprintf("The load balancer that reads %s is told of the traffic of %s again.", p.To, names)
		p.tell(m)
	}
}

func (p *page) names() (names []string) {
	for name := range p.render.groups {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// failing says whether the last try failed.
func (p *page) failing() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failures > 0
}

func (s *scribe) writeMetrics(to io.Writer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.pages) == 0 {
		return
	}
	head(to, "understudy_file_failed", "gauge", "1 while a file cannot be written or its command fails.")
	for _, p := range s.pages {
		fmt.Fprintf(to, "understudy_file_failed{file=%q} %d\n", p.To, int(flagged(p.failing())))
	}
}

package web

import (
	"fmt"
	"net/http"
	"sync"
	"time"
)

const (
	mostFollowers = 1000
	beatEvery     = 10 * time.Second // a sign of life, and a look whether the session still lasts
	liveFor       = 10 * time.Second // one write to a follower
)

// live passes on that something has changed. A follower that has not read the
// last word is not given another: it looks at everything anyway.
type live struct {
	mu        sync.Mutex // guards the fields below
	followers map[chan struct{}]bool
	ended     bool
}

func newLive() *live { return &live{followers: map[chan struct{}]bool{}} }

func (l *live) join() chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended || len(l.followers) >= mostFollowers {
		return nil
	}
	c := make(chan struct{}, 1)
	l.followers[c] = true
	return c
}

func (l *live) leave(c chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.followers[c] {
		delete(l.followers, c)
		close(c)
	}
}

// Tell has every page that is open look again.
func (s *Site) Tell() {
	s.live.mu.Lock()
	defer s.live.mu.Unlock()
	for c := range s.live.followers {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// HangUp ends every event stream, so that a server can shut down.
func (s *Site) HangUp() {
	s.live.mu.Lock()
	defer s.live.mu.Unlock()
	for c := range s.live.followers {
		delete(s.live.followers, c)
		close(c)
	}
}

// follow is the event stream (WHATWG HTML, 9.2): change whenever a page should
// look again, beat as a sign of life, bye when the session has ended.
func (s *Site) follow(w http.ResponseWriter, r *http.Request) {
	r.Header.Set(liveHeader, "1")
	v := s.visit(w, r)
	if v.Session.User == "" {
		s.plain(w, http.StatusUnauthorized, "There is no session.")
		return
	}
	c := s.live.join()
	if c == nil {
		w.Header().Set("Retry-After", "10")
		s.plain(w, http.StatusServiceUnavailable, "Too many pages follow already.")
		return
	}
	defer s.live.leave(c)
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Time{}) // not every writer knows deadlines
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	send := func(event string) bool {
		_ = control.SetWriteDeadline(s.deadline())
		_, err := fmt.Fprintf(w, "event: %s\ndata: %s\n\n", event, s.Now().UTC().Format(time.RFC3339))
		return err == nil && control.Flush() == nil
	}
	beat := time.NewTicker(beatEvery)
	defer beat.Stop()
	for ok := send("beat"); ok; {
		select {
		case <-r.Context().Done():
			return
		case _, open := <-c:
			ok = open && send("change")
		case <-beat.C:
			if _, lasts := s.Book.Session(v.token, false); !lasts {
				send("bye")
				return
			}
			ok = send("beat")
		}
	}
}

func (s *Site) deadline() time.Time { return time.Now().Add(liveFor) }

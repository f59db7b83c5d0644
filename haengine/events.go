package haengine

import (
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
)

// watchers are told when the Snapshot is another one. The zero value has none.
type watchers struct {
	mu  sync.Mutex // guards all
	all map[chan struct{}]struct{}
}

func (w *watchers) join() chan struct{} {
	c := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.all == nil {
		w.all = map[chan struct{}]struct{}{}
	}
	w.all[c] = struct{}{}
	return c
}

func (w *watchers) leave(c chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.all, c)
}

// tell never waits: who has not looked yet looks once for both.
func (w *watchers) tell() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.all {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

const (
	mostWrite = 10 * time.Second // of one write to somebody who follows
	calmest   = time.Second      // between two events that differ only in what heartbeats change
)

// events streams how the node is, as server-sent events (WHATWG HTML, 9.2): at
// first, and whenever it has changed.
func (e *Engine) events(w http.ResponseWriter, r *http.Request) {
	changed := e.watch.join()
	defer e.watch.leave(changed)
	s := &stream{w: w, control: http.NewResponseController(w)}
	_ = s.control.SetReadDeadline(time.Time{}) // the request is whole; its server's patience was for that
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	still := time.NewTicker(calmest)
	defer still.Stop()
	for ok := s.show(e.Status(), time.Now()); ok; {
		select {
		case <-r.Context().Done():
			return
		case <-changed:
			ok = s.show(e.Status(), time.Now())
		case now := <-still.C: // what ages without an event: a lease, a loop
			ok = s.show(e.Status(), now)
		}
	}
}

// stream writes to one who follows.
type stream struct {
	w          http.ResponseWriter
	control    *http.ResponseController
	text, calm string    // of the last event, the latter without what heartbeats change
	at         time.Time // of the last write
}

// show sends a Status that says something new, and a comment where nothing was
// sent for long. It says whether the other side still takes it.
func (s *stream) show(d nodeapi.Status, now time.Time) bool {
	text, _ := json.Marshal(d) // of words and numbers
	d.Peer.At, d.Peer.Last = time.Time{}, ""
	calm, _ := json.Marshal(d)
	switch since := now.Sub(s.at); {
	case string(calm) != s.calm, string(text) != s.text && since >= calmest:
		s.text, s.calm = string(text), string(calm)
		return s.write("event: status\ndata: "+s.text+"\n\n", now)
	case since >= nodeapi.StillHere:
		return s.write(": still here\n\n", now)
	}
	return true
}

func (s *stream) write(text string, now time.Time) bool {
	s.at = now
	_ = s.control.SetWriteDeadline(time.Now().Add(mostWrite))
	if _, err := s.w.Write([]byte(text)); err != nil {
		return false
	}
	return s.control.Flush() == nil
}

package api

import (
	"fmt"
	"net/http"
	"slices"
	"time"
)

// patience is how long one write to a client may take.
const patience = 10 * time.Second

// events streams the changes of all groups, or of the one in ?group=, as
// server-sent events (WHATWG HTML, 9.2): first what the client has missed
// since its Last-Event-ID, or how every group is now.
func (a *API) events(w http.ResponseWriter, r *http.Request) {
	only := r.URL.Query().Get("group")
	if only != "" {
		if _, ok := a.find(w, only); !ok {
			return
		}
	}
	c, err := a.hub.join(r.Header.Get("Last-Event-ID"))
	if err != nil {
		fault(http.StatusServiceUnavailable, NoEvents, "no events", err.Error(), "Come back in a moment.").write(w)
		return
	}
	defer a.hub.leave(c)
	s := newStream(w, only)
	first := c.missed
	if !c.known {
		first = a.present(c.now)
	}
	if !s.begin(first) || r.Method == http.MethodHead {
		return
	}
	beat := time.NewTicker(a.beat)
	defer beat.Stop()
	for ok := true; ok; {
		select {
		case <-r.Context().Done():
			return
		case e, open := <-c.events:
			ok = open && s.send(e)
		case <-beat.C:
			ok = s.write(": still here\n\n")
		}
	}
}

// present gives how every group is now, as events that carry one id.
func (a *API) present(id string) []event {
	var events []event
	for _, name := range a.groups.Names() {
		if s, ok := a.groups.Situation(name); ok {
			if e, err := eventOf(a.show(s)); err == nil {
				e.id = id
				events = append(events, e)
			}
		}
	}
	return events
}

// stream writes to one client.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	only    string               // the group wanted, "" for all
	sent    map[string]time.Time // by group: when the newest situation that was sent was so
}

func newStream(w http.ResponseWriter, only string) *stream {
	return &stream{w: w, control: http.NewResponseController(w), only: only, sent: map[string]time.Time{}}
}

// begin sends the head and the first events. A stream outlives the read
// timeout of its server, which would otherwise end the request.
func (s *stream) begin(events []event) bool {
	_ = s.control.SetReadDeadline(time.Time{}) // not every writer knows deadlines; then there is none
	h := s.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Accel-Buffering", "no")
	s.w.WriteHeader(http.StatusOK)
	if !s.write("retry: 1000\n\n") {
		return false
	}
	return !slices.ContainsFunc(events, func(e event) bool { return !s.send(e) })
}

// send writes an event unless it is of another group, or tells what was so
// before what the client has been told.
func (s *stream) send(e event) bool {
	if s.only != "" && e.group != s.only || e.at.Before(s.sent[e.group]) {
		return true
	}
	s.sent[e.group] = e.at
	return s.write(fmt.Sprintf("id: %s\nevent: group\ndata: %s\n\n", e.id, e.data))
}

// write says whether the client took the text in time.
func (s *stream) write(text string) bool {
	_ = s.control.SetWriteDeadline(time.Now().Add(patience))
	if _, err := s.w.Write([]byte(text)); err != nil {
		return false
	}
	return s.control.Flush() == nil
}

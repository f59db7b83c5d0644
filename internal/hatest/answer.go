package hatest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// The headers of a node. The application says its name and how many bytes of
// body it has read; a page may carry its epoch.
const (
	NodeHeader  = "X-Node"
	BytesHeader = "X-Body-Bytes"
	EpochHeader = "X-Understudy-Epoch"
	IDHeader    = "X-Request-Id"
)

// answer is what a node has to say, however badly it then says it.
type answer struct {
	status int
	header http.Header
	body   string
}

func pagePath(page ha.Page) string { return ha.Profile{}.Path(page) }

// serve answers every request: it writes down what came, reads the body, waits
// as long as it has to, and answers as the script says then.
func (n *Node) serve(w http.ResponseWriter, r *http.Request) {
	n.work.Add(1)
	n.busy.Add(1)
	defer func() {
		n.busy.Add(-1)
		n.news.ring()
		n.work.Done()
	}()
	on, page := App, ha.StatusPage
	switch r.URL.Path {
	case pagePath(ha.StatusPage):
		on = Pages
	case pagePath(ha.HAStatusPage):
		on, page = Pages, ha.HAStatusPage
	}
	n.note(on, r)
	size, err := io.Copy(io.Discard, r.Body)
	if err != nil || !n.delay(r, on) {
		panic(http.ErrAbortHandler)
	}
	s, ok := n.unhung(r.Context(), on)
	if !ok {
		panic(http.ErrAbortHandler)
	}
	t := turn{node: n, w: w, r: r, on: on, broken: s.parts[on].broken}
	switch {
	case on == Pages:
		t.answer = s.page(page)
	case t.broken.Fault == None && s.parts[App].status == 0 && n.special(w, r, s):
		return
	default:
		t.answer = s.app(n.cfg.Name, r, size)
	}
	t.give()
}

// delay waits for the part's latency, or the one in the request's query. It is
// false when the client or the node has gone.
func (n *Node) delay(r *http.Request, on Part) bool {
	wait := n.script.Load().parts[on].latency
	if on == App && strings.Contains(r.URL.RawQuery, "latency=") {
		if d, err := time.ParseDuration(r.URL.Query().Get("latency")); err == nil {
			wait = d
		}
	}
	return pause(r.Context(), wait)
}

func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// unhung waits while a part hangs and gives the script by which it does not.
func (n *Node) unhung(ctx context.Context, on Part) (*script, bool) {
	for {
		changed := n.changed.next()
		if s := n.script.Load(); s.parts[on].broken.Fault != Hang {
			return s, true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, false
		}
	}
}

func (s *script) page(page ha.Page) answer {
	a := answer{header: s.headers("text/html; charset=utf-8")}
	a.status, a.body = ha.FormatPage(page, s.state)
	if lie := s.lies[page]; lie != nil {
		a.status, a.body = http.StatusOK, *lie
	}
	if s.parts[Pages].broken.Fault == Contradict {
		_, active := ha.FormatPage(page, ha.Active)
		_, standby := ha.FormatPage(page, ha.Standby)
		a.status, a.body = http.StatusOK, active+"\n"+standby+"\n"
	}
	if status := s.parts[Pages].status; status != 0 {
		a.status = status
	}
	if s.epoch != 0 {
		a.header.Set(EpochHeader, strconv.FormatUint(s.epoch, 10))
	}
	return a
}

func (s *script) app(name string, r *http.Request, size int64) answer {
	a := answer{status: http.StatusOK, header: s.headers("text/plain; charset=utf-8")}
	if status := s.parts[App].status; status != 0 {
		a.status = status
	}
	a.header.Set(NodeHeader, name)
	a.header.Set(BytesHeader, strconv.FormatInt(size, 10))
	a.body = fmt.Sprintf("%s read %s %s with %d bytes\n", name, r.Method, r.URL.Path, size)
	return a
}

// headers gives the headers of an answer, with the set ones on top.
func (s *script) headers(contentType string) http.Header {
	h := make(http.Header, 4+len(s.header))
	h.Set("Content-Type", contentType)
	for key, values := range s.header {
		h[key] = values
	}
	return h
}

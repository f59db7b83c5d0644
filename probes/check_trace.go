package probes

import (
	"context"
	"crypto/tls"
	"strings"
	"time"
	"unicode"

	"github.com/understudy-ha/understudy/internal/ha"
)

// mostShown is the most of a body that a Trace shows.
const mostShown = 2 << 10

// Trace is one probe of one page told in full, for people.
type Trace struct {
	Reading ha.Reading
	Address string // that was connected to, empty if none was
	TLS     string // version and cipher, empty without TLS
	Request string
	Status  string // the line, cut
	Header  string // lines, cut
	Body    string // cut; all that came if it was not HTTP
	Spent   Spent

	entered [phases]time.Time // zero: not reached
	first   time.Time         // when the first byte came
	heard   []byte
}

// Spent is the time that each phase of a probe took, zero for one that was not
// reached or not wanted.
type Spent struct {
	DNS, Connect, TLS, FirstByte, Body time.Duration
}

// Trace probes one page as Check does and tells how it went. Of an answer that
// its headers condemn the body is read too, to be shown, within the Timeout.
func (c *Checker) Trace(page ha.Page) Trace {
	t := Trace{Request: string(c.requests[page])}
	began := time.Now()
	g := get{Checker: c, page: page, deadline: began.Add(c.timeout), trace: &t}
	defer g.end()
	f := g.find(context.Background())
	t.Reading = c.reading(f, began)
	t.spend(began.Add(t.Reading.Took))
	if g.conn != nil {
		t.Address = g.conn.RemoteAddr().String()
	}
	if g.ear != nil {
		t.show(g.ear, f.cause)
	}
	t.heard = nil
	return t
}

// hear keeps what came, up to what is shown of it.
func (t *Trace) hear(came []byte) {
	if t.first.IsZero() && len(came) > 0 {
		t.first = time.Now()
	}
	t.heard = append(t.heard, came[:min(len(came), ha.MaxPage+mostShown-len(t.heard))]...)
}

// spend gives each phase the time from its beginning to that of the next one
// that was reached, or to the end.
func (t *Trace) spend(end time.Time) {
	from := append(t.entered[:], t.first)
	to := []*time.Duration{&t.Spent.DNS, &t.Spent.Connect, &t.Spent.TLS, &t.Spent.FirstByte, &t.Spent.Body}
	for i := len(from) - 1; i >= 0; i-- {
		if !from[i].IsZero() {
			*to[i] = end.Sub(from[i])
			end = from[i]
		}
	}
}

// show cuts what was heard into the parts of an answer.
func (t *Trace) show(e *ear, cause ha.Cause) {
	head, rest, whole := cutHead(string(t.heard))
	if !whole {
		t.Body = lines(head)
		return
	}
	if cause == ha.Status || cause == ha.Redirect || len(e.resp.Header.ContentEncoding()) > 0 {
		_ = e.readBody()
	}
	t.Status, t.Header, _ = strings.Cut(head, "\r\n")
	t.Status, t.Header = cut(t.Status), lines(t.Header)
	t.Body = lines(string(e.resp.Body()))
	if t.Body == "" {
		t.Body = lines(rest)
	}
}

// cutHead gives the head of the final answer and what follows it; whole is
// false if no head has come to its end.
func cutHead(heard string) (head, rest string, whole bool) {
	for {
		head, rest, whole = strings.Cut(heard, "\r\n\r\n")
		_, code, _ := strings.Cut(head, " ")
		if !whole || !strings.HasPrefix(code, "1") || strings.HasPrefix(code, "101") {
			return head, rest, whole
		}
		heard = rest
	}
}

// lines gives text as people may see it, at most mostShown bytes of it, with
// its line ends.
func lines(text string) string {
	if len(text) > mostShown {
		text = text[:mostShown] + "…"
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\r':
			return -1
		case r == '\n', r == '\t', unicode.IsPrint(r):
			return r
		}
		return '·'
	}, text)
}

// tellVersion names what a handshake settled on.
func tellVersion(s tls.ConnectionState) string {
	return tls.VersionName(s.Version) + " " + tls.CipherSuiteName(s.CipherSuite)
}

package hatest

import (
	"bytes"
	"compress/gzip"
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// turn is one request and the answer that is due to it.
type turn struct {
	node   *Node
	w      http.ResponseWriter
	r      *http.Request
	on     Part
	broken Breakage
	answer
}

// give answers in the way that the fault has it.
func (t turn) give() {
	fault := t.broken.Fault
	if t.bodiless() && (fault == Drip || fault == Cut || fault == Oversize) {
		fault = None
	}
	switch fault {
	case Reset:
		connOf(t.r).reset()
		panic(http.ErrAbortHandler)
	case Drip:
		t.drip()
	case SlowHeaders:
		t.slowHeaders()
	case Cut:
		t.cut()
	case Oversize:
		t.oversize()
	case Garbage:
		t.raw("\x00\xffNOT/9.9 this is no HTTP\r\n\r\n", 0)
	case Gzip:
		t.zip()
	case Redirect:
		t.header.Set("Location", t.r.URL.RequestURI())
		t.status = http.StatusFound
		t.whole()
	default:
		t.whole()
	}
}

// bodiless says whether HTTP allows the answer no body.
func (t turn) bodiless() bool {
	return t.r.Method == http.MethodHead || t.status == http.StatusNoContent || t.status == http.StatusNotModified
}

func (t turn) whole() {
	t.begin()
	_, _ = io.WriteString(t.w, t.body) // a client that has gone misses it
}

// begin sends the headers with the length of the body.
func (t turn) begin() {
	if !t.bodiless() {
		t.header.Set("Content-Length", strconv.Itoa(len(t.body)))
	}
	maps.Copy(t.w.Header(), t.header)
	t.w.WriteHeader(t.status)
}

func (t turn) drip() {
	t.begin()
	out := http.NewResponseController(t.w)
	for i := range len(t.body) {
		_, err := io.WriteString(t.w, t.body[i:i+1])
		if err != nil || out.Flush() != nil || !t.linger() {
			panic(http.ErrAbortHandler)
		}
	}
}

func (t turn) slowHeaders() {
	var b bytes.Buffer
	resp := http.Response{
		StatusCode: t.status, ProtoMajor: 1, ProtoMinor: 1, Header: t.header, Close: true,
		ContentLength: int64(len(t.body)), Body: io.NopCloser(strings.NewReader(t.body)), Request: t.r,
	}
	if err := resp.Write(&b); err != nil {
		panic(http.ErrAbortHandler)
	}
	t.raw(b.String(), bytes.Index(b.Bytes(), []byte("\r\n\r\n")))
}

// raw sends text instead of an answer, the first bytes of it slowly, and ends
// the connection.
func (t turn) raw(text string, slow int) {
	c, _, err := http.NewResponseController(t.w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer c.Close()
	for i := range slow {
		if _, err := io.WriteString(c, text[i:i+1]); err != nil || !t.linger() {
			return
		}
	}
	_, _ = io.WriteString(c, text[slow:])
}

// linger waits for the fault's pause, or until the fault has ended. It is
// false when the client or the node has gone.
func (t turn) linger() bool {
	timer := time.NewTimer(t.broken.Pause)
	defer timer.Stop()
	for {
		changed := t.node.changed.next()
		if !t.still() {
			return t.r.Context().Err() == nil
		}
		select {
		case <-changed:
		case <-timer.C:
			return true
		case <-t.r.Context().Done():
			return false
		}
	}
}

// still says whether the fault that this turn began with lasts.
func (t turn) still() bool { return t.node.script.Load().parts[t.on].broken == t.broken }

func (t turn) cut() {
	t.begin()
	_, _ = io.WriteString(t.w, t.body[:len(t.body)/2])
	_ = http.NewResponseController(t.w).Flush()
	panic(http.ErrAbortHandler)
}

// oversize tells no length, so that only who counts can know.
func (t turn) oversize() {
	maps.Copy(t.w.Header(), t.header)
	t.w.WriteHeader(t.status)
	left := t.broken.Size
	text := t.body
	blank := strings.Repeat("\n", 32<<10)
	for left > 0 && t.still() {
		text = text[:min(left, int64(len(text)))]
		k, err := io.WriteString(t.w, text)
		if err != nil || t.r.Context().Err() != nil {
			panic(http.ErrAbortHandler)
		}
		left -= int64(k)
		text = blank
	}
}

func (t turn) zip() {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := io.WriteString(z, t.body)
	if err != nil || z.Close() != nil {
		panic(http.ErrAbortHandler)
	}
	t.body = b.String()
	t.header.Set("Content-Encoding", "gzip")
	t.whole()
}

package probes

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"sync"

	"github.com/valyala/fasthttp"

	"github.com/understudy-ha/understudy/internal/ha"
)

const (
	earSize   = 4 << 10        // holds the usual headers; larger ones get more, up to ha.MaxPage
	mostHeard = 8 * ha.MaxPage // of one connection: a page in chunks of one byte, and its headers, is less
)

// What is wrong with an answer beside what the parser finds.
var (
	errMuch    = errors.New("the wire brought more than mostHeard")
	errVersion = errors.New("not HTTP/1")
)

// ear is what an answer is heard with: a bounded wire, the buffer before it and
// the parser. Ears are used again.
type ear struct {
	wire wire
	in   *bufio.Reader
	resp fasthttp.Response
}

var ears = sync.Pool{New: func() any {
	e := new(ear)
	e.in = bufio.NewReaderSize(&e.wire, earSize)
	return e
}}

// listen gives an ear for what from brings.
func listen(from io.Reader) *ear {
	e := ears.Get().(*ear)
	e.wire = wire{from: from, left: mostHeard}
	return e
}

func (e *ear) release() {
	e.wire = wire{}
	e.resp.Reset()
	if e.in.Size() != earSize {
		return // of use to few answers
	}
	e.in.Reset(&e.wire)
	ears.Put(e)
}

// readHead reads up to the end of the headers, past interim answers.
func (e *ear) readHead() error {
	for {
		err := e.resp.Header.Read(e.in)
		if err != nil && full(err) && e.in.Size() < ha.MaxPage {
			e.widen()
			err = e.resp.Header.Read(e.in)
		}
		if err != nil {
			return err
		}
		if !bytes.HasPrefix(e.resp.Header.Protocol(), []byte("HTTP/1.")) {
			return errVersion
		}
		if code := e.resp.StatusCode(); code < 100 || code > 199 || code == fasthttp.StatusSwitchingProtocols {
			return nil
		}
	}
}

// full says whether err is that the headers do not fit into the buffer.
func full(err error) bool {
	var small *fasthttp.ErrSmallBuffer
	return errors.As(err, &small)
}

// widen makes room for the largest headers that are allowed. Nothing has been
// taken from the buffer yet.
func (e *ear) widen() {
	came, _ := e.in.Peek(e.in.Buffered())
	e.in = bufio.NewReaderSize(io.MultiReader(bytes.NewReader(slices.Clone(came)), &e.wire), ha.MaxPage)
}

// readBody reads the page; one of more than ha.MaxPage is left alone as soon
// as that is known.
func (e *ear) readBody() error { return e.resp.ReadBody(e.in, ha.MaxPage) }

// judgeHead gives the cause that the headers alone are, empty if they are good.
func (e *ear) judgeHead() (ha.Cause, string) {
	h := &e.resp.Header
	code, coding := h.StatusCode(), h.ContentEncoding()
	switch {
	case code >= 300 && code <= 399:
		return ha.Redirect, fmt.Sprintf("%d %s to %s", code, fasthttp.StatusMessage(code), said(string(h.Peek("Location"))))
	case code != fasthttp.StatusOK:
		return ha.Status, fmt.Sprintf("%d %s", code, fasthttp.StatusMessage(code))
	case len(coding) > 0 && string(coding) != "identity":
		return ha.Body, fmt.Sprintf("the page is encoded as %s, against the request", said(string(coding)))
	}
	return "", ""
}

// epoch is what the node's engine says of its epoch; 0 if it says none, or no
// number.
func (e *ear) epoch() uint64 {
	text := e.resp.Header.Peek("X-Understudy-Epoch")
	if len(text) == 0 || len(text) > 20 {
		return 0
	}
	epoch, err := strconv.ParseUint(string(text), 10, 63)
	if err != nil {
		return 0
	}
	return epoch
}

// safe says whether the node's engine says that it runs profile safe.
func (e *ear) safe() bool { return string(e.resp.Header.Peek("X-Understudy-Profile")) == "safe" }

// came gives what was received and not understood.
func (e *ear) came() string {
	b, _ := e.in.Peek(e.in.Buffered())
	return string(b[:min(len(b), 4*mostSaid)])
}

// wire brings at most left bytes and remembers how it ended.
type wire struct {
	from  io.Reader
	left  int
	some  bool // something came
	ended error
	tell  func(came []byte) // nil: nobody listens in
}

func (w *wire) Read(p []byte) (int, error) {
	if w.left <= 0 {
		w.ended = errMuch
		return 0, errMuch
	}
	n, err := w.from.Read(p[:min(len(p), w.left)])
	w.left -= n
	w.some = w.some || n > 0
	w.ended = err
	if w.tell != nil {
		w.tell(p[:n])
	}
	return n, err
}

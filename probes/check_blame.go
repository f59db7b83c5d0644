package probes

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/understudy-ha/understudy/internal/ha"
)

// blame gives the cause of a failure, and words for people.
func (g *get) blame(err error) (ha.Cause, string) {
	switch {
	case g.phase == naming:
		return ha.DNS, err.Error()
	case g.phase == connecting:
		return blameConnect(err)
	case g.phase == shaking:
		return g.blameHandshake(err)
	}
	return g.blameAnswer(err)
}

// unreached is why no address connected, in the order in which they were tried.
type unreached []unreachedAddr

type unreachedAddr struct {
	addr   string
	within time.Duration
	err    error
}

func (u unreached) Error() string {
	told := make([]string, len(u))
	for i, a := range u {
		told[i] = a.String()
	}
	return strings.Join(told, "; ")
}

// Unwrap gives the fault of the address that was preferred.
func (u unreached) Unwrap() error { return u[0].err }

func (a unreachedAddr) String() string {
	var number syscall.Errno
	switch {
	case late(a.err):
		return fmt.Sprintf("no connection to %s within %s", a.addr, a.within.Round(time.Millisecond))
	case errors.Is(a.err, syscall.ECONNREFUSED):
		return "nobody listens at " + a.addr
	case errors.As(a.err, &number):
		return fmt.Sprintf("cannot connect to %s: %s", a.addr, number)
	}
	return fmt.Sprintf("cannot connect to %s: %s", a.addr, a.err)
}

// blameConnect is for the time before there is a connection. What keeps one
// from being made is a refusal, whoever refuses; the words tell.
func blameConnect(err error) (ha.Cause, string) {
	switch {
	case late(err):
		return ha.Timeout, err.Error()
	case errors.Is(err, syscall.ECONNRESET):
		return ha.Reset, err.Error()
	}
	return ha.Refused, err.Error()
}

func (g *get) blameHandshake(err error) (ha.Cause, string) {
	switch {
	case late(err):
		return ha.Timeout, fmt.Sprintf("no TLS handshake within %s", g.timeout)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.ErrClosedPipe):
		return ha.Reset, "the connection was closed in the TLS handshake"
	}
	var number syscall.Errno
	if errors.As(err, &number) {
		return ha.Reset, fmt.Sprintf("the connection broke in the TLS handshake: %s", number)
	}
	return ha.TLSFault, tellTLS(err, time.Now())
}

// blameAnswer is for an answer that was not read to its end. How the wire
// ended tells more than what the parser made of it.
func (g *get) blameAnswer(err error) (ha.Cause, string) {
	e, ended := g.ear, g.ear.wire.ended
	switch {
	case errors.Is(err, fasthttp.ErrBodyTooLarge):
		return ha.Oversize, fmt.Sprintf("the page has more than %d bytes", ha.MaxPage)
	case ended == errMuch:
		return ha.Oversize, fmt.Sprintf("the answer has more than %d bytes", mostHeard)
	case full(err):
		return ha.Oversize, fmt.Sprintf("the headers have more than %d bytes", ha.MaxPage)
	case late(ended) && !e.wire.some:
		return ha.Timeout, fmt.Sprintf("no answer within %s", g.timeout)
	case late(ended):
		return ha.Timeout, fmt.Sprintf("no whole answer within %s", g.timeout)
	case err == errVersion:
		return ha.Reset, "the answer is not HTTP/1: " + said(string(e.resp.Header.Protocol()))
	case ended == nil: // the parser gave up before the wire did
		return ha.Reset, "the answer is not HTTP: " + said(e.came())
	case !e.wire.some:
		return ha.Reset, "the connection ended without an answer" + number(ended)
	}
	return ha.Reset, "the connection ended within the answer" + number(ended)
}

// number names the fault of a connection that did not end in order.
func number(err error) string {
	var number syscall.Errno
	if errors.As(err, &number) {
		return ": " + number.Error()
	}
	return ""
}

// late says whether err is a deadline's.
func late(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) ||
		(errors.As(err, &timeout) && timeout.Timeout())
}

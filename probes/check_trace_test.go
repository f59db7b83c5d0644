package probes

import (
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/internal/hatest"
)

func TestATraceTellsWhatWasAskedAndAnswered(t *testing.T) {
	t.Parallel()
	n := hatest.New(t, hatest.Config{TLS: hatest.TLSValid, State: ha.Active, Epoch: 9})
	told := checker(t, trusting(t, n)).Trace(ha.HAStatusPage)
	wantVerdict(t, told.Reading, "Active")
	if want := "GET /hastatus.html HTTP/1.1\r\nHost: " + n.Addr().String() + "\r\n"; !strings.HasPrefix(told.Request, want) {
		t.Errorf("got request %q", told.Request)
	}
	if told.Address != n.Addr().String() || !strings.HasPrefix(told.TLS, "TLS 1.3 TLS_") || told.Status != "HTTP/1.1 200 OK" {
		t.Errorf("got %+v", told)
	}
	if want := "MOBILEIRON-STATUS: OK (Mode: Primary)"; told.Body != want || !strings.Contains(told.Header, "X-Understudy-Epoch: 9\n") {
		t.Errorf("got header %q and body %q", told.Header, told.Body)
	}
	s := told.Spent
	if s.Connect <= 0 || s.TLS <= 0 || s.FirstByte <= 0 || s.Body < 0 || s.DNS+s.Connect+s.TLS+s.FirstByte+s.Body > told.Reading.Took {
		t.Errorf("got %+v of %s", s, told.Reading.Took)
	}
}

func TestATraceShowsAnAnswerHoweverBad(t *testing.T) {
	t.Parallel()
	const ok = "HTTP/1.1 200 OK\r\n"
	for answer, want := range map[string]Trace{
		"":                  {},
		"SSH-2.0-x\r\n\x00": {Body: "SSH-2.0-x\n·"},
		"HTTP/1.1 50":       {Body: "HTTP/1.1 50"},
		"HTTP/1.1 404 No\r\nA: b\r\n\r\n<h1>No</h1>": {Status: "HTTP/1.1 404 No", Header: "A: b", Body: "<h1>No</h1>"},
		"HTTP/1.1 100 Go\r\n\r\nHTTP/1.1 302 To\r\nLocation: /\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhere\r\n0\r\n\r\n": {
			Status: "HTTP/1.1 302 To", Header: "Location: /\nTransfer-Encoding: chunked", Body: "here",
		},
		ok + "Content-Encoding: gzip\r\n\r\n\x1f\x8b": {Status: "HTTP/1.1 200 OK", Header: "Content-Encoding: gzip", Body: "·�"},
		ok + "Content-Length: 30\r\n\r\nhalf":         {Status: "HTTP/1.1 200 OK", Header: "Content-Length: 30", Body: "half"},
		ok + "\r\n" + strings.Repeat("x", 1<<16):      {Status: "HTTP/1.1 200 OK", Body: strings.Repeat("x", mostShown) + "…"},
	} {
		c := checker(t, says(t, answer))
		told := c.Trace(ha.StatusPage)
		if told.Status != want.Status || told.Header != want.Header || told.Body != want.Body {
			t.Errorf("%.80q: got %q, %q, %q", answer, told.Status, told.Header, told.Body)
		}
		if got, want := verdict(told.Reading), verdict(c.Check(statusPage)); got != want {
			t.Errorf("the trace has %s, a reading %s", got, want)
		}
	}
}

func TestATraceTimesEveryPhase(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		n := &internet{answer: "192.0.2.1", takes: 10 * ms}
		c := behind(t, n)
		c.dial = func(string, time.Duration) (net.Conn, error) {
			time.Sleep(20 * ms)
			near, far := net.Pipe()
			go func() {
				defer far.Close()
				_, _ = hearRequest(far)
				time.Sleep(30 * ms)
				_, _ = io.WriteString(far, "HTTP/1.1 404 No\r\n\r\n")
				time.Sleep(40 * ms)
				_, _ = io.WriteString(far, "nothing here")
			}()
			return near, nil
		}
		told := c.Trace(ha.StatusPage)
		if want := (Spent{DNS: 10 * ms, Connect: 20 * ms, FirstByte: 30 * ms}); told.Spent != want || told.Body != "nothing here" {
			t.Errorf("got %+v and %q, want %+v", told.Spent, told.Body, want)
		}
		c.dial = func(string, time.Duration) (net.Conn, error) { time.Sleep(20 * ms); return nil, io.EOF }
		if got, want := c.Trace(ha.StatusPage), (Spent{Connect: 20 * ms}); got.Spent != want || got.Address != "" {
			t.Errorf("got %+v, want %+v", got, want)
		}
	})
}

package probes

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// scripted gives a target whose node is script: it is called for each
// connection with the request once that has come whole, and the connection
// ends when it returns. The reader gets each write of it by itself.
func scripted(t testing.TB, script func(c net.Conn, request string), target Target) Target {
	t.Helper()
	var scripts sync.WaitGroup
	t.Cleanup(scripts.Wait)
	target.Node, target.URL = "core1", "http://core1.example"
	target.Dial = func(string, time.Duration) (net.Conn, error) {
		near, far := net.Pipe()
		scripts.Go(func() {
			defer far.Close()
			if request, ok := hearRequest(far); ok {
				script(far, request)
			}
		})
		return near, nil
	}
	return target
}

func hearRequest(c net.Conn) (string, bool) {
	in := bufio.NewReader(c)
	var request strings.Builder
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return "", false
		}
		request.WriteString(line)
		if line == "\r\n" {
			return request.String(), true
		}
	}
}

// says gives a target whose node writes pieces, one by one, and hangs up.
func says(t testing.TB, pieces ...string) Target {
	return scripted(t, func(c net.Conn, _ string) {
		for _, p := range pieces {
			if _, err := io.WriteString(c, p); err != nil {
				return
			}
		}
	}, Target{})
}

const (
	okStatus  = "MOBILEIRON-STATUS: OK"
	okStandby = "MOBILEIRON-STATUS: OK (Mode: Standby)"
)

func TestAnswersAreReadInEveryFormOfHTTP(t *testing.T) {
	t.Parallel()
	long := "X-Policy: " + strings.Repeat("p", 11<<10) + "\r\n"
	for name, answer := range map[string]string{
		"with a length":                 "HTTP/1.1 200 OK\r\nContent-Length: 37\r\n\r\n" + okStandby,
		"more than its length":          "HTTP/1.1 200 OK\r\nContent-Length: 37\r\n\r\n" + okStandby + "HTTP/1.1 500 No\r\n\r\n",
		"to the end":                    "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + okStandby,
		"by HTTP/1.0":                   "HTTP/1.0 200 OK\r\n\r\n" + okStandby,
		"by HTTP/1.0 with a length":     "HTTP/1.0 200 OK\r\nContent-Length: 37\r\nConnection: keep-alive\r\n\r\n" + okStandby,
		"without a phrase":              "HTTP/1.1 200\r\nContent-Length: 37\r\n\r\n" + okStandby,
		"in small letters":              "HTTP/1.1 200 ok\r\ncontent-length: 37\r\ncontent-encoding: identity\r\n\r\n" + okStandby,
		"in one chunk":                  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n25\r\n" + okStandby + "\r\n0\r\n\r\n",
		"in chunks":                     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\n" + okStandby[:5] + "\r\n20\r\n" + okStandby[5:] + "\r\n0\r\nX-End: 1\r\n\r\n",
		"after 100 Continue":            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 37\r\n\r\n" + okStandby,
		"after early hints":             strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n", 3) + "HTTP/1.1 200 OK\r\nContent-Length: 37\r\n\r\n" + okStandby,
		"behind 11 KiB of header":       "HTTP/1.1 200 OK\r\n" + long + "Content-Length: 37\r\n\r\n" + okStandby,
		"behind early and long headers": "HTTP/1.1 103 Early Hints\r\n" + long + "\r\nHTTP/1.1 200 OK\r\n" + long + "Content-Length: 37\r\n\r\n" + okStandby,
		"on a page of just 16 KiB":      "HTTP/1.1 200 OK\r\nContent-Length: 16384\r\n\r\n" + okStandby + strings.Repeat("\n", 16384-37),
		"in 16 KiB of tiny chunks":      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n25\r\n" + okStandby + "\r\n" + strings.Repeat("1\r\n\n\r\n", 16384-37) + "0\r\n\r\n",
		"in HTML":                       "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<html>\r\n<body>" + okStandby + "</body></html>\r\n",
		"with a byte order mark":        "HTTP/1.1 200 OK\r\n\r\n\ufeff" + okStandby + "\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wantVerdict(t, checker(t, says(t, answer)).Check(haPage), "Standby")
		})
	}
}

// HAProxy reg-tests/checks/tcp-check_min-recv.vtc: the expected words come in
// pieces.
func TestAnAnswerMayComeInAnyPieces(t *testing.T) {
	t.Parallel()
	for _, answer := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 21\r\nX-Understudy-Epoch: 7\r\n\r\n" + okStatus,
		"HTTP/1.1 200 OK\r\nX-Understudy-Epoch: 7\r\n\r\n" + okStatus,
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nX-Understudy-Epoch: 7\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nMOBI\r\n11\r\nLEIRON-STATUS: OK\r\n0\r\n\r\n",
	} {
		for at := range answer {
			r := checker(t, says(t, answer[:at], answer[at:])).Check(statusPage)
			if r.State != ha.Active || r.Epoch != 7 || r.Page != okStatus {
				t.Errorf("%q, then %q: got %+v", answer[:at], answer[at:], r)
			}
		}
		if r := checker(t, says(t, strings.Split(answer, "")...)).Check(statusPage); r.State != ha.Active {
			t.Errorf("%q byte by byte: got %+v", answer, r)
		}
	}
}

// HAProxy reg-tests/checks/4be_1srv_smtpchk_httpchk_layer47errors.vtc and
// http-check-expect.vtc: what is wrong is told apart.
func TestABadAnswerHasItsCause(t *testing.T) {
	t.Parallel()
	const ok, end = "HTTP/1.1 200 OK\r\n", "\r\n\r\n"
	big := strings.Repeat("b", 16385)
	for answer, want := range map[string]string{
		"":                              "reset: the connection ended without an answer",
		"HTTP/1.1 200 OK\r\nContent-Le": "reset: the connection ended within the answer",
		ok + "Content-Length: 22" + end + okStatus:                                       "reset: the connection ended within the answer",
		ok + "Transfer-Encoding: chunked" + end + "5":                                    "reset: the connection ended within the answer",
		ok + "Transfer-Encoding: chunked" + end + "15\r\n" + okStatus + "\r\n":           "reset: the connection ended within the answer",
		ok + "Transfer-Encoding: chunked" + end + "zz\r\n" + okStatus:                    `reset: the answer is not HTTP: "z\r\nMOBILEIRON-STATUS: OK"`,
		"HTTP/1.1 200 OK\nContent-Length: 21\n\n" + okStatus:                             "reset: the connection ended within the answer", // RFC 9112 2.2 allows it, the parser does not
		"SSH-2.0-OpenSSH_9.2p1\r\n":                                                      `reset: the answer is not HTTP: "SSH-2.0-OpenSSH_9.2p1\r\n"`,
		"220 mail.example ESMTP\r\n":                                                     `reset: the answer is not HTTP: "220 mail.example ESMTP\r\n"`,
		"\x15\x03\x01\x00\x02\x02\x0a\n":                                                 `reset: the answer is not HTTP: "\x15\x03\x01\x00\x02\x02\n\n"`,
		okStatus + "\n":                                                                  `reset: the answer is not HTTP: "MOBILEIRON-STATUS: OK\n"`,
		"HTTP/9.9 200 OK" + end + okStatus:                                               `reset: the answer is not HTTP/1: "HTTP/9.9"`,
		ok + "Content-Length: -1" + end + okStatus:                                       "reset: the answer is not HTTP: \"HTTP/1.1 200 OK\\r\\nContent-Length: -1\\r\\n\\r\\nMOBILEIRON-STATUS: OK\"",
		ok + "Content-Length: 16385" + end:                                               "oversize: the page has more than 16384 bytes",
		ok + "Content-Length: 1073741824" + end:                                          "oversize: the page has more than 16384 bytes",
		ok + "\r\n" + okStatus + big:                                                     "oversize: the page has more than 16384 bytes",
		ok + "X-Long: " + strings.Repeat("x", 17<<10):                                    "oversize: the headers have more than 16384 bytes",
		ok + strings.Repeat("X: y\r\n", 4<<10) + "\r\n":                                  "oversize: the headers have more than 16384 bytes",
		ok + "Transfer-Encoding: chunked" + end + "4001\r\n" + big + end:                 "oversize: the page has more than 16384 bytes",
		ok + "Transfer-Encoding: chunked" + end + "1;" + strings.Repeat("x", 1<<20):      "oversize: the answer has more than 131072 bytes",
		strings.Repeat("HTTP/1.1 100 Continue\r\nX: "+strings.Repeat("x", 4000)+end, 99): "oversize: the answer has more than 131072 bytes",
		"HTTP/1.1 404 Gone astray\r\nContent-Length: 5" + end + "sorry":                  "status: 404 Not Found",
		"HTTP/1.1 503 No\r\nContent-Length: 99999999" + end:                              "status: 503 Service Unavailable",
		"HTTP/1.1 500 No" + end + okStatus:                                               "status: 500 Internal Server Error",
		"HTTP/1.1 204 No" + end:                                                          "status: 204 No Content",
		"HTTP/1.1 206 Part" + end + okStatus:                                             "status: 206 Partial Content",
		"HTTP/1.1 101 Go" + end + okStatus:                                               "status: 101 Switching Protocols",
		"HTTP/1.1 301 Go\r\nLocation: https://login.example/?next=%2F" + end + okStatus:  `redirect: 301 Moved Permanently to "https://login.example/?next=%2F"`,
		"HTTP/1.1 307 Go" + end:                                                          `redirect: 307 Temporary Redirect to ""`,
		"HTTP/1.1 304 Same" + end:                                                        `redirect: 304 Not Modified to ""`,
		"HTTP/1.1 302 Go\r\nLocation: /" + strings.Repeat("a", 300) + end:                `redirect: 302 Found to "/` + strings.Repeat("a", 79) + `…"`,
		"HTTP/1.1 302 Go\r\nLocation: /\u202e\x80 " + end:                                `redirect: 302 Found to "/\u202e\x80"`,
		ok + "Content-Encoding: gzip" + end + okStatus:                                   `body: the page is encoded as "gzip", against the request`,
		ok + "Content-Length: 0" + end:                                                   "body: /status/status.html is empty",
		ok + end:                                                                         "body: /status/status.html is empty",
		ok + "\r\nMOBILEIRON-STATUS: NOT OK":                                             "body: /status/status.html does not say what it must",
		ok + "\r\n<html>Sign in":                                                         "body: /status/status.html does not say what it must",
		ok + "\r\nM\x00O\x00B\x00I\x00L\x00E\x00I\x00R\x00O\x00N\x00":                    "body: /status/status.html does not say what it must",
	} {
		r := checker(t, says(t, answer)).Check(statusPage)
		if got := verdict(r); got != want {
			t.Errorf("%.200q:\ngot  %s\nwant %s", answer, got, want)
		}
	}
}

func TestABodyTooLargeIsNotEvenBegun(t *testing.T) {
	t.Parallel()
	heard := make(chan error, 1)
	c := checker(t, scripted(t, func(c net.Conn, _ string) {
		if _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n"); err != nil {
			heard <- nil
			return
		}
		_, err := io.WriteString(c, "b")
		heard <- err
	}, Target{}))
	wantVerdict(t, c.Check(statusPage), "oversize: the page has more than 16384 bytes")
	if err := <-heard; err == nil {
		t.Error("a byte of the body was read")
	}
}

func TestAConnectionThatIsNotMadeHasItsCause(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err  error
		want string
	}{
		{syscall.ECONNREFUSED, "refused: nobody listens at core1.example:80"},
		{syscall.EHOSTUNREACH, "refused: cannot connect to core1.example:80: no route to host"},
		{syscall.EMFILE, "refused: cannot connect to core1.example:80: too many open files"},
		{syscall.ECONNRESET, "reset: cannot connect to core1.example:80: connection reset by peer"},
		{syscall.ETIMEDOUT, "timeout: no connection to core1.example:80 within 10s"},
		{os.ErrDeadlineExceeded, "timeout: no connection to core1.example:80 within 10s"},
		{errors.New("the tunnel is\nclosed"), "refused: cannot connect to core1.example:80: dial: the tunnel is closed"},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := checker(t, Target{URL: "http://core1.example", Dial: func(string, time.Duration) (net.Conn, error) {
				return nil, fmt.Errorf("dial: %w", tt.err)
			}})
			wantVerdict(t, c.Check(statusPage), tt.want)
		})
	}
}

// A node may answer and hang up before it has read the request.
func TestAnAnswerBeforeTheRequestIsHeard(t *testing.T) {
	t.Parallel()
	c := checker(t, Target{URL: "http://core1.example", Dial: func(string, time.Duration) (net.Conn, error) {
		return &early{Reader: strings.NewReader("HTTP/1.1 503 Busy\r\n\r\n")}, nil
	}})
	wantVerdict(t, c.Check(statusPage), "status: 503 Service Unavailable")
}

// early is a connection that answers but cannot be written to.
type early struct {
	net.Conn
	io.Reader
}

func (e *early) Read(p []byte) (int, error) { return e.Reader.Read(p) }
func (*early) Write([]byte) (int, error)    { return 0, io.ErrClosedPipe }
func (*early) SetDeadline(time.Time) error  { return nil }
func (*early) Close() error                 { return nil }

func TestAnEpochIsANumberOrNothing(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]uint64{
		"":                           0,
		"X-Understudy-Epoch: 12\r\n": 12,
		"x-understudy-epoch:  9223372036854775807 \r\n":             9223372036854775807,
		"X-Understudy-Epoch: 9223372036854775808\r\n":               0,
		"X-Understudy-Epoch: 000000000000000000000001\r\n":          0,
		"X-Understudy-Epoch: -1\r\n":                                0,
		"X-Understudy-Epoch: 1e3\r\n":                               0,
		"X-Understudy-Epoch: \r\n":                                  0,
		"X-Understudy-Epoch: " + strings.Repeat("9", 9000) + "\r\n": 0,
	} {
		for _, status := range []string{"200 OK", "503 Busy"} {
			r := checker(t, says(t, "HTTP/1.1 "+status+"\r\n"+header+"\r\n"+okStatus)).Check(statusPage)
			if r.Epoch != want {
				t.Errorf("%.60q, %s: got %d, want %d", header, status, r.Epoch, want)
			}
		}
	}
}

func TestOnlyTheWordSafeIsTheProfileSafe(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]bool{
		"":                                     false,
		"X-Understudy-Profile: safe\r\n":       true,
		"x-understudy-profile:  safe \r\n":     true,
		"X-Understudy-Profile: documented\r\n": false,
		"X-Understudy-Profile: Safe\r\n":       false,
		"X-Understudy-Profile: safer\r\n":      false,
		"X-Understudy-Profile: \r\n":           false,
	} {
		if r := checker(t, says(t, "HTTP/1.1 200 OK\r\n"+header+"\r\n"+okStatus)).Check(statusPage); r.Safe != want {
			t.Errorf("%q: got %t", header, r.Safe)
		}
	}
}

func TestWhatANodeSaysIsCutAndPrints(t *testing.T) {
	t.Parallel()
	rude := "\x1b[31m\x00\u202e" + strings.Repeat("\xffä", 10_000)
	for _, answer := range []string{
		rude + "\n", "HTTP/1.1 200 OK\r\n\r\n" + rude[:9000], "HTTP/1.1 302 Go\r\nLocation: \u202e" + strings.Repeat("ä", 4000) + "\r\n\r\n",
	} {
		r := checker(t, says(t, answer)).Check(statusPage)
		for _, text := range []string{r.Page, r.Detail} {
			if n := len([]rune(text)); n > 121 || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == '\u202e' || r == 0x1b }) {
				t.Errorf("got %d letters: %q", n, text)
			}
		}
	}
	if got, want := cut(strings.Repeat("ä", 120)), strings.Repeat("ä", 120); got != want {
		t.Errorf("got %q", got)
	}
}

func FuzzAnswersNeverHurt(f *testing.F) {
	for _, seed := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\n" + okStatus,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n15\r\n" + okStatus + "\r\n0\r\n\r\n",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 302 Go\r\nLocation: x\r\n\r\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, answer string) {
		c := checker(t, says(t, answer))
		r := c.Check(statusPage)
		if r.State.Available() != (r.Cause == "") || r.State == ha.Standby {
			t.Errorf("got %+v", r)
		}
		if told := c.Trace(ha.StatusPage); told.Reading.State != r.State || told.Reading.Cause != r.Cause {
			t.Errorf("the trace says %+v, the reading %+v", told.Reading, r)
		}
		if r.State.Available() && !strings.Contains(answer, "OK") {
			t.Errorf("%q is %s", answer, r.State)
		}
	})
}

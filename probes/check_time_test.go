package probes

import (
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// drip writes text byte by byte, one every d, until the other end has gone.
func drip(c net.Conn, text string, d time.Duration) {
	for _, b := range []byte(text) {
		time.Sleep(d)
		if _, err := c.Write([]byte{b}); err != nil {
			return
		}
	}
}

// hang waits for the other end to go.
func hang(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

func TestAProbeEndsAtItsTimeoutWhateverThePhase(t *testing.T) {
	t.Parallel()
	const head = "HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\n"
	for name, tt := range map[string]struct {
		script func(c net.Conn, request string)
		want   string
	}{
		"no answer":   {func(c net.Conn, _ string) { hang(c) }, "timeout: no answer within 2s"},
		"a slow head": {func(c net.Conn, _ string) { drip(c, head+okStatus, time.Second) }, "timeout: no whole answer within 2s"},
		"a slow page": {func(c net.Conn, _ string) { _, _ = io.WriteString(c, head); drip(c, okStatus, time.Second) }, "timeout: no whole answer within 2s"},
		"half a page": {func(c net.Conn, _ string) { _, _ = io.WriteString(c, head+"MOBI"); hang(c) }, "timeout: no whole answer within 2s"},
		"interim for ever": {func(c net.Conn, _ string) {
			drip(c, strings.Repeat("HTTP/1.1 102 Wait\r\n\r\n", 1000), 10*time.Millisecond)
		}, "timeout: no whole answer within 2s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				target := scripted(t, tt.script, Target{Timeout: 2 * time.Second})
				for _, pages := range [][]ha.Page{statusPage, bothPages} {
					r := checker(t, target).Check(pages)
					wantVerdict(t, r, tt.want)
					if r.Took != 2*time.Second {
						t.Errorf("%d pages: took %s, want 2s", len(pages), r.Took)
					}
				}
			})
		})
	}
}

// Envoy's HttpHealthCheckIntegrationTest: a failure at exactly the limit.
func TestAnAnswerJustInTimeCounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		target := scripted(t, func(c net.Conn, _ string) {
			time.Sleep(2*time.Second - 1)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n"+okStatus)
		}, Target{Timeout: 2 * time.Second})
		r := checker(t, target).Check(statusPage)
		wantVerdict(t, r, "Active")
		if r.Took != 2*time.Second-1 {
			t.Errorf("took %s", r.Took)
		}
	})
}

func TestADialAndAHandshakeCountTowardsTheTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slow := func(took time.Duration) func(string, time.Duration) (net.Conn, error) {
			return func(addr string, timeout time.Duration) (net.Conn, error) {
				if addr != "core1.example:8443" || timeout != 2*time.Second {
					t.Errorf("dialled %s for %s", addr, timeout)
				}
				time.Sleep(min(took, timeout))
				if took >= timeout {
					return nil, &net.OpError{Op: "dial", Err: timedOut{}}
				}
				near, far := net.Pipe()
				go hang(far)
				return near, nil
			}
		}
		for _, tt := range []struct {
			url  string
			took time.Duration
			want string
		}{
			{"http://core1.example:8443", 3 * time.Second, "timeout: no connection to core1.example:8443 within 2s"},
			{"http://core1.example:8443", 1500 * time.Millisecond, "timeout: no answer within 2s"},
			{"https://core1.example:8443", 500 * time.Millisecond, "timeout: no TLS handshake within 2s"},
		} {
			r := checker(t, Target{URL: tt.url, Timeout: 2 * time.Second, Dial: slow(tt.took)}).Check(statusPage)
			wantVerdict(t, r, tt.want)
			if r.Took != 2*time.Second {
				t.Errorf("%s: took %s, want 2s", tt.want, r.Took)
			}
		}
	})
}

type timedOut struct{}

func (timedOut) Error() string { return "i/o timeout" }
func (timedOut) Timeout() bool { return true }

// Each page answers after its time, or never.
func TestOfTwoPagesTheReadingComesAsSoonAsItIsDecided(t *testing.T) {
	t.Parallel()
	const never, good, bad = time.Hour, "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 503 No\r\n\r\n"
	for name, tt := range map[string]struct {
		first, second         time.Duration
		firstSays, secondSays string
		want                  string
		took                  time.Duration
	}{
		"first good, second hangs":  {0, never, good + okStatus, "", "Active", 0},
		"first hangs, second good":  {never, 0, "", good + okStandby, "Standby", 2 * time.Second},
		"first bad, second good":    {1, 5, bad, good + okStandby, "Standby", 5},
		"second bad, first good":    {5, 1, good + okStatus, bad, "Active", 5},
		"second good, first better": {5, 1, good + okStatus, good + okStandby, "Active", 5},
		"both bad":                  {1, 5, bad, good, "status: 503 Service Unavailable", 5},
		"both hang":                 {never, never, "", "", "timeout: no answer within 2s", 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := checker(t, scripted(t, func(c net.Conn, request string) {
					wait, says := tt.first, tt.firstSays
					if strings.HasPrefix(request, "GET /hastatus") {
						wait, says = tt.second, tt.secondSays
					}
					if wait == never {
						hang(c)
						return
					}
					time.Sleep(wait)
					_, _ = io.WriteString(c, says)
				}, Target{Timeout: 2 * time.Second})).Check(bothPages)
				wantVerdict(t, r, tt.want)
				if r.Took != tt.took {
					t.Errorf("took %s, want %s", r.Took, tt.took)
				}
			})
		})
	}
}

func TestADayOfProbesPassesInAMoment(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := checker(t, scripted(t, func(c net.Conn, _ string) {
			time.Sleep(time.Second)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n"+okStatus)
		}, Target{Timeout: 2 * time.Second}))
		for range 24 * 60 * 60 / 30 {
			wantVerdict(t, c.Check(statusPage), "Active")
			time.Sleep(29 * time.Second)
		}
	})
}

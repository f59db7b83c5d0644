package probes

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/internal/hatest"
)

var (
	statusPage = []ha.Page{ha.StatusPage}
	haPage     = []ha.Page{ha.HAStatusPage}
	bothPages  = []ha.Page{ha.StatusPage, ha.HAStatusPage}
)

// checker makes a Checker that ends with the test.
func checker(t testing.TB, target Target) *Checker {
	t.Helper()
	if target.Node == "" {
		target.Node = "core1"
	}
	if target.Timeout == 0 {
		target.Timeout = 10 * time.Second
	}
	c, err := NewChecker(target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// verdict is what counts of a reading, on one line.
func verdict(r ha.Reading) string {
	if r.State.Available() {
		return r.State.String()
	}
	return string(r.Cause) + ": " + r.Detail
}

func wantVerdict(t *testing.T, r ha.Reading, want string) {
	t.Helper()
	if got := verdict(r); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestANodeIsReadAsItsPagesSay(t *testing.T) {
	t.Parallel()
	n := hatest.New(t, hatest.Config{Name: "core1"})
	c := checker(t, Target{URL: n.URL()})
	for _, tt := range []struct {
		state ha.State
		pages []ha.Page
		want  string
		words string
	}{
		{ha.Active, statusPage, "Active", "MOBILEIRON-STATUS: OK"},
		{ha.Active, haPage, "Active", "MOBILEIRON-STATUS: OK (Mode: Primary)"},
		{ha.Active, bothPages, "Active", "MOBILEIRON-STATUS: OK"},
		{ha.Standby, statusPage, "status: 503 Service Unavailable", ""},
		{ha.Standby, haPage, "Standby", "MOBILEIRON-STATUS: OK (Mode: Standby)"},
		{ha.Standby, bothPages, "Standby", "MOBILEIRON-STATUS: OK (Mode: Standby)"},
		{ha.NotAvailable, haPage, "status: 503 Service Unavailable", ""},
		{ha.NotAvailable, bothPages, "status: 503 Service Unavailable", ""},
		{ha.Active, nil, "body: no page was asked for", ""},
	} {
		n.Set(tt.state)
		n.SetEpoch(41)
		began := time.Now()
		r := c.Check(tt.pages)
		wantVerdict(t, r, tt.want)
		if r.Node != "core1" || r.Page != tt.words || r.At.Before(began) || r.End().After(time.Now()) {
			t.Errorf("%s %v: got %+v", tt.state, tt.pages, r)
		}
		if tt.pages != nil && r.Epoch != 41 {
			t.Errorf("%s %v: got epoch %d, want 41", tt.state, tt.pages, r.Epoch)
		}
	}
}

func TestEveryFaultOfANodeHasItsCause(t *testing.T) {
	t.Parallel()
	const late = "timeout: "
	want := map[hatest.Fault]string{
		hatest.Hang:        late,
		hatest.Frozen:      late,
		hatest.Refuse:      "refused: nobody listens at ADDR",
		hatest.Reset:       "reset: the connection ended without an answer: connection reset by peer",
		hatest.Drip:        late,
		hatest.SlowHeaders: late,
		hatest.Cut:         "reset: the connection ended within the answer",
		hatest.Oversize:    "oversize: the page has more than 16384 bytes",
		hatest.Garbage:     `reset: the answer is not HTTP: "\x00\xffNOT/9.9 this is no HTTP\r\n\r\n"`,
		hatest.Gzip:        `body: the page is encoded as "gzip", against the request`,
		hatest.Redirect:    `redirect: 302 Found to "/status/status.html"`,
		hatest.Contradict:  "body: /status/status.html does not say what it must",
	}
	for _, scheme := range []hatest.TLS{hatest.TLSOff, hatest.TLSValid} {
		for _, fault := range hatest.Faults() {
			t.Run(fmt.Sprintf("%s/tls %d", fault, scheme), func(t *testing.T) {
				t.Parallel()
				n := hatest.New(t, hatest.Config{State: ha.Active, TLS: scheme})
				target := trusting(t, n)
				wantVerdict(t, checker(t, target).Check(statusPage), "Active")
				n.BreakWith(hatest.Breakage{Fault: fault, On: hatest.Pages})
				if want[fault] == late {
					target.Timeout = 50 * time.Millisecond
				}
				r := checker(t, target).Check(statusPage)
				switch want := strings.Replace(want[fault], "ADDR", n.Addr().String(), 1); {
				case want != late:
					wantVerdict(t, r, want)
				case r.Cause != ha.Timeout || r.Took < target.Timeout: // the words depend on how far it came
					t.Errorf("got %+v, want a timeout after %s", r, target.Timeout)
				}
				n.Mend()
				wantVerdict(t, checker(t, trusting(t, n)).Check(statusPage), "Active")
			})
		}
	}
}

// trusting gives a target that trusts the node's authority, from a file.
func trusting(t testing.TB, n *hatest.Node) Target {
	t.Helper()
	target := Target{Node: "core1", URL: n.URL()}
	if strings.HasPrefix(target.URL, "https") {
		target.CAFile = filepath.Join(t.TempDir(), "ca.pem")
		if err := os.WriteFile(target.CAFile, n.CA().PEM(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return target
}

func TestAKilledNodeIsRefusedAndComesBack(t *testing.T) {
	t.Parallel()
	n := hatest.New(t, hatest.Config{State: ha.Standby})
	c := checker(t, Target{URL: n.URL()})
	n.Kill()
	wantVerdict(t, c.Check(haPage), "refused: nobody listens at "+n.Addr().String())
	n.Start()
	wantVerdict(t, c.Check(haPage), "Standby")
}

// HAProxy reg-tests/checks/http-check.vtc: what a probe sends.
func TestAProbeAsksPlainlyOnAConnectionOfItsOwn(t *testing.T) {
	t.Parallel()
	n := hatest.New(t, hatest.Config{State: ha.Active})
	c := checker(t, Target{URL: n.URL(), Host: "mdm.example.com"})
	c.Check(statusPage)
	c.Check(haPage)
	probes := n.Probes()
	if len(probes) != 2 || n.Accepted() != 2 {
		t.Fatalf("got %d probes over %d connections, want 2 over 2", len(probes), n.Accepted())
	}
	for i, path := range []string{"/status/status.html", "/hastatus.html"} {
		p := probes[i]
		if p.Method != "GET" || p.Path != path || p.Query != "" || p.Host != "mdm.example.com" || p.Reused {
			t.Errorf("got %+v", p)
		}
		for key, want := range map[string]string{
			"User-Agent": "understudy-probe/1", "Accept-Encoding": "identity", "Connection": "close",
		} {
			if got := p.Header.Get(key); got != want {
				t.Errorf("%s: got %q, want %q", key, got, want)
			}
		}
		if len(p.Header) != 4 {
			t.Errorf("got %v, want four headers", p.Header)
		}
	}
}

func TestNoProxyAndNoRedirectLeadsAProbeAstray(t *testing.T) {
	other := hatest.New(t, hatest.Config{Name: "other", State: ha.Active})
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"} {
		t.Setenv(name, other.URL())
	}
	n := hatest.New(t, hatest.Config{State: ha.Active})
	c := checker(t, Target{URL: n.URL()})
	wantVerdict(t, c.Check(statusPage), "Active")
	n.SetStatus(hatest.Pages, 302)
	n.SetHeader("Location", other.PageURL(ha.StatusPage))
	wantVerdict(t, c.Check(statusPage), fmt.Sprintf("redirect: 302 Found to %q", other.PageURL(ha.StatusPage)))
	if other.Accepted() != 0 {
		t.Errorf("got %d connections to another node", other.Accepted())
	}
}

func TestAHugePageIsNotRead(t *testing.T) {
	t.Parallel()
	n := hatest.New(t, hatest.Config{State: ha.Active})
	n.BreakWith(hatest.Breakage{Fault: hatest.Oversize, On: hatest.Pages, Size: 1 << 30})
	wantVerdict(t, checker(t, Target{URL: n.URL()}).Check(statusPage), "oversize: the page has more than 16384 bytes")
	n.Kill()
	if got, most := n.Sent(), int64(16<<20); got > most { // what the kernels took before the reset came
		t.Errorf("the node sent %d bytes, want at most %d", got, most)
	}
}

func TestOfTwoPagesTheFirstAvailableOneCounts(t *testing.T) {
	t.Parallel()
	n := hatest.New(t, hatest.Config{State: ha.Active})
	c := checker(t, Target{URL: n.URL()})
	n.Lie(ha.StatusPage, "maintenance")
	r := c.Check(bothPages)
	wantVerdict(t, r, "Active")
	if want := "MOBILEIRON-STATUS: OK (Mode: Primary)"; r.Page != want {
		t.Errorf("got %q, want %q", r.Page, want)
	}
	n.Lie(ha.HAStatusPage, "maintenance too")
	wantVerdict(t, c.Check(bothPages), "body: /status/status.html does not say what it must")
	wantVerdict(t, c.Check([]ha.Page{ha.HAStatusPage, ha.StatusPage}), "body: /hastatus.html does not say what it must")
}

func TestAProfileOfItsOwnIsAskedByItsPaths(t *testing.T) {
	t.Parallel()
	own := ha.Profile{
		PrimaryPath: "/live?deep=1", PrimaryExpect: "I lead", StandbyPath: "/spare",
		StandbyExpect: "I follow", ActingExpect: "I lead instead",
	}
	for _, tt := range []struct{ body, first, second string }{
		{"<b>I lead</b>", "Active", "body: /spare does not say what it must"},
		{"I follow", "body: /live?deep=1 does not say what it must", "Standby"},
		{"I lead instead", "Active", "Active"},
	} {
		var asked []string
		c := checker(t, scripted(t, func(c net.Conn, request string) {
			asked = append(asked, strings.Fields(request)[1])
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(tt.body), tt.body)
		}, Target{Profile: own}))
		wantVerdict(t, c.Check(statusPage), tt.first)
		wantVerdict(t, c.Check(haPage), tt.second)
		if want := []string{"/live?deep=1", "/spare"}; !slices.Equal(asked, want) {
			t.Errorf("got %q, want %q", asked, want)
		}
	}
}

func TestProbesLeaveNothingBehind(t *testing.T) {
	n := hatest.New(t, hatest.Config{State: ha.Active})
	c := checker(t, Target{URL: n.URL(), Timeout: 20 * time.Millisecond})
	for _, fault := range append(hatest.Faults(), hatest.None) {
		n.BreakWith(hatest.Breakage{Fault: fault, On: hatest.Pages})
		for range 5 {
			c.Check(bothPages)
		}
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		if i := strings.Index(string(stacks), "probes.(*get)"); i >= 0 {
			t.Fatalf("%s: a probe goes on after Check:\n%s", fault, stacks[max(0, i-500):i+500])
		}
	}
	port := fmt.Sprintf(":%04X", n.Addr().Port())
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		t.Skip("no table of connections to look into: ", err)
	}
	const timeWait = "06"
	for line := range strings.Lines(string(table)) {
		if f := strings.Fields(line); strings.HasSuffix(f[2], port) && f[3] == timeWait {
			t.Errorf("a probe's connection is in TIME_WAIT: %s", line)
		}
	}
}

// A node whose end of the connection is reset has answered all the same.
func TestTheNodeHasSaidAllBeforeItsConnectionIsReset(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c := checker(t, Target{URL: "http://" + ln.Addr().String()})
	read := make(chan ha.Reading)
	go func() { read <- c.Check(statusPage) }()
	conn, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const answer = "HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\nMOBILEIRON-STATUS: OK"
	if _, err := io.WriteString(conn, answer); err != nil {
		t.Errorf("got %v, want the answer sent", err)
	}
	wantVerdict(t, <-read, "Active")
	if _, err := io.Copy(io.Discard, conn); err == nil {
		t.Error("the connection was shut, want it reset")
	}
}

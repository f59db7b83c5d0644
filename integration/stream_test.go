//go:build linux

package integration

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/internal/hatest"
)

// stream is an answer that is read as it comes.
type stream struct {
	resp *http.Response
	in   *bufio.Reader
}

// open sends a request and gives its answer as soon as it begins.
func (f *front) open(r request) *stream {
	f.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+f.at.site+r.path, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	req.Header.Set(hatest.IDHeader, r.id)
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		f.t.Fatalf("GET %s: %v", r.path, err)
	}
	f.t.Cleanup(func() { cancel(); resp.Body.Close() })
	return &stream{resp, bufio.NewReader(resp.Body)}
}

// readLine gives the next line that is not empty.
func (s *stream) readLine(t *testing.T) string {
	t.Helper()
	lines := make(chan string, 1)
	go func() {
		for {
			line, err := s.in.ReadString('\n')
			if line = strings.TrimSpace(line); line != "" || err != nil {
				lines <- line
				return
			}
		}
	}()
	select {
	case line := <-lines:
		return line
	case <-time.After(patience):
		t.Fatal("the stream has stopped")
		return ""
	}
}

// expectCut reads until the stream breaks off; a good end is none.
func (s *stream) expectCut(t *testing.T) {
	t.Helper()
	cut := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, s.in)
		cut <- err
	}()
	select {
	case err := <-cut:
		if err == nil {
			t.Error("the stream ended as if it were complete")
		}
	case <-time.After(patience):
		t.Error("the stream was not cut")
	}
}

// tunnel is a connection after Upgrade: echo.
type tunnel struct {
	net.Conn
	in   *bufio.Reader
	node string
}

// dig opens a tunnel, as a WebSocket client does.
func (f *front) dig() *tunnel {
	f.t.Helper()
	c, err := net.Dial("tcp", f.at.site)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	fmt.Fprintf(c, "GET /tunnel HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n", f.at.site)
	in := bufio.NewReader(c)
	resp, err := http.ReadResponse(in, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		f.t.Fatalf("upgrade: %v %v", resp, err)
	}
	return &tunnel{c, in, resp.Header.Get(hatest.NodeHeader)}
}

// expectEcho sends a line and reads it back.
func (u *tunnel) expectEcho(t *testing.T, word string) {
	t.Helper()
	_ = u.SetDeadline(time.Now().Add(patience))
	if _, err := fmt.Fprintln(u, word); err != nil {
		t.Fatalf("send into the tunnel: %v", err)
	}
	if line, err := u.in.ReadString('\n'); err != nil || line != word+"\n" {
		t.Fatalf("the tunnel gave %q, %v; want %q back", line, err, word)
	}
}

// expectCut waits until the other side ends the tunnel, and gives when.
func (u *tunnel) expectCut(t *testing.T) time.Time {
	t.Helper()
	_ = u.SetReadDeadline(time.Now().Add(patience))
	_, err := io.Copy(io.Discard, u.in)
	var late net.Error
	if errors.As(err, &late) && late.Timeout() {
		t.Fatal("the tunnel was not cut")
	}
	return time.Now()
}

func TestATunnelIsCutAtAFailover(t *testing.T) {
	t.Parallel()
	core1, core2 := pair(t)
	f := startFront(t, plan{nodes: []node{core1, core2}, probe: map[string]string{"timeout": "300ms"}})
	u := f.dig()
	u.expectEcho(t, "hello")
	core1.Stop() // the node itself cuts nothing
	cut := u.expectCut(t)
	g := f.expectServing("core2")
	if cut.Before(g.Changed.At.Add(-time.Second)) || cut.After(g.Changed.At.Add(patience)) {
		t.Errorf("cut at %s, the failover was at %s", cut, g.Changed.At)
	}
	t.Logf("the tunnel was cut %s after the failover was decided", cut.Sub(g.Changed.At).Round(time.Millisecond))
	again := f.dig()
	if again.node != "core2" {
		t.Errorf("the new tunnel leads to %s, want core2", again.node)
	}
	again.expectEcho(t, "hello again")
}

func TestATunnelAndAStreamSurviveAReload(t *testing.T) {
	t.Parallel()
	core1, core2 := pair(t)
	p := plan{nodes: []node{core1, core2}}
	f := startFront(t, p)
	u := f.dig()
	u.expectEcho(t, "before")
	events := f.open(request{path: hatest.EventsPath + "?every=20ms"})
	first := events.readLine(t)
	if !strings.HasPrefix(events.resp.Header.Get("Content-Type"), "text/event-stream") || !strings.HasPrefix(first, "id: ") {
		t.Errorf("the events begin with %q", first)
	}
	p.site = []string{"header_up X-Round 2"}
	f.reload(p)
	f.expectAllTo("core1")
	u.expectEcho(t, "after the reload")
	for range 20 {
		events.readLine(t)
	}
	core1.Kill()
	f.expectServing("core2")
	u.expectCut(t)
	events.expectCut(t)
}

func TestATunnelUnderAHungOldConfigurationIsCutAtAFailover(t *testing.T) {
	t.Parallel()
	core1, core2 := pair(t)
	p := plan{nodes: []node{core1, core2}, probe: map[string]string{"timeout": "300ms"}}
	f := startFront(t, p)
	u := f.dig()
	p.site = []string{"header_up X-Round 2"}
	f.reload(p)
	u.expectEcho(t, "still there")
	core1.Stop()
	f.expectServing("core2")
	u.expectCut(t)
}

func TestAResponseStreamsPieceByPiece(t *testing.T) {
	t.Parallel()
	core1, core2 := localPair(t)
	f := startFront(t, plan{nodes: []node{core1, core2}})
	begun := time.Now()
	s := f.open(request{path: hatest.StreamPath + "?count=3&every=300ms"})
	for i := range 3 {
		if line := s.readLine(t); line != fmt.Sprintf("core1 %d", i+1) {
			t.Errorf("line %d is %q", i+1, line)
		}
		if early := time.Since(begun); i == 0 && early > 500*time.Millisecond {
			t.Logf("the first piece came after %s", early)
		}
	}
	if took := time.Since(begun); took < 550*time.Millisecond {
		t.Errorf("all pieces came after %s: they were not streamed", took)
	}
}

func TestASlowNodeIsNotTakenForADeadOne(t *testing.T) {
	t.Parallel()
	core1, core2 := localPair(t)
	core1.SetLatency(hatest.App, 700*time.Millisecond) // many times the fast interval
	f := startFront(t, plan{nodes: []node{core1, core2}})
	l := f.pour(20*time.Millisecond, "/slow", plainGet, bodyPost)
	l.awaitAnswers(t, 100, "core1")
	answers := l.end()
	f.expectFrom("core1", answers...)
	if g := f.group(); g.Serving != "core1" || g.Epoch != 1 {
		t.Errorf("%s serves in epoch %d, want core1 in epoch 1", g.Serving, g.Epoch)
	}
	t.Logf("slowest %s at a latency of 700 ms", slowest(answers))
}

func TestADrippingAnswerComesThrough(t *testing.T) {
	t.Parallel()
	core1, core2 := localPair(t)
	core1.BreakWith(hatest.Breakage{Fault: hatest.Drip, On: hatest.App, Pause: 10 * time.Millisecond})
	f := startFront(t, plan{nodes: []node{core1, core2}})
	a := f.get()
	f.expectFrom("core1", a)
	if !strings.HasPrefix(a.body, "core1 read GET") {
		t.Errorf("the body is %q", a.body)
	}
	f.expectRow(row{3, "stay", ha.Serving, "", ""})
}

const big = 64 << 20

func TestABigUploadIsStreamedThrough(t *testing.T) {
	t.Parallel()
	core1, core2 := localPair(t)
	f := startFront(t, plan{nodes: []node{core1, core2}})
	body := &letters{left: big}
	req, err := http.NewRequest(http.MethodPost, "http://"+f.at.site+"/upload", body)
	if err != nil {
		t.Fatal(err)
	}
	var a answer
	a.err = a.take(f.client.Do(req))
	f.expectFrom("core1", a)
	if got := a.header.Get(hatest.BytesHeader); got != fmt.Sprint(big) {
		t.Errorf("the node read %s bytes, want %d", got, big)
	}
}

// A request body must reach the node as it comes, not when it is complete.
func TestARequestBodyIsStreamed(t *testing.T) {
	t.Parallel()
	core1, core2 := localPair(t)
	f := startFront(t, plan{nodes: []node{core1, core2}})
	body, in := io.Pipe()
	defer in.Close()
	answers := make(chan answer, 1)
	go func() {
		req, _ := http.NewRequest(http.MethodPost, "http://"+f.at.site+"/slow-upload", body)
		req.Header.Set(hatest.IDHeader, "slow-upload")
		var a answer
		a.err = a.take(f.client.Do(req))
		answers <- a
	}()
	if _, err := in.Write([]byte("the first half, ")); err != nil {
		t.Fatal(err)
	}
	await(t, "the node has the request though its body is not complete", func() bool { return core1.HitsOf("POST", "slow-upload") == 1 })
	fmt.Fprint(in, "the second half")
	in.Close()
	f.expectFrom("core1", collect(t, 1, answers)...)
}

func TestABigDownloadIsStreamedThrough(t *testing.T) {
	t.Parallel()
	core1, core2 := localPair(t)
	core1.BreakWith(hatest.Breakage{Fault: hatest.Oversize, On: hatest.App, Size: big})
	f := startFront(t, plan{nodes: []node{core1, core2}})
	s := f.open(request{path: "/download"})
	sum := sha256.New()
	n, err := io.Copy(sum, s.in)
	if err != nil || n != big {
		t.Fatalf("%d bytes came, want %d: %v", n, big, err)
	}
	f.expectRow(row{3, "stay", ha.Serving, "", ""})
}

// letters is a body of so many bytes.
type letters struct{ left int64 }

func (l *letters) Read(p []byte) (int, error) {
	if l.left == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), l.left)
	for i := range p[:n] {
		p[i] = 'a' + byte(i%26)
	}
	l.left -= n
	return int(n), nil
}

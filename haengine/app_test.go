package haengine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// patience is how long anything may take on a busy machine.
const patience = 30 * time.Second

// stage is an Application that runs, with what it tells.
type stage struct {
	t *testing.T
	*Application
	told chan ha.On
	log  *noted
	stop func()
}

// noted is a log that may be read while it is written.
type noted struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (n *noted) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.Write(p)
}

func (n *noted) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.String()
}

func newStage(t *testing.T, c Commands) *stage {
	t.Helper()
	if c.Interval == 0 {
		c.Interval = 10 * time.Millisecond
	}
	c.Timeout = 5 * time.Second
	if c.StartTimeout == 0 {
		c.StartTimeout = patience
	}
	s := &stage{t: t, told: make(chan ha.On, 64), log: new(noted)}
	s.Application = NewApplication(c, slog.New(slog.NewTextHandler(s.log, nil)))
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { s.Run(ctx, func(on ha.On) { s.told <- on }) })
	s.stop = func() { cancel(); running.Wait() }
	t.Cleanup(s.stop)
	return s
}

func (s *stage) want(want ha.On) {
	s.t.Helper()
	select {
	case got := <-s.told:
		if got != want {
			s.t.Fatalf("it tells %v, want %v\n%s", got, want, s.log)
		}
	case <-time.After(patience):
		s.t.Fatalf("it does not tell %v\n%s", want, s.log)
	}
}

func (s *stage) wantNothing() {
	s.t.Helper()
	select {
	case got := <-s.told:
		s.t.Fatalf("it tells %v", got)
	case <-time.After(50 * time.Millisecond):
	}
}

// files gives commands that make and remove a file, which is the health.
func files(t *testing.T) (path string, c Commands) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "runs")
	return path, Commands{Start: []string{"touch", path}, Stop: []string{"rm", "-f", path}, HealthCommand: []string{"test", "-e", path}}
}

func TestAnApplicationIsStartedCheckedAndStopped(t *testing.T) {
	t.Parallel()
	path, c := files(t)
	s := newStage(t, c)
	s.Start(7)
	s.want(ha.OnAppUp)
	if !s.Well() {
		t.Error("it runs and is not well")
	}
	s.wantNothing()
	_ = os.Remove(path)
	s.want(ha.OnAppBad)
	_ = os.WriteFile(path, nil, 0o600)
	s.want(ha.OnAppGood)
	s.Stop()
	s.want(ha.OnAppStopped)
	if _, err := os.Stat(path); err == nil || s.Well() {
		t.Error("it was not stopped")
	}
	s.wantNothing()
	s.Stop() // at once if it does not run
	s.want(ha.OnAppStopped)
}

func TestWhatRunsAlreadyIsNotStartedAgain(t *testing.T) {
	t.Parallel()
	path, c := files(t)
	_ = os.WriteFile(path, nil, 0o600)
	c.Start = []string{"false"}
	s := newStage(t, c)
	s.Start(1)
	s.want(ha.OnAppUp)
}

func TestTheStartCommandKnowsTheEpoch(t *testing.T) {
	t.Parallel()
	path, c := files(t)
	c.Start = []string{"sh", "-c", "echo $UNDERSTUDY_EPOCH $NOTIFY_SOCKET > " + path}
	s := newStage(t, c)
	s.Start(42)
	s.want(ha.OnAppUp)
	if text, _ := os.ReadFile(path); string(text) != "42\n" {
		t.Errorf("it saw %q", text)
	}
}

func TestAStartThatFailsSaysWhatTheCommandSaid(t *testing.T) {
	t.Parallel()
	_, c := files(t)
	c.Start = []string{"sh", "-c", "echo no licence >&2; exit 3"}
	s := newStage(t, c)
	s.Start(1)
	s.want(ha.OnAppStartFailed)
	if log := s.log.String(); !strings.Contains(log, "exit status 3") || !strings.Contains(log, "no licence") {
		t.Errorf("the log says %s", log)
	}
}

func TestAStartThatFloodsAndHangsIsKilledWithAllThatItStarted(t *testing.T) {
	t.Parallel()
	path, c := files(t)
	pids := filepath.Join(filepath.Dir(path), "pids")
	c.Start = []string{"sh", "-c", fmt.Sprintf("trap '' TERM; (trap '' TERM; exec sleep 1000) & echo $$ $! > %s; yes flood", pids)}
	c.StartTimeout = time.Second
	s := newStage(t, c)
	s.Start(1)
	s.want(ha.OnAppStartFailed)
	if got := len(s.log.String()); got > 10_000 {
		t.Errorf("the flood made a log of %d bytes", got)
	}
	text, _ := os.ReadFile(pids)
	for _, word := range strings.Fields(string(text)) {
		pid, _ := strconv.Atoi(word)
		gone := false
		for range 300 {
			if gone = errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) || zombie(pid); gone {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if !gone {
			t.Errorf("process %d lives on", pid)
		}
	}
}

// zombie says whether a process has ended and waits for its new parent.
func zombie(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(text), ") Z ")
}

func TestAStopBreaksAStartOff(t *testing.T) {
	t.Parallel()
	_, c := files(t)
	c.Start = []string{"sleep", "1000"}
	s := newStage(t, c)
	s.Start(1)
	s.wantNothing()
	s.Stop()
	s.want(ha.OnAppStopped)
	s.wantNothing()
}

func TestWhatMayBeStoppingIsStartedAgain(t *testing.T) {
	t.Parallel()
	path, c := files(t)
	c.Stop = []string{"sleep", "1000"}
	s := newStage(t, c)
	s.Start(1)
	s.want(ha.OnAppUp)
	s.Stop()
	s.wantNothing()
	if err := os.Chtimes(path, time.Unix(1, 0), time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	s.Start(2)
	s.want(ha.OnAppUp)
	if info, err := os.Stat(path); err != nil || info.ModTime().Unix() == 1 {
		t.Errorf("its health passed and it was not started: %v", err)
	}
}

func TestAStopThatDoesNotStopIsTriedAgainAndThenKilled(t *testing.T) {
	t.Parallel()
	path, c := files(t)
	c.Stop = []string{"true"} // says so, and its health still passes
	c.Kill = []string{"rm", path}
	s := newStage(t, c)
	s.Start(1)
	s.want(ha.OnAppUp)
	s.Stop()
	s.wantNothing()
	if s.Well() {
		t.Error("what is to stop is still called well")
	}
	s.Kill()
	s.want(ha.OnAppStopped)
}

func TestAnApplicationThatHangsIsNotWell(t *testing.T) {
	t.Parallel()
	var hang atomic.Bool
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if hang.Load() {
			<-release
		}
	}))
	defer server.Close()
	defer close(release)
	a := NewApplication(Commands{Start: []string{"true"}, Stop: []string{"true"}, Health: server.URL, Interval: 10 * time.Millisecond, Timeout: time.Second, StartTimeout: patience}, slog.New(slog.DiscardHandler))
	if err := a.check(t.Context()); err != nil {
		t.Fatal(err)
	}
	hang.Store(true)
	if err := a.check(t.Context()); err == nil {
		t.Error("no answer was taken for health")
	}
}

func TestTheDoorLetsOldClientsStayAndTellsWhoTheyAre(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ version, says string }{
		{"", "hello"},
		{ProxyV1, "PROXY TCP4 127.0.0.1 127.0.0.1 "},
		{ProxyV2, signature + "\x21\x11\x00\x0c\x7f\x00\x00\x01\x7f\x00\x00\x01"},
	} {
		app, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		heard := make(chan string, 1)
		go func() {
			c, err := app.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			text := make([]byte, 256)
			total := 0
			for !bytes.HasSuffix(text[:total], []byte("hello")) {
				n, err := c.Read(text[total:])
				if err != nil {
					return
				}
				total += n
			}
			heard <- string(text[:total])
			_, _ = c.Write([]byte("welcome"))
			_, _ = c.Read(text) // until the client ends
		}()
		free, _ := net.Listen("tcp", "127.0.0.1:0")
		at := free.Addr().String()
		_ = free.Close()
		g := NewGate(at, app.Addr().String(), tt.version, nil, slog.New(slog.DiscardHandler))
		if _, err := net.Dial("tcp", at); err == nil {
			t.Error("a closed door lets in")
		}
		g.Open()
		g.Open()
		c, err := net.Dial("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = c.Write([]byte("hello"))
		if got := <-heard; !strings.HasPrefix(got, tt.says) || !strings.HasSuffix(got, "hello") {
			t.Errorf("%s: the application hears %q", tt.version, got)
		}
		g.Close()
		g.Close()
		if _, err := net.Dial("tcp", at); err == nil {
			t.Error("a door that was closed lets in")
		}
		text := make([]byte, 7)
		if n, err := c.Read(text); err != nil || string(text[:n]) != "welcome" {
			t.Errorf("the old client hears %q, %v", text[:n], err)
		}
		if now, ever := g.Clients(); now != 1 || ever != 1 {
			t.Errorf("%d clients of %d", now, ever)
		}
		_ = c.Close()
		g.guests.Wait()
		_ = app.Close()
	}
}

func TestADoorWhoseAddressIsTakenSaysSoAndOpensLater(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := NewGate(taken.Addr().String(), "127.0.0.1:1", "", nil, slog.New(slog.DiscardHandler))
	g.Open()
	defer g.Close()
	if g.Fault() == "" {
		t.Fatal("it says nothing")
	}
	_ = taken.Close()
	for range 3000 {
		if g.Fault() == "" {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("it stays closed: %s", g.Fault())
}

func TestAClientThatWaitedInTheKernelIsNotLetInAfterAFreeze(t *testing.T) {
	t.Parallel()
	free, _ := net.Listen("tcp", "127.0.0.1:0")
	at := free.Addr().String()
	_ = free.Close()
	g := NewGate(at, "127.0.0.1:1", "", func() bool { return false }, slog.New(slog.DiscardHandler))
	g.Open()
	defer g.Close()
	c, err := net.Dial("tcp", at)
	if err == nil {
		defer c.Close()
		_, err = c.Read(make([]byte, 1))
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v, want a reset", err)
	}
	if _, ever := g.Clients(); ever != 0 {
		t.Error("it was counted as let in")
	}
}

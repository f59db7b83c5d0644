package probes

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// check sends what agent-send sends and gives all that comes back.
func (o *opened) check(pieces ...string) string {
	o.Helper()
	c := o.dial(o.agent)
	for _, piece := range pieces {
		if _, err := io.WriteString(c, piece); err != nil {
			o.Fatal(err)
		}
	}
	got, err := io.ReadAll(c)
	if err != nil && len(got) == 0 && !strings.Contains(err.Error(), "reset") {
		o.Errorf("%q: %v", pieces, err)
	}
	return string(got)
}

func TestTheAgentCheckFollowsTheTraffic(t *testing.T) {
	t.Parallel()
	o := onLoopback(t, nil)
	for _, step := range []struct {
		tell       ha.Situation
		core1, two string
	}{
		{serves("core1", 3, ha.FailedOver, time.Now()), "ready up\n", "ready down\n"},
		{serves("core2", 4, ha.FailedOver, time.Now()), "ready down\n", "ready up\n"},
		{serves("core1", 5, ha.Resumed, time.Now()), "ready up\n", "drain\n"},
		{serves("core1", 6, ha.HeldBy, time.Now()), "ready up\n", "drain\n"},
		{serves("core2", 7, ha.FailedOver, time.Now()), "ready down\n", "ready up\n"},
	} {
		o.Tell(step.tell)
		if one, two := o.check("mdm/core1\n"), o.check("mdm/core2\r\n"); one != step.core1 || two != step.two {
			t.Errorf("epoch %d: got %q and %q, want %q and %q", step.tell.Traffic.Epoch, one, two, step.core1, step.two)
		}
	}
}

func TestTheAgentCheckSaysNothingToWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	o := onLoopback(t, nil)
	lines := []string{
		"mail/core1\n", "mdm/core9\n", "mdm\n", "\n", "mdm/\n", "/core1\n", "mdm/core1/raw\n", "GET /mdm/core1 HTTP/1.0\r\n\r\n",
		"\x00\xff\n", strings.Repeat("x", maxAgentLine+1),
	}
	for _, line := range lines {
		if got := o.check(line); got != "" {
			t.Errorf("%.40q: got %q", line, got)
		}
	}
	if got := o.Figures().Silent; got != uint64(len(lines)) {
		t.Errorf("%d silent, want %d", got, len(lines))
	}
}

func TestAnAgentLineMayComeInPiecesAndLackItsEnd(t *testing.T) {
	t.Parallel()
	o := onLoopback(t, nil)
	if got := o.check("md", "m/co", "re1", "\n"); got != "ready up\n" {
		t.Errorf("in pieces: got %q", got)
	}
	if got := o.check("mdm/core1"); got != "ready up\n" {
		t.Errorf("without an end: got %q", got)
	}
}

// The agent check must say nothing while the proxy stops, rather than down.
func TestAnAgentCheckThatWaitsAtShutdownGetsNothing(t *testing.T) {
	t.Parallel()
	o := onLoopback(t, nil)
	c := o.dial(o.agent)
	fmt.Fprint(c, "mdm/co")
	await(t, func() bool { return o.turns()[asking] == 1 })
	if err := o.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, _ := io.ReadAll(c); len(got) > 0 {
		t.Errorf("got %q", got)
	}
}

func FuzzAgentLine(f *testing.F) {
	for _, line := range []string{"mdm/core1\n", "mdm/core2\r\nmore", "mdm/core1", "", "/", "mdm//core1\n", strings.Repeat("a", 600) + "\n"} {
		f.Add([]byte(line))
	}
	p := &Proxy{book: newBook()}
	p.book.tell(calm(time.Now()), ages{clock{time.Now()}, time.Hour})
	f.Fuzz(func(t *testing.T, sent []byte) {
		near, far := net.Pipe()
		defer near.Close()
		go func() {
			defer far.Close()
			_, _ = far.Write(sent)
		}()
		line, err := readLine(near)
		if err != nil {
			return
		}
		if len(line) > maxAgentLine || strings.Contains(string(line), "\n") {
			t.Errorf("a line of %d bytes: %q", len(line), line)
		}
		switch got := string(p.findAgent(line, 0)); string(line) {
		case "mdm/core1":
			if got != "ready up\n" {
				t.Errorf("got %q", got)
			}
		case "mdm/core2":
			if got != "ready down\n" {
				t.Errorf("got %q", got)
			}
		default:
			if got != "" {
				t.Errorf("%q: got %q", line, got)
			}
		}
	})
}

package remote

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// hearer is a Desk that asks every call of a front to look again once.
type hearer struct {
	engine
	mu    sync.Mutex // guards calls
	calls []TrafficDecided
	heard chan struct{}
}

func (h *hearer) TrafficDecided(_ context.Context, _ string, d TrafficDecided) (string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls = append(h.calls, d)
	select {
	case h.heard <- struct{}{}:
	default:
	}
	if d.Again == "" {
		return "word", nil
	}
	return "", nil
}

func (h *hearer) all() []TrafficDecided {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]TrafficDecided(nil), h.calls...)
}

// moved is a group that has just left core1 for core2, which stands by.
func moved(state ha.State) ha.Situation {
	t := ha.Traffic{Group: "mdm", Epoch: 5, Order: []string{"core1", "core2"}, Serving: "core2", Left: "core1", LeftEpoch: 7}
	v := ha.View{}.Keep(t.Order, nil).Observe(ha.Reading{Node: "core2", State: state, At: time.Now()}, "core2", 3)
	return ha.Assess(t, v, ha.DefaultRules(), time.Now())
}

func TestAFrontLooksAgainAndTellsUntilTheNodeIsActive(t *testing.T) {
	t.Parallel()
	n, front := newNode(t, "core2"), newFront(t, "front1")
	if _, err := front.Join(t.Context(), invited(t, n, Front), ""); err != nil {
		t.Fatal(err)
	}
	h := &hearer{heard: make(chan struct{}, 1)}
	at := listenOn(t, n.Trust, h)
	c, err := NewCourier(front, Engines{"mdm": {"core2": at}}, slog.New(slog.DiscardHandler))
	must(t, err)
	defer c.Close()
	c.Hear(moved(ha.Active)) // nothing to tell
	c.Hear(moved(ha.Standby))
	for len(h.all()) < 4 {
		<-h.heard
	}
	c.Hear(moved(ha.Active))
	want := TrafficDecided{Group: "mdm", Node: "core2", Epoch: 5, Left: "core1", LeftEpoch: 7}
	for i, got := range h.all()[:4] {
		if want.Again = ""; i%2 == 1 {
			want.Again = "word"
		}
		if got != want {
			t.Errorf("call %d: got %+v, want %+v", i, got, want)
		}
	}
	c.Hear(ha.Situation{Traffic: ha.Traffic{Group: "another"}})
}

func TestAnEngineThatCannotBeToldIsSaidOnce(t *testing.T) {
	t.Parallel()
	front := newFront(t, "front1")
	var said lockedText
	c, err := NewCourier(front, Engines{"mdm": {"core2": "127.0.0.1:1"}}, slog.New(slog.NewTextHandler(&said, nil)))
	must(t, err)
	c.Hear(moved(ha.Standby))
	for said.String() == "" {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(2 * courierSoon)
	c.Close()
	if text := said.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "is no trusted host") {
		t.Errorf("said\n%s", text)
	}
}

// lockedText is a text that several goroutines write.
type lockedText struct {
	mu   sync.Mutex // guards text
	text strings.Builder
}

func (l *lockedText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lockedText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

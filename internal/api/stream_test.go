package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/understudy-ha/understudy/internal/api"
	"github.com/understudy-ha/understudy/internal/api/apitest"
	"github.com/understudy-ha/understudy/internal/ha"
)

// desk is an API that runs until the test ends it.
type desk struct {
	*api.API
	memory *apitest.Memory
	end    func() // ends Run and waits for it
}

func open(m *apitest.Memory) desk {
	a := api.New(api.Config{Groups: m})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { a.Run(ctx) })
	return desk{a, m, func() { cancel(); running.Wait() }}
}

// stream follows the events of the desk in memory; it is to be used in a
// synctest bubble.
type stream struct {
	lines *bufio.Scanner
	end   func() // ends the client and waits for the handler
	done  chan struct{}
}

func (d desk) follow(path, saw string) *stream {
	ctx, cancel := context.WithCancel(context.Background())
	req := httptest.NewRequest(http.MethodGet, path, nil).WithContext(ctx)
	if saw != "" {
		req.Header.Set("Last-Event-ID", saw)
	}
	r, w := io.Pipe()
	s := &stream{lines: bufio.NewScanner(r), done: make(chan struct{})}
	go func() {
		defer close(s.done)
		defer w.Close()
		d.Handler().ServeHTTP(piped{w, http.Header{}}, req)
	}()
	s.end = func() { cancel(); r.Close(); <-s.done }
	return s
}

// piped is a ResponseWriter that hands every byte over at once.
type piped struct {
	*io.PipeWriter
	header http.Header
}

func (p piped) Header() http.Header { return p.header }
func (p piped) WriteHeader(int)     {}
func (p piped) Flush()              {}

// event gives the next event, or ok false at the end of the stream.
func (s *stream) event(t *testing.T) (id string, g api.Group, ok bool) {
	t.Helper()
	for s.lines.Scan() {
		switch field, value, _ := strings.Cut(s.lines.Text(), ": "); field {
		case "id":
			id = value
		case "data":
			if err := json.Unmarshal([]byte(value), &g); err != nil {
				t.Fatal(err)
			}
			return id, g, true
		}
	}
	return "", api.Group{}, false
}

func TestAStreamTellsThePresentAndThenEveryChange(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := open(pair())
		defer d.end()
		synctest.Wait()
		s := d.follow("/understudy/events", "")
		defer s.end()
		if _, g, _ := s.event(t); g.Serving != "core1" || !g.Armed {
			t.Errorf("first: got %+v", g)
		}
		d.memory.Advance(time.Second)
		d.memory.Read("mdm", "core2", ha.NotAvailable)
		if _, g, _ := s.event(t); g.Armed || g.Nodes[1].State != api.NotAvailable {
			t.Errorf("change: got %+v", g)
		}
	})
}

func TestAStreamGoesOnAfterTheLastEvent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := open(pair())
		defer d.end()
		synctest.Wait()
		s := d.follow("/understudy/events", "")
		saw, _, _ := s.event(t)
		s.end()
		for _, state := range []ha.State{ha.NotAvailable, ha.Standby} {
			d.memory.Advance(time.Second)
			d.memory.Read("mdm", "core2", state)
		}
		synctest.Wait()
		again := d.follow("/understudy/events", saw)
		defer again.end()
		if _, g, _ := again.event(t); g.Nodes[1].State != api.NotAvailable {
			t.Errorf("first missed: got %+v", g.Nodes[1])
		}
		if _, g, _ := again.event(t); g.Nodes[1].State != api.Standby {
			t.Errorf("second missed: got %+v", g.Nodes[1])
		}
	})
}

func TestAnIDThatIsNotKeptBringsThePresent(t *testing.T) {
	t.Parallel()
	for _, saw := range []string{"OTHERBOOT-3", "nonsense", "-1"} {
		synctest.Test(t, func(t *testing.T) {
			d := open(pair())
			defer d.end()
			synctest.Wait()
			s := d.follow("/understudy/events", saw)
			defer s.end()
			if _, g, ok := s.event(t); !ok || g.Serving != "core1" {
				t.Errorf("%s: got %+v", saw, g)
			}
		})
	}
}

func TestASilentStreamBeats(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := open(pair())
		defer d.end()
		synctest.Wait()
		s := d.follow("/understudy/events", "")
		defer s.end()
		s.event(t)
		began := time.Now()
		s.lines.Scan() // the empty line after the event
		if s.lines.Scan(); !strings.HasPrefix(s.lines.Text(), ":") || time.Since(began) != 15*time.Second {
			t.Errorf("got %q after %v, want a comment after 15s", s.lines.Text(), time.Since(began))
		}
	})
}

func TestOneGroupsStreamHasNoOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := pair()
		m.Add("sentry", []string{"s1"})
		d := open(m)
		defer d.end()
		synctest.Wait()
		s := d.follow("/understudy/events?group=sentry", "")
		defer s.end()
		if _, g, _ := s.event(t); g.Name != "sentry" {
			t.Errorf("got %s", g.Name)
		}
		m.Read("mdm", "core2", ha.NotAvailable)
		m.Read("sentry", "s1", ha.Active)
		if _, g, _ := s.event(t); g.Name != "sentry" || g.Serving != "s1" {
			t.Errorf("got %s %+v", g.Name, g)
		}
	})
}

func TestASlowClientIsDroppedAndHoldsUpNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := open(pair())
		defer d.end()
		synctest.Wait()
		slow, quick := d.follow("/understudy/events", ""), d.follow("/understudy/events", "")
		defer slow.end()
		defer quick.end()
		quick.event(t)
		for i := range 200 {
			d.memory.Advance(time.Second)
			d.memory.Read("mdm", "core2", []ha.State{ha.NotAvailable, ha.Standby}[i%2])
			if _, _, ok := quick.event(t); !ok {
				t.Fatal("the quick client was dropped")
			}
			synctest.Wait()
		}
		n := 0
		for _, _, ok := slow.event(t); ok; _, _, ok = slow.event(t) {
			n++
		}
		if n == 0 || n > 80 {
			t.Errorf("the slow client got %d events, want some and then the end", n)
		}
	})
}

func TestStreamsEndWithTheAPI(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := open(pair())
		synctest.Wait()
		s := d.follow("/understudy/events", "")
		s.event(t)
		d.end()
		if _, _, ok := s.event(t); ok {
			t.Error("got an event, want the end of the stream")
		}
		<-s.done
		w := httptest.NewRecorder()
		d.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/understudy/events", nil))
		if w.Code != 503 {
			t.Errorf("after the end: got %d, want 503", w.Code)
		}
	})
}

func TestAHungUpClientComesBackAndMissesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := open(pair())
		defer d.end()
		synctest.Wait()
		s := d.follow("/understudy/events", "")
		saw, _, _ := s.event(t)
		d.HangUp()
		if _, _, ok := s.event(t); ok {
			t.Error("got an event, want the end of the stream")
		}
		<-s.done
		d.memory.Advance(time.Second)
		d.memory.Read("mdm", "core2", ha.NotAvailable)
		synctest.Wait()
		again := d.follow("/understudy/events", saw)
		defer again.end()
		if _, g, ok := again.event(t); !ok || g.Nodes[1].State != api.NotAvailable {
			t.Errorf("back: got %+v", g)
		}
	})
}

func TestAStreamOutlivesTheServersReadTimeout(t *testing.T) {
	t.Parallel()
	a := api.New(api.Config{Groups: pair(), Heartbeat: 200 * time.Millisecond})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { a.Run(ctx) })
	s := httptest.NewUnstartedServer(a.Handler())
	s.Config.ReadTimeout, s.Config.WriteTimeout = 500*time.Millisecond, 500*time.Millisecond
	s.Start()
	defer s.Close()
	defer running.Wait()
	defer cancel()
	var resp *http.Response
	for resp == nil || resp.StatusCode == http.StatusServiceUnavailable { // Run has not begun
		var err error
		if resp, err = http.Get(s.URL + "/understudy/events"); err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
	}
	beats, lines := 0, bufio.NewScanner(resp.Body)
	for beats < 5 && lines.Scan() {
		if strings.HasPrefix(lines.Text(), ":") {
			beats++
		}
	}
	if beats < 5 {
		t.Errorf("got %d heartbeats, then %v", beats, lines.Err())
	}
}

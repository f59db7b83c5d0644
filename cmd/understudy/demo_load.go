package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// loadRate is how many requests the demo's clients send in a second, each at
// its time, however long the others take.
const loadRate = 50

// load is the demo's clients and what became of their requests.
type load struct {
	client *http.Client
	cancel context.CancelFunc
	ended  sync.WaitGroup

	mu    sync.Mutex // guards the fields below
	total tally
	part  tally          // since the last mark
	by    map[string]int // answers, by node
}

// tally counts requests.
type tally struct {
	good, failed int
	last         time.Time // the last success
	gap          time.Duration
}

func (t *tally) add(good bool, now time.Time) {
	if !good {
		t.failed++
		return
	}
	t.good++
	if !t.last.IsZero() {
		t.gap = max(t.gap, now.Sub(t.last))
	}
	t.last = now
}

// text tells the count; a time without an answer may still go on.
func (t tally) text(now time.Time) string {
	if !t.last.IsZero() {
		t.gap = max(t.gap, now.Sub(t.last))
	}
	return fmt.Sprintf("%d requests answered, %d failed, longest time without an answer %d ms", t.good, t.failed, t.gap.Milliseconds())
}

func startLoad(ctx context.Context, url string) *load {
	ctx, cancel := context.WithCancel(ctx)
	l := &load{client: &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 1000}}, cancel: cancel, by: map[string]int{}}
	l.ended.Go(func() {
		tick := time.NewTicker(time.Second / loadRate)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				l.ended.Go(func() { l.send(ctx, url) })
			}
		}
	})
	return l
}

func (l *load) send(ctx context.Context, url string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return
	}
	answer, err := l.client.Do(req)
	if ctx.Err() != nil {
		return
	}
	good := err == nil && answer.StatusCode == http.StatusOK
	if err == nil {
		_, _ = io.Copy(io.Discard, answer.Body)
		_ = answer.Body.Close()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.total.add(good, now)
	l.part.add(good, now)
	if good {
		l.by[answer.Header.Get("X-Node")]++
	}
}

// from gives how many answers a node has given.
func (l *load) from(node string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.by[node]
}

// mark begins a new part of the count.
func (l *load) mark() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.part = tally{last: time.Now()}
}

func (l *load) sinceMark() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.part.text(time.Now())
}

func (l *load) report() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return "clients in all: " + l.total.text(time.Now())
}

func (l *load) stop() {
	l.cancel()
	l.ended.Wait()
}

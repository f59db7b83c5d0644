package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"
)

// clientPatience is how long a client waits for an answer.
const clientPatience = 5 * time.Second

// load is an open loop: every request goes out at its time, whatever has
// become of those before, as real clients do who know nothing of one another.
type load struct {
	method string
	rate   int // requests a second
	lasts  time.Duration
}

// outcome is what became of one request. Times count from the load's start.
type outcome struct {
	id    string
	due   time.Duration // when it was to be sent; latency counts from here
	ended time.Duration
	reply
	err error
}

func (o outcome) good() bool { return o.err == nil && o.status < http.StatusInternalServerError }

// run sends the load and waits for every answer. ids are the method and a
// number.
func (l load) run(ctx context.Context, address string) []outcome {
	w := &wire{address: address}
	defer w.close()
	outcomes := make([]outcome, int(l.lasts.Seconds()*float64(l.rate)))
	began := time.Now()
	var out sync.WaitGroup
	for i := range outcomes {
		o := &outcomes[i]
		o.id, o.due = fmt.Sprintf("%s-%d", l.method, i), time.Duration(i)*time.Second/time.Duration(l.rate)
		if wait := time.Until(began.Add(o.due)); wait > 0 && pause(ctx, wait) != nil {
			outcomes = outcomes[:i]
			break
		}
		out.Go(func() {
			o.reply, o.err = w.ask(l.method, o.id, began.Add(o.due+clientPatience))
			o.ended = time.Since(began)
		})
	}
	out.Wait()
	return outcomes
}

// tally says what became of a load.
type tally struct {
	sent, failed int
	why          map[string]int // how they failed, by status or error
	gap          time.Duration  // the longest time without a success
	slowest      time.Duration  // among the successes
	moved        time.Duration  // from the strike to the first answer of another node; negative: none
}

// sum tells what became of a load that began with one node and was struck at
// a time.
func sum(outcomes []outcome, struck time.Duration) tally {
	t := tally{sent: len(outcomes), why: map[string]int{}, moved: -1}
	var successes []time.Duration
	first := ""
	for _, o := range outcomes {
		if !o.good() {
			t.failed++
			t.why[o.failure()]++
			continue
		}
		successes = append(successes, o.ended)
		t.slowest = max(t.slowest, o.ended-o.due)
		if first == "" {
			first = o.node
		}
		if since := o.ended - struck; o.node != first && (t.moved < 0 || since < t.moved) {
			t.moved = max(0, since)
		}
	}
	slices.Sort(successes)
	before := time.Duration(0)
	for _, at := range successes {
		t.gap, before = max(t.gap, at-before), at
	}
	if len(outcomes) > 0 {
		t.gap = max(t.gap, outcomes[len(outcomes)-1].due-before)
	}
	return t
}

// failure names what a failed request got.
func (o outcome) failure() string {
	if o.err == nil {
		return fmt.Sprint(o.status)
	}
	if timeout, ok := o.err.(interface{ Timeout() bool }); ok && timeout.Timeout() {
		return "timeout"
	}
	return "cut"
}

//go:build linux

package integration

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// load is a stream of requests that does not wait for answers: what a front
// must bear when a node hangs.
type load struct {
	f     *front
	stop  chan struct{}
	ended chan struct{}

	mu      sync.Mutex // guards answers
	answers []answer
}

// kind is a kind of request in a load.
type kind struct {
	name   string
	method string
	body   string
	keyed  bool // carries an Idempotency-Key
}

// The kinds of requests that matter when a node dies.
var (
	plainGet  = kind{name: "GET", method: "GET"}
	plainHead = kind{name: "HEAD", method: "HEAD"}
	remove    = kind{name: "DELETE", method: "DELETE"}
	emptyPut  = kind{name: "PUT-empty", method: "PUT"}
	bodyPut   = kind{name: "PUT", method: "PUT", body: "new text"}
	bodyPost  = kind{name: "POST", method: "POST", body: "an order"}
	emptyPost = kind{name: "POST-empty", method: "POST"}
	keyedPost = kind{name: "POST-keyed", method: "POST", keyed: true}
)

// safe says whether a request may be sent again.
func (k kind) safe() bool {
	return k.method == "GET" || k.method == "HEAD" || k.method == "DELETE" || k == emptyPut
}

// request makes one; path may ask the node for a latency.
func (k kind) request(path, id string) request {
	r := request{method: k.method, path: path, body: k.body, id: k.name + "/" + id}
	if k.keyed {
		r.header = map[string]string{"Idempotency-Key": id}
	}
	return r
}

// pour begins a load: one request after every pause, the kinds in turn.
func (f *front) pour(pause time.Duration, path string, kinds ...kind) *load {
	f.t.Helper()
	l := &load{f: f, stop: make(chan struct{}), ended: make(chan struct{})}
	go l.run(pause, path, kinds)
	f.t.Cleanup(func() { l.end() })
	return l
}

func (l *load) run(pause time.Duration, path string, kinds []kind) {
	defer close(l.ended)
	tick := time.NewTicker(pause)
	defer tick.Stop()
	var out sync.WaitGroup
	defer out.Wait()
	for i := 0; ; i++ {
		select {
		case <-l.stop:
			return
		case <-tick.C:
		}
		r := kinds[i%len(kinds)].request(path, fmt.Sprint(i))
		out.Go(func() {
			a := l.f.do(r)
			l.mu.Lock()
			defer l.mu.Unlock()
			l.answers = append(l.answers, a)
		})
	}
}

// taken gives the answers so far.
func (l *load) taken() []answer {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.answers)
}

// end ends the load, waits for the last answer and gives all.
func (l *load) end() []answer {
	select {
	case <-l.stop:
	default:
		close(l.stop)
	}
	<-l.ended
	return l.answers
}

// awaitAnswers waits until n further requests were answered by a node.
func (l *load) awaitAnswers(t *testing.T, n int, from string) {
	t.Helper()
	count := func() (c int) {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, a := range l.answers {
			if a.node == from {
				c++
			}
		}
		return c
	}
	before := count()
	await(t, fmt.Sprintf("%d requests are answered by %s", n, from), func() bool { return count() >= before+n })
}

// overReloads gives the answers of a load without the few connections that
// Caddy itself breaks when one configuration's listener takes over from the
// other's (a stock site loses as many); those must have reached no node.
func overReloads(t *testing.T, answers []answer, reloads int, nodes ...node) []answer {
	t.Helper()
	var kept []answer
	for _, a := range answers {
		if a.err == nil {
			kept = append(kept, a)
			continue
		}
		t.Logf("broken at a reload: %s", a)
		for _, n := range nodes {
			if n.IDs("")[a.id] > 0 {
				t.Errorf("%s: yet it reached %s", a, n.Name())
			}
		}
	}
	if broken := len(answers) - len(kept); broken > 3*reloads {
		t.Errorf("%d connections broke at %d reloads", broken, reloads)
	}
	return kept
}

// gap gives the longest time without a good answer.
func gap(answers []answer) time.Duration {
	var ends []time.Time
	for _, a := range answers {
		if a.status == 200 {
			ends = append(ends, a.end)
		}
	}
	slices.SortFunc(ends, time.Time.Compare)
	longest := time.Duration(0)
	for i := 1; i < len(ends); i++ {
		longest = max(longest, ends[i].Sub(ends[i-1]))
	}
	return longest
}

// slowest gives the longest time that a good answer took.
func slowest(answers []answer) time.Duration {
	longest := time.Duration(0)
	for _, a := range answers {
		if a.status == 200 {
			longest = max(longest, a.took())
		}
	}
	return longest
}

// tally counts answers by kind and status, for people.
func tally(answers []answer) string {
	counts := map[string]int{}
	for _, a := range answers {
		name, _, _ := strings.Cut(a.id, "/")
		counts[fmt.Sprintf("%s %d from %q", name, a.status, a.node)]++
	}
	var lines []string
	for what, n := range counts {
		lines = append(lines, fmt.Sprintf("%s: %d", what, n))
	}
	slices.Sort(lines)
	return strings.Join(lines, ", ")
}

// expectOnce checks that nothing was done twice or lost without a word, by
// what clients were told and by what reached the nodes (by id):
//
//   - what may be sent again was answered well;
//   - all else was answered well or got one 502;
//   - no request of a kind that may not be sent again reached nodes twice;
//   - what got 502 or an answer of one node did not reach the other.
func expectOnce(t *testing.T, answers []answer, kinds []kind, nodes ...node) {
	t.Helper()
	byName := map[string]kind{}
	for _, k := range kinds {
		byName[k.name] = k
	}
	reached := map[string]map[string]int{} // by node: times by id
	for _, n := range nodes {
		reached[n.Name()] = n.IDs("")
	}
	faults := 0
	for _, a := range answers {
		name, _, _ := strings.Cut(a.id, "/")
		if why := notOnce(a, byName[name], reached); why != "" {
			if faults++; faults <= 10 {
				t.Errorf("%s: %s", a, why)
			}
		}
	}
	if faults > 10 {
		t.Errorf("and %d more", faults-10)
	}
	t.Log(tally(answers))
}

func notOnce(a answer, k kind, reached map[string]map[string]int) string {
	total := 0
	for _, ids := range reached {
		total += ids[a.id]
	}
	switch {
	case a.err != nil:
		return "the client got no answer"
	case a.status != 200 && (k.safe() || a.status != 502):
		return "want a good answer, or 502 if it must not be sent again"
	case k.safe():
		return ""
	case total > 1:
		return fmt.Sprintf("reached the nodes %d times: %v", total, where(a.id, reached))
	case a.status == 200 && reached[a.node][a.id] != 1:
		return fmt.Sprintf("reached %v, but %s answered", where(a.id, reached), a.node)
	}
	return ""
}

func where(id string, reached map[string]map[string]int) map[string]int {
	at := map[string]int{}
	for name, ids := range reached {
		if ids[id] > 0 {
			at[name] = ids[id]
		}
	}
	return at
}

package probes

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// player plays a node: it answers the two pages as a node in its state does,
// and keeps what it was asked and what was read of it.
type player struct {
	name string
	ring func() // is called after every probe

	mu      sync.Mutex // guards the fields below
	timeout time.Duration
	state   ha.State
	epoch   uint64
	delay   time.Duration // before it answers
	mute    time.Time     // until when it takes connections and says nothing
	asked   [][]ha.Page
	read    []ha.Reading
}

// Check is a probe of the node.
func (p *player) Check(pages []ha.Page) ha.Reading {
	p.mu.Lock()
	r := ha.Reading{Node: p.name, At: time.Now(), State: p.answer(pages), Epoch: p.epoch}
	wait := max(p.delay, time.Until(p.mute))
	p.asked = append(p.asked, pages)
	switch {
	case wait >= p.timeout:
		wait, r.State, r.Cause = p.timeout, ha.NotAvailable, ha.Timeout
	case !r.State.Available():
		r.Cause = ha.Refused
	}
	p.mu.Unlock()
	if wait > 0 {
		time.Sleep(wait)
	}
	r.Took = time.Since(r.At)
	defer p.ring()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.read = append(p.read, r)
	return r
}

// answer gives what the first page of pages tells that is answered with 200.
func (p *player) answer(pages []ha.Page) ha.State {
	for _, page := range pages {
		if status, body := ha.FormatPage(page, p.state); status == 200 {
			state, _ := ha.Profile{}.Read(page, body)
			return state
		}
	}
	return ha.NotAvailable
}

// within has a probe end after timeout.
func (p *player) within(timeout time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.timeout = timeout
}

// be puts the node into a state; NotAvailable refuses connections.
func (p *player) be(state ha.State) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state, p.mute = state, time.Time{}
}

// stall has the node say nothing for a while.
func (p *player) stall(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mute = time.Now().Add(d)
}

// slow has every answer take d.
func (p *player) slow(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = d
}

// show has the node's pages carry an epoch.
func (p *player) show(epoch uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.epoch = epoch
}

// readings gives what was read since an instant.
func (p *player) readings(since time.Time) []ha.Reading {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.IndexFunc(p.read, func(r ha.Reading) bool { return !r.At.Before(since) })
	if i < 0 {
		return nil
	}
	return slices.Clone(p.read[i:])
}

// lastAsked gives the pages that the last probe asked for.
func (p *player) lastAsked() []ha.Page {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.asked) == 0 {
		return nil
	}
	return p.asked[len(p.asked)-1]
}

var discard = slog.New(slog.DiscardHandler)

// stage is a group in a bubble of its own time, with all that a test plays on.
type stage struct {
	*testing.T
	began    time.Time
	register *memory
	players  map[string]*player
	plan     Plan
	log      *slog.Logger
	watcher  *Watcher
	current  atomic.Pointer[Watcher] // the same, for those who meet a restart
	stop     func()                  // ends the watcher and waits for it
	bell     chan struct{}           // rings after every probe and every news

	mu   sync.Mutex // guards the field below
	told []ha.Situation
}

// onStage runs a test with the nodes of a group, each "NAME STATE" and parted
// by " | ", in order of succession. Nothing runs before [stage.start].
func onStage(t *testing.T, nodes string, f func(s *stage)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { f(newStage(t, nodes)) })
}

func newStage(t *testing.T, nodes string) *stage {
	s := &stage{T: t, began: time.Now(), register: &memory{}, players: map[string]*player{}, log: discard, bell: make(chan struct{}, 1)}
	s.plan.Rules = ha.DefaultRules()
	for node := range strings.SplitSeq(nodes, " | ") {
		name, word, _ := strings.Cut(node, " ")
		var state ha.State
		if err := state.UnmarshalText([]byte(word)); err != nil {
			t.Fatal(err)
		}
		s.plan.Nodes = append(s.plan.Nodes, s.cast(name, state))
	}
	return s
}

// cast gives a node that is played, for a plan.
func (s *stage) cast(name string, state ha.State) Node {
	p := &player{name: name, timeout: s.plan.Rules.Timeout, ring: s.ring, state: state}
	s.players[name] = p
	return Node{Name: name, Key: "http://" + name, Looker: p}
}

// start has a Watcher run by the plan until the test is over.
func (s *stage) start() {
	s.watcher, s.stop = s.watch(s.plan)
	s.current.Store(s.watcher)
	s.watcher.Follow(func(a ha.Situation) {
		s.register.write(fmt.Sprintf("told %d %s", a.Traffic.Epoch, a.Traffic.Serving))
		s.mu.Lock()
		defer s.mu.Unlock()
		s.told = append(s.told, a)
		s.ring()
	})
}

func (s *stage) ring() {
	select {
	case s.bell <- struct{}{}:
	default:
	}
}

// watch runs one more Watcher over the stage's register.
func (s *stage) watch(p Plan) (w *Watcher, stop func()) {
	for _, n := range p.Nodes {
		n.Looker.(*player).within(p.Rules.Timeout)
	}
	w = NewWatcher("core", s.register, s.log)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.Run(ctx, p)
	}()
	stop = func() {
		cancel()
		<-ended
	}
	s.Cleanup(stop)
	return w, stop
}

// restart has another Watcher take the place of the one that runs, as after a
// restart of the process.
func (s *stage) restart() {
	s.stop()
	s.start()
	synctest.Wait()
}

// pass lets time pass, and all that happens in it.
func (s *stage) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// calm lets the group find its calm. No calm probe begins at the instant at
// which that ends.
func (s *stage) calm() { s.pass(time.Minute + time.Millisecond) }

// node gives the player of a node.
func (s *stage) node(name string) *player {
	s.Helper()
	p := s.players[name]
	if p == nil {
		s.Fatalf("no node %s is played", name)
	}
	return p
}

// now gives the Situation once all that happens at this instant has happened.
func (s *stage) now() ha.Situation {
	synctest.Wait()
	return s.watcher.Situation()
}

// want checks what is decided now, in the words of say.
func (s *stage) want(words string) {
	s.Helper()
	if got := say(s.now()); got != words {
		s.Errorf("after %s\n got %s\nwant %s", time.Since(s.began), got, words)
	}
}

// within waits until what is decided begins with words, and gives how long it
// took.
func (s *stage) within(limit time.Duration, words string) time.Duration {
	s.Helper()
	began := time.Now()
	if !s.await(limit, func(a ha.Situation) bool { return strings.HasPrefix(say(a), words) }) {
		s.Fatalf("after %s\n got %s\nwant %s", time.Since(s.began), say(s.now()), words)
	}
	return time.Since(began)
}

// await waits until the Situation is as it should be, or gives false.
func (s *stage) await(limit time.Duration, is func(ha.Situation) bool) bool {
	timeout := time.After(limit)
	for !is(s.now()) {
		select {
		case <-s.bell:
		case <-timeout:
			return is(s.now())
		}
	}
	return true
}

// miss waits until the serving node has missed n readings.
func (s *stage) miss(n int) {
	s.Helper()
	if !s.await(time.Minute, func(a ha.Situation) bool { return a.View.Of(a.Traffic.Serving).Misses >= n }) {
		s.Fatalf("the serving node has not missed %d readings", n)
	}
}

// act does a person's wish.
func (s *stage) act(verb string, w ha.Wish) (ha.Traffic, error) {
	s.Helper()
	do, ok := ha.Acts(verb)
	if !ok {
		s.Fatalf("there is no verb %q", verb)
	}
	if w.Reason == "" {
		w.Reason = "testing"
	}
	w.Actor = "alice"
	return s.current.Load().Act(context.Background(), do, w, false)
}

// must does a person's wish that nothing speaks against.
func (s *stage) must(verb string, w ha.Wish) {
	s.Helper()
	if _, err := s.act(verb, w); err != nil {
		s.Fatalf("%s: %v", verb, err)
	}
}

// news gives what followers were told since the last call, in the words of say.
func (s *stage) news() (lines []string) {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.told {
		lines = append(lines, say(a))
	}
	s.told = nil
	return lines
}

// say puts a Situation into words: who serves and since which epoch, the
// decision, alarms, which requests wait, and where a failover would go.
func say(a ha.Situation) string {
	who := fmt.Sprintf("%s %d", a.Traffic.Serving, a.Traffic.Epoch)
	if a.Traffic.Serving == "" {
		who = "nobody"
		if a.Target != "" {
			who = a.Target + " for now"
		}
	}
	d := a.Decision
	line := fmt.Sprintf("%s: row %d %v %s", who, d.Row, d.Verb, d.Reason)
	if d.About != "" {
		line += " (" + d.About + ")"
	}
	for _, alarm := range a.Alarms() {
		line += "; alarm " + string(alarm)
	}
	line += map[ha.Queueing]string{ha.QueueUnsafe: "; queue unsafe", ha.QueueAll: "; queue all"}[a.Queue]
	if a.ArmedTo != "" {
		line += "; armed to " + a.ArmedTo
	}
	return line
}

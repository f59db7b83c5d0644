//go:build linux

package integration

import (
	"fmt"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/internal/hatest"
)

// Nothing that could matter twice is done twice, and what may be sent again
// never fails.

var everyKind = []kind{plainGet, plainHead, remove, emptyPut, bodyPut, bodyPost, emptyPost, keyedPost}

func TestUnderLoadAKilledNodeLosesNoGetAndDoublesNoPost(t *testing.T) {
	t.Parallel()
	core1, core2 := localPair(t) // Kill is as kill -9, and what had reached it stays known
	for _, n := range []node{core1, core2} {
		n.SetLatency(hatest.App, 60*time.Millisecond) // so that much is in flight
	}
	f := startFront(t, plan{nodes: []node{core1, core2}})
	l := f.pour(4*time.Millisecond, "/", everyKind...)
	l.awaitAnswers(t, 100, "core1")
	core1.Kill()
	l.awaitAnswers(t, 200, "core2")
	answers := l.end()
	expectOnce(t, answers, everyKind, core1, core2)
	t.Logf("kill: gap %s, slowest %s", gap(answers), slowest(answers))
}

func TestUnderLoadAKilledProcessLosesNoGetAndDoublesNoPost(t *testing.T) {
	t.Parallel()
	core1, core2 := pair(t)
	for _, n := range []node{core1, core2} {
		n.SetLatency(hatest.App, 30*time.Millisecond)
	}
	f := startFront(t, plan{nodes: []node{core1, core2}})
	l := f.pour(4*time.Millisecond, "/", everyKind...)
	l.awaitAnswers(t, 100, "core1")
	core1.Kill() // -9
	l.awaitAnswers(t, 200, "core2")
	answers := l.end()
	expectOnce(t, answers, everyKind, core1, core2)
	t.Logf("kill -9: gap %s, slowest %s", gap(answers), slowest(answers))
}

func TestUnderLoadAStoppedProcessLosesNoGetAndDoublesNoPost(t *testing.T) {
	t.Parallel()
	core1, core2 := pair(t)
	f := startFront(t, plan{nodes: []node{core1, core2}, probe: map[string]string{"timeout": "500ms", "fast_interval": "100ms"}})
	l := f.pour(5*time.Millisecond, "/", everyKind...)
	l.awaitAnswers(t, 100, "core1")
	core1.Stop() // SIGSTOP
	l.awaitAnswers(t, 200, "core2")
	answers := l.end()
	core1.Continue() // it executes what the kernel had taken for it
	await(t, "core1 is done with what had reached it", func() bool { return core1.Busy() == 0 })
	expectOnce(t, answers, everyKind, core1, core2)
	t.Logf("SIGSTOP (timeout 500 ms, fall 3): gap %s, slowest %s", gap(answers), slowest(answers))
}

// What is in flight when the node dies, told exactly: one request of each kind
// hangs in core1.
func TestInFlightAtADeath(t *testing.T) {
	t.Parallel()
	deaths := map[string]func(*child){"kill -9": (*child).Kill, "SIGSTOP": (*child).Stop}
	for name, die := range deaths {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			core1, core2 := pair(t)
			f := startFront(t, plan{nodes: []node{core1, core2}, probe: map[string]string{"timeout": "300ms"}})
			for range 2 { // so that connections are reused: net/http repeats on those
				collect(t, len(everyKind), f.sendAll(inFlight("warm", "/")))
			}
			core1.SetLatency(hatest.App, time.Hour)
			waiting := f.sendAll(inFlight("late", "/"))
			await(t, "all have reached core1", func() bool { return core1.Busy() == len(everyKind) })
			die(core1)
			answers := collect(t, len(everyKind), waiting)
			core1.Continue()
			expectOnce(t, answers, everyKind, core1, core2)
			for _, a := range answers {
				want := 200
				if !kindOf(a).safe() {
					want = 502
				}
				if a.status != want {
					t.Errorf("%s: want %d", a, want)
				}
				if again := core2.IDs("")[a.id]; again > 0 && want == 502 {
					t.Errorf("%s: sent again to core2", a)
				}
			}
		})
	}
}

// inFlight makes one request of each kind.
func inFlight(id, path string) []request {
	var all []request
	for _, k := range everyKind {
		all = append(all, k.request(path, fmt.Sprint(id, "-", k.name)))
	}
	return all
}

func kindOf(a answer) kind {
	for _, k := range everyKind {
		if len(a.id) > len(k.name) && a.id[:len(k.name)+1] == k.name+"/" {
			return k
		}
	}
	return kind{}
}

// An empty POST with an Idempotency-Key on a connection that was used before is
// what net/http repeats by itself; behind the fence that would be a third time.
func TestKeyedPostsOnReusedConnectionsAreSentOnce(t *testing.T) {
	t.Parallel()
	core1, core2 := localPair(t)
	for _, n := range []node{core1, core2} {
		n.SetLatency(hatest.App, 60*time.Millisecond)
	}
	f := startFront(t, plan{nodes: []node{core1, core2}})
	for round := range 3 {
		l := f.pour(3*time.Millisecond, fmt.Sprintf("/round-%d", round), keyedPost)
		l.awaitAnswers(t, 60, "core1")
		core1.Kill()
		l.awaitAnswers(t, 60, "core2")
		expectOnce(t, l.end(), []kind{keyedPost}, core1, core2)
		core1.Forget()
		core2.Forget()
		back(t, f, core1, core2)
	}
}

// back brings a pair to where it began, by force.
func back(t *testing.T, f *front, core1, core2 node) {
	t.Helper()
	core2.Set(ha.Standby)
	core1.Set(ha.Active)
	core1.Start()
	f.awaitNode("core1", "active")
	f.awaitNode("core2", "standby")
	f.wish("resume", bodyForce)
	f.expectServing("core1")
}

func TestPostsThatWaitedAreDeliveredOnce(t *testing.T) {
	t.Parallel()
	core1, core2 := pair(t)
	f := startFront(t, plan{nodes: []node{core1, core2}, probe: map[string]string{"fall": "20"}})
	core1.Kill()
	f.expectRow(row{4, "wait", ha.Missing, "", ""})
	var held []request
	for i := range 50 {
		held = append(held, []kind{bodyPost, emptyPost, keyedPost, bodyPut}[i%4].request("/held", fmt.Sprint(i)))
	}
	answers := collect(t, len(held), f.sendAll(held))
	f.expectFrom("core2", answers...)
	expectOnce(t, answers, everyKind, core1, core2)
}

func TestAResponseThatHasBegunIsNotRepeated(t *testing.T) {
	t.Parallel()
	core1, core2 := pair(t)
	f := startFront(t, plan{nodes: []node{core1, core2}})
	s := f.open(request{path: hatest.StreamPath + "?every=20ms", id: "stream"})
	s.readLine(t)
	core1.Kill()
	s.expectCut(t)
	f.expectServing("core2")
	if n := core2.IDs("GET")["stream"]; n != 0 {
		t.Errorf("the cut stream was asked of core2 %d times", n)
	}
}

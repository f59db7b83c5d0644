//go:build linux

package integration

import (
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/api"
	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/internal/hatest"
)

func TestAKilledFrontStaysFailedOver(t *testing.T) {
	t.Parallel()
	f, core1, core2 := staleAndServed(t, plan{})
	before := f.group()
	f.kill() // -9
	f.start()
	g := f.expectServing("core2")
	if g.Epoch != before.Epoch || !g.Since.Equal(before.Since) || g.Changed.Cause != ha.FailedOver {
		t.Errorf("epoch %d since %s by %s, before %d since %s", g.Epoch, g.Since, g.Changed.Cause, before.Epoch, before.Since)
	}
	f.expectRow(row{1, api.Stay, ha.DualActive, "core1", "alarm"})
	f.expectNothing(core1, "core2")
	core2.Set(ha.Standby)
	f.await("resume is granted", func(api.Group) bool { _, err := f.try("resume", api.Body{}); return err == nil })
	f.kill()
	f.start()
	f.expectServing("core1")
	f.expectAllTo("core1")
}

// A front that was down while the Primary died decides when it is back; one
// that was down while the Primary died and returned must not have moved.
func TestAFrontThatSleptDecidesByWhatItSeesNow(t *testing.T) {
	t.Parallel()
	core1, core2 := pair(t)
	f := startFront(t, plan{nodes: []node{core1, core2}})
	f.kill()
	core1.Kill()
	core1.Start()
	f.start()
	f.awaitNode("core1", api.Active)
	if g := f.group(); g.Serving != "core1" || g.Epoch != 1 {
		t.Errorf("%s serves in epoch %d, want core1 in epoch 1", g.Serving, g.Epoch)
	}
	f.kill()
	core1.Kill()
	f.start()
	f.expectServing("core2")
	f.expectAllTo("core2")
}

// rounds gives how often a long story goes round: a sample, or all of it in
// make soak.
func rounds(sample, all int) int {
	if soak() {
		return all
	}
	return sample
}

// chance gives the seeded randomness of a story; the seed is told.
func chance(t *testing.T) *rand.Rand {
	seed, err := strconv.ParseUint(os.Getenv("UNDERSTUDY_SEED"), 10, 64)
	if err != nil {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("UNDERSTUDY_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 1)) // #nosec G404 -- not a secret
}

// The front is killed at any moment of a failover, again and again: what is
// stored is always whole, traffic only goes down the order, and each failover
// is one epoch.
func TestAFrontThatIsKilledDuringFailoversKeepsItsWord(t *testing.T) {
	t.Parallel()
	core1, core2 := localPair(t)
	f := startFront(t, plan{nodes: []node{core1, core2}, state: tempDir(t) + "/state"})
	dice := chance(t)
	for range rounds(5, 60) {
		wait := time.Duration(dice.IntN(250)) * time.Millisecond
		core1.Kill()
		elapse(wait) // let the failover get somewhere
		f.kill()
		f.start()
		f.expectServing("core2")
		core2.Set(ha.Active)
		core1.Start()
		f.expectRow(row{1, api.Stay, ha.DualActive, "core1", "alarm"})
		f.expectFrom("core2", f.get(), f.post())
		back(t, f, core1, core2)
	}
	f.kill()
	f.start()
	history := f.history()
	for i, c := range history {
		if c.Epoch != uint64(i+1) {
			t.Errorf("entry %d of the history has epoch %d", i, c.Epoch)
		}
	}
	want := []string{"failed_over core2", "resumed core1"}
	for i, c := range causes(history)[1:] {
		if !strings.HasSuffix(c, want[i%2]) {
			t.Errorf("the history is %q", causes(history))
			break
		}
	}
	if strings.Contains(f.log.String(), "cannot be read") {
		t.Error("a front found its state damaged")
	}
}

func TestSIGTERMLetsRequestsFinish(t *testing.T) {
	t.Parallel()
	core1, core2 := localPair(t)
	core1.SetLatency(hatest.App, time.Second)
	f := startFront(t, plan{nodes: []node{core1, core2}})
	inFlight := f.sendAll([]request{{}, {method: "POST", body: "x"}})
	await(t, "both have reached core1", func() bool { return core1.Busy() >= 2 })
	f.signal(syscall.SIGTERM)
	f.expectFrom("core1", collect(t, 2, inFlight)...)
	if code := f.end(t); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	f.start()
	if g := f.expectServing("core1"); g.Epoch != 1 {
		t.Errorf("epoch %d after a restart, want 1", g.Epoch)
	}
}

func TestSIGTERMDoesNotWaitForTunnelsOrFollowers(t *testing.T) {
	t.Parallel()
	core1, core2 := localPair(t)
	f := startFront(t, plan{nodes: []node{core1, core2}})
	u := f.dig()
	u.expectEcho(t, "hello")
	f.follow() // an event stream of the API, which has no end of its own
	begun := time.Now()
	f.signal(syscall.SIGTERM)
	if code := f.end(t); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	u.expectCut(t)
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("it took %s to end", took)
	}
}

// A queue must not keep a front that shall end from ending.
func TestSIGTERMEndsAQueueInTime(t *testing.T) {
	t.Parallel()
	f, _, _ := missingPrimary(t, "queue_timeout 2s")
	waiting := f.sendAll([]request{{method: "POST", body: "x"}, {}})
	awaitFigure(t, f, waitingFigure, 2)
	f.signal(syscall.SIGTERM)
	for _, a := range collect(t, 2, waiting) {
		if a.status != 503 {
			t.Errorf("got %s, want 503", a)
		}
	}
	if code := f.end(t); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
}

func TestTheHistoryOutlivesRestarts(t *testing.T) {
	t.Parallel()
	f, _, _ := failedOver(t, plan{})
	f.wish("hold", api.Body{})
	f.kill()
	f.start()
	f.wish("release", api.Body{})
	want := []string{"1 started core1", "2 failed_over core2", "3 held_by core2", "4 released core2"}
	if got := causes(f.history()); !slices.Equal(got, want) {
		t.Errorf("the history is %q, want %q", got, want)
	}
}

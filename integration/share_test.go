//go:build linux

package integration

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/api"
	"github.com/understudy-ha/understudy/internal/ha"
)

// Processes on one host that share a state directory share one decision.

// twoFronts gives two fronts with one state directory over the same nodes.
func twoFronts(t *testing.T, one, two plan) (a, b *front) {
	t.Helper()
	one.state = filepath.Join(tempDir(t), "shared")
	two.state = one.state
	a = startFront(t, one)
	b = startFront(t, two)
	return a, b
}

// blind are probes so slow to conclude that a front decides nothing itself.
var blind = map[string]string{"fall": "1000", "interval": "300ms"}

func TestOneFrontFailsOverAndTheOtherFollows(t *testing.T) {
	t.Parallel()
	core1, core2 := pair(t)
	nodes := []node{core1, core2}
	a, b := twoFronts(t, plan{nodes: nodes}, plan{nodes: nodes, probe: blind})
	events := b.follow()
	core1.Kill()
	a.expectServing("core2")
	m := events.await(t, func(g api.Group) bool { return g.Serving == "core2" })
	lag := m.At.Sub(m.Changed.At)
	t.Logf("the other front followed after %s (heard %s later)", lag, m.came.Sub(m.At).Round(time.Millisecond))
	if lag > 500*time.Millisecond {
		t.Errorf("the other front followed after %s, want 50 ms or so", lag)
	}
	b.expectAllTo("core2")
	a.expectAllTo("core2")
}

func TestOneFrontsWishIsTheOthersToo(t *testing.T) {
	t.Parallel()
	core1, core2 := pair(t)
	nodes := []node{core1, core2}
	a, b := twoFronts(t, plan{nodes: nodes}, plan{nodes: nodes})
	events := b.follow()
	var lags []time.Duration
	for i := range 10 {
		verb := []string{"hold", "release"}[i%2]
		o := a.wish(verb, api.Body{})
		m := events.await(t, func(g api.Group) bool { return g.Epoch == o.Change.Epoch })
		lags = append(lags, m.At.Sub(m.Changed.At))
	}
	slices.Sort(lags)
	t.Logf("the other front followed after: median %s, longest %s", lags[len(lags)/2], lags[len(lags)-1])
	if median := lags[len(lags)/2]; median > 500*time.Millisecond {
		t.Errorf("the median is %s, want 50 ms or so", median)
	}
	core1.Kill()
	b.expectServing("core2")
	core2.Set(ha.Standby)
	core1.Start()
	b.awaitNode("core1", api.Active)
	b.wish("resume", api.Body{Force: true})
	a.expectServing("core1")
	a.expectAllTo("core1")
	b.expectRefusal("switch", api.Body{To: "core2", Epoch: 3}, ha.StaleEpoch)
}

func TestTwoFrontsThatDecideAtTheSameInstantDecideOnce(t *testing.T) {
	t.Parallel()
	core1, core2 := localPair(t)
	nodes := []node{core1, core2}
	a, b := twoFronts(t, plan{nodes: nodes}, plan{nodes: nodes})
	n := rounds(3, 40)
	for range n {
		core1.Kill()
		a.expectServing("core2")
		b.expectServing("core2")
		a.expectFrom("core2", a.get(), a.post())
		b.expectFrom("core2", b.get(), b.post())
		back(t, a, core1, core2)
		b.expectServing("core1")
	}
	want := 1 + 2*n // one failover and one resume a round
	ga, gb := a.group(), b.group()
	if ga.Epoch != uint64(want) || gb.Epoch != ga.Epoch {
		t.Errorf("the epochs are %d and %d, want %d", ga.Epoch, gb.Epoch, want)
	}
	ha, hb := causes(a.history()), causes(b.history())
	if len(ha) != want || !slices.Equal(ha, hb) {
		t.Errorf("the histories are %q and %q", ha, hb)
	}
}

func TestAFrontThatStartsLaterFollowsTheStoredTraffic(t *testing.T) {
	t.Parallel()
	f, core1, core2 := staleAndServed(t, plan{})
	p := f.plan
	p.state = f.at.state
	late := startFront(t, p)
	late.expectServing("core2")
	late.expectNothing(core1, "core2")
	if g := late.group(); g.Epoch != 2 {
		t.Errorf("epoch %d, want 2", g.Epoch)
	}
	f.kill() // and the one that is left goes on alone
	core2.Set(ha.Standby)
	late.await("resume is granted", func(api.Group) bool { _, err := late.try("resume", api.Body{}); return err == nil })
	late.expectAllTo("core1")
}

// The other process's lock or death must not keep one from deciding.
func TestAStoppedFrontDoesNotStopTheOther(t *testing.T) {
	t.Parallel()
	core1, core2 := pair(t)
	nodes := []node{core1, core2}
	a, b := twoFronts(t, plan{nodes: nodes}, plan{nodes: nodes})
	a.signal(19) // SIGSTOP
	core1.Kill()
	b.expectServing("core2")
	b.expectAllTo("core2")
	a.signal(18) // SIGCONT: it wakes up with old readings
	a.expectServing("core2")
	a.expectAllTo("core2")
	if h := causes(b.history()); len(h) != 2 {
		t.Errorf("the history is %q", h)
	}
	if strings.Contains(a.log.String(), "went back") {
		t.Error("the front that slept believed itself")
	}
}

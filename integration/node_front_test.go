//go:build linux

package integration

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/api"
	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/internal/ha"
)

// because says whether a node's log gives a reason.
func (m *member) because(why string) bool { return strings.Contains(m.journal(), why) }

// TestStoryAFrontsDecisionEndsThePromotionHold: the hold alone would last two
// minutes.
func TestStoryAFrontsDecisionEndsThePromotionHold(t *testing.T) {
	t.Parallel()
	core1, core2 := startTrusting(t)
	core2.say(0, "config", "set", "promotion-hold", "2m")
	f := trustedFront(t, core1, core2, nil)
	f.await("armed", func(g api.Group) bool { return g.Armed })
	died := time.Now()
	core1.die()
	core2.await(ha.Active)
	t.Logf("core2 was Active %v after the death of core1", time.Since(died).Round(time.Millisecond))
	f.expectServing("core2")
	f.expectFrom("core2", f.get())
	if !core2.because("every owner of traffic has left core1") {
		t.Errorf("the log of core2:\n%s", lastLines(core2.journal(), 30))
	}
	if said := core2.say(0, "status"); !strings.Contains(said, "front front1") || !strings.Contains(said, "mdm → core2") {
		t.Errorf("status:\n%s", said)
	}
}

// TestStoryAHeldFrontAbstains: a group that is held tells no engine anything,
// and the hold of the promotion runs.
func TestStoryAHeldFrontAbstains(t *testing.T) {
	t.Parallel()
	core1, core2 := startTrusting(t)
	core2.say(0, "config", "set", "promotion-hold", "2m")
	f := trustedFront(t, core1, core2, nil)
	f.wish("hold", api.Body{Reason: "upgrade"})
	core1.die()
	core2.awaits("deciding", func(d nodeapi.Status) bool { return d.Phase == ha.InDeciding })
	core2.expectStay(ha.Standby, time.Second)
	if got := core2.status().Fronts; len(got) > 0 {
		t.Errorf("a held front has called: %+v", got)
	}
	f.wish("release", api.Body{Reason: "done"})
	core2.await(ha.Active)
	f.expectServing("core2")
}

// TestStoryClientsCannotReachAPrimaryThatIsWell: its door is gone for clients
// and for the front's probes, its engine is well. The stand-by passes the
// front's decision on, and the Primary makes room.
func TestStoryClientsCannotReachAPrimaryThatIsWell(t *testing.T) {
	t.Parallel()
	core1, core2 := startTrusting(t)
	way := newRelay(t, "http://"+core1.pages)
	core1.seen = way.url()
	f := trustedFront(t, core1, core2, map[string]string{"timeout": "200ms"})
	f.await("armed", func(g api.Group) bool { return g.Armed })
	way.be(false)
	core2.await(ha.Active)
	core1.awaits("made room", func(d nodeapi.Status) bool { return d.Phase == ha.OutSuperseded })
	f.expectServing("core2")
	var phases []ha.Phase
	for _, one := range historyOf(core1) {
		phases = append(phases, one.To)
	}
	if !slices.Contains(phases, ha.OutYielded) || !core2.because("away from core1") {
		t.Errorf("core1 was in %v; the log of core2:\n%s", phases, lastLines(core2.journal(), 30))
	}
}

// rapidly are the settings of the fast pair: 100 ms heartbeats, three failures,
// 100 ms to the next. The hold is there so that a busy front is not overtaken by
// the heartbeats (with 0 s it was in 1 of 20 runs); its own call ends it.
var rapidly = []string{
	"config", "set", "heartbeat-interval", "100ms", "consecutive heartbeat failures before failover", "3", "re-check interval", "100ms",
	"attempt-timeout", "100ms", "promotion-hold", "2s", "retry", "200ms", "stop-timeout", "2s", "promotion-time", "2s",
}

// TestStoryTheFastPairLosesNoRequest kills the machine of the Primary under
// load; what may be sent again is answered well, every time.
func TestStoryTheFastPairLosesNoRequest(t *testing.T) {
	t.Parallel()
	pause := 10 * time.Millisecond
	if soak() {
		pause = time.Millisecond
	}
	core1, core2 := startTrusting(t)
	for _, m := range []*member{core1, core2} {
		m.say(0, rapidly...)
	}
	f := trustedFront(t, core1, core2, map[string]string{"interval": "100ms", "fast_interval": "20ms", "timeout": "1s", "fall": "3", "rise": "2"})
	f.await("armed", func(g api.Group) bool { return g.Armed })
	l := f.pour(pause, "/", plainGet)
	l.awaitAnswers(t, 100, "core1")
	died := time.Now()
	core1.die()
	core2.await(ha.Active)
	took := time.Since(died)
	l.awaitAnswers(t, 100, "core2")
	answers := l.end()
	failed := 0
	for _, a := range answers {
		if a.err != nil || a.status != 200 {
			if failed++; failed < 10 {
				t.Errorf("%s", a)
			}
		}
	}
	t.Logf("%d requests, %d failed, longest gap %v; core2 was Active %v after the death of core1", len(answers), failed, gap(answers).Round(time.Millisecond), took.Round(time.Millisecond))
}

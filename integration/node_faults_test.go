//go:build linux

package integration

import (
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/internal/ha"
)

// TestStoryTwoThatWereBothActiveAreSettled: two nodes alone lose sight of one
// another, and both serve. The front stays where it is, the lower epoch gives
// way when they meet again, and a person keeps the node that had the clients.
func TestStoryTwoThatWereBothActiveAreSettled(t *testing.T) {
	t.Parallel()
	core1, core2 := newMembers(t)
	there, back := newRelay(t, "http://"+core1.pages), newRelay(t, "http://"+core2.pages)
	core2.peerPages, core1.peerPages = there.Addr().String(), back.Addr().String()
	for _, m := range []*member{core1, core2} {
		m.start()
		m.say(0, hurry...)
	}
	core1.say(0, "ha", "enable", "--mode", "primary")
	core2.say(0, "ha", "enable", "--mode", "secondary")
	core1.await(ha.Active)
	core2.await(ha.Standby)
	f := frontOf(t, core1, core2)
	f.expectServing("core1")

	there.be(false)
	back.be(false)
	core2.await(ha.Active)
	core1.expectStay(ha.Active, time.Second)
	f.expectServing("core1")
	f.expectFrom("core1", f.get())

	there.be(true)
	back.be(true)
	core1.awaits("gives way to the higher epoch", func(d nodeapi.Status) bool { return d.Phase == ha.OutSuperseded })
	if core1.appRuns() {
		t.Error("core1's application runs on")
	}
	for _, m := range []*member{core1, core2} {
		if said := m.say(0, "resolve", "--keep", "core1"); said == "" {
			t.Errorf("%s: resolve says nothing", m.name)
		}
	}
	core1.await(ha.Active)
	core2.await(ha.Standby)
	core2.expectStay(ha.Standby, time.Second)
	f.expectServing("core1")
	await(t, "the front serves from core1", func() bool { a := f.get(); return a.err == nil && a.status == http.StatusOK && a.node == "core1" })
}

// TestStoryAStandbyThatWasFrozenLooksBeforeItPromotes: all its timers are over
// when it thaws, and its Primary is well.
func TestStoryAStandbyThatWasFrozenLooksBeforeItPromotes(t *testing.T) {
	t.Parallel()
	core1, core2 := startMembers(t)
	core2.engine.signal(syscall.SIGSTOP)
	elapse(4 * time.Second) // far longer than it takes to a promotion
	core2.engine.signal(syscall.SIGCONT)
	core2.await(ha.Standby) // not before it has looked
	core2.expectStay(ha.Standby, 2*time.Second)
	core1.expectStay(ha.Active, 100*time.Millisecond)
	core1.die()
	core2.await(ha.Active)
}

// TestStoryAfterBothWereDownOnlyTheOneThatServedLastServes starts them in either
// order, each alone.
func TestStoryAfterBothWereDownOnlyTheOneThatServedLastServes(t *testing.T) {
	t.Parallel()
	core1, core2 := startMembers(t)
	core1.die()
	core2.await(ha.Active)
	core1.start()
	core1.awaits("superseded", func(d nodeapi.Status) bool { return d.Phase == ha.OutSuperseded })
	core1.engine.kill() // its application does not run
	core2.die()

	core1.start() // the one with the old data, alone
	core1.awaits("superseded, and knows it", func(d nodeapi.Status) bool { return d.Phase == ha.OutSuperseded })
	core1.expectStay(ha.NotAvailable, 3*time.Second)
	if core1.appRuns() || core1.serves() != "" {
		t.Error("core1 serves old data")
	}
	core1.engine.kill()

	core2.start() // the one that served last, alone
	core2.await(ha.Active)
	await(t, "core2's door is open", func() bool { return core2.serves() == "core2" })
}

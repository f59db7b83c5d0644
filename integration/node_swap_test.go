//go:build linux

package integration

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/internal/ha"
)

// neverBoth fails if both applications of a pair ever answer at once, until stop.
func neverBoth(t *testing.T, core1, core2 *member) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan int)
	client := http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	answers := func(m *member) bool {
		resp, err := client.Get("http://" + loopback(m.app))
		if err == nil {
			_ = resp.Body.Close()
		}
		return err == nil
	}
	go func() {
		n := 0
		for ctx.Err() == nil {
			if answers(core1) && answers(core2) && answers(core1) {
				n++
			}
			time.Sleep(5 * time.Millisecond)
		}
		done <- n
	}()
	return func() {
		cancel()
		if n := <-done; n > 0 {
			t.Errorf("both applications ran at once, seen %d times", n)
		}
	}
}

// BeyondTrust guide, planned maintenance: over and back, with a client that does
// not leave.
func TestNodeSwapsTheRolesAndBack(t *testing.T) {
	t.Parallel()
	core1, core2 := startTrusting(t)
	defer neverBoth(t, core1, core2)()
	if said := core2.say(0, "swap", "--dry-run"); !strings.Contains(said, "core2 would become Active:") || !strings.Contains(said, "demote: core1 stops its application") {
		t.Errorf("the dry run says %s", said)
	}
	if said := core2.say(4, "failback"); !strings.Contains(said, "core1, the Primary, is Active already") {
		t.Errorf("failback says %s", said)
	}
	stays, err := net.Dial("tcp", core1.door)
	if err != nil {
		t.Fatal(err)
	}
	defer stays.Close()
	said := core2.say(0, "swap", "--reason", "new disks in core1")
	for _, want := range []string{"1 clients did not leave", "nothing was copied", "core1 is in Standby", "core2 is Active at epoch 2", "understudy switch GROUP --to core2", "core1 copies by its schedule"} {
		if !strings.Contains(said, want) {
			t.Errorf("%q is missing:\n%s", want, said)
		}
	}
	_ = stays.SetReadDeadline(time.Now().Add(patience))
	if _, err := stays.Read(make([]byte, 1)); err == nil {
		t.Error("a client of core1 is still connected")
	}
	core1.await(ha.Standby)
	if got := core2.serves(); got != "core2" {
		t.Errorf("%q answers at core2's door", got)
	}
	for _, m := range []*member{core1, core2} {
		if d := m.status(); d.Paused || d.Door.Setting != "enabled" {
			t.Errorf("after the swap %s is\n%s", m.name, asJSON(d))
		}
	}
	if r := must(core1.client.Run(t.Context())); !r.Scheduled {
		t.Errorf("the schedule of core1 is stopped: %s", asJSON(r))
	}
	if all := asJSON(historyOf(core2)); !strings.Contains(all, "new disks in core1") {
		t.Errorf("the history says %s", all)
	}

	// And back, said on the node that gives way.
	core2.say(0, "failback", "--data-sync-first=false")
	core1.await(ha.Active)
	core2.await(ha.Standby)
	if d := core1.status(); d.Served != 5 || d.Swap == nil || d.Swap.State != nodeapi.SwapDone {
		t.Errorf("core1 is\n%s", asJSON(d))
	}
}

// What fails before the other node is Active is undone (ha.md F40).
func TestNodeSwapThatFailsIsUndone(t *testing.T) {
	t.Parallel()
	core1, core2 := startTrusting(t)
	defer neverBoth(t, core1, core2)()
	core2.say(0, "config", "set", "start tries", "1")
	squatter, err := net.Listen("tcp", loopback(core2.app)) // core2's application cannot start
	if err != nil {
		t.Fatal(err)
	}
	said := core2.say(20, "swap")
	if !strings.Contains(said, "core1 is Active as before") || !strings.Contains(said, "promote: core2 did not become Active") {
		t.Errorf("the swap says %s", said)
	}
	core1.await(ha.Active)
	core2.await(ha.Standby)
	if got := core1.serves(); got != "core1" {
		t.Errorf("%q answers at core1's door", got)
	}
	for _, m := range []*member{core1, core2} {
		if d := m.status(); d.Paused || d.Door.Setting != "enabled" {
			t.Errorf("after the undo %s is\n%s", m.name, asJSON(d))
		}
	}
	_ = squatter.Close()
}

// The engine of the node that is to be Active is killed at every step that it
// stores; what was begun is undone or finished, and one of the two serves.
func TestNodeSwapOutlivesAKillAtEveryStep(t *testing.T) {
	t.Parallel()
	core1, core2 := startTrusting(t)
	defer neverBoth(t, core1, core2)()
	core2.say(0, "config", "set", "consecutive heartbeat failures before failover", "100")
	core1.say(0, "config", "set", "consecutive heartbeat failures before failover", "100")
	active, other := core1, core2
	for _, step := range []string{"lock", "freeze", "demote", "promote", "release"} {
		sync := false
		if _, err := other.client.Swap(t.Context(), nodeapi.Request{Role: "primary", DataSyncFirst: &sync}); err != nil {
			t.Fatal(err)
		}
		if !within(patience, func() bool {
			d := other.status()
			return d.Swap != nil && (d.Swap.Step == step || d.Swap.Over())
		}) {
			t.Fatalf("step %s does not come", step)
		}
		other.engine.kill()
		other.start()
		d := other.awaits("the swap is over", func(d nodeapi.Status) bool { return d.Swap != nil && d.Swap.Over() })
		t.Logf("killed at %s: %s %s", step, d.Swap.State, d.Swap.Why)
		if d.Swap.State == nodeapi.SwapDone {
			active, other = other, active
		}
		active.await(ha.Active)
		other.await(ha.Standby)
		await(t, "clients come in", func() bool { return active.serves() == active.name })
		if other.serves() != "" || active.status().Paused || other.status().Paused {
			t.Errorf("after a kill at %s: %s and %s", step, asJSON(active.status()), asJSON(other.status()))
		}
	}
}

// A peer that cannot be asked is no partner for a planned swap.
func TestNodeSwapNeedsBothNodes(t *testing.T) {
	t.Parallel()
	core1, core2 := startTrusting(t)
	core2.say(0, "config", "set", "If Failure Detected", "Keep in Standby")
	core1.die()
	if said := core2.say(4, "swap"); !strings.Contains(said, "a planned swap needs both nodes. If core1 is down for good: failover mode primary") {
		t.Errorf("the swap says %s", said)
	}
	alone1, _ := startMembers(t)
	if said := alone1.say(4, "swap"); !strings.Contains(said, "do not trust one another") {
		t.Errorf("without trust the swap says %s", said)
	}
}

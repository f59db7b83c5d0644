//go:build linux

package integration

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/internal/ha"
)

// TestStoryARegisterThatWentBackStopsBothUntilAPersonSpeaks puts an older copy
// of etcd's data back, or another cluster in its place, below two engines in
// profile safe of which one serves.
func TestStoryARegisterThatWentBackStopsBothUntilAPersonSpeaks(t *testing.T) {
	t.Parallel()
	for name, back := range map[string]func(*testing.T, *keeper){"an older copy": older, "another cluster": another} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all := keepers(t, 3)
			anew(t, all, keepCopy)
			core1, core2 := startSafe(t, all)
			epoch := core1.status().Served
			anew(t, all, back)

			for _, m := range []*member{core1, core2} {
				m.awaits("register-went-back", func(d nodeapi.Status) bool { return d.Phase == ha.OutWentBack })
				if got := m.page(ha.HAStatusPage); got != "503 MOBILEIRON-STATUS: NOT OK (register-went-back)" {
					t.Errorf("%s: the page says %s", m.name, got)
				}
				if said := m.say(0, "status"); !strings.Contains(said, "failover mode primary") {
					t.Errorf("%s: status does not say what to do:\n%s", m.name, said)
				}
			}
			if within(10*time.Second, func() bool { return core1.appRuns() || core2.appRuns() || core1.serves()+core2.serves() != "" }) {
				t.Error("somebody serves, and no person has spoken")
			}

			// Neither does an engine that is started anew.
			core2.engine.kill()
			core2.start()
			core2.awaits("register-went-back again", func(d nodeapi.Status) bool { return d.Phase == ha.OutWentBack })

			// A person vouches for core1; its epoch is above all that were.
			core1.say(0, "mode", "primary", "--yes", "--reason", "the register was restored")
			if d := core1.await(ha.Active); d.Served <= epoch {
				t.Errorf("epoch %d is not above %d", d.Served, epoch)
			}
			await(t, "core1's door is open", func() bool { return core1.serves() == "core1" })
			core2.expectStay(ha.NotAvailable, time.Second)
			core2.say(0, "mode", "secondary")
			core2.await(ha.Standby)

			// And the pair is a pair again.
			before := core1.status().Served
			core1.die()
			if d := core2.await(ha.Active); d.Served <= before {
				t.Errorf("after the next failover epoch %d is not above %d", d.Served, before)
			}
		})
	}
}

// startSafe runs a pair of profile safe on a register; core1 is Active.
func startSafe(t *testing.T, all []*keeper) (core1, core2 *member) {
	t.Helper()
	core1, core2 = newMembers(t)
	var urls []string
	for _, k := range all {
		urls = append(urls, fmt.Sprintf("%q", k.url))
	}
	for _, m := range []*member{core1, core2} {
		m.more = fmt.Sprintf("etcd: {endpoints: [%s], lease: 8s, watchdog: 1500ms, slack: 1s}\n", strings.Join(urls, ", "))
		m.start()
		m.say(0, "config", "set", "heartbeat-interval", "300ms", "consecutive heartbeat failures before failover", "3", "re-check interval", "300ms",
			"attempt-timeout", "300ms", "promotion-hold", "100ms", "retry", "200ms", "stop-timeout", "1s", "promotion-time", "9s", "application fail time", "2s")
	}
	core1.say(0, "ha", "enable", "--mode", "primary")
	core1.await(ha.Active)
	core2.say(0, "ha", "enable", "--mode", "secondary")
	core2.await(ha.Standby)
	return core1, core2
}

// anew ends all members, lets something happen to their files, and starts them.
func anew(t *testing.T, all []*keeper, does func(*testing.T, *keeper)) {
	t.Helper()
	for _, k := range all {
		k.kill()
		does(t, k)
	}
	for _, k := range all {
		k.log = new(output)
		k.start()
	}
	for _, k := range all {
		await(t, "the register serves", func() bool { return strings.Contains(k.log.String(), "the register serves") })
	}
}

func keepCopy(t *testing.T, k *keeper) { k.files(t, "cp -a data copy") }

func older(t *testing.T, k *keeper) { k.files(t, "rm -rf data && cp -a copy data") }

// another begins a cluster of the same members at other addresses, which is
// another one to etcd.
func another(t *testing.T, k *keeper) {
	k.files(t, "rm -rf data")
	write(t, k.file, strings.ReplaceAll(read(t, k.file), "127.0.0.1:", "127.0.0.2:"))
	write(t, k.file, strings.Replace(read(t, k.file), "client: http://127.0.0.2:", "client: http://127.0.0.1:", 1))
}

// files runs a line of shell in the member's folder.
func (m *keeper) files(t *testing.T, line string) {
	t.Helper()
	cmd := exec.Command("sh", "-c", line)
	cmd.Dir = filepath.Dir(m.file)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", line, err, out)
	}
}

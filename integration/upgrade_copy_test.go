//go:build linux

package integration

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/upgrade"
)

// TestStoryARepairPairsAnewWithoutAHand takes the trust of two engines apart, and
// they pair again by themselves: nobody is asked but before the outage.
func TestStoryARepairPairsAnewWithoutAHand(t *testing.T) {
	t.Parallel()
	s := startCopyingSite(t)
	s.configure("repair")
	trusted := func(m *member) []string {
		run, err := m.client.Run(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, h := range run.Hosts {
			names = append(names, h.Name)
		}
		return names
	}
	file, _ := s.plan("upgrade")
	said := s.must(12, "apply", file)
	if !strings.Contains(said, "The outage begins") {
		t.Errorf("at the gate:\n%s", said)
	}
	for _, m := range []*member{s.core1, s.core2} {
		if names := trusted(m); len(names) > 0 {
			t.Errorf("in the middle %s trusts %v", m.name, names)
		}
	}
	s.core1.put(map[string]string{"devices/1": "written while they do not trust one another"})
	s.must(0, "approve", "--reason", "the window is open")
	s.expectWhole("2.0", "core1")
	if a, b := trusted(s.core1), trusted(s.core2); !slices.Equal(a, []string{"core2"}) || !slices.Equal(b, []string{"core1"}) {
		t.Errorf("core1 trusts %v and core2 %v", a, b)
	}
	for _, m := range []*member{s.core1, s.core2} {
		if said := m.trusts("", "", "test"); !strings.Contains(said, "Test was successful") {
			t.Errorf("%s: %s", m.name, said)
		}
	}
	s.core2.expect(map[string]string{"devices/1": "written while they do not trust one another", "node.conf": "core2"})
	for _, e := range s.journal() {
		if e.Fact("result") == "by_hand" || e.What == upgrade.Waits && e.Step != "UpgradePrimary/Upgrade" {
			t.Errorf("a person was asked: %s %s %v", e.What, e.Step, e.Facts)
		}
	}
}

// TestStoryAnUpgradeAndASwitchoverCopyRealData has a pair whose files are
// replicated, and a second node that is steered over TLS by an admin's key.
func TestStoryAnUpgradeAndASwitchoverCopyRealData(t *testing.T) {
	t.Parallel()
	s := startCopyingSite(t)
	key := filepath.Join(s.dir, "admin.key")
	s.core2.trusts("--admin-key "+key+" --name desk", s.core2.trusts("", "", "invite", "--admin"), "add")
	s.agents["core2"] = "trusted"
	s.core1.put(map[string]string{"devices/1": "one", "devices/2": "two"})

	s.configure("documented", "admin_key: "+key)
	file, _ := s.plan("upgrade")
	if said := s.must(10, "apply", file); !strings.Contains(said, "last-sync-success: core2 has no Last Sync Status") {
		t.Errorf("without any sync:\n%s", said)
	}
	s.configure("documented", "admin_key: "+key, "sync_first: true", `schedule: {start_time: "13:00", run_every: 4 hours}`)
	s.plan("upgrade")
	s.must(12, "apply", file)
	s.core2.expect(map[string]string{"devices/1": "one", "devices/2": "two", "node.conf": "core2"})
	s.core1.put(map[string]string{"devices/3": "written at the gate"})
	s.must(0, "approve", "--reason", "the window is open")
	s.expectWhole("2.0", "core1")
	s.core2.expect(map[string]string{"devices/3": "written at the gate"})
	report := s.must(0, "report")
	for _, want := range []string{"both count 4", "StartTime 13:00, Run Every 4 hours", "Result: Success"} {
		if !strings.Contains(report, want) {
			t.Errorf("the report does not say %q:\n%s", want, report)
		}
	}

	s.configure("switchover", "admin_key: "+key)
	file, _ = s.plan("switchover")
	l := s.front.pour(5*time.Millisecond, "/", plainGet)
	s.core1.put(map[string]string{"devices/5": "a moment before the swap"})
	s.must(12, "apply", file)
	s.core2.expect(map[string]string{"devices/5": "a moment before the swap"})
	s.core2.put(map[string]string{"devices/6": "written on core2"})
	s.must(0, "approve", "--reason", "new disks are in")
	s.core1.expect(map[string]string{"devices/6": "written on core2", "node.conf": "core1"})
	answers := l.end()
	failed := 0
	for _, a := range answers {
		if a.err != nil || a.status != 200 {
			failed++
			if failed == 1 {
				t.Errorf("a request failed: %v", a)
			}
		}
	}
	s.expectWhole("2.0", "core1")
	t.Log(fmt.Sprintf("%d requests, %d failed, longest gap %v; ", len(answers), failed, gap(answers).Round(time.Millisecond)) + swapTimes(s.journal()))
}

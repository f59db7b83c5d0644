//go:build linux

package integration

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/upgrade"
)

// goOnAndKill continues a run and kills its process as soon as a step has begun.
func (s *site) goOnAndKill(step string) bool {
	s.t.Helper()
	return s.killed(step, "upgrade", "continue", "--state-dir", s.runs())
}

// TestStoryARunThatIsKilledAgainAndAgainEndsWell kills the real process of a
// documented run in six of its steps; each time it goes on at the same place.
func TestStoryARunThatIsKilledAgainAndAgainEndsWell(t *testing.T) {
	t.Parallel()
	s := startSite(t, "documented")
	file, _ := s.plan("upgrade")
	s.killAt(file, "HoldTraffic")
	s.refusesASecondOperator(file)
	kills := 1
	count := func(killed bool) {
		if killed {
			kills++
		}
	}
	for _, step := range []string{"UpgradeSecondary/Download", "UpgradeSecondary/Upgrade", "UpgradePrimary/Download"} {
		count(s.goOnAndKill(step))
	}
	s.must(12, "continue")
	if s.killed("UpgradePrimary/Upgrade", "upgrade", "approve", "--reason", "go", "--state-dir", s.runs()) {
		kills++
		if slices.ContainsFunc(s.journal(), func(e upgrade.Entry) bool {
			return e.What == upgrade.Intends && e.Fact("deed") == "core1 upgrade 2.0" // before that there is a way back
		}) {
			said, code := s.upgrade("abort", "--reason", "too late")
			if code != 4 || !strings.Contains(said, "there is no way back from it") {
				t.Errorf("an abort after the point of no return: exit code %d\n%s", code, said)
			}
		}
		if s.goOnAndKill("EnableHAOnSecondary") {
			kills++
			s.must(0, "continue")
		}
	}
	if kills < 3 {
		t.Errorf("only %d kills came in time", kills)
	}
	s.expectWhole("2.0", "core1")
	times := map[string]int{}
	for _, m := range []*member{s.core1, s.core2} {
		run, err := m.client.Run(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		for _, j := range run.Jobs {
			times[m.name+" "+j.Do]++
		}
	}
	for what, n := range times {
		if n != 1 {
			t.Errorf("%s was done %d times", what, n)
		}
	}
	t.Logf("killed %d times; jobs: %v", kills, times)
}

// refusesASecondOperator: a dead run is in nobody's way but a person's.
func (s *site) refusesASecondOperator(file string) {
	s.t.Helper()
	said, code := s.upgrade("apply", file)
	if code != 5 || !strings.Contains(said, "is not over") || !strings.Contains(said, "no process works at it") {
		s.t.Errorf("a second operator: exit code %d\n%s", code, said)
	}
	if said, code := s.core2.try("ha", "enable"); code != 4 || !strings.Contains(said, "has the lock") {
		s.t.Errorf("somebody else enables High Availability: exit code %d\n%s", code, said)
	}
	if said := s.core1.say(0, "status"); !strings.Contains(said, "has the lock since") {
		s.t.Errorf("failover status does not tell the lock:\n%s", said)
	}
}

// TestStoryWhatGoesWrongStopsARunAndAbortPutsItBack has a validation that fails,
// and everything that is refused before a run begins.
func TestStoryWhatGoesWrongStopsARunAndAbortPutsItBack(t *testing.T) {
	t.Parallel()
	s := startSite(t, "documented")
	file, _ := s.plan("upgrade")
	held := s.say(0, "hold", "mdm", "--reason", "testing", "--api", s.front.at.admin)
	if said, code := s.upgrade("apply", file); code != 6 || !strings.Contains(said, "front epoch: 1 when the plan was made, 2 now") {
		t.Errorf("a stale plan: exit code %d\n%s%s", code, said, held)
	}
	s.plan("upgrade")
	if said, code := s.upgrade("apply", file); code != 10 || !strings.Contains(said, "front is held already by") {
		t.Errorf("a router that another holds: exit code %d\n%s", code, said)
	}
	s.say(0, "release", "mdm", "--reason", "tested", "--api", s.front.at.admin)
	s.plan("upgrade")

	write(t, filepath.Join(s.core2.dir, "broken-validate"), "3 of 40 tests failed")
	said := s.must(22, "apply", file)
	if !strings.Contains(said, "3 of 40 tests failed") || !s.heldEverywhere() {
		t.Errorf("a validation that fails:\n%s", said)
	}
	said = s.must(0, "abort", "--dry-run")
	if !strings.Contains(said, "HoldTraffic") || !s.heldEverywhere() {
		t.Errorf("abort --dry-run:\n%s", said)
	}
	s.must(23, "abort", "--reason", "the package is broken")
	s.core2.await(ha.Standby)
	if d := s.core2.status(); !d.Enabled || d.Shown == ha.Primary {
		t.Errorf("after the abort: %s", asJSON(d))
	}
	if s.heldEverywhere() {
		t.Error("the hold was kept")
	}
	if said := s.must(0, "report"); !strings.Contains(said, "core2 version") || !strings.Contains(said, "aborted") {
		t.Errorf("the report:\n%s", said)
	}
	if said := s.must(0, "history"); !strings.Contains(said, "aborted") {
		t.Errorf("the history:\n%s", said)
	}
}

// say runs a tool whose exit code is known.
func (s *site) say(code int, args ...string) string {
	s.t.Helper()
	said, got := tool(s.t, args...)
	if got != code {
		s.t.Fatalf("%s: exit code %d, want %d:\n%s", strings.Join(args, " "), got, code, said)
	}
	return said
}

// TestStoryARepairIsDoneByHandWhereNoCommandIs walks the way of pairing anew; the
// test is the person.
func TestStoryARepairIsDoneByHandWhereNoCommandIs(t *testing.T) {
	t.Parallel()
	s := startSite(t, "repair", "gates: []")
	file, said := s.plan("upgrade")
	if !strings.Contains(said, "Unpair/core1") || !strings.Contains(said, "Pair/core2") {
		t.Errorf("the plan says\n%s", said)
	}
	cmd := exec.Command(understudy, "upgrade", "apply", file, "--wait")
	out := new(output)
	cmd.Stdout, cmd.Stderr = out, out
	p := run(t, cmd)
	for _, step := range []string{"Unpair/core1", "Unpair/core2", "UpgradePrimary/Upgrade", "Pair/core1", "Pair/core2"} {
		if !within(patience, func() bool {
			return !p.up() || slices.ContainsFunc(s.journal(), func(e upgrade.Entry) bool {
				return e.Step == step && (e.What == upgrade.Waits || e.What == upgrade.Did && e.Fact("result") == "by_hand")
			})
		}) || !p.up() {
			t.Fatalf("it does not ask at %s:\n%s", step, out)
		}
		if said, code := s.upgrade("approve", "--step", step, "--reason", "done by hand"); code != 0 {
			t.Fatalf("approve %s: exit code %d\n%s", step, code, said)
		}
	}
	if code := p.end(t); code != 0 {
		t.Fatalf("it ended with %d:\n%s", code, out)
	}
	s.expectWhole("2.0", "core1")
	if said := out.String(); !strings.Contains(said, "failover trusted-hosts remove core2") {
		t.Errorf("it did not say what to do:\n%s", said)
	}
}

// TestStoryALockLeftByADeadRunIsFreedByAPerson loses a run for good.
func TestStoryALockLeftByADeadRunIsFreedByAPerson(t *testing.T) {
	t.Parallel()
	s := startSite(t, "documented")
	file, _ := s.plan("upgrade")
	s.killAt(file, "UpgradeSecondary/MakePrimary")
	r, err := upgrade.Store{Dir: s.runs()}.Last()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(r.Dir, "journal"), []byte("the disk was repaired\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if said, code := s.upgrade("continue", r.Name); code != 22 || !strings.Contains(said, "line 1 of the journal is damaged") {
		t.Errorf("continue: exit code %d\n%s", code, said)
	}
	said := s.must(0, "unlock", r.Name, "--reason", "the journal is lost")
	if !strings.Contains(said, "front is held still") {
		t.Errorf("unlock says\n%s", said)
	}
	for _, m := range []*member{s.core1, s.core2} {
		run, err := m.client.Run(context.Background())
		if err != nil || run.Lock != nil {
			t.Errorf("%s keeps its lock: %v, %v", m.name, run.Lock, err)
		}
	}
}

// TestStoryARunIsTakenOverWhenItsMachineIsLost kills a run and throws its folder
// away; another machine goes on from what the nodes have kept, and answers that
// were left at a node are heard there.
func TestStoryARunIsTakenOverWhenItsMachineIsLost(t *testing.T) {
	t.Parallel()
	s := startSite(t, "documented")
	file, _ := s.plan("upgrade")
	s.killAt(file, "UpgradeSecondary/Upgrade")
	lost := s.runs() + "-lost"
	if err := os.Rename(s.runs(), lost); err != nil {
		t.Fatal(err)
	}
	if said, code := s.upgrade("fetch", "--config", s.yaml, "--reason", "the laptop is gone"); code != 4 && code != 0 {
		t.Errorf("fetch: exit code %d\n%s", code, said)
	}
	said := s.must(0, "fetch", "--config", s.yaml, "--reason", "the laptop is gone", "--force")
	if !strings.Contains(said, "understudy upgrade continue") {
		t.Errorf("fetch says\n%s", said)
	}
	s.must(12, "continue")
	run, err := s.core1.client.Run(context.Background())
	if err != nil || run.Course == nil || run.Course.State != "waiting" || run.Course.At != "UpgradePrimary/Upgrade" || !strings.Contains(run.Course.Asks, "The outage begins") {
		t.Fatalf("core1 tells of the run: %s, %v", asJSON(run.Course), err)
	}
	if status := s.core1.say(0, "status"); !strings.Contains(status, "It asks at UpgradePrimary/Upgrade: The outage begins") {
		t.Errorf("failover status says\n%s", status)
	}
	ask := nodeapi.RunRequest{Run: run.Lock.Run, Step: run.Course.At, Reason: "said in the portal"}
	if _, err := s.core2.client.Answer(context.Background(), ask); err != nil {
		t.Fatal(err)
	}
	s.must(0, "continue")
	s.expectWhole("2.0", "core1")
	if report := s.must(0, "report"); !strings.Contains(report, "said in the portal") || !strings.Contains(report, "the laptop is gone") {
		t.Errorf("the report:\n%s", report)
	}
	if err := os.Rename(s.runs(), s.runs()+"-new"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(lost, s.runs()); err != nil {
		t.Fatal(err)
	}
	if said, code := s.upgrade("continue"); code != 5 || !strings.Contains(said, "another process goes on with it") {
		t.Errorf("the old machine comes back: exit code %d\n%s", code, said)
	}
}

// killed runs a command and kills its process as soon as a step has begun after
// that; false if the process was quicker than the eye on a busy machine.
func (s *site) killed(step string, args ...string) bool {
	s.t.Helper()
	before := len(s.journal())
	cmd := exec.Command(understudy, args...)
	said := new(output)
	cmd.Stdout, cmd.Stderr = said, said
	p := run(s.t, cmd)
	if !within(patience, func() bool {
		all := s.journal()
		return !p.up() || len(all) > before && slices.ContainsFunc(all[before:], func(e upgrade.Entry) bool { return e.What == upgrade.Starts && e.Step == step })
	}) {
		s.t.Fatalf("the run did not come to %s:\n%s", step, said)
	}
	elapse(time.Duration(len(step)%4) * 15 * time.Millisecond) // somewhere in the step
	p.signal(syscall.SIGKILL)
	<-p.ended
	return p.cmd.ProcessState.ExitCode() < 0 // it was ended by a signal
}

// TestStoryTheDemoUpgradesItsPair plays the scene as a person would.
func TestStoryTheDemoUpgradesItsPair(t *testing.T) {
	t.Parallel()
	said, code := tool(t, "demo", "--scenario", "upgrade")
	for _, want := range []string{"it waits for a person; clients so far:", " 0 failed", "clients in the announced outage:", "both run version 2.0"} {
		if code != 0 || !strings.Contains(said, want) {
			t.Errorf("exit code %d, without %q:\n%s", code, want, said)
		}
	}
}

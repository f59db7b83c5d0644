//go:build linux

package integration

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/web/webtest"
)

// wait begins a run whose process stays at its gates.
func (s *site) wait() (*output, *process) {
	s.t.Helper()
	file, _ := s.plan("upgrade")
	cmd := exec.Command(understudy, "upgrade", "apply", file, "--wait", "--reason", "CHG-4711")
	log := new(output)
	cmd.Stdout, cmd.Stderr = log, log
	return log, run(s.t, cmd)
}

// TestPortalApprovesARunsGateAndAbortsTheNextRun answers a real upgrade run from
// the portal of the node that it upgrades.
func TestPortalApprovesARunsGateAndAbortsTheNextRun(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	at := loopback(freePort(t))
	s.core2.more = fmt.Sprintf("portal: {listen: %q, addresses: [127.0.0.1]}\n", at)
	s.begin()
	s.configure("documented")
	b := firstUser(t, "https://"+at+"/mics/", s.core2.log)
	b.Press("Upgrade")
	b.Sees("Nothing yet.")
	log, p := s.wait()
	b.Sees("LOCKED")                                // told by the stream, while the run goes on
	b.Sees("The run waits for a person")            // at the gate before the outage
	b.Sees("1. Disable High Availability on core2") // the guide's steps by their numbers
	b.Shot("portal-run-gate")
	answer := func(form, reason, button string) {
		b.Waits("the form "+form, func() bool { return webtest.Eval[bool](b, fmt.Sprintf(`!!document.querySelector("#%s")`, form)) })
		for field, text := range map[string]string{"reason": reason, "name": "core2"} {
			webtest.Eval[bool](b, fmt.Sprintf(`(() => { const f = document.querySelector('#%s [name=%s]'); f.focus(); f.value = %q; f.dispatchEvent(new Event("input", {bubbles: true})); return true })()`, form, field, text))
		}
		b.Press(button)
	}
	answer("approve", "the window is open", "Approve: the run goes on")
	b.Sees("succeeded")
	b.Shot("portal-run-over")
	<-p.ended
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		t.Fatalf("the run: exit code %d\n%s", code, log)
	}
	s.expectWhole("2.0", "core1")
	if report := s.must(0, "report"); !strings.Contains(report, "the window is open") || !strings.Contains(report, "anna") {
		t.Errorf("the report does not say who approved:\n%s", report)
	}

	// The next one fails half-way, and is undone from the portal.
	s.to = "3.0"
	s.configure("documented")
	write(t, filepath.Join(s.core2.dir, "broken-validate"), "3 of 40 tests failed")
	file, _ := s.plan("upgrade")
	s.must(22, "apply", file)
	b.Sees("3 of 40 tests failed")
	b.Press("Abort this run")
	b.Shot("portal-run-failed")
	answer("abort", "the package is broken", "Abort: undo")
	b.Sees("wants it undone")
	s.must(23, "continue")
	s.core2.await(ha.Standby)
	b.Sees("aborted")
	if r := must(s.core2.client.Run(t.Context())); r.Lock != nil || r.Course == nil || !r.Course.Over() {
		t.Errorf("after the abort: %s", asJSON(r))
	}
	if s.heldEverywhere() {
		t.Error("the hold was kept")
	}
}

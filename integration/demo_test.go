//go:build linux

package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// demoIn starts the demo so that all that it makes is below a folder.
func demoIn(t *testing.T, dir string, args ...string) (*process, *output) {
	t.Helper()
	cmd := exec.Command(understudy, append([]string{"demo"}, args...)...)
	said := new(output)
	cmd.Env = append(os.Environ(), "TMPDIR="+dir)
	cmd.Stdout, cmd.Stderr = said, said
	return run(t, cmd), said
}

// remains gives what is left of a demo: its files, and processes that name them.
func remains(dir string) (left []string) {
	left, _ = filepath.Glob(filepath.Join(dir, "understudy-demo-*"))
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, line := range lines {
		if text, _ := os.ReadFile(line); strings.Contains(string(text), filepath.Join(dir, "understudy-demo-")) {
			left = append(left, line+": "+strings.ReplaceAll(string(text), "\x00", " "))
		}
	}
	return left
}

func TestTheDemoPlaysASceneWithRealNodesAndEnds(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	p, said := demoIn(t, dir, "--scenario", "dr")
	if code := p.end(t); code != 0 || !strings.Contains(said.String(), "traffic is on dr1") {
		t.Errorf("exit code %d:\n%s", code, said)
	}
	await(t, "nothing is left of the demo", func() bool { return len(remains(dir)) == 0 })
}

// TestTheDemoShowsWhatBecomesOfData: the scene itself fails if a device is lost
// that was there before the copy began, or that core2 has acknowledged.
func TestTheDemoShowsWhatBecomesOfData(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	p, said := demoIn(t, dir, "--scenario", "data")
	code := p.endWithin(t, 4*patience) // three copies and two moves, one after the other
	for _, want := range []string{"a promotion may cost what has changed since", "devices; core2 does not have", "that is kept until a person drops it: failover diverged show", "devices each"} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("it does not say %q", want)
		}
	}
	if code != 0 || t.Failed() {
		t.Errorf("exit code %d:\n%s", code, said)
	}
	await(t, "nothing is left of the demo", func() bool { return len(remains(dir)) == 0 })
}

func TestTheDemoLeavesNothingBehindOnCtrlC(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	p, said := demoIn(t, dir)
	await(t, "the scene has begun", func() bool { return strings.Contains(said.String(), "traffic is on core2") })
	if len(remains(dir)) < 5 {
		t.Fatalf("a demo that runs has files and processes, not %q", remains(dir))
	}
	p.signal(syscall.SIGINT)
	p.end(t)
	if !within(patience, func() bool { return len(remains(dir)) == 0 }) {
		t.Errorf("left behind:\n%s", strings.Join(remains(dir), "\n"))
	}
}

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func checked(t *testing.T, name, text string) result {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r := runs(t, nil, "check", "--config", file)
	r.out, r.err = strings.ReplaceAll(r.out, file, name), strings.ReplaceAll(r.err, file, name)
	return r
}

func TestCheckShowsEveryFaultOfASidecarWithACaret(t *testing.T) {
	t.Parallel()
	r := checked(t, "s.yml", `groups:
  mdm:
    nodes: [{name: core1, url: "http://192.0.2.10"}]
    probe: {intervall: 5s}
files: [{template: missing.tmpl, to: /tmp/x}]
`)
	want := `s.yml:3:5: a group needs at least two nodes, a Primary and its Secondary; it has 1
    nodes: [{name: core1, url: "http://192.0.2.10"}]
    ^
`
	_, rest, _ := strings.Cut(r.err, "    ^\n")
	first := strings.TrimSuffix(r.err, rest)
	if diff := cmp.Diff(want, first); diff != "" || r.code != exitConfig || r.out != "" {
		t.Errorf("exit code %d, out %q, -want +got:\n%s", r.code, r.out, diff)
	}
	for _, want := range []string{
		"s.yml:4:13: unknown key \"intervall\"; did you mean interval?\n    probe: {intervall: 5s}\n            ^\n",
		"missing.tmpl is not there", "s.yml: faults: 3; a running sidecar keeps the configuration that it has\n",
	} {
		if !strings.Contains(rest, want) {
			t.Errorf("%q is not in\n%s", want, rest)
		}
	}
}

func TestCheckLetsPassWhatIsOnlyUnwise(t *testing.T) {
	t.Parallel()
	r := checked(t, "s.yaml", `groups:
  mdm:
    nodes: [{name: core1, url: "http://192.0.2.10"}, {name: core2, url: "http://192.0.2.11"}]
    probe: {interval: 1s}
`)
	if r.code != exitDone || r.out != "s.yaml: no fault\n" || !strings.Contains(r.err, "s.yaml:4:12: warning: interval 1s is below timeout 2s") {
		t.Errorf("exit code %d\nout %s\nerr %s", r.code, r.out, r.err)
	}
	if r := runs(t, nil, "check", "--config", filepath.Join(t.TempDir(), "none.yaml")); r.code != exitConfig {
		t.Errorf("a file that is not there: exit code %d\n%s", r.code, r.err)
	}
}

func TestASidecarWithAFaultDoesNotStart(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "s.yaml")
	if err := os.WriteFile(file, []byte("groups: {}\nprobe_proxi: {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := runs(t, nil, "sidecar", "--config", file)
	if r.code != exitConfig || !strings.Contains(r.err, "did you mean probe_proxy?") || !strings.Contains(r.err, "nothing was started") {
		t.Errorf("exit code %d\n%s", r.code, r.err)
	}
	if r := runs(t, nil, "sidecar"); r.code != exitUsage {
		t.Errorf("without a file: exit code %d", r.code)
	}
}

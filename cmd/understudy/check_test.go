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

func TestCheckShowsEveryFaultOfACaddyfileWhereverItStands(t *testing.T) {
	t.Parallel()
	r := checked(t, "Caddyfile", `{
	understudy {
		group mdm {
			node core1 http://192.0.2.10
			node core2 http://192.0.2.11
			probe {
				fal 3
			}
		}
	}
	layer4 {
		127.0.0.1:1 {
			route {
				understudy mdn
			}
		}
	}
}
http://one.example.com {
	understudy /app/* mdn
}
http://two.example.com {
	handle {
		understudy mdm {
			lb_policy first
		}
	}
}
`)
	for _, want := range []string{
		"Caddyfile:7: unknown \"fal\"",
		"Caddyfile:14: there is no group \"mdn\"; the global option understudy has: mdm\n    understudy mdn\n",
		"Caddyfile:20: there is no group \"mdn\"",
		"Caddyfile:25: lb_policy is not for this directive",
		"Caddyfile: faults: 4; a running front",
	} {
		if !strings.Contains(r.err, want) {
			t.Errorf("%q is not in\n%s", want, r.err)
		}
	}
	if r.code != exitConfig || r.out != "" {
		t.Errorf("exit code %d, out %q", r.code, r.out)
	}
}

func TestCheckTellsAFaultInsideRoutesOnce(t *testing.T) {
	t.Parallel()
	const group = "{\n\tunderstudy {\n\t\tgroup mdm {\n\t\t\tnode a http://192.0.2.10\n\t\t\tnode b http://192.0.2.11\n\t\t}\n\t}\n"
	for name, text := range map[string]string{
		"adapter":  group + "}\nhttp://x {\n\troute {\n\t\thandle {\n\t\t\tunderstudy mdn\n\t\t}\n\t}\n}\n",
		"start":    group + "\tlayer4 {\n\t\t127.0.0.1:1 {\n\t\t\troute {\n\t\t\t\tunderstudy mdn\n\t\t\t}\n\t\t}\n\t}\n}\n",
		"imported": group + "}\n(ours) {\n\tunderstudy {args[0]}\n}\nhttp://x {\n\timport ours mdn\n}\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := checked(t, "Caddyfile", text)
			if r.code != exitConfig || strings.Count(r.err, "there is no group \"mdn\"") != 1 || !strings.Contains(r.err, "faults: 1;") {
				t.Errorf("exit code %d, told:\n%s", r.code, r.err)
			}
		})
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

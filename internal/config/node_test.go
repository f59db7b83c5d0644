package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// nodeCases gives the cases of testdata/node_faults.txt: what each is about, a
// node.yaml, and what is told of it.
func nodeCases(t testing.TB) (cases [][3]string) {
	t.Helper()
	text, err := os.ReadFile("testdata/node_faults.txt")
	if err != nil {
		t.Fatal(err)
	}
	for i, one := range strings.Split(string(text), "\n----\n")[1:] {
		about, rest, _ := strings.Cut(one, "\n")
		input, want, ok := strings.Cut("\n"+rest+"\n", "\n=>\n")
		if !ok {
			t.Fatalf("case %d has no =>", i)
		}
		cases = append(cases, [3]string{strings.TrimPrefix(about, "# "), strings.TrimPrefix(input, "\n"), want})
	}
	return cases
}

func TestEveryFaultOfANodeIsToldAtItsPlace(t *testing.T) {
	t.Parallel()
	for _, one := range nodeCases(t) {
		t.Run(one[0], func(t *testing.T) {
			t.Parallel()
			d, root := parse("n.yaml", []byte(one[1]))
			node(d, root)
			if diff := cmp.Diff(strings.TrimRight(one[2], "\n"), strings.TrimRight(told(d), "\n")); diff != "" {
				t.Errorf("%s\n-want +got:\n%s", one[1], diff)
			}
		})
	}
}

func TestANodeIsReadWithItsDefaults(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "n.yaml")
	if err := os.WriteFile(file, []byte(nodeCases(t)[0][1]), 0o600); err != nil {
		t.Fatal(err)
	}
	got, d, err := ReadNode(file)
	if err != nil || len(d.Faults()) > 0 {
		t.Fatal(err, d.Faults())
	}
	want := &NodeFile{
		File: file, Name: "core1", DataDir: "/var/lib/understudy", Socket: "/run/understudy/node.sock", StatusListen: ":8080", FenceTimeout: time.Minute,
		Peer: NodePeer{"core2", "http://192.0.2.11:8080"},
		App: NodeApp{
			Health: "http://127.0.0.1:9000/healthz", HealthInterval: defaultHealthInterval, HealthTimeout: defaultHealthTimeout, StartTimeout: defaultStartTimeout,
			Start: []string{"systemctl", "start", "app"}, Stop: []string{"systemctl", "stop", "app"}, Lists: NodeLists{Timeout: defaultJobTimeout},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if KindOf(file) != KindNode {
		t.Error("it is not known as a node.yaml")
	}
}

func FuzzNoFileUpsetsTheReaderOfNodes(f *testing.F) {
	for _, one := range nodeCases(f) {
		f.Add([]byte(one[1]))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		d, root := parse("n.yaml", text)
		node(d, root)
		for _, r := range append(d.Faults(), d.Warnings()...) {
			if r.Line < 0 || r.Line > len(d.lines) || r.Column < 0 || r.Text == "" {
				t.Errorf("a remark at line %d, column %d of %d lines: %q", r.Line, r.Column, len(d.lines), r.Text)
			}
		}
	})
}

package config

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestAMemberIsReadStrictly(t *testing.T) {
	t.Parallel()
	read := func(text string) (*Register, string) {
		d, root := parse(filepath.Join(t.TempDir(), "register.yaml"), []byte(text))
		r := readRegister(d, root)
		var lines []string
		for line := range strings.Lines(told(d)) {
			lines = append(lines, line[strings.LastIndex(line, "register.yaml")+len("register.yaml"):])
		}
		return r, strings.Join(lines, "")
	}
	r, faults := read("name: a\ndata_dir: /d\npeer: http://127.0.0.1:1\nclient: http://127.0.0.1:2\nmembers: {a: \"http://127.0.0.1:1\"}\njoin: true\nheartbeat: 50ms\n")
	want := &Register{
		Name: "a", DataDir: "/d", Peer: "http://127.0.0.1:1", Client: "http://127.0.0.1:2",
		Members: map[string]string{"a": "http://127.0.0.1:1"}, Join: true, Heartbeat: 50 * time.Millisecond,
	}
	if diff := cmp.Diff(want, r); diff != "" || faults != "" {
		t.Errorf("-want +got:\n%s%s", diff, faults)
	}
	_, faults = read("name: a\npeers: x\ntls: {ca: nowhere.pem}\nheartbeat: 5\n")
	for _, says := range []string{`unknown key "peers"`, "nowhere.pem is not there", "lacks a unit", "peer is missing", "client is missing", "members is missing"} {
		if !strings.Contains(faults, says) {
			t.Errorf("%q is not said:\n%s", says, faults)
		}
	}
}

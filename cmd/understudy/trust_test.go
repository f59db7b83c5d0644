package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/understudy-ha/understudy/internal/remote"
)

// trusting gives the folder trust of a node that was started once.
func trusting(t *testing.T, name string) string {
	t.Helper()
	dir := remote.Dir(t.TempDir())
	if err := remote.SaveSite(dir, remote.Site{Name: name, Addresses: []string{"192.0.2.10"}}); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestTrustIsKeptByCommands(t *testing.T) {
	t.Parallel()
	a, b := trusting(t, "core1"), trusting(t, "core2")
	key := filepath.Join(t.TempDir(), "core2.pub")
	local := runs(t, nil, "failover", "trusted-hosts", "list", "--local", "--trust", b)
	if err := os.WriteFile(key, []byte(local.out), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		line string
		code int
		want string
	}{
		{"trusted-hosts", 1, "Usage:"},
		{"trusted-hosts list --trust /nowhere/trust", 2, "has not been started yet"},
		{"trusted-hosts test", 1, "0 nodes are trusted, and none is named"},
		{"trusted-hosts add 192.0.2.11", 1, "other users could read it there"},
		{"trusted-hosts add --ssh-key " + key, 1, "HOST is missing"},
		{"trusted-hosts add 192.0.2.11 --ssh-key /nowhere/key", 4, "no such file"},
		{"trusted-hosts add 192.0.2.11 --ssh-key " + key, 0, "core2 at 192.0.2.11 is trusted."},
		{"trusted-hosts list", 0, "core2  node       192.0.2.11 192.0.2.10  SHA256:"},
		{"trusted-hosts list --json", 0, `"name": "core2"`},
		{"trusted-hosts apply", 0, "Applied: 1 trusted hosts."},
		{"trusted-hosts remove core9", 1, `"core9" is no trusted host; these are: core2`},
		{"trusted-hosts remove 192.0.2.11", 0, "core2 is not trusted any more."},
		{"trusted-hosts list --json", 0, `"hosts": []`},
		{"deploy-ssh-key core2", 1, `"core2" is no trusted host; there is none yet`},
	} {
		line := append([]string{"failover"}, strings.Fields(tt.line)...)
		if !strings.Contains(tt.line, "--trust") {
			line = append(line, "--trust", a)
		}
		r := runs(t, []string{"USER=anna"}, line...)
		if r.code != tt.code || !strings.Contains(r.out+r.err, tt.want) {
			t.Errorf("%s: exit code %d, want %d with %q\n%s%s", tt.line, r.code, tt.code, tt.want, r.out, r.err)
		}
	}
}

func TestAnInvitationIsOneLineThatCanBeCopied(t *testing.T) {
	t.Parallel()
	r := runs(t, nil, "failover", "trusted-hosts", "invite", "--front", "--trust", trusting(t, "core1"))
	i, err := remote.ParseInvitation(r.out)
	if err != nil || r.code != 0 || strings.Count(r.out, "\n") != 1 || i.At() != "192.0.2.10:8443" || i.Role != remote.Front {
		t.Errorf("%+v %+v %v", r, i, err)
	}
	if !strings.Contains(r.err, "It is a secret") || strings.Contains(r.err, strings.TrimSpace(r.out)) {
		t.Errorf("said %q", r.err)
	}
}

func TestTheForcedCommandRefusesInOneLine(t *testing.T) {
	t.Parallel()
	dir := trusting(t, "core1")
	r := runs(t, []string{"SSH_ORIGINAL_COMMAND=id"}, "ssh-serve", "--peer", "core2", "--trust", dir)
	if r.code != 4 || r.out != "" || r.err != "understudy: refused: \"core2\" is not a trusted node any more\n" {
		t.Errorf("%+v", r)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "refused.log")); err != nil || !strings.Contains(string(text), "is not a trusted node any more") {
		t.Errorf("the log: %s, %v", text, err)
	}
}

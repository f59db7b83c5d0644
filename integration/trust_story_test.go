//go:build linux

package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/understudy-ha/understudy/internal/remote"
)

// pairByString pairs a and b as people do.
func pairByString(t *testing.T, a, b *trustNode) {
	t.Helper()
	text := a.failover(t, "", "trusted-hosts", "invite")
	if said := b.failover(t, text, "trusted-hosts", "add"); !strings.Contains(said, b.name+" and "+a.name+" trust one another.") {
		t.Fatalf("add said %q", said)
	}
}

func TestStoryTrustByPairingString(t *testing.T) {
	t.Parallel()
	a, b := newTrustNode(t, "core1"), newTrustNode(t, "core2")
	pairByString(t, a, b)
	for _, n := range []*trustNode{a, b} {
		if got := n.failover(t, "", "trusted-hosts", "test"); got != "Test was successful\n" {
			t.Errorf("%s: got %q", n.name, got)
		}
	}
	if list := b.failover(t, "", "trusted-hosts", "list"); !strings.Contains(list, "core1") || !strings.Contains(list, a.trust(t).Key.Pin.String()) || !strings.Contains(list, "by anna@") {
		t.Errorf("list:\n%s", list)
	}
	s := b.try(t, "", "trusted-hosts", "add", "192.0.2.1:secret")
	if s.code != 1 || !strings.Contains(s.err, "other users could read it there") {
		t.Errorf("a string as argument: %+v", s)
	}
	if s := b.try(t, "core1:AAAA\n", "trusted-hosts", "add"); s.code != 4 || !strings.Contains(s.err, "not whole") || strings.Count(s.err, "\n") != 4 {
		t.Errorf("a torn string: %+v", s)
	}
}

func TestStoryTrustOfAFront(t *testing.T) {
	t.Parallel()
	a := newTrustNode(t, "core1")
	key := filepath.Join(t.TempDir(), "front.key")
	front := func(in string, args ...string) spoken {
		return speak(t, in, append([]string{understudy, "failover", "trusted-hosts", "--front-key", key, "--name", "front1"}, args...)...)
	}
	if s := front(a.failover(t, "", "trusted-hosts", "invite"), "add"); s.code != 4 || !strings.Contains(s.err, "invites a node, and this is a front") {
		t.Errorf("by a node's string: %+v", s)
	}
	if s := front(a.failover(t, "", "trusted-hosts", "invite", "--front"), "add"); s.code != 0 || !strings.Contains(s.out, "front1 and core1 trust one another.") {
		t.Fatalf("%+v", s)
	}
	if s := front("", "test"); s.code != 0 || s.out != "Test was successful\n" {
		t.Errorf("%+v", s)
	}
	if text := a.failover(t, "", "trusted-hosts", "list"); !strings.Contains(text, "front1  front") {
		t.Errorf("list:\n%s", text)
	}
	if info, err := os.Stat(key); err != nil || info.Mode() != 0o600 {
		t.Errorf("the front's key: %v, %v", info, err)
	}
}

// TestStoryTrustByHand follows Step 4 of the EPMM guide.
func TestStoryTrustByHand(t *testing.T) {
	t.Parallel()
	primary, secondary := newTrustNode(t, "core1"), newTrustNode(t, "core2")
	key := primary.failover(t, "", "trusted-hosts", "list", "--local") // copy the Local Server SSH Key
	secondary.failover(t, key, "trusted-hosts", "add", "127.0.0.1", "--ssh-key", "-")
	if s := secondary.try(t, "", "trusted-hosts", "test", "core1"); s.code != 3 || s.out != "" || !strings.Contains(s.err, "is no trusted host's of core1") || !strings.Contains(s.err, "does not take this node's key") {
		t.Errorf("before the way back is there: %+v", s)
	}
	key = secondary.failover(t, "", "trusted-hosts", "list", "--local")
	primary.failover(t, key, "trusted-hosts", "add", "127.0.0.1", "--ssh-key", "-")
	for _, n := range []*trustNode{primary, secondary} {
		if got := n.failover(t, "", "trusted-hosts", "test"); got != "Test was successful\n" {
			t.Errorf("%s: got %q", n.name, got)
		}
	}
	// A plain OpenSSH key is taken too, and it is told what it cannot do.
	third := newTrustNode(t, "dr1")
	plain := strings.Join(strings.Fields(third.failover(t, "", "trusted-hosts", "list", "--local"))[:2], " ")
	primary.failover(t, plain, "trusted-hosts", "add", "127.0.0.1", "--ssh-key", "-", "--as", "dr1")
	if s := primary.try(t, "", "trusted-hosts", "test", "dr1"); s.code != 3 || !strings.Contains(s.err, "the host key of dr1 is not known") {
		t.Errorf("a plain key: %+v", s)
	}
}

func TestStoryTheTrustedNodeFetchesItsDatasetAndNothingElse(t *testing.T) {
	t.Parallel()
	a, b := newTrustNode(t, "core1"), newTrustNode(t, "core2")
	pairByString(t, a, b)
	line, h := b.ssh(t, "core1")
	to := t.TempDir()
	pull := func(more ...string) spoken {
		args := append([]string{"rsync", "-aHAX", "--numeric-ids", "--delete", "--modify-window=-1", "--timeout=30", "-e", strings.Join(line, " ")}, more...)
		return speak(t, "", args...)
	}
	root := h.Address() + ":" + a.data + "/"
	if s := pull(root, to); s.code != 0 {
		t.Fatalf("the dataset was not fetched: %+v\n%s", s, a.said.tail(20))
	}
	if got := read(t, filepath.Join(to, "a")); got != "of core1" {
		t.Errorf("fetched %q", got)
	}
	if out, err := exec.Command("diff", "-r", a.data, to).CombinedOutput(); err != nil { // #nosec G204 -- our own files
		t.Errorf("the copy differs: %s", out)
	}
	// A link that leads out is copied as a link and never followed.
	if err := os.Symlink(filepath.Join(a.home, "private"), filepath.Join(a.data, "out")); err != nil {
		t.Fatal(err)
	}
	if s := pull(root, to); s.code != 0 {
		t.Fatalf("%+v", s)
	}
	if info, err := os.Lstat(filepath.Join(to, "out")); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link arrived as %v, %v", info, err)
	}
	before := read(t, filepath.Join(a.data, "a"))
	for name, s := range map[string]spoken{
		"another folder":     pull(h.Address()+":"+a.home+"/", t.TempDir()),
		"below the dataset":  pull(h.Address()+":"+a.data+"/sub/", t.TempDir()),
		"out of the dataset": pull(h.Address()+":"+a.data+"/../", t.TempDir()),
		"links followed":     pull("-L", root, t.TempDir()),
		"files removed":      pull("--remove-source-files", root, t.TempDir()),
		"secluded arguments": pull("-s", root, t.TempDir()),
		"writing":            pull(to+"/", root),
		"a shell":            speak(t, "id\n", append(line, h.Address())...),
		"a command":          speak(t, "", append(line, h.Address(), "cat "+a.home+"/private")...),
		"a command after ;":  speak(t, "", append(line, h.Address(), "test; cat "+a.home+"/private")...),
	} {
		if s.code == 0 || !strings.Contains(s.err+s.out, "understudy: refused: ") || strings.Contains(s.out, "not a dataset") {
			t.Errorf("%s: %+v", name, s)
		}
		if got := strings.Count(s.err+s.out, "understudy: "); got != 1 {
			t.Errorf("%s is refused in %d lines: %s%s", name, got, s.err, s.out)
		}
	}
	if log := read(t, filepath.Join(a.dir(), "refused.log")); strings.Count(log, `"peer":"\"core2\""`) != 10 {
		t.Errorf("the log of refusals:\n%s", log)
	}
	for name, s := range map[string]spoken{ // sshd says these refusals in its own words, or none
		"another subsystem":      speak(t, "", append(line, "-s", h.Address(), "sftp")...),
		"a terminal":             speak(t, "id\n", append(line, "-tt", h.Address())...),
		"a forwarded connection": speak(t, "", append(line, "-W", loopback(int(a.site.Port)), h.Address())...),
	} {
		if s.code == 0 || s.out != "" {
			t.Errorf("%s: %+v", name, s)
		}
	}
	if got := read(t, filepath.Join(a.data, "a")); got != before {
		t.Errorf("the source is now %q", got)
	}
}

// TestStoryTrustThatBreaks: SSH keys removed and changed (F26 of the failures).
func TestStoryTrustThatBreaks(t *testing.T) {
	t.Parallel()
	a, b := newTrustNode(t, "core1"), newTrustNode(t, "core2")
	pairByString(t, a, b)
	fails := func(want string) {
		t.Helper()
		if s := b.try(t, "", "trusted-hosts", "test"); s.code != 3 || s.out != "" || !strings.Contains(s.err, want) || strings.Count(s.err, "\n") != 4 {
			t.Errorf("want %q, got %+v", want, s)
		}
	}
	passes := func() {
		t.Helper()
		if got := b.failover(t, "", "trusted-hosts", "test"); got != remote.TestOK+"\n" {
			t.Errorf("got %q", got)
		}
	}
	keys := a.site.SSH.AuthorizedKeys
	write(t, keys, "# emptied by somebody\n")
	fails("does not take this node's key")
	a.failover(t, "", "trusted-hosts", "apply")
	passes()
	if text := read(t, keys); !strings.HasPrefix(text, "# emptied by somebody\n") {
		t.Errorf("authorized_keys:\n%s", text)
	}

	write(t, keys, strings.ReplaceAll(read(t, keys), `from="127.0.0.1"`, `from="192.0.2.1"`))
	fails("does not take this node's key")
	a.failover(t, "", "trusted-hosts", "apply")

	a.sshd.kill()
	fails("nothing listens at core1")
	a.newHostKey(t)
	a.startSSHD(t)
	fails("shows another host key than the one that is trusted: nothing was sent")
	b.failover(t, "", "deploy-ssh-key", "core1")
	passes()

	a.failover(t, "", "trusted-hosts", "remove", "core2")
	fails("is no trusted host's of core1")
	fails("does not take this node's key")
	if text := read(t, keys); strings.Contains(text, "core2") {
		t.Errorf("authorized_keys still has:\n%s", text)
	}
}

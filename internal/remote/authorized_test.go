package remote

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"pgregory.net/rapid"
)

const ourLine = `restrict,from="192.0.2.1",command="/x ssh-serve --peer a" ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA a`

func block(lines ...string) string {
	return blockBegin + "\n" + strings.Join(lines, "\n") + "\n" + blockEnd + "\n"
}

func TestOnlyOurBlockOfAuthorizedKeysIsReplaced(t *testing.T) {
	t.Parallel()
	const person = "# anna\nssh-rsa AAAAB3Nza anna@desk\n"
	for _, tt := range []struct {
		name, old string
		lines     []string
		want      string
	}{
		{"a new file", "", []string{ourLine}, block(ourLine)},
		{"no line end", "ssh-rsa AAAAB3Nza x", []string{ourLine}, "ssh-rsa AAAAB3Nza x\n" + block(ourLine)},
		{"after a person's keys", person, []string{ourLine}, person + block(ourLine)},
		{"in its place", person + block("old") + "ssh-rsa BBBB y\n", []string{ourLine, ourLine + "2"}, person + block(ourLine, ourLine+"2") + "ssh-rsa BBBB y\n"},
		{"nobody left", person + block("old") + "\r\n\nssh-rsa BBBB y", nil, person + "\r\n\nssh-rsa BBBB y"},
		{"nobody yet", person, nil, person},
		{"a comment with the key", "# AAAAC3NzaC1lZDI1NTE5AAAAIA\n", []string{ourLine}, "# AAAAC3NzaC1lZDI1NTE5AAAAIA\n" + block(ourLine)},
	} {
		got, err := withBlock([]byte(tt.old), tt.lines)
		if err != nil || string(got) != tt.want {
			t.Errorf("%s: got %q, %v; want %q", tt.name, got, err, tt.want)
		}
		again, err := withBlock(got, tt.lines)
		if err != nil || string(again) != tt.want {
			t.Errorf("%s, again: got %q, %v", tt.name, again, err)
		}
	}
}

func TestWhatStandsOutsideOurBlockIsNeverChanged(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		line := rapid.SampledFrom([]string{"\n", "# x\n", "ssh-rsa AAAAB3Nza anna\n", "\r\n", "no end", " \t", "# understudy\n", "ümlaut\n"})
		before := strings.Join(rapid.SliceOfN(line, 0, 6).Draw(rt, "before"), "")
		after := strings.Join(rapid.SliceOfN(line, 0, 6).Draw(rt, "after"), "")
		if before != "" && !strings.HasSuffix(before, "\n") {
			before += "\n"
		}
		text := []byte(before + block("old") + after)
		for range rapid.IntRange(1, 4).Draw(rt, "times") {
			var lines []string
			for i := range rapid.IntRange(1, 3).Draw(rt, "hosts") {
				lines = append(lines, ourLine+strconv.Itoa(i))
			}
			got, err := withBlock(text, lines)
			if want := before + block(lines...) + after; err != nil || string(got) != want {
				rt.Fatalf("got %q, %v; want %q", got, err, want)
			}
			text = got
		}
	})
}

func TestAuthorizedKeysThatWeDoNotUnderstandAreLeftAlone(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ old, want string }{
		"no end":          {blockBegin + "\nx\n", "one beginning and one end"},
		"no beginning":    {"x\n" + blockEnd + "\n", "one beginning and one end"},
		"two blocks":      {block("a") + block("b"), "one beginning and one end"},
		"turned":          {blockEnd + "\n" + blockBegin + "\n", "one beginning and one end"},
		"our key outside": {"x\nssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA by hand\n" + block("old"), "line 2 has the key of a trusted host too"},
	} {
		path := filepath.Join(t.TempDir(), "authorized_keys")
		must(t, os.WriteFile(path, []byte(tt.old), 0o600))
		err := replaceBlock(path, []string{ourLine})
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path+" is left as it is") {
			t.Errorf("%s: got %v, want %q", name, err, tt.want)
		}
		if got := readFile(t, path); got != tt.old {
			t.Errorf("%s: the file is now %q", name, got)
		}
	}
}

func TestAuthorizedKeysKeepModeAndOwner(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), ".ssh", "authorized_keys")
	must(t, os.Mkdir(filepath.Dir(path), 0o700))
	must(t, os.WriteFile(path, []byte("ssh-rsa A x\n"), 0o640))
	must(t, os.Chmod(path, 0o640))
	uid, gid := os.Getuid(), os.Getgid()
	if uid == 0 {
		uid, gid = 12345, 23456
		must(t, os.Chown(path, uid, gid))
	}
	must(t, replaceBlock(path, []string{ourLine}))
	info, err := os.Stat(path)
	must(t, err)
	if u, g := owner(info); u != uid || g != gid || info.Mode().Perm() != 0o640 {
		t.Errorf("now of %d:%d with mode %s, want %d:%d and 0640", u, g, info.Mode(), uid, gid)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	before, err := os.Stat(path)
	must(t, err)
	must(t, replaceBlock(path, []string{ourLine}))
	if after, err := os.Stat(path); err != nil || !os.SameFile(before, after) {
		t.Errorf("a repeat that changes nothing wrote a new file (%v)", err)
	}
}

func TestANewAuthorizedKeysIsItsFoldersOwners(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	uid, gid := os.Getuid(), os.Getgid()
	if uid == 0 {
		uid, gid = 12345, 23456
		must(t, os.Chown(home, uid, gid))
	}
	path := filepath.Join(home, ".ssh", "authorized_keys")
	must(t, replaceBlock(path, []string{ourLine}))
	for at, mode := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): os.ModeDir | 0o700} {
		info, err := os.Stat(at)
		must(t, err)
		if u, g := owner(info); u != uid || g != gid || info.Mode() != mode {
			t.Errorf("%s is of %d:%d with mode %s, want %d:%d and %s", at, u, g, info.Mode(), uid, gid, mode)
		}
	}
}

func TestLinksInPlaceOfAuthorizedKeysAreRefused(t *testing.T) {
	t.Parallel()
	home, elsewhere := t.TempDir(), t.TempDir()
	victim := filepath.Join(elsewhere, "authorized_keys")
	must(t, os.WriteFile(victim, []byte("root's\n"), 0o600))
	must(t, os.Symlink(elsewhere, filepath.Join(home, ".ssh")))
	wants(t, replaceBlock(filepath.Join(home, ".ssh", "authorized_keys"), []string{ourLine}), "is a link")
	must(t, os.Symlink(victim, filepath.Join(home, "authorized_keys")))
	if err := replaceBlock(filepath.Join(home, "authorized_keys"), []string{ourLine}); err == nil {
		t.Error("a link was followed")
	}
	must(t, os.WriteFile(filepath.Join(home, "other"), []byte("private\n"), 0o600))
	must(t, os.Symlink("other", filepath.Join(home, "near")))
	if err := replaceBlock(filepath.Join(home, "near"), []string{ourLine}); err == nil {
		t.Error("a link to a file beside it was followed")
	}
	must(t, syscall.Mkfifo(filepath.Join(home, "pipe"), 0o600))
	wants(t, replaceBlock(filepath.Join(home, "pipe"), []string{ourLine}), "not a regular file")
	if got := readFile(t, victim); got != "root's\n" {
		t.Errorf("the other file is now %q", got)
	}
}

func TestNamesAreLookedUpForSSHD(t *testing.T) {
	t.Parallel()
	a, b := newNode(t, "core1"), newNode(t, "core2")
	a.resolve = func(name string) ([]net.IP, error) {
		if name == "core2.example.com" {
			return []net.IP{net.ParseIP("192.0.2.11"), net.ParseIP("2001:db8::11"), net.ParseIP("192.0.2.11")}, nil
		}
		return nil, errors.New("no such host")
	}
	c := b.Card()
	c.Addresses = []string{"core2.example.com", "::ffff:192.0.2.12"}
	lines, err := a.authorizedLines([]Host{{Card: c}})
	if err != nil || len(lines) != 1 || !strings.HasPrefix(lines[0], `restrict,from="192.0.2.11,192.0.2.12,2001:db8::11",command="`) {
		t.Errorf("got %q, %v", lines, err)
	}
	c.Addresses = []string{"gone.example.com"}
	lines, err = a.authorizedLines([]Host{{Card: c}})
	if len(lines) != 0 {
		t.Errorf("a host without an address got the line %q", lines)
	}
	wants(t, err, "core2 cannot call this node over SSH: no address is known of gone.example.com", "trusted-hosts apply")
}

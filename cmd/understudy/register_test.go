package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/understudy-ha/understudy/internal/config"
)

func TestTheMemberOfTheReferenceIsRead(t *testing.T) {
	t.Parallel()
	found := 0
	for _, b := range blocks(t) {
		if b.page != "../../docs/reference/register.md" || !strings.HasPrefix(b.text, "name: ") {
			continue
		}
		found++
		dir := t.TempDir()
		for _, name := range []string{"ca.pem", "cert.pem", "key.pem"} {
			if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		file := filepath.Join(dir, "register.yaml")
		text := regexp.MustCompile(`/var/lib/`).ReplaceAllString(b.text, dir+"/")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		r, d, err := config.ReadRegister(file)
		if err != nil || len(d.Faults()) > 0 {
			t.Fatalf("%s: %v %v", b.at, err, d.Faults())
		}
		if err := memberOf(r).Check(); err != nil {
			t.Errorf("%s: %v", b.at, err)
		}
	}
	if found != 1 {
		t.Errorf("%d members in the reference", found)
	}
}

func TestTheRegisterSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "register.yaml")
	if err := os.WriteFile(file, []byte("name: a\npeer: http://192.0.2.1:2380\nclient: http://127.0.0.1:2379\nmembers: {a: \"http://192.0.2.1:2380\"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"register"}, exitUsage, "--config FILE is missing"},
		{[]string{"register", "--config", file}, exitConfig, "reached from other machines"},
		{[]string{"register", "members", "--config", filepath.Join(dir, "gone")}, exitConfig, "gone"},
		{[]string{"register", "add", "b", "--config", file}, exitUsage, "it takes NAME PEER_URL"},
		{[]string{"register", "migrate", "--from", "etcd", "--to", "etcd", "--config", file}, exitUsage, "--from and --to"},
	} {
		r := runs(t, nil, c.args...)
		if r.code != c.code || !strings.Contains(r.err, c.says) {
			t.Errorf("%v: exit %d, want %d with %q:\n%s", c.args, r.code, c.code, c.says, r.err)
		}
	}
}

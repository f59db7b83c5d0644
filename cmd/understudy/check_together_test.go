package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/internal/register"
)

const twoNodes = `groups:
  mdm:
    nodes: [{name: core1, url: "http://192.0.2.10"}, {name: core2, url: "http://192.0.2.11"}]
`

// Configurations of one group that do not share a register, or share one in a
// way that cannot work.
// Not parallel, as the next: Caddy's check of a configuration writes globals.
func TestCheckTellsWhatDoesNotFitTogether(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	sidecar := func(name, register string) string {
		return file(name+".yaml", fmt.Sprintf("state_dir: %s\n%s%s", filepath.Join(dir, "state"), register, twoNodes))
	}
	front := func(name, register string) string {
		return file(name, fmt.Sprintf("{\n understudy {\n state_dir %s\n %s\n group mdm {\n node core1 http://192.0.2.10\n node core2 http://192.0.2.11\n }\n }\n}\n:8080 {\n understudy mdm\n}\n", filepath.Join(dir, "state"), register))
	}
	files, same := sidecar("files", ""), front("same", "")
	other := front("other", "etcd http://192.0.2.20:2379 {\n watchers 3\n watcher front\n }")
	etcd := sidecar("etcd", `etcd: {endpoints: ["http://192.0.2.20:2379", "http://192.0.2.21:2379"], watchers: 3, watcher: names}`+"\n")
	five := sidecar("five", `etcd: {endpoints: ["http://192.0.2.21:2379"], watchers: 5, watcher: names}`+"\n")
	prefix := sidecar("prefix", `etcd: {endpoints: ["http://192.0.2.20:2379"], prefix: /other, watchers: 3, watcher: third}`+"\n")
	for _, c := range []struct {
		what  string
		files []string
		want  []string // in what is said, else nothing is
	}{
		{"one directory", []string{files, same}, nil},
		{"one etcd", []string{other, etcd}, nil},
		{"files and etcd", []string{files, other}, []string{"other: warning: group mdm is watched by two registers: here etcd at http://192.0.2.20:2379 below /understudy, in ", "state_dir "}},
		{"two prefixes", []string{etcd, prefix}, []string{"prefix.yaml: warning: group mdm is watched by two registers"}},
		{"another number, one name", []string{etcd, five}, []string{"watchers is 5 here and 3 in ", "is called names too"}},
		{"three", []string{files, other, etcd}, []string{"other: warning: ", "etcd.yaml: warning: "}},
	} {
		var args []string
		for _, f := range c.files {
			args = append(args, "--config", f)
		}
		r := runs(t, nil, append([]string{"check"}, args...)...)
		if r.code != exitDone || strings.Contains(r.err, "two registers") != (len(c.want) > 0 && !strings.Contains(c.want[0], "watchers is")) {
			t.Errorf("%s: exit %d: %s", c.what, r.code, r.err)
		}
		for _, want := range c.want {
			if !strings.Contains(r.err, want) {
				t.Errorf("%s: no %q in\n%s", c.what, want, r.err)
			}
		}
	}
	if r := runs(t, nil, "check", "--config", files, "--config", filepath.Join(dir, "none"), "--config", file("bad.yaml", "groups: {}\n")); r.code != exitConfig || !strings.Contains(r.err, "no such file") || !strings.Contains(r.err, "bad.yaml") {
		t.Errorf("exit %d: %s", r.code, r.err)
	}
}

// Who goes over to etcd and leaves a register in files that somebody still goes
// by is told.
func TestCheckTellsOfADecisionThatWasLeftInFiles(t *testing.T) {
	dir := t.TempDir()
	state := filepath.Join(dir, "state")
	r, err := register.OpenDir(state)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	err = r.Save(context.Background(), 0, ha.Traffic{Group: "mdm", Epoch: 7, Order: []string{"core1", "core2"}, Serving: "core2", Since: now, At: now, Cause: ha.Switched})
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Close()
	path := filepath.Join(dir, "s.yaml")
	text := fmt.Sprintf("state_dir: %s\netcd: {endpoints: [\"http://192.0.2.20:2379\"], watcher: a}\n%s", state, twoNodes)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	got := runs(t, nil, "check", "--config", path)
	if got.code != exitDone || !strings.Contains(got.err, "keeps a decision of it too: epoch 7, core2 serves, while etcd had epoch 0") {
		t.Errorf("exit %d: %s", got.code, got.err)
	}
}

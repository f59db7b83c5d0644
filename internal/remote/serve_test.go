package remote

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const pullOptions = "rsync --server --sender -logDtpre.iLsfxCIvu --numeric-ids . "

// sourced gives a node with one dataset, and that dataset's folder.
func sourced(t *testing.T) (a *node, data string) {
	t.Helper()
	a, b := newNode(t, "core1"), newNode(t, "core2")
	paired(t, a, b)
	front := newFront(t, "front1")
	if _, err := front.Join(t.Context(), invited(t, a, Front), ""); err != nil {
		t.Fatal(err)
	}
	data = filepath.Join(t.TempDir(), "real", "app")
	must(t, os.MkdirAll(data, 0o700))
	must(t, os.Symlink(data, filepath.Join(a.dir, "named")))
	site := a.site.Site
	site.Datasets = []Dataset{{"files", filepath.Join(a.dir, "named")}}
	must(t, SaveSite(filepath.Join(a.dir, "trust"), site))
	return a, data
}

func TestServeRunsTheSenderOnAnOpenFolderAndNothingElse(t *testing.T) {
	t.Parallel()
	a, data := sourced(t)
	dir := filepath.Join(a.dir, "trust")
	must(t, os.WriteFile(filepath.Join(data, "x"), []byte("y"), 0o600))
	for _, named := range []string{filepath.Join(a.dir, "named"), data} {
		s, err := Serve(dir, "core2", pullOptions+named+"/", nil)
		must(t, err)
		defer s.Root.Close()
		last := len(s.Argv) - 1
		want := "/usr/bin/rsync --server --sender -logDtpre.iLsfxCIvu --numeric-ids ."
		if got := strings.Join(s.Argv[:last], " "); got != want {
			t.Errorf("runs %q, want %q", got, want)
		}
		if got := readFile(t, filepath.Join(s.Argv[last], "x")); got != "y" {
			t.Errorf("%s is another folder: %q", s.Argv[last], got)
		}
	}
	for _, tt := range []struct{ peer, request, want string }{
		{"core2", pullOptions + "/etc/", `"/etc" is not a declared dataset's folder`},
		{"core2", pullOptions + filepath.Dir(data) + "/", "is not a declared dataset's folder"},
		{"core2", pullOptions + data + "/sub/", "is not a declared dataset's folder"},
		{"core2", "id", `"id" is not allowed`},
		{"core2", "", "a shell is not allowed"},
		{"core9", "test", `"core9" is not a trusted node any more`},
		{"front1", "test", `"front1" is not a trusted node any more`},
		{"127.0.0.1", "test", "is not a trusted node any more"},
	} {
		s, err := Serve(dir, tt.peer, tt.request, nil)
		if err == nil || !strings.Contains(err.Error(), tt.want) || s.Argv != nil {
			t.Errorf("%s asks %q: got %v, %v; want %q", tt.peer, tt.request, s.Argv, err, tt.want)
		}
	}
	log := readFile(t, filepath.Join(dir, "refused.log"))
	if got := strings.Count(log, "\n"); got != 8 || !strings.Contains(log, `"request":"\"id\""`) {
		t.Errorf("the log of refusals has %d lines, want 8:\n%s", got, log)
	}
}

func TestADatasetThatBecameALinkIsNotServed(t *testing.T) {
	t.Parallel()
	a, data := sourced(t)
	dir := filepath.Join(a.dir, "trust")
	for _, at := range []string{data, filepath.Dir(data)} {
		must(t, os.Rename(at, at+".away"))
		must(t, os.Symlink("/etc", at))
		_, err := Serve(dir, "core2", pullOptions+data+"/", nil)
		wants(t, err, "no folder but a link or a file")
		must(t, os.Remove(at))
		must(t, os.Rename(at+".away", at))
	}
}

func TestATestIsAnsweredWithBothNames(t *testing.T) {
	t.Parallel()
	a, _ := sourced(t)
	var out bytes.Buffer
	s, err := Serve(filepath.Join(a.dir, "trust"), "core2", "test", &out)
	must(t, err)
	var got hello
	must(t, json.Unmarshal(out.Bytes(), &got))
	if want := (hello{1, "core1", "core2"}); got != want || s.Argv != nil {
		t.Errorf("got %+v, %v", got, s.Argv)
	}
}

func TestTheLogOfRefusalsDoesNotGrowForEver(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "refused.log"), make([]byte, mostRefusals+1), 0o600))
	_, err := Serve(dir, "core2", strings.Repeat("x", 100_000), nil)
	if err == nil {
		t.Error("served by a node without a Site")
	}
	if got := readFile(t, filepath.Join(dir, "refused.log")); len(got) > 2000 || got == "" {
		t.Errorf("the log has %d bytes", len(got))
	}
}

func TestAFaultySiteIsNotSaved(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	good := Site{Name: "core1", Addresses: []string{"192.0.2.1"}}
	for name, edit := range map[string]func(*Site){
		"name":             func(s *Site) { s.Name = "a b" },
		"no address":       func(s *Site) { s.Addresses = nil },
		"address":          func(s *Site) { s.Addresses = []string{"0.0.0.0"} },
		"user":             func(s *Site) { s.SSH.User = "A" },
		"program":          func(s *Site) { s.SSH.Program = `/x"; sh` },
		"relative program": func(s *Site) { s.SSH.Program = "understudy" },
		"relative keys":    func(s *Site) { s.SSH.AuthorizedKeys = "x" },
		"relative rsync":   func(s *Site) { s.Rsync = "rsync" },
		"relative dataset": func(s *Site) { s.Datasets = []Dataset{{"d", "x"}} },
		"a dataset's file": func(s *Site) { s.Datasets = []Dataset{{"d", "/etc/passwd"}} },
		"the whole disk":   func(s *Site) { s.Datasets = []Dataset{{"d", "//"}} },
	} {
		s := good
		edit(&s)
		if SaveSite(dir, s) == nil {
			t.Errorf("%s: %+v was saved", name, s)
		}
	}
	_, err := Open(dir)
	wants(t, err, "has not been started yet")
	must(t, SaveSite(dir, good))
	trust, err := Open(dir)
	if err != nil || trust.Card().Port != DefaultPort || trust.Card().SSH.Port != 22 || trust.Card().SSH.User != "understudy" {
		t.Errorf("got %+v, %v", trust, err)
	}
}

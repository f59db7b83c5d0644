package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// told gives what a document says of itself, a line each, by place.
func told(d *Document) string {
	warnings := d.Warnings()
	for i := range warnings {
		warnings[i].Text = "warning: " + warnings[i].Text
	}
	var lines strings.Builder
	for _, r := range sorted(append(d.Faults(), warnings...)) {
		lines.WriteString(r.Error() + "\n")
	}
	return lines.String()
}

func TestEveryFaultIsToldAtItsPlace(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/faults.txt")
	if err != nil {
		t.Fatal(err)
	}
	for i, one := range strings.Split(string(text), "\n----\n")[1:] {
		about, rest, _ := strings.Cut(one, "\n")
		input, want, ok := strings.Cut("\n"+rest+"\n", "\n=>\n")
		if !ok {
			t.Fatalf("case %d has no =>", i)
		}
		t.Run(strings.TrimPrefix(about, "# "), func(t *testing.T) {
			t.Parallel()
			files := t.TempDir()
			if err := os.WriteFile(filepath.Join(files, "there"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			input = strings.TrimPrefix(input, "\n")
			name := filepath.Join(files, "s.yaml")
			if err := os.Symlink(files, filepath.Join(files, "FILES")); err != nil {
				t.Fatal(err)
			}
			d, root := parse(name, []byte(input))
			sidecar(d, root)
			got := strings.ReplaceAll(told(d), files+"/", "")
			if diff := cmp.Diff(strings.TrimRight(want, "\n"), strings.TrimRight(got, "\n")); diff != "" {
				t.Errorf("%s\n-want +got:\n%s", input, diff)
			}
		})
	}
}

func TestAFaultIsShownWithItsLineAndACaret(t *testing.T) {
	t.Parallel()
	tests := []struct {
		about string
		r     Remark
		want  string
	}{
		{"in a line with blanks before it", Remark{"s.yaml", 3, 5, "no", "    probe: 5"}, "s.yaml:3:5: no\n    probe: 5\n    ^\n"},
		{"further on", Remark{"s.yaml", 3, 12, "no", "    probe: 5"}, "s.yaml:3:12: no\n    probe: 5\n           ^\n"},
		{"the file as a whole", Remark{"s.yaml", 0, 0, "no", ""}, "s.yaml: no\n"},
		{"a line of which no column is known", Remark{"s.yaml", 2, 0, "no", "\tx"}, "s.yaml:2: no\n    x\n"},
		{"letters of more than one byte", Remark{"s.yaml", 1, 7, "no", "ä: öü x"}, "s.yaml:1:7: no\n    ä: öü x\n          ^\n"},
		{"what a terminal would act on", Remark{"s.yaml", 1, 4, "no", "a: \x1b[2J"}, "s.yaml:1:4: no\n    a:  [2J\n       ^\n"},
		{"a secret in a URL", Remark{"s.yaml", 1, 7, "no", `  url: "https://anna:pw@x.example:1/hook?t=abc", n: 1`}, "s.yaml:1:7: no\n    url: \"https://*******@x.example:1/**********\", n: 1\n        ^\n"},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, tt.r.Show()); diff != "" {
			t.Errorf("%s: -want +got:\n%s", tt.about, diff)
		}
	}
}

func TestALongLineIsShownAroundItsFault(t *testing.T) {
	t.Parallel()
	r := Remark{"s.yaml", 1, 501, "no", strings.Repeat("x", 500) + "!" + strings.Repeat("y", 500)}
	lines := strings.Split(r.Show(), "\n")
	if len(lines[1]) > 130 || strings.IndexByte(lines[1], '!') != strings.IndexByte(lines[2], '^') {
		t.Errorf("the caret is not below the fault:\n%s", r.Show())
	}
}

func TestAFileThatIsTooLargeIsNotRead(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "s.yaml")
	if err := os.WriteFile(file, []byte(strings.Repeat("# x\n", mostBytes/4+1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ReadSidecar(file); err == nil || !strings.Contains(err.Error(), "has more than 1048576 bytes") {
		t.Errorf("got %v", err)
	}
	if _, _, err := ReadSidecar(file + ".missing"); err == nil {
		t.Error("a missing file was read")
	}
}

func TestPathsAreMeantFromTheFolderOfTheFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "s.yaml")
	if err := os.WriteFile(filepath.Join(dir, "x.tmpl"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("state_dir: state\nfiles: [{template: x.tmpl, to: /tmp/x}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, _, err := ReadSidecar(file)
	if err != nil {
		t.Fatal(err)
	}
	got := []string{s.StateDir, s.Renders[0].Template, s.Renders[0].To}
	want := []string{filepath.Join(dir, "state"), filepath.Join(dir, "x.tmpl"), "/tmp/x"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func FuzzNoFileUpsetsTheReader(f *testing.F) {
	text, err := os.ReadFile("testdata/faults.txt")
	if err != nil {
		f.Fatal(err)
	}
	for one := range strings.SplitSeq(string(text), "\n----\n") {
		input, _, _ := strings.Cut(one, "=>")
		f.Add([]byte(input))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		d, root := parse("s.yaml", text)
		sidecar(d, root)
		lines := len(d.lines)
		for _, r := range append(d.Faults(), d.Warnings()...) {
			if r.Line < 0 || r.Line > lines || r.Column < 0 || r.Text == "" {
				t.Errorf("a remark at line %d, column %d of %d lines: %q", r.Line, r.Column, lines, r.Text)
			}
			if shown := r.Show(); strings.Count(shown, "\n") > 3 || strings.ContainsRune(shown, '\x1b') {
				t.Errorf("shown as %q", shown)
			}
		}
	})
}

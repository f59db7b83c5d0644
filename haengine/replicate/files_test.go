package replicate

import (
	"os"
	"path/filepath"
	"testing"
)

// put writes files into a folder.
func put(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, []byte(text), 0o644))
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// has says what a file holds, "-" if it is not there.
func has(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return "-"
	}
	must(t, err)
	return string(text)
}

func TestASwitchOfFilesMayBeRepeatedAndUndone(t *testing.T) {
	t.Parallel()
	tree := filepath.Join(t.TempDir(), "app")
	f := NewFiles(tree)
	put(t, tree, map[string]string{"a": "old"})
	put(t, f.slot(7), map[string]string{"a": "new"})
	p, err := f.Prepare(t.Context(), Staged{Generation: 7, Dir: f.slot(7)})
	must(t, err)
	c := Change{Dataset: "files", Generation: 7, Data: p.Data}
	for _, step := range []struct {
		do   func() error
		want string
	}{
		{func() error { return nil }, "old"},
		{func() error { return f.Switch(t.Context(), c) }, "new"},
		{func() error { return f.Switch(t.Context(), c) }, "new"},
		{func() error { return f.Back(t.Context(), c) }, "old"},
		{func() error { return f.Back(t.Context(), c) }, "old"},
		{func() error { return f.Switch(t.Context(), c) }, "new"},
		{func() error { return f.Drop(t.Context(), c, New) }, "new"}, // in force: not dropped
		{func() error { return f.Drop(t.Context(), c, Old) }, "new"},
		{func() error { return f.Drop(t.Context(), c, Old) }, "new"},
		{func() error { return f.Switch(t.Context(), c) }, "new"},
	} {
		must(t, step.do())
		if got := has(t, filepath.Join(tree, "a")); got != step.want {
			t.Fatalf("got %q, want %q", got, step.want)
		}
	}
	if _, err := os.Stat(f.slot(7)); !os.IsNotExist(err) {
		t.Errorf("the old tree is still there: %v", err)
	}
}

func TestAFolderThatSomebodyHasPutThereIsNotExchanged(t *testing.T) {
	t.Parallel()
	tree := filepath.Join(t.TempDir(), "app")
	f := NewFiles(tree)
	put(t, tree, map[string]string{"a": "old"})
	put(t, f.slot(1), map[string]string{"a": "new"})
	p, err := f.Prepare(t.Context(), Staged{Generation: 1, Dir: f.slot(1)})
	must(t, err)
	must(t, os.Rename(tree, tree+".aside"))
	put(t, tree, map[string]string{"a": "somebody's"})
	if err := f.Switch(t.Context(), Change{Generation: 1, Data: p.Data}); err == nil {
		t.Error("it was exchanged")
	}
	if got := has(t, filepath.Join(tree, "a")); got != "somebody's" {
		t.Errorf("got %q", got)
	}
}

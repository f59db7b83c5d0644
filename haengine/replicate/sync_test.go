package replicate

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestASyncCopiesEverythingAndThenOnlyWhatChanged(t *testing.T) {
	t.Parallel()
	d := newDuo(t)
	put(t, d.source.tree, map[string]string{"a": "1", "b/c": "2", "b/d": strings.Repeat("x", 100000)})
	put(t, d.sink.tree, map[string]string{"stale": "from the installation"})
	first := d.sync(t, Success)
	equalTrees(t, d.source.tree, d.sink.tree)
	if first.Generation != 1 || first.Root == "" {
		t.Errorf("%+v", first)
	}
	if r := d.sync(t, Success); r.Detail != "no changes" || r.Generation != 0 || strings.Contains(tasks(r), "transfer") {
		t.Errorf("%+v\n%s", r, tasks(r))
	}
	must(t, os.Remove(filepath.Join(d.source.tree, "a")))
	put(t, d.source.tree, map[string]string{"b/c": "3"})
	r := d.sync(t, Success)
	equalTrees(t, d.source.tree, d.sink.tree)
	if r.Generation != 2 {
		t.Errorf("%+v\n%s", r, tasks(r))
	}
	t.Log("\n" + tasks(first) + tasks(r))
}

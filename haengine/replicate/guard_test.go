package replicate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// many writes n files.
func many(t testing.TB, tree string, n int) {
	t.Helper()
	for i := range n {
		put(t, tree, map[string]string{fmt.Sprintf("%d/%d", i%10, i): fmt.Sprint(i)})
	}
}

func emptyTree(t testing.TB, tree string, keepMarker bool) {
	t.Helper()
	entries, err := os.ReadDir(tree)
	must(t, err)
	for _, e := range entries {
		if !keepMarker || e.Name() != markerName {
			must(t, os.RemoveAll(filepath.Join(tree, e.Name())))
		}
	}
}

// guards are the ways in which a source may look as if it had lost its data.
var guards = map[string]struct {
	harm func(t *testing.T, d *duo)
	says string
	pass bool // --accept-deletions lets it through
}{
	"emptied":                    {func(t *testing.T, d *duo) { emptyTree(t, d.source.tree, false) }, "has lost its marker", false},
	"emptied but for the marker": {func(t *testing.T, d *duo) { emptyTree(t, d.source.tree, true) }, "is empty", true},
	"gone":                       {func(t *testing.T, d *duo) { must(t, os.RemoveAll(d.source.tree)) }, "is not there", false},
	"reborn with nothing": {func(t *testing.T, d *duo) {
		emptyTree(t, d.source.tree, false)
		must(t, d.source.book.note("files", func(r *record) { *r = record{} }))
	}, "is another dataset", true},
	"a tenth deleted": {func(t *testing.T, d *duo) {
		for i := range 10 {
			must(t, os.RemoveAll(filepath.Join(d.source.tree, fmt.Sprint(i%2))))
		}
	}, "are deleted", true},
	"as many new as deleted": {func(t *testing.T, d *duo) {
		for _, name := range []string{"1", "2"} {
			must(t, os.Rename(filepath.Join(d.source.tree, name), filepath.Join(d.source.tree, "x"+name)))
		}
	}, "are deleted", true},
	"another file system": {func(t *testing.T, d *duo) {
		must(t, d.sink.book.note("files", func(r *record) { r.Volumes = map[string]string{"core1": "ef53-1234"} }))
	}, "another file system", true},
}

func TestASourceThatLooksAsIfItHadLostItsDataIsNotCopied(t *testing.T) {
	t.Parallel()
	for name, one := range guards {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDuo(t)
			many(t, d.source.tree, 1000)
			d.sync(t, Success)
			before := snapshot(t, d.sink.tree)
			one.harm(t, d)
			r := d.sync(t, "Refused: guard")
			if !strings.Contains(r.Detail, one.says) {
				t.Errorf("it says %q, want %q", r.Detail, one.says)
			}
			if got := snapshot(t, d.sink.tree); got != before {
				t.Error("the copy has changed")
			}
			want := "Refused: guard"
			if one.pass {
				want = Success
			}
			d.sync(t, want, func(o *Order) { o.AcceptDeletions = true })
			if one.pass {
				equalTrees(t, d.source.tree, d.sink.tree)
				d.sync(t, Success)
			}
		})
	}
}

func TestAFewDeletionsAreCopied(t *testing.T) {
	t.Parallel()
	d := newDuo(t)
	many(t, d.source.tree, 1000)
	d.sync(t, Success)
	for i := range 99 {
		must(t, os.Remove(filepath.Join(d.source.tree, fmt.Sprintf("%d/%d", i%10, i))))
	}
	d.sync(t, Success)
	equalTrees(t, d.source.tree, d.sink.tree)
}

func TestReleasesThatDifferAreRefusedAlsoWhenTheyDifferLater(t *testing.T) {
	t.Parallel()
	d := newDuo(t)
	put(t, d.source.tree, map[string]string{"a": "1"})
	d.sync(t, Success)
	put(t, d.source.tree, map[string]string{"a": "2"})
	d.source.be(func(f *Facts) { f.Release = "1.1" })
	if r := d.sync(t, "Refused: version"); !strings.Contains(r.Detail, "1.0") || !strings.Contains(r.Detail, "1.1") {
		t.Errorf("it says %q", r.Detail)
	}
	d.source.be(func(f *Facts) { f.Release = "1.0" })
	for who, later := range map[string]*side{"source": d.source, "sink": d.sink} {
		d.cfg.step = func(at string) error {
			if strings.HasPrefix(at, "transfer") {
				later.be(func(f *Facts) { f.Release = "2" })
			}
			return nil
		}
		d.sync(t, "Refused: version")
		later.be(func(f *Facts) { f.Release = "1.0" })
		if got := has(t, filepath.Join(d.sink.tree, "a")); got != "1" {
			t.Errorf("%s upgraded meanwhile, and the copy is %q", who, got)
		}
	}
	d.cfg.step = nil
	d.sync(t, Success)
}

func TestNobodyCopiesFromANodeThatIsOutOrBehind(t *testing.T) {
	t.Parallel()
	d := newDuo(t)
	put(t, d.source.tree, map[string]string{"a": "1"})
	d.sync(t, Success)
	for says, change := range map[string]func(*Facts){
		"neither serves nor stands by": func(f *Facts) { f.Active = false },
		"it is the older one":          func(f *Facts) { f.Epoch = 0 },
		"answers as core9":             func(f *Facts) { f.Name = "core9" },
	} {
		was := *d.source.facts.Load()
		d.source.be(change)
		if r := d.sync(t, Failure); !strings.Contains(r.Detail, says) {
			t.Errorf("it says %q, want %q", r.Detail, says)
		}
		d.source.facts.Store(&was)
	}
}

func TestWhatOnlyOneNodeHasIsSkippedAndTheRestCopied(t *testing.T) {
	t.Parallel()
	d := newDuo(t)
	put(t, d.source.tree, map[string]string{"a": "1"})
	atlas := d.source.set
	atlas.Name = "atlas"
	d.src.Sets = append(d.src.Sets, atlas)
	r := d.sync(t, Success)
	if !strings.Contains(tasks(r), OneSided) && !strings.Contains(tasks(r), "Skipped") {
		t.Errorf("%s", tasks(r))
	}
	equalTrees(t, d.source.tree, d.sink.tree)
	d.src.busy <- struct{}{} // the session before has ended
	d.src.Sets = []Set{atlas}
	<-d.src.busy
	if r := d.sync(t, Failure); !strings.Contains(r.Detail, "no dataset is enabled on both") {
		t.Errorf("it says %q", r.Detail)
	}
	d.cfg.Sets[0].Name = "atlas" // optional datasets only
	d.sync(t, Success)
	var off atomic.Bool
	d.cfg.Sets[0].Enabled = func() bool { return !off.Load() }
	d.sync(t, Success)
	off.Store(true) // while the node runs
	if r := d.sync(t, Failure); !strings.Contains(tasks(r), OneSided) || !strings.Contains(r.Detail, "no dataset is enabled on both") {
		t.Errorf("%s: %s", tasks(r), r.Detail)
	}
	off.Store(false)
	d.cfg.Sets[0].Enabled = nil
	d.src.busy <- struct{}{}
	d.src.Sets[0].Enabled = func() bool { return !off.Load() }
	<-d.src.busy
	off.Store(true)
	if r := d.sync(t, Failure); !strings.Contains(r.Detail, "no dataset is enabled on both") {
		t.Errorf("the source still offers it: %s", r.Detail)
	}
}

func TestRunsDoNotOverlap(t *testing.T) {
	t.Parallel()
	d := newDuo(t)
	put(t, d.source.tree, map[string]string{"a": "1"})
	in, on := make(chan struct{}), make(chan struct{})
	d.cfg.step = func(at string) error {
		if strings.HasPrefix(at, "transfer") {
			close(in)
			<-on
		}
		return nil
	}
	r := d.replica(t)
	done := make(chan Report)
	go func() { done <- r.Run(context.WithoutCancel(t.Context()), Order{From: "core1"}, d.how) }()
	<-in
	if got := r.Run(t.Context(), Order{From: "core1"}, d.how); got.Result != Overlap {
		t.Errorf("got %+v", got)
	}
	if p, on := r.Progress(); !on || p.Phase != "transfer" {
		t.Errorf("progress %+v", p)
	}
	if _, err := r.Rollback(t.Context(), 0); err == nil {
		t.Error("it went back in the midst of a run")
	}
	close(on)
	if got := <-done; got.Result != Success {
		t.Errorf("got %+v", got)
	}
}

func TestARunThatIsNotAllowedToGoLiveLeavesNothing(t *testing.T) {
	t.Parallel()
	d := newDuo(t)
	put(t, d.source.tree, map[string]string{"a": "1"})
	d.sync(t, Success)
	put(t, d.source.tree, map[string]string{"a": "2"})
	no := errors.New("a copy never goes live under a node that serves")
	if r := d.sync(t, Failure, func(o *Order) { o.Allow = func(context.Context, uint64) error { return no } }); r.Detail != no.Error() {
		t.Errorf("it says %q", r.Detail)
	}
	if got := has(t, filepath.Join(d.sink.tree, "a")); got != "1" {
		t.Errorf("the copy is %q", got)
	}
	d.sync(t, Success)
}

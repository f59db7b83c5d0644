package replicate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// between does something to the source between two steps of a run, once.
func (d *duo) between(step string, do func()) {
	done := false
	d.cfg.step = func(at string) error {
		if at == step && !done {
			done = true
			do()
		}
		return nil
	}
}

func TestWhatChangesWhileItIsCopiedIsCopiedAgain(t *testing.T) {
	t.Parallel()
	d := newDuo(t)
	put(t, d.source.tree, map[string]string{"a": "1", "b": "1", "gone": "1", "dir/x": "1"})
	d.sync(t, Success)
	put(t, d.source.tree, map[string]string{"a": "2", "b": "2"})
	d.between("transfer files", func() {
		put(t, d.source.tree, map[string]string{"a": "3", "new": "3", "late/one": "3"})
		must(t, os.Remove(filepath.Join(d.source.tree, "gone")))
		must(t, os.RemoveAll(filepath.Join(d.source.tree, "dir")))
		must(t, os.Chmod(filepath.Join(d.source.tree, "b"), 0o600)) // linked to nothing in force, or it would leak
	})
	r := d.sync(t, Success)
	if !strings.Contains(tasks(r), "again") {
		t.Errorf("%s", tasks(r))
	}
	equalTrees(t, d.source.tree, d.sink.tree)
}

func TestAChangeOfModeWhileItIsCopiedDoesNotLeakIntoTheGenerationInForce(t *testing.T) {
	t.Parallel()
	d := newDuo(t)
	put(t, d.source.tree, map[string]string{"a": "1", "b": "1"})
	d.sync(t, Success)
	put(t, d.source.tree, map[string]string{"b": "2"})
	no := errors.New("no")
	d.between("transfer files", func() { must(t, os.Chmod(filepath.Join(d.source.tree, "a"), 0o600)) })
	d.sync(t, Failure, func(o *Order) { o.Allow = func(context.Context, uint64) error { return no } })
	info, err := os.Stat(filepath.Join(d.sink.tree, "a"))
	must(t, err)
	if info.Mode().Perm() != 0o644 {
		t.Errorf("the file in force has mode %v", info.Mode())
	}
}

func TestFilesThatNeverHoldStillAreNamedUnlessTheyAreVolatile(t *testing.T) {
	t.Parallel()
	d := newDuo(t)
	put(t, d.source.tree, map[string]string{"log/today": "0", "a": "1"})
	d.sync(t, Success)
	n := 0
	d.cfg.step = func(at string) error {
		if at == "transfer files" {
			n++
			put(t, d.source.tree, map[string]string{"log/today": fmt.Sprint(n), fmt.Sprintf("new/%d", n): "x"})
		}
		return nil
	}
	put(t, d.source.tree, map[string]string{"a": "2"})
	if r := d.sync(t, Failure); !strings.Contains(r.Detail, "log/today") || !strings.Contains(r.Detail, "volatile") {
		t.Errorf("it says %q", r.Detail)
	}
	if got := has(t, filepath.Join(d.sink.tree, "a")); got != "1" {
		t.Errorf("the copy is %q", got)
	}
	d.cfg.Sets[0].Volatile = []string{"log/*"}
	d.sync(t, Success) // what is new all the time harms nobody
	if got := has(t, filepath.Join(d.sink.tree, "a")); got != "2" {
		t.Errorf("the copy is %q", got)
	}
}

func TestAWriterDoesNotHinderCopies(t *testing.T) {
	t.Parallel()
	d := newDuo(t)
	many(t, d.source.tree, 200)
	d.sync(t, Success)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for i := 0; ctx.Err() == nil; i++ { // as applications write that care: another file, then its name
			at := filepath.Join(d.source.tree, fmt.Sprintf("n%d", i))
			_ = os.WriteFile(at+".tmp", []byte(strings.Repeat("x", 5000)), 0o600)
			_ = os.Rename(at+".tmp", at)
			if i > 20 {
				_ = os.Remove(filepath.Join(d.source.tree, fmt.Sprintf("n%d", i-20)))
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	for range 3 {
		d.sync(t, Success)
		torn, err := filepath.Glob(filepath.Join(d.sink.tree, "n*"))
		must(t, err)
		for _, name := range torn {
			if text := has(t, name); !strings.HasSuffix(name, ".tmp") && len(text) != 5000 {
				t.Errorf("%s has %d bytes", name, len(text))
			}
		}
	}
	stop()
	<-ended
	d.sync(t, Success)
	equalTrees(t, d.source.tree, d.sink.tree)
}

func TestOlderGenerationsAreKeptAsManyAsSaidAndCanBeGoneBackTo(t *testing.T) {
	t.Parallel()
	d := newDuo(t)
	put(t, d.sink.tree, map[string]string{"a": "installed"})
	for i := 1; i <= 5; i++ {
		put(t, d.source.tree, map[string]string{"a": fmt.Sprint(i)})
		d.sync(t, Success)
	}
	r := d.replica(t)
	back := func(to uint64, want string) {
		t.Helper()
		if _, err := r.Rollback(t.Context(), to); err != nil {
			t.Fatal(err)
		}
		if got := has(t, filepath.Join(d.sink.tree, "a")); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if _, err := r.Rollback(t.Context(), 1); err == nil || !strings.Contains(err.Error(), "older than the present one, 5, are: 3, 4") {
		t.Errorf("got %v", err)
	}
	back(4, "4")
	back(0, "3")
	back(0, "2") // what was there before the first that is kept
	if _, err := r.Rollback(t.Context(), 0); err == nil {
		t.Error("it went back beyond the first")
	}
	d.sync(t, Success)
	equalTrees(t, d.source.tree, d.sink.tree)
	entries, err := os.ReadDir(shelf(d.sink.tree))
	must(t, err)
	if len(entries) != 1 {
		t.Errorf("on the shelf: %v", entries)
	}
}

func TestASyncEndsBeforeItsCommitAndNotAfter(t *testing.T) {
	t.Parallel()
	for i, moment := range moments {
		t.Run(strings.TrimSpace(moment), func(t *testing.T) {
			t.Parallel()
			d := newDuo(t)
			put(t, d.source.tree, map[string]string{"a": "1"})
			d.sync(t, Success)
			put(t, d.source.tree, map[string]string{"a": "2"})
			ctx, end := context.WithCancelCause(t.Context())
			d.between(moment, func() { end(fmt.Errorf("a promotion: %w", context.Canceled)) })
			over := 0
			got := d.replica(t).Run(ctx, Order{From: "core1", Over: func() { over++ }}, d.how)
			want, text := Cancelled, "1"
			if i >= firstForward {
				want, text = Success, "2"
			}
			if got.Result != want || has(t, filepath.Join(d.sink.tree, "a")) != text {
				t.Errorf("got %s: %s, and the copy is %q", got.Result, got.Detail, has(t, filepath.Join(d.sink.tree, "a")))
			}
			if i >= firstForward && over != 1 {
				t.Errorf("the end of the commit was told %d times", over)
			}
			d.sync(t, Success)
			equalTrees(t, d.source.tree, d.sink.tree)
		})
	}
}

func TestWhatAnEndedRunHasFetchedIsNotFetchedAgain(t *testing.T) {
	t.Parallel()
	d := newDuo(t)
	put(t, d.source.tree, map[string]string{"big": strings.Repeat("0123456789", 300000), "a": "1"})
	ctx, end := context.WithCancel(t.Context())
	d.between("transfer files", end)
	if got := d.replica(t).Run(ctx, Order{From: "core1"}, d.how); got.Result != Cancelled {
		t.Fatalf("got %s: %s", got.Result, got.Detail)
	}
	r := d.sync(t, Success)
	if !strings.Contains(tasks(r), "0 files, 0 B") {
		t.Errorf("%s", tasks(r))
	}
	equalTrees(t, d.source.tree, d.sink.tree)
}

func TestGenerationsThatTheApplicationMayHaveWrittenToAreGivenUp(t *testing.T) {
	t.Parallel()
	d := newDuo(t)
	for i := range 3 {
		put(t, d.source.tree, map[string]string{"a": fmt.Sprint(i), "same": "x"})
		d.sync(t, Success)
	}
	r := d.replica(t)
	must(t, r.Serve())
	must(t, r.Serve()) // once more is harmless
	if _, err := r.Rollback(t.Context(), 0); err == nil || !strings.Contains(err.Error(), "given up") {
		t.Errorf("got %v", err)
	}
	put(t, d.source.tree, map[string]string{"a": "9"})
	d.sync(t, Success)
	if got := r.State(); len(got.Generations) != 1 || got.Dirty {
		t.Errorf("got %+v", got)
	}
	entries, err := os.ReadDir(shelf(d.sink.tree))
	must(t, err)
	if len(entries) != 1 {
		t.Errorf("on the shelf: %v", entries)
	}
	equalTrees(t, d.source.tree, d.sink.tree)
}

// What a file that goes makes rsync say is no failure; what else it says is one.
func TestAFileThatGoesUnderRsyncIsNoFailure(t *testing.T) {
	t.Parallel()
	const acl = "rsync: [sender] get_acl: sys_acl_get_file(./n268, ACL_TYPE_ACCESS): No such file or directory (2)\n"
	const end = "rsync error: some files/attrs were not transferred (see previous errors) (code 23) at main.c(1338) [sender=3.5.0]\n"
	for _, tt := range []struct {
		code int
		said string
		want bool
	}{
		{24, "file has vanished: \"/srv/app/a\"\nrsync warning: some files vanished before they could be transferred (code 24) at main.c(1338) [sender=3.5.0]\n", true},
		{23, acl + end, true},
		{23, "file has vanished: \"/srv/app/a\"\n" + acl + end, true},
		{23, "rsync: [sender] send_files failed to open \"/srv/app/a\": Permission denied (13)\n" + end, false},
		{23, acl + "rsync: [sender] send_files failed to open \"/srv/app/a\": Permission denied (13)\n" + end, false},
		{23, "", false},
		{12, acl, false},
	} {
		if got := errors.Is(ended(tt.code, tt.said, errors.New("exit status")), errVanished); got != tt.want {
			t.Errorf("code %d and %q: vanished %v, want %v", tt.code, tt.said, got, tt.want)
		}
	}
}

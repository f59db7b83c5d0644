package replicate

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/metrics"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// heapPeak looks at the memory that the heap takes until its most is asked for.
// The race detector's own memory does not count in it.
func heapPeak() (most func() uint64) {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/unused:bytes"}}
	peak := uint64(0)
	end := every(5*time.Millisecond, func() {
		metrics.Read(sample)
		peak = max(peak, sample[0].Value.Uint64()+sample[1].Value.Uint64())
	})
	return func() uint64 { end(); return peak }
}

// smallFiles makes so many, each hundredth of them with a second path, an
// attribute and an access list.
func smallFiles(t *testing.T, tree string, files int) {
	t.Helper()
	for i := range files {
		dir := filepath.Join(tree, fmt.Sprintf("%03d", i/500))
		if i%500 == 0 {
			must(t, os.Mkdir(dir, 0o755))
		}
		at := filepath.Join(dir, fmt.Sprint(i))
		must(t, os.WriteFile(at, []byte(strings.Repeat(fmt.Sprint(i), i%50)), 0o644))
		if i%100 == 0 {
			must(t, os.Link(at, at+".second"))
			must(t, unix.Setxattr(at, "user.number", fmt.Append(nil, i), 0))
			must(t, unix.Setxattr(at, "system.posix_acl_access", accessList, 0))
		}
	}
}

// largeFiles makes two: one that is nearly all hole, one that has none.
func largeFiles(t *testing.T, tree string, size int64) {
	t.Helper()
	sparse, err := os.Create(filepath.Join(tree, "sparse"))
	must(t, err)
	for _, at := range []int64{0, size / 2, size - 5} {
		_, err := sparse.WriteAt([]byte("data."), at)
		must(t, err)
	}
	must(t, sparse.Close())
	dense, err := os.Create(filepath.Join(tree, "dense"))
	must(t, err)
	_, err = io.CopyN(dense, rand.NewChaCha8([32]byte{7}), size)
	must(t, err)
	must(t, dense.Close())
}

// It runs alone, for it looks at the memory of source and sink. A soak has
// 200,000 files and two of 4 GiB.
func TestLargeTreesArriveWholeAndTakeLittleMemory(t *testing.T) {
	files, size := 2000, int64(8<<20)
	if os.Getenv("UNDERSTUDY_SOAK") != "" {
		files, size = 200_000, 4<<30
	}
	d := newDuo(t)
	d.cfg.Scrub = -1
	smallFiles(t, d.source.tree, files)
	largeFiles(t, d.source.tree, size)
	memory := heapPeak()
	first := d.sync(t, Success)
	equalTrees(t, d.source.tree, d.sink.tree)
	var s syscall.Stat_t
	must(t, syscall.Stat(filepath.Join(d.sink.tree, "sparse"), &s))
	if s.Blocks*512 > 1<<20 {
		t.Errorf("the sparse file takes %d bytes", s.Blocks*512)
	}
	idle := d.sync(t, Success)
	if idle.Detail != "no changes" {
		t.Errorf("%s\n%s", idle.Detail, tasks(idle))
	}
	for name, at := range map[string]int64{"sparse": size / 3, "dense": size / 3} {
		f, err := os.OpenFile(filepath.Join(d.source.tree, name), os.O_WRONLY, 0)
		must(t, err)
		_, err = f.WriteAt([]byte(strings.Repeat("changed ", 512)), at)
		must(t, err)
		must(t, f.Close())
	}
	must(t, os.Remove(filepath.Join(d.source.tree, "000", "100.second")))
	must(t, unix.Setxattr(filepath.Join(d.source.tree, "000", "200"), "user.number", []byte("none"), 0))
	few := d.sync(t, Success)
	equalTrees(t, d.source.tree, d.sink.tree)
	const most = 100 << 20
	peak := memory()
	if peak > most {
		t.Errorf("the heap of source and sink was %s, at most %s", sizeOf(peak), sizeOf(most))
	}
	t.Logf("%d files and two of %s: the heap was at most %s\n%s%s%s", files, sizeOf(uint64(size)), sizeOf(peak), tasks(first), tasks(idle), tasks(few))
}

func sizeOf(n uint64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }

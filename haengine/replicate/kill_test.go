package replicate

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// sample is how often something is killed: few times by a fixed seed, or a
// hundred by UNDERSTUDY_SEED in a soak.
func sample(t testing.TB, few int) (times int, draw *rand.Rand) {
	t.Helper()
	if os.Getenv("UNDERSTUDY_SOAK") == "" {
		return few, rand.New(rand.NewPCG(1, 1)) // #nosec G404 -- a sample
	}
	seed, err := strconv.ParseUint(os.Getenv("UNDERSTUDY_SEED"), 10, 64)
	if err != nil {
		seed = uint64(time.Now().UnixNano()) // #nosec G115 -- a seed
	}
	t.Logf("seed %d", seed)
	return 100, rand.New(rand.NewPCG(seed, seed)) // #nosec G404 -- a sample
}

// beSink is a process that syncs once: its folder, its tree, the way to the
// source. It says when it begins.
func beSink(args []string) int {
	dir, tree, ssh, socket := args[0], args[1], args[2], args[3]
	book, err := OpenBook(dir)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	tell := func(context.Context) (Facts, error) {
		return Facts{Name: "core2", Release: "1.0", Epoch: 1, Standby: true}, nil
	}
	set := Set{Name: "files", Type: "files", Tree: tree, Dataset: NewFiles(tree)}
	r, err := Open(Config{Dir: dir, Sets: []Set{set}, Book: book, Facts: tell, Log: quiet()})
	if err == nil {
		err = r.Recover(context.Background())
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("begins")
	got := r.Run(context.Background(), Order{From: "core1"}, func() (Remote, error) {
		return Remote{SSH: ssh, Args: []string{socket}, Address: "127.0.0.1"}, nil
	})
	fmt.Println(got.Result, got.Detail)
	return 0
}

func TestAKillAtAnyMomentLeavesTheOldOrTheNewGeneration(t *testing.T) {
	t.Parallel()
	d := newDuo(t)
	own, err := os.Executable()
	must(t, err)
	sink := filepath.Join(t.TempDir(), "understudy-sink")
	must(t, os.Symlink(own, sink))
	for n := range 60 {
		put(t, d.source.tree, map[string]string{fmt.Sprintf("d/%d", n): strings.Repeat("0", 20000)})
	}
	began := time.Now()
	d.sync(t, Success)
	whole := 3 * time.Since(began) / 2 // some runs end before they are killed
	times, draw := sample(t, 12)
	forward, back := 0, 0
	for i := range times {
		old := snapshot(t, d.sink.tree)
		for n := range 20 {
			put(t, d.source.tree, map[string]string{fmt.Sprintf("d/%d", (n*7+i)%60): strings.Repeat(fmt.Sprint(i%10), 20000), fmt.Sprintf("e/%d", n): fmt.Sprint(i)})
		}
		cmd := exec.Command(sink, d.sink.dir, d.sink.tree, d.remote.SSH, d.remote.Args[0]) // #nosec G204 -- ourselves
		out, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		_, _ = out.Read(make([]byte, len("begins\n")))
		time.Sleep(time.Duration(draw.Int64N(int64(whole)))) // the moment is the test's subject
		must(t, cmd.Process.Signal(syscall.SIGKILL))
		_ = cmd.Wait()
		d.sink.book, err = OpenBook(d.sink.dir)
		must(t, err)
		d.cfg.Book = d.sink.book
		d.replica(t) // rolls forward or discards
		switch now := snapshot(t, d.sink.tree); now {
		case old:
			back++
		case snapshot(t, d.source.tree):
			forward++
		default:
			t.Fatalf("kill %d: what is there is neither", i)
		}
		d.sync(t, Success)
		equalTrees(t, d.source.tree, d.sink.tree)
	}
	t.Logf("%d kills: %d times the old generation, %d times the new", times, back, forward)
}

package register

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/understudy-ha/understudy/internal/ha"
)

const childVariable = "REGISTER_TEST_CHILD"

// TestMain runs the tests, or, in a process that start has made, one verb.
func TestMain(m *testing.M) {
	words := strings.SplitN(os.Getenv(childVariable), " ", 3)
	if len(words) != 3 {
		os.Exit(m.Run())
	}
	go func() { // a child never outlives its parent
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(3)
	}()
	verb, name, dir := words[0], words[1], words[2]
	fmt.Println("done:", map[string]func(name, dir string) error{"contend": contend, "fill": fill, "limit": limit}[verb](name, dir))
	os.Exit(0)
}

// process is another process that works in a directory.
type process struct {
	*bufio.Scanner // what it says, a line each
	cmd            *exec.Cmd
	in             io.Closer
}

// start runs a verb in dir in another process.
func start(t *testing.T, verb, name, dir string, attr *syscall.SysProcAttr) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %s", childVariable, verb, name, dir))
	cmd.Stderr, cmd.SysProcAttr = os.Stderr, attr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		if attr != nil {
			t.Skipf("no namespaces here: %v", err)
		}
		t.Fatal(err)
	}
	p := &process{bufio.NewScanner(out), cmd, in}
	t.Cleanup(p.kill)
	return p
}

// kill ends the process with signal 9.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
	_ = p.in.Close()
}

// contend raises the epoch of the group app for ever, in competition with
// others, and says which epochs it has won.
func contend(name, dir string) error {
	d, err := OpenDir(dir)
	if err != nil {
		return err
	}
	for {
		var was uint64
		v, err := d.Load(context.Background(), "app")
		switch {
		case err == nil:
			was = v.Epoch
		case !errors.Is(err, ha.ErrNone):
			return err
		}
		next := traffic("app", was+1)
		next.Actor = name
		next.Words = strings.Repeat("words ", int(was%7)*200)
		switch err := d.Save(context.Background(), was, next); {
		case err == nil:
			fmt.Println("won", was+1)
		case !errors.Is(err, ha.ErrStale):
			return err
		}
	}
}

// Two processes store as fast as they can, and one after the other is killed
// in whatever it is doing. A third one watches. Nothing that a process was told
// to be stored may be missing, stored twice, or another's.
func TestKilledProcessesLoseNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := openFor(t, dir, never)
	ctx, cancel := context.WithCancel(t.Context())
	signal, err := d.Watch(ctx, "app")
	if err != nil {
		t.Fatal(err)
	}
	var follower sync.WaitGroup
	var seen uint64
	follower.Go(func() {
		for range signal {
			v, err := d.Load(t.Context(), "app")
			if err != nil || v.Epoch < seen {
				t.Errorf("after epoch %d: epoch %d, %v", seen, v.Epoch, err)
				return
			}
			seen = v.Epoch
		}
	})
	won := map[uint64]string{} // by whom
	running := []*process{}
	for life := range 14 {
		name := fmt.Sprint("life-", life)
		running = append(running, start(t, "contend", name, dir, nil))
		listen(t, running[len(running)-1], name, won, 1)
		if len(running) == 2 {
			old := fmt.Sprint("life-", life-1)
			listen(t, running[0], old, won, 1+life)
			running[0].kill()
			listen(t, running[0], old, won, -1) // what it had still said
			running = running[1:]
		}
	}
	running[0].kill()
	listen(t, running[0], "life-13", won, -1)
	cancel()
	follower.Wait() // it heals too: nobody may be at it any more
	verify(t, d, won)
}

// listen takes note of what a process says it has won: so many lines, or all.
func listen(t *testing.T, p *process, name string, won map[uint64]string, lines int) {
	t.Helper()
	for ; lines != 0 && p.Scan(); lines-- {
		var epoch uint64
		if _, err := fmt.Sscanf(p.Text(), "won %d", &epoch); err != nil {
			t.Errorf("%s says %q", name, p.Text())
			return
		}
		if other, twice := won[epoch]; twice {
			t.Errorf("epoch %d was won by %s and %s", epoch, other, name)
		}
		won[epoch] = name
	}
}

func verify(t *testing.T, d *Dir, won map[uint64]string) {
	t.Helper()
	now, err := d.Load(t.Context(), "app") // heals
	if err != nil {
		t.Fatal(err)
	}
	past := lastLines(read(t, d.file("app", historyFile)), "app", mostEntries)
	for i, p := range past {
		if want := now.Epoch - uint64(i); p.Epoch != want {
			t.Fatalf("epoch is %d; the history has %d where %d belongs", now.Epoch, p.Epoch, want)
		}
		if name, ok := won[p.Epoch]; ok && name != p.Actor {
			t.Errorf("epoch %d was won by %s, but stored is that of %s", p.Epoch, name, p.Actor)
		}
		delete(won, p.Epoch)
	}
	if len(past) != int(now.Epoch) || len(won) != 0 {
		t.Errorf("epoch is %d, the history has %d; won, but not stored: %v", now.Epoch, len(past), won)
	}
	t.Logf("%d epochs", now.Epoch)
	openFor(t, d.path, never) // takes the litter of the killed away
	if left, err := filepath.Glob(filepath.Join(d.path, ".*")); len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestAFullDiskLeavesTheOldTraffic(t *testing.T) {
	t.Parallel()
	own := &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	if os.Getuid() != 0 {
		own.Unshareflags |= syscall.CLONE_NEWUSER
		own.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		own.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	for verb, attr := range map[string]*syscall.SysProcAttr{"fill": own, "limit": nil} {
		t.Run(verb, func(t *testing.T) {
			t.Parallel()
			p := start(t, verb, "-", t.TempDir(), attr)
			p.Scan()
			switch said := p.Text(); {
			case strings.HasPrefix(said, "skip:"):
				t.Skip(said)
			case said != "done: <nil>":
				t.Errorf("the process says %q", said)
			}
		})
	}
}

// fill saves on a file system of a few pages, which only this process sees,
// until it is full, then goes on where there is room again.
func fill(_, dir string) error {
	if err := syscall.Mount("small", dir, "tmpfs", 0, "size=96k"); err != nil {
		fmt.Println("skip:", err)
		return nil
	}
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 48<<10), 0o600); err != nil {
		return err
	}
	return exhaust(dir, syscall.ENOSPC, "free space on the file system of "+dir, func() error { return os.Remove(ballast) })
}

// limit does the same where no file may have more than 8,000 bytes.
func limit(_, dir string) error {
	small := syscall.Rlimit{Cur: 8000, Max: 1 << 30}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &small); err != nil {
		return err
	}
	return exhaust(dir, syscall.EFBIG, "raise the limit on file sizes", func() error {
		return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: small.Max, Max: small.Max})
	})
}

// exhaust saves until it fails, and says what went wrong unless it fails as it
// should, keeps what was stored, and goes on after relief without a gap.
func exhaust(dir string, want error, advice string, relief func() error) error {
	d, err := OpenDir(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	ctx := context.Background()
	var last uint64
	for err = nil; err == nil && last < 1000; {
		if err = d.Save(ctx, last, traffic("app", last+1)); err == nil {
			last++
		}
	}
	if !errors.Is(err, want) || !strings.Contains(err.Error(), advice) {
		return fmt.Errorf("epoch %d: got %q, want %q and %q", last+1, err, want, advice)
	}
	if err := stands(d, last); err != nil {
		return err
	}
	if err := relief(); err != nil {
		return err
	}
	if err := d.Save(ctx, last, traffic("app", last+1)); err != nil {
		return err
	}
	return stands(d, last+1)
}

// stands says what is wrong with what is stored, from epoch 1 to last.
func stands(d *Dir, last uint64) error {
	if v, err := d.Load(context.Background(), "app"); err != nil || v.Epoch != last {
		return fmt.Errorf("load: epoch %d, %w; want %d", v.Epoch, err, last)
	}
	past, err := d.History(context.Background(), "app", 1000)
	if err != nil || len(past) != int(last) {
		return fmt.Errorf("history: %d entries, %w; want %d", len(past), err, last)
	}
	for i, p := range past {
		if p.Epoch != uint64(i)+1 {
			return fmt.Errorf("history: entry %d has epoch %d", i, p.Epoch)
		}
	}
	return nil
}

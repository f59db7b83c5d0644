package statefile

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
	"syscall"
	"testing"
	"time"
)

const childVariable = "STATEFILE_TEST_CHILD"

// TestMain runs the tests, or, in a process that start has made, one verb.
func TestMain(m *testing.M) {
	verb, dir, ok := strings.Cut(os.Getenv(childVariable), " ")
	if !ok {
		os.Exit(m.Run())
	}
	go func() { // a child never outlives its parent
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(3)
	}()
	err := map[string]func(string) error{
		"rewrite": rewrite, "hold": hold, "limited": limited, "full": full,
	}[verb](dir)
	fmt.Println("done:", err)
	os.Exit(0)
}

// start runs a verb in dir in another process, and gives what it prints. kill
// ends it with signal 9 and waits for it.
func start(t *testing.T, verb, dir string, attr *syscall.SysProcAttr) (lines *bufio.Scanner, kill func()) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), childVariable+"="+verb+" "+dir)
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
	kill = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = in.Close()
	}
	t.Cleanup(kill)
	return bufio.NewScanner(out), kill
}

// rewrite replaces dir/value for ever, and says each time which value it has.
func rewrite(dir string) error {
	for n := 0; ; n++ {
		if err := Write(filepath.Join(dir, "value"), value(n), 0o640); err != nil {
			return err
		}
		fmt.Println(n)
	}
}

// value gives n-th bytes that show whether they are whole: the same line as
// often as the line says.
func value(n int) []byte {
	times := 1 + n%300
	return []byte(strings.Repeat(fmt.Sprintf("%d of %d\n", n, times), times))
}

func whole(data []byte) error {
	var n, times int
	if _, err := fmt.Sscanf(string(data), "%d of %d\n", &n, &times); err != nil {
		return err
	}
	if string(data) != string(value(n)) {
		return fmt.Errorf("value %d has %d bytes that are not its own", n, len(data))
	}
	return nil
}

// hold locks dir/lock until the process is killed.
func hold(dir string) error {
	if _, err := Lock(context.Background(), filepath.Join(dir, "lock"), 0o660); err != nil {
		return err
	}
	fmt.Println("held")
	select {}
}

// limited overwrites dir/value where no file may have more than 1,000 bytes,
// so that the write ends in its midst.
func limited(dir string) error {
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 1000, Max: 1000}); err != nil {
		return err
	}
	return overwrite(dir, 5000, syscall.EFBIG)
}

// full overwrites dir/value on a file system of a few pages, which only this
// process sees.
func full(dir string) error {
	if err := syscall.Mount("small", dir, "tmpfs", 0, "size=64k"); err != nil {
		fmt.Println("skip:", err)
		return nil
	}
	return overwrite(dir, 100_000, syscall.ENOSPC)
}

// overwrite says what went wrong unless Write fails with want and leaves all
// as it was.
func overwrite(dir string, size int, want error) error {
	path := filepath.Join(dir, "value")
	if err := Write(path, []byte("old"), 0o600); err != nil {
		return err
	}
	if err := Write(path, make([]byte, size), 0o600); !errors.Is(err, want) || !strings.Contains(err.Error(), path) {
		return fmt.Errorf("writing gave %v, want %v on %s", err, want, path)
	}
	if data, err := Read(path, 1000); string(data) != "old" || err != nil {
		return fmt.Errorf("the old file is now %q, %v", data, err)
	}
	entries, err := os.ReadDir(dir)
	if len(entries) != 1 {
		return fmt.Errorf("left behind: %v, %v", entries, err)
	}
	return Write(path, []byte("new"), 0o600)
}

// within fails the test if do takes longer than any machine needs.
func within(t *testing.T, what string, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); do() }()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatal(what + " did not end")
	}
}

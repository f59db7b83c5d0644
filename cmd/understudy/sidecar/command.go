package sidecar

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// mostSaid is how much of a command's output is kept, in bytes.
const mostSaid = 2 << 10

// execute runs a program with its arguments, without a shell, for at most
// timeout; then it and what it started are killed. The error has the end of
// what it said, quoted.
func execute(ctx context.Context, line []string, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, line[0], line[1:]...) // #nosec G204 -- the operator's own command
	said := &tail{most: mostSaid}
	cmd.Stdout, cmd.Stderr = said, said
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "NOTIFY_SOCKET=") || strings.HasPrefix(v, "WATCHDOG_")
	})
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	switch {
	case err == nil:
		return nil
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		err = fmt.Errorf("it did not end within %s", timeout)
	}
	if len(said.text) == 0 {
		return fmt.Errorf("run %s: %w", line[0], err)
	}
	return fmt.Errorf("run %s: %w; it said %q", line[0], err, strings.TrimSpace(string(said.text)))
}

// tail keeps the last bytes that are written to it.
type tail struct {
	text []byte
	most int
}

func (t *tail) Write(p []byte) (int, error) {
	if t.text = append(t.text, p...); len(t.text) > t.most {
		t.text = t.text[len(t.text)-t.most:]
	}
	return len(p), nil
}

package haengine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// mostSaid is how much of a command's output is kept, in bytes.
const mostSaid = 2 << 10

// grace is how long a command that was told to end may take before it is
// killed with all that it started.
const grace = 2 * time.Second

// execute runs a program with its arguments, without a shell, in a process
// group of its own. When ctx ends the group is told to end, and killed after
// grace. It gives the end of what the program said; the error has it too,
// quoted.
func execute(ctx context.Context, line []string, env ...string) (string, error) {
	return executeTo(ctx, new(tail), line, env...)
}

// output is execute, and gives only what the program writes to its standard
// output: what it says of a version or a count is not mixed with its warnings.
func output(ctx context.Context, line []string) (string, error) {
	out := new(tail)
	_, err := executeBoth(ctx, out, new(tail), line)
	return out.String(), err
}

// executeTo is execute; what the program says can be read meanwhile.
func executeTo(ctx context.Context, said *tail, line []string, env ...string) (string, error) {
	return executeBoth(ctx, said, said, line, env...)
}

// executeBoth runs a program; the error has what it wrote to said.
func executeBoth(ctx context.Context, out, said *tail, line []string, env ...string) (string, error) {
	cmd := exec.Command(line[0], line[1:]...) // #nosec G204 -- the operator's own command
	cmd.Stdout, cmd.Stderr = out, said
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "NOTIFY_SOCKET=") || strings.HasPrefix(v, "WATCHDOG_")
	})
	cmd.Env = append(cmd.Env, env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = 200 * time.Millisecond // what it leaves running may hold its output
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", fmt.Errorf("run %s: %w", line[0], err)
	}
	ended := make(chan struct{})
	killed := make(chan struct{})
	go func() {
		defer close(killed)
		endGroup(ctx, cmd.Process.Pid, ended)
	}()
	err := cmd.Wait()
	close(ended)
	<-killed
	text := said.String()
	switch {
	case ctx.Err() != nil:
		err = fmt.Errorf("it was ended: %w", context.Cause(ctx))
	case err == nil || errors.Is(err, exec.ErrWaitDelay) && cmd.ProcessState.Success():
		return text, nil
	}
	if text == "" {
		return "", fmt.Errorf("run %s: %w", line[0], err)
	}
	return text, fmt.Errorf("run %s: %w; it said %q", line[0], err, text)
}

// endGroup ends a process group when ctx ends: SIGTERM, then SIGKILL.
func endGroup(ctx context.Context, group int, ended <-chan struct{}) {
	select {
	case <-ended:
		return
	case <-ctx.Done():
	}
	_ = syscall.Kill(-group, syscall.SIGTERM)
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C:
	}
	_ = syscall.Kill(-group, syscall.SIGKILL) // also what outlived its leader
}

// tail keeps the last bytes that are written to it.
type tail struct {
	mu   sync.Mutex // guards text
	text []byte
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.text))
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(p)
	p = p[max(0, len(p)-mostSaid):]
	if t.text = append(t.text, p...); len(t.text) > mostSaid {
		t.text = append(t.text[:0], t.text[len(t.text)-mostSaid:]...)
	}
	return n, nil
}

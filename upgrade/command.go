package upgrade

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// mostSaid is how much of a command's output is kept, in bytes.
const mostSaid = 4 << 10

// execute runs a program with its arguments, without a shell, in a process group
// of its own that is ended with ctx. It gives what the program said.
func execute(ctx context.Context, line []string) (string, error) {
	cmd := exec.CommandContext(ctx, line[0], line[1:]...) // #nosec G204 -- the operator's own command
	said := new(tail)
	cmd.Stdout, cmd.Stderr = said, said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 200 * time.Millisecond
	err := cmd.Run()
	text := said.String()
	switch {
	case ctx.Err() != nil:
		return text, fmt.Errorf("%s was ended: %w", line[0], context.Cause(ctx))
	case err == nil, errors.Is(err, exec.ErrWaitDelay) && cmd.ProcessState.Success():
		return text, nil
	case text == "":
		return "", fmt.Errorf("%s: %w", line[0], err)
	}
	return text, fmt.Errorf("%s: %w; it said %q", line[0], err, cut(text, 400))
}

// failedToRun says whether a program ran and said no, which is known to be so; a
// connection that broke (ssh gives 255) or a command that was ended is not.
func failedToRun(err error) bool {
	var exit *exec.ExitError
	return errors.As(err, &exit) && exit.Exited() && exit.ExitCode() != 255
}

func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// tail keeps the last bytes that are written to it.
type tail struct {
	mu   sync.Mutex // guards text
	text []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p[max(0, len(p)-mostSaid):]...)
	t.text = append([]byte(nil), t.text[max(0, len(t.text)-mostSaid):]...)
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.text))
}

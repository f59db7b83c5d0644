package upgrade

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// mostSaid is how much of a command's output is kept, in bytes.
const mostSaid = 4 << 10

// execute runs a program with its arguments, without a shell, in a process group
// of its own that is ended with ctx. It gives the last of what the program wrote
// to its standard output; the error has the last of all that it said.
func execute(ctx context.Context, line []string) (string, error) {
	cmd := exec.CommandContext(ctx, line[0], line[1:]...) // #nosec G204 -- the operator's own command
	out, said := new(tail), new(tail)
	cmd.Stdout, cmd.Stderr = io.MultiWriter(out, said), said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 200 * time.Millisecond
	err := cmd.Run()
	text := said.String()
	switch {
	case ctx.Err() != nil:
		return "", fmt.Errorf("%s was ended: %w", line[0], context.Cause(ctx))
	case err == nil, errors.Is(err, exec.ErrWaitDelay) && cmd.ProcessState.Success():
		return out.String(), nil
	case text == "":
		return "", fmt.Errorf("%s: %w", line[0], err)
	}
	return "", fmt.Errorf("%s: %w; it said %q", line[0], err, ending(text, 250))
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

// ending gives the last lines of a text, as many as fit: why a program failed it
// says last.
func ending(text string, most int) string {
	if len(text) <= most {
		return text
	}
	text = strings.ToValidUTF8(text[len(text)-most:], "")
	if _, lines, ok := strings.Cut(text, "\n"); ok && lines != "" {
		text = lines
	}
	return "…" + text
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

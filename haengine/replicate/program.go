package replicate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// program is one run of a database's own tool, or of an operator's command,
// with its arguments and without a shell. It is given an environment, not ours.
type program struct {
	line []string
	env  []string // besides plainEnv
	dir  string   // where it runs; empty: /
	in   io.Reader
	out  io.Writer // nil: what it says there is kept with its errors

	// What it says of its errors is told but for lines with these beginnings, which
	// quote the application's data; or, if there are any, only those with others.
	hush, only []string

	// A file system that must not be filled by it; empty: it writes nothing here.
	roomIn string
}

// roomTick is how often a program's file system is looked at.
const roomTick = 500 * time.Millisecond

// run runs it to its end, or ends it with all that it started when ctx ends or
// there is no room left. The error has the end of what it said.
func (p program) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	cmd := exec.CommandContext(ctx, p.line[0], p.line[1:]...) // #nosec G204 -- a tool's name, or the operator's own command
	said := new(lastSaid)
	cmd.Env, cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = slices.Concat(plainEnv, p.env), p.dir, p.in, p.out, said
	if cmd.Dir == "" {
		cmd.Dir = "/"
	}
	if p.out == nil {
		cmd.Stdout = said
	}
	cmd.WaitDelay = 5 * time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	runtime.LockOSThread() // the kernel kills the child when the thread that started it ends
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("this machine has no %s: install it, or correct node.yaml", p.line[0])
		}
		return fmt.Errorf("run %s: %w", p.line[0], err)
	}
	if p.roomIn != "" {
		watched := make(chan struct{})
		ended := make(chan struct{})
		go func() { defer close(watched); watchRoom(p.roomIn, ended, cancel) }()
		defer func() { close(ended); <-watched }()
	}
	err := cmd.Wait()
	name := filepath.Base(p.line[0])
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%s was ended: %w", name, context.Cause(ctx))
	case err == nil:
		return nil
	}
	if text := p.told(string(said.text)); text != "" {
		return fmt.Errorf("%s: %w: %q", name, err, text)
	}
	return fmt.Errorf("%s: %w", name, err)
}

// told gives what may be told of what a program said.
func (p program) told(said string) string {
	var lines []string
	for line := range strings.Lines(said) {
		line = strings.TrimSpace(line)
		begins := func(with string) bool { return strings.HasPrefix(line, with) }
		if line != "" && !slices.ContainsFunc(p.hush, begins) && (len(p.only) == 0 || slices.ContainsFunc(p.only, begins)) {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}

// watchRoom ends what fills a file system.
func watchRoom(dir string, ended <-chan struct{}, end context.CancelCauseFunc) {
	tick := time.NewTicker(roomTick)
	defer tick.Stop()
	for {
		select {
		case <-ended:
			return
		case <-tick.C:
			if err := Room(dir, 0); err != nil {
				end(err)
				return
			}
		}
	}
}

// lastSaid keeps the last bytes that are written to it.
type lastSaid struct{ text []byte }

// mostSaid is how much of what a program said is kept, in bytes.
const mostSaid = 1 << 10

func (l *lastSaid) Write(p []byte) (int, error) {
	n := len(p)
	p = p[max(0, len(p)-mostSaid):]
	if l.text = append(l.text, p...); len(l.text) > mostSaid {
		l.text = append(l.text[:0], l.text[len(l.text)-mostSaid:]...)
	}
	return n, nil
}

// secretFile writes what a tool reads a password from, into a folder that only
// this user can enter. done removes it.
func secretFile(text string) (path string, done func(), err error) {
	dir, err := os.MkdirTemp("", "understudy-")
	if err != nil {
		return "", nil, err
	}
	done = func() { _ = os.RemoveAll(dir) }
	path = filepath.Join(dir, "secret")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		done()
		return "", nil, err
	}
	return path, done, nil
}

// readPassword reads the first line of a file that others may not read.
func readPassword(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	f, err := os.Open(path) // #nosec G304 -- the operator's own
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return "", err
	case info.Mode().Perm()&0o007 != 0:
		return "", fmt.Errorf("the password in %s can be read by everybody: chmod 0600 it", path)
	}
	text, err := io.ReadAll(io.LimitReader(f, 4<<10))
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	first, _, _ := strings.Cut(string(text), "\n")
	first = strings.TrimSuffix(first, "\r")
	if first == "" || strings.ContainsRune(first, 0) {
		return "", fmt.Errorf("%s holds no password in its first line", path)
	}
	return first, nil
}

package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/understudy-ha/understudy/internal/api"
)

// session is one run of the binary: what it was called with, and where it
// speaks.
type session struct {
	name     string   // by which we were called
	args     []string // what followed it
	out, err io.Writer
	getenv   func(string) string
	host     string // this machine's name
	terminal bool   // a person looks at out
	width    int    // of the terminal, in columns; 0: not known
}

// ours gives the session of this process.
func ours() *session {
	host, _ := os.Hostname()
	return &session{
		name: os.Args[0], args: os.Args[1:], out: os.Stdout, err: os.Stderr,
		getenv: os.Getenv, host: host, terminal: isTerminal(os.Stdout), width: widthOf(os.Stdout),
	}
}

// run does what the session asks for and gives the exit code.
func run(ctx context.Context, s *session) int {
	if strings.TrimSuffix(filepath.Base(s.name), ".exe") == "failover" {
		return s.tell(ctx, failover(ctx, s))
	}
	root := newRoot(s)
	root.SetArgs(s.args)
	root.SetOut(s.out)
	root.SetErr(s.err)
	return s.tell(ctx, root.ExecuteContext(ctx))
}

// isTerminal says whether f is a terminal; of other devices only that it is
// one, which does no harm.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// lively says whether lines may be drawn over.
func (s *session) lively() bool { return s.terminal && s.getenv("TERM") != "dumb" }

// paint gives colours where they are wanted (no-color.org).
func (s *session) paint() api.Paint {
	if !s.lively() || s.getenv("NO_COLOR") != "" {
		return api.Paint{}
	}
	colour := func(code string) func(string) string {
		return func(text string) string { return "\x1b[" + code + "m" + text + "\x1b[0m" }
	}
	return api.Paint{Good: colour("32"), Bad: colour("1;31"), Faint: colour("2")}
}

// actor gives who asks, as far as this machine says it: the API takes it for a
// claim.
func (s *session) actor() string {
	for _, name := range []string{"SUDO_USER", "USER", "LOGNAME"} {
		if user := s.getenv(name); user != "" {
			return user + "@" + s.host
		}
	}
	return "somebody@" + s.host
}

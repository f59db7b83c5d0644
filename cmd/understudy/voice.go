package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/understudy-ha/understudy/internal/api"
	"github.com/understudy-ha/understudy/internal/ha"
)

// The exit codes that this file gives.
const (
	exitDone        = 0
	exitUsage       = 1
	exitUnreachable = 3
	exitRefused     = 4
	exitAborted     = 23
)

// mayNot is what to do about a socket that somebody else may ask.
const mayNot = "Ask as root, or as a member of the socket's Unix group (usermod -aG understudy NAME)"

const readCLI = "docs/reference/cli.md"

// failure is an error in the four lines that people are given, with its exit
// code.
type failure struct {
	code               int
	what, why, do, doc string
}

func (f *failure) Error() string { return f.what + ": " + f.why }

// quiet is an exit code of which everything has been said.
type quiet int

func (q quiet) Error() string { return fmt.Sprintf("exit code %d", int(q)) }

// misuse is the failure of a command that was called in a wrong way.
func misuse(cmd *cobra.Command, why string) error {
	name, read := "understudy", readCLI
	if strings.Contains(cmd.CommandPath(), "failover") {
		name, read = "failover", readFailover
	}
	return &failure{exitUsage, name + ": nothing was done", why, "See: " + cmd.CommandPath() + " --help", read}
}

// tell says an error to people and gives its exit code.
func (s *session) tell(ctx context.Context, err error) int {
	var q quiet
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &q):
		return int(q)
	}
	f := s.judge(err)
	if ctx.Err() != nil {
		f = &failure{exitAborted, "understudy: broken off", "it was told to stop", "Look what was done: understudy status", readCLI}
	}
	fmt.Fprint(s.err, api.RefusalLines(ha.Refusal{What: f.what, Why: f.why, Do: f.do, Read: f.doc}))
	return f.code
}

// judge gives what kind of failure an error is.
func (s *session) judge(err error) *failure {
	var (
		f           *failure
		refusal     *ha.Refusal
		unreachable *api.Unreachable
		unknown     *api.UnknownGroup
		fault       *api.Fault
	)
	switch {
	case errors.As(err, &f):
		return f
	case errors.As(err, &refusal) && refusal.Code == ha.BadWish: // no time makes it right
		return &failure{exitUsage, refusal.What, refusal.Why, refusal.Do, refusal.Read}
	case errors.As(err, &refusal):
		return &failure{exitRefused, refusal.What, refusal.Why, refusal.Do, refusal.Read}
	case errors.As(err, &unreachable):
		do := "Start the front or the sidecar there, or say where it is: --api SOCKET-OR-URL"
		if errors.Is(err, fs.ErrPermission) {
			do = mayNot
		}
		return &failure{exitUnreachable, "understudy: no answer from " + unreachable.At, unreachable.Err.Error(), do, readCLI}
	case errors.As(err, &unknown):
		return &failure{
			exitUsage, "understudy: nothing was done", fmt.Sprintf("there is no group %q", unknown.Name),
			"Name one of these: " + strings.Join(unknown.Groups, ", "), "understudy status",
		}
	case errors.As(err, &fault):
		return faultFailure(fault)
	}
	return &failure{exitUsage, "understudy: nothing was done", firstLine(err.Error()), "See: understudy --help", readCLI}
}

func faultFailure(f *api.Fault) *failure {
	code := exitUsage
	if f.Status >= http.StatusInternalServerError {
		code = exitUnreachable
	}
	return &failure{code, f.What, f.Why, f.Do, f.Read}
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// started gives the failure of a process that did not start: of a file that
// cannot be read, or of what stands in its way.
func started(what, file string, err error, doc string) error {
	var unread *fs.PathError
	if errors.As(err, &unread) && unread.Path == file {
		return &failure{exitConfig, what, err.Error(), "Name a file that can be read.", doc}
	}
	return &failure{exitUsage, what, err.Error(), "Remove what stands in its way, then start it again.", doc}
}

// printJSON writes a document for programs.
func (s *session) printJSON(doc any) error {
	text, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return fmt.Errorf("write the answer as JSON: %w", err)
	}
	_, err = fmt.Fprintf(s.out, "%s\n", text)
	return err
}

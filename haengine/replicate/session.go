package replicate

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// SessionCommand is what a sink asks the forced command of its source for.
const SessionCommand = "replicate"

// session is the sink's side of a conversation with a source. The source keeps
// what it has offered as long as the session stands. One goroutine uses it.
type session struct {
	to    io.WriteCloser
	from  *bufio.Reader
	close func() error
	said  func() string // what the connection says of its end
	quiet *time.Timer   // ends the connection when nothing is heard for too long after a question
}

// dial calls the source over the system's ssh.
func (r Remote) dial(ctx context.Context) (*session, error) {
	cmd := exec.CommandContext(ctx, r.program(), append(append([]string{}, r.Args...), "--", r.Address, SessionCommand)...) // #nosec G204 -- an argument list of our own
	said := &bounded{}
	cmd.Env, cmd.Stderr, cmd.WaitDelay = plainEnv, said, 2*time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		if errors.Is(err, exec.ErrNotFound) {
			return nil, errors.New("this machine has no ssh: install openssh-client")
		}
		return nil, fmt.Errorf("run ssh: %w", err)
	}
	s := &session{to: in, from: bufio.NewReader(out)}
	s.quiet = time.AfterFunc(silence, func() { _ = cmd.Cancel() })
	s.said = func() string { return firstLine(said.String()) }
	s.close = func() error {
		s.quiet.Stop()
		_ = in.Close()
		return cmd.Wait()
	}
	return s, nil
}

// ask sends a request and reads its answer into to. Between two of them nothing
// has to be heard: a transfer may take hours.
func (s *session) ask(ctx context.Context, q request, to any) error {
	text, err := json.Marshal(q)
	if err != nil {
		return err
	}
	s.quiet.Reset(silence)
	defer s.quiet.Stop()
	if _, err := s.to.Write(append(text, '\n')); err != nil {
		return s.broken(ctx, err)
	}
	for {
		var r reply
		err := line(s.from, &r)
		s.quiet.Reset(silence)
		switch {
		case err != nil:
			return s.broken(ctx, err)
		case r.Alive:
		case r.Refused != nil:
			return &Refused{r.Refused.Kind, cutWords(r.Refused.Why)}
		case r.Error != "":
			return errors.New("the source says: " + cutWords(r.Error))
		default:
			return json.Unmarshal(r.Answer, to)
		}
	}
}

// broken says why a session has ended.
func (s *session) broken(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	_ = s.close()
	if said := s.said(); !strings.Contains(said, "it said nothing") {
		return fmt.Errorf("the connection to the source ended: %s", said)
	}
	return fmt.Errorf("the connection to the source ended: %w", err)
}

// cutWords bounds what another node says to one line of a length that people
// read.
func cutWords(text string) string {
	const most = 500
	if len(text) > most {
		text = text[:most] + "..."
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\ufffd' {
			return '?'
		}
		return r
	}, text)
}

package node

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/understudy-ha/understudy/haengine"
	"github.com/understudy-ha/understudy/internal/config"
)

// guard is the engine's own supervisor, where no service manager does its work:
// a process beside it that stops the application if the engine dies or hangs.
// The engine tells it that it is well, over a pipe, and whether the application
// may run; it answers over another one. One that does not is replaced.
type guard struct {
	config *config.NodeFile
	log    *slog.Logger
}

// GuardCommand is the command that the supervisor runs as.
const GuardCommand = "node-guard"

func newGuard(c *config.NodeFile, log *slog.Logger) *guard { return &guard{c, log} }

// run keeps a supervisor beside the engine until ctx ends. One that ends or
// hangs is replaced at once.
func (g *guard) run(ctx context.Context, e *haengine.Engine) {
	for ctx.Err() == nil {
		if err := g.once(ctx, e); err != nil && ctx.Err() == nil {
			g.log.Error("the supervisor of the application is gone; another one starts", "error", err)
			e.Unguarded(ctx, err.Error())
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
		}
	}
}

// beats is how many beats a watchdog's time has.
const beats = 5

// errHangs is the error of a supervisor that does not answer.
var errHangs = errors.New("it hangs and was killed")

func (g *guard) once(ctx context.Context, e *haengine.Engine) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self, GuardCommand, "--config", g.config.File) // #nosec G204 -- this program
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}              // what ends the engine's group does not end it
	cmd.Stderr = os.Stderr
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	answers, theirs, err := os.Pipe()
	if err != nil {
		return err
	}
	defer answers.Close()
	cmd.ExtraFiles = []*os.File{theirs}
	err = cmd.Start()
	_ = theirs.Close()
	if err != nil {
		return err
	}
	ended, answered := make(chan error, 1), make(chan struct{}, 1)
	go func() { ended <- cmd.Wait() }()
	go hearken(answers, answered)
	tick := time.NewTicker(g.config.Etcd.Watchdog / beats)
	defer tick.Stop()
	changed, leave := e.Changes()
	defer leave()
	for owed, told := 0, false; ; {
		if e.Alive() {
			told = true
			if _, err := fmt.Fprintln(pipe, beat(e)); err != nil {
				_ = pipe.Close()
				return errors.Join(err, <-ended)
			}
		}
		select {
		case err := <-ended:
			return errors.Join(errors.New("it ended by itself"), err)
		case <-ctx.Done(): // it stops the application if the engine has not, for nobody renews the lease now
			_, _ = fmt.Fprintln(pipe, beat(e))
			_ = pipe.Close()
			return <-ended
		case <-answered:
			owed, told = 0, false
		case <-tick.C: // counted, not timed: a machine that stood still owes one
			if told {
				owed++
			}
			if owed > beats {
				_ = cmd.Process.Kill()
				<-ended
				return errHangs
			}
		case <-changed:
		}
	}
}

// hearken notes what a supervisor answers until it ends.
func hearken(answers io.Reader, answered chan<- struct{}) {
	for lines := bufio.NewScanner(answers); lines.Scan(); {
		select {
		case answered <- struct{}{}:
		default:
		}
	}
}

// beat is what the supervisor is told: whether the application is the engine's to
// stop, and how long that may take.
func beat(e *haengine.Engine) string {
	runs, stop := e.Guards()
	return fmt.Sprintf("%t %d", runs, stop.Milliseconds())
}

// answerFile is where the supervisor's process answers. Not its standard output:
// a process that writes there when nobody reads any more is ended.
const answerFile = 3

// Guard is the supervisor's process: it reads and answers what the engine tells,
// and stops the application when that ends or falls silent for longer than the
// watchdog.
func Guard(file string, in io.Reader, log *slog.Logger) error {
	syscall.CloseOnExec(answerFile)
	answers := os.NewFile(answerFile, "answers")
	c, d, err := config.ReadNode(file)
	if err != nil {
		return err
	}
	if len(d.Faults()) > 0 || c.Etcd == nil {
		return errors.New("the configuration has faults, or no etcd")
	}
	engine := os.Getppid()
	beats := make(chan string)
	go func() {
		defer close(beats)
		for lines := bufio.NewScanner(in); lines.Scan(); {
			beats <- lines.Text()
		}
	}()
	runs, stop := true, 20*time.Second // until it is told: its engine may have died at once
	silent := time.NewTimer(c.Etcd.Watchdog)
	defer silent.Stop()
	for {
		select {
		case line, open := <-beats:
			if !open {
				return endApp(c, log, runs, stop, "the engine has ended")
			}
			may, ms, _ := strings.Cut(line, " ")
			n, err := strconv.Atoi(ms)
			if err != nil {
				continue
			}
			runs, stop = may == "true", time.Duration(n)*time.Millisecond
			silent.Reset(c.Etcd.Watchdog)
			_, _ = fmt.Fprintln(answers, "well") // whether anybody reads it is the engine's business
		case <-silent.C:
			if os.Getppid() == engine { // it is ours as long as it is our parent
				_ = syscall.Kill(engine, syscall.SIGKILL)
			}
			return endApp(c, log, runs, stop, "the engine hangs; it was killed")
		}
	}
}

// endApp stops the application if it may run.
func endApp(c *config.NodeFile, log *slog.Logger, runs bool, stop time.Duration, why string) error {
	if !runs {
		return nil
	}
	log.Warn("the application is stopped, for nobody renews the lease", "why", why)
	return haengine.StopNow(commandsOf(c), stop)
}

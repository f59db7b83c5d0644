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
// may run.
type guard struct {
	config *config.NodeFile
	log    *slog.Logger
}

// GuardCommand is the command that the supervisor runs as.
const GuardCommand = "node-guard"

func newGuard(c *config.NodeFile, log *slog.Logger) *guard { return &guard{c, log} }

// run keeps a supervisor beside the engine until ctx ends. One that ends is
// replaced at once.
func (g *guard) run(ctx context.Context, e *haengine.Engine) {
	for ctx.Err() == nil {
		if err := g.once(ctx, e); err != nil && ctx.Err() == nil {
			g.log.Error("the supervisor of the application has ended; another one starts", "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
		}
	}
}

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
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	tick := time.NewTicker(g.config.Etcd.Watchdog / 5)
	defer tick.Stop()
	changed, leave := e.Changes()
	defer leave()
	for {
		if e.Alive() {
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
		case <-tick.C:
		case <-changed:
		}
	}
}

// beat is what the supervisor is told: whether the application is the engine's to
// stop, and how long that may take.
func beat(e *haengine.Engine) string {
	runs, stop := e.Guards()
	return fmt.Sprintf("%t %d", runs, stop.Milliseconds())
}

// Guard is the supervisor's process: it reads what the engine tells, and stops
// the application when that ends or falls silent for longer than the watchdog.
func Guard(file string, in io.Reader, log *slog.Logger) error {
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

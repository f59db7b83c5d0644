package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// patience is how long a process may take until it is ready.
const patience = 20 * time.Second

// child is a process that we started. It dies with us.
type child struct {
	cmd   *exec.Cmd
	log   string // the file with what it says
	ended chan struct{}
}

// start starts a program in a room, where its log stays as name.log.
func start(ctx context.Context, room, name string, env []string, argv ...string) (*child, error) {
	log, err := os.Create(filepath.Join(room, name+".log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), env...)
	c := &child{cmd: cmd, log: log.Name()}
	return c, c.begin()
}

// startSelf starts this program as one of its other parts, and gives the line
// that it prints when it is ready and a function to ask it for another line.
func (b *bench) startSelf(ctx context.Context, args ...string) (*child, string, func() (string, error), error) {
	cmd := exec.CommandContext(ctx, b.self, args...)
	cmd.Stderr = os.Stderr
	ask, err := cmd.StdinPipe()
	if err != nil {
		return nil, "", nil, err
	}
	answers, err := cmd.StdoutPipe()
	if err != nil {
		return nil, "", nil, err
	}
	c := &child{cmd: cmd}
	if err := c.begin(); err != nil {
		return nil, "", nil, err
	}
	in := bufio.NewReader(answers)
	line, err := in.ReadString('\n')
	if err != nil {
		c.stop()
		return nil, "", nil, fmt.Errorf("start %s: %w", args[0], err)
	}
	return c, strings.TrimSpace(line), func() (string, error) {
		if _, err := io.WriteString(ask, "\n"); err != nil {
			return "", err
		}
		line, err := in.ReadString('\n')
		return strings.TrimSpace(line), err
	}, nil
}

func (c *child) begin() error {
	c.cmd.SysProcAttr = orphaned()
	c.ended = make(chan struct{})
	if err := c.cmd.Start(); err != nil {
		return err
	}
	go func() {
		defer close(c.ended)
		_ = c.cmd.Wait()
	}()
	return nil
}

func (c *child) pid() int { return c.cmd.Process.Pid }

func (c *child) signal(s syscall.Signal) error { return c.cmd.Process.Signal(s) }

// stop kills the process and waits for its end.
func (c *child) stop() {
	_ = c.cmd.Process.Kill()
	<-c.ended
}

// await waits until ready is true. The error has the end of the log.
func (c *child) await(ctx context.Context, ready func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !ready() {
		select {
		case <-c.ended:
			return fmt.Errorf("%s ended: %s", c.cmd.Path, c.lastWords())
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready after %s: %s", c.cmd.Path, patience, c.lastWords())
		case <-tick.C:
		}
	}
	return nil
}

// lastWords gives the end of the log.
func (c *child) lastWords() string {
	text, err := os.ReadFile(c.log)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-600):])
}

// memory gives the resident memory of the process and the most it has been, in
// bytes.
func (c *child) memory() (now, peak float64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.pid()))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(line, ":")
		if key != "VmRSS" && key != "VmHWM" {
			continue
		}
		kilobytes, err := strconv.ParseFloat(strings.Fields(value)[0], 64)
		if err != nil {
			return 0, 0, err
		}
		if key == "VmRSS" {
			now = kilobytes * 1024
		} else {
			peak = kilobytes * 1024
		}
	}
	return now, peak, nil
}

// freePort gives a port of loopback below those that the kernel gives to
// dials: a port of a killed node must not become the near end of a dial to it.
func freePort() (int, error) {
	for range 100 {
		port := 15000 + rand.IntN(15000)
		l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err == nil {
			return port, l.Close()
		}
	}
	return 0, errors.New("found no free port between 15000 and 30000")
}

// freeAddress is freePort with the address of loopback.
func freeAddress() (string, error) {
	port, err := freePort()
	return "127.0.0.1:" + strconv.Itoa(port), err
}

// pause waits, unless ctx ends first.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

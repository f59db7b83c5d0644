// Package dbtest starts private database servers for tests: in folders of their
// own, on sockets only, as the users that the servers insist on, two of a kind,
// for a source and a sink. A test binary that uses it calls [End] at its end; if
// it is killed, the kernel ends the servers.
package dbtest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// Server is a private server. The tests' user on it is understudy, and may do
// everything.
type Server struct {
	Host         string // its socket; of PostgreSQL the folder of it
	PasswordFile string
	Password     string
	log          string
}

// The servers that run.
var running struct {
	mu   sync.Mutex // guards the fields below
	stop []func()
	dir  string
}

// End ends all servers that were started, and removes what is theirs.
func End() {
	running.mu.Lock()
	defer running.mu.Unlock()
	for _, stop := range running.stop {
		stop()
	}
	if running.dir != "" {
		_ = os.RemoveAll(running.dir)
	}
}

// own gives how a server is run that refuses root.
func own(name string) (attr *syscall.SysProcAttr, uid, gid int, err error) {
	attr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() != 0 {
		return attr, os.Getuid(), os.Getgid(), nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		return nil, 0, 0, err
	}
	if uid, err = strconv.Atoi(u.Uid); err != nil {
		return nil, 0, 0, err
	}
	if gid, err = strconv.Atoi(u.Gid); err != nil {
		return nil, 0, 0, err
	}
	attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)} // #nosec G115 -- numbers of a user
	return attr, uid, gid, nil
}

// home makes a folder with a short path for a server, with its password in it: a
// socket's path has 107 bytes.
func home(uid, gid int, password string) (dir string, err error) {
	running.mu.Lock()
	defer running.mu.Unlock()
	if running.dir == "" {
		dir, err := os.MkdirTemp("", "us")
		if err != nil {
			return "", err
		}
		if err := os.Chmod(dir, 0o755); err != nil { // #nosec G302 -- another user enters it
			return "", err
		}
		running.dir = dir
	}
	if dir, err = os.MkdirTemp(running.dir, ""); err != nil {
		return "", err
	}
	path := filepath.Join(dir, "password")
	if err := os.WriteFile(path, []byte(password+"\n"), 0o600); err != nil {
		return "", err
	}
	if err := os.Chown(path, uid, gid); err != nil {
		return "", err
	}
	return dir, os.Chown(dir, uid, gid)
}

// copyOf gives a server that was not started yet the data that another one has
// begun with: to make it anew takes seconds.
func copyOf(from, to string) error {
	if said, err := exec.Command("cp", "-a", filepath.Join(from, "data"), to).CombinedOutput(); err != nil { // #nosec G204 -- of a test
		return fmt.Errorf("cp: %w: %s", err, said)
	}
	return nil
}

// keep starts a server and lets it run until End. The kernel ends it with us, so
// the thread that starts it has to stay.
func keep(cmd *exec.Cmd, end syscall.Signal) error {
	started := make(chan error)
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer close(ended)
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		<-stop
		_ = cmd.Process.Signal(end)
		_ = cmd.Wait()
	}()
	err := <-started
	if err == nil {
		running.mu.Lock()
		running.stop = append(running.stop, func() { close(stop); <-ended })
		running.mu.Unlock()
	}
	return err
}

// ready tries until a server lets somebody in: it says nowhere that it does.
func ready(try func(context.Context) error) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		if err = try(ctx); err == nil || ctx.Err() != nil {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// logged gives the beginning of a server's log.
func (s Server) logged() string {
	text, _ := os.ReadFile(s.log)
	return string(text[:min(len(text), 4000)])
}

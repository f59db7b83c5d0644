package service

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/understudy-ha/understudy/internal/statefile"
)

// socketMode lets the socket's Unix group ask and act.
const socketMode = fs.FileMode(0o660)

// Socket is a unix socket that is ours alone while it is open.
type Socket struct {
	*net.UnixListener
	unlock func()
}

// Open listens on a unix socket. What a dead process has left is replaced; where
// somebody answers, it is left alone. elsewhere says how another one is named:
// "socket: …".
func Open(path, elsewhere string) (*Socket, error) {
	if err := statefile.MakeDir(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("make the socket's directory: %w", err)
	}
	unlock, err := statefile.TryLock(path+".lock", socketMode)
	if errors.Is(err, statefile.ErrLocked) {
		return nil, taken(path, elsewhere)
	}
	if err != nil {
		return nil, fmt.Errorf("guard the socket: %w", err)
	}
	l, err := listenUnix(path, elsewhere)
	if err != nil {
		unlock()
		return nil, err
	}
	return &Socket{l, unlock}, nil
}

func listenUnix(path, elsewhere string) (*net.UnixListener, error) {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("look at the socket: %w", err)
	case info.Mode()&fs.ModeSocket == 0:
		return nil, fmt.Errorf("%s is there and is no socket; name another with %s", path, elsewhere)
	default:
		if c, err := net.DialTimeout("unix", path, time.Second); err == nil || !errors.Is(err, syscall.ECONNREFUSED) {
			if err == nil {
				_ = c.Close()
			}
			return nil, taken(path, elsewhere)
		}
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("replace the socket of a process that is gone: %w", err)
		}
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen on the socket: %w", err)
	}
	if err := os.Chmod(path, socketMode); err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("set the socket's mode: %w", err)
	}
	return l, nil
}

func taken(path, elsewhere string) error {
	return fmt.Errorf("another process answers on %s; end it, or name another socket with %s", path, elsewhere)
}

// Close removes the socket.
func (s *Socket) Close() error {
	err := s.UnixListener.Close()
	s.unlock()
	return err
}

package service

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// short gives a directory whose name is short enough for a unix socket.
func short(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "us")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func TestTheSocketIsForItsGroupAndGoesWithUs(t *testing.T) {
	t.Parallel()
	path := filepath.Join(short(t), "run", "s.sock")
	s, err := Open(path, "socket: …")
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("the socket has mode %v (%v), want 0660", info.Mode(), err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is still there: %v", err)
	}
	if s, err = Open(path, "socket: …"); err != nil {
		t.Fatalf("a second life: %v", err)
	}
	_ = s.Close()
}

func TestADeadProcessesSocketIsReplacedAndALivingOnesIsNot(t *testing.T) {
	t.Parallel()
	path := filepath.Join(short(t), "s.sock")
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, "socket: …"); err == nil || !strings.Contains(err.Error(), "another process answers") {
		t.Errorf("beside a living listener: %v", err)
	}
	left.SetUnlinkOnClose(false)
	_ = left.Close()
	for err == nil { // a child that another test is starting may still have it for a moment
		var c net.Conn
		if c, err = net.Dial("unix", path); err == nil {
			_ = c.Close()
		}
	}
	s, err := Open(path, "socket: …")
	if err != nil {
		t.Fatalf("after its death: %v", err)
	}
	defer s.Close()
	if _, err := Open(path, "socket: …"); err == nil || !strings.Contains(err.Error(), "another process answers") {
		t.Errorf("beside ourselves: %v", err)
	}
	if c, err := net.Dial("unix", path); err != nil {
		t.Errorf("ours does not answer any more: %v", err)
	} else {
		_ = c.Close()
	}
}

func TestAFileThatIsNoSocketIsLeftAlone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(short(t), "s.sock")
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, "socket: …"); err == nil || !strings.Contains(err.Error(), "is no socket") {
		t.Errorf("got %v", err)
	}
	if text, _ := os.ReadFile(path); string(text) != "mine" {
		t.Errorf("the file is now %q", text)
	}
}

package statefile

import (
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
)

// asNobody runs do with the rights that a user without any has in dir. As root
// it borrows another user's for one thread, which ends with it.
func asNobody(t *testing.T, dir string, do func()) {
	t.Helper()
	if os.Getuid() != 0 {
		do()
		return
	}
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	within(t, "nobody", func() {
		runtime.LockOSThread() // never unlocked: the thread must not serve others
		const nobody = 65534
		syscall.RawSyscall(syscall.SYS_SETFSUID, nobody, 0, 0)
		syscall.RawSyscall(syscall.SYS_SETFSGID, nobody, 0, 0)
		if _, err := os.Stat(filepath.Join(dir, ".")); err != nil {
			t.Logf("not tried: %v", err)
			return
		}
		do()
	})
}

// ownMounts lets a child process mount what nobody else sees.
func ownMounts() *syscall.SysProcAttr {
	if os.Getuid() == 0 {
		return &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	}
	return &syscall.SysProcAttr{
		Unshareflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWUSER,
		UidMappings:  []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings:  []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
}

package haengine

import (
	"net"

	"golang.org/x/sys/unix"

	"github.com/understudy-ha/understudy/internal/ha"
)

// Boottime reads CLOCK_BOOTTIME, which goes on while the machine is suspended.
func Boottime() ha.Instant {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic("haengine: this kernel has no CLOCK_BOOTTIME: " + err.Error()) // Linux has it since 2.6.39
	}
	return ha.Instant(ts.Nano())
}

// isQuiet says whether nothing has been said on a client's connection for a
// while, to it last, and all of that has arrived. What is said to it and by it
// within one tick of the kernel's clock counts as answered.
func isQuiet(c net.Conn) bool {
	t, ok := c.(*net.TCPConn)
	if !ok {
		return false
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return false
	}
	is := false
	_ = raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) // #nosec G115 -- a descriptor
		if err != nil || info.Notsent_bytes > 0 || info.Unacked > 0 {
			return
		}
		answered := info.Data_segs_in == 0 || info.Data_segs_out > 0 && info.Last_data_sent <= info.Last_data_recv
		is = answered && int64(min(info.Last_data_sent, info.Last_data_recv)) >= quiet.Milliseconds()
	})
	return is
}

// clockKept asks whether something keeps the kernel's clock (adjtimex(2)).
func clockKept() (bool, error) {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	return state != unix.TIME_ERROR, err
}

// freeBytes gives how much a file system has room for.
func freeBytes(path string) (uint64, error) {
	var fs unix.Statfs_t
	err := unix.Statfs(path, &fs)
	return fs.Bavail * uint64(fs.Bsize), err // #nosec G115 -- a block size is positive
}

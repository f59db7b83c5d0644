package haengine

import (
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

package main

import (
	"syscall"
	"time"
	"unsafe"
)

// The signals that stop a process and let it go on.
const (
	sigKill = syscall.SIGKILL
	sigStop = syscall.SIGSTOP
	sigCont = syscall.SIGCONT
)

// orphaned has a child killed when this process ends, whatever way.
func orphaned() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }

// cpuTime gives the CPU time of a process to the nanosecond, user and system,
// all its threads together. /proc has it only in steps of 10 ms, too coarse to
// tell one per cent in two seconds.
func cpuTime(pid int) (time.Duration, error) {
	const sched = 2 // clock_getcpuclockid(3)
	var t syscall.Timespec
	clock := int32(^pid)<<3 | sched // #nosec G115 -- a pid is below 2^22
	// #nosec G103 -- the kernel fills t
	if _, _, errno := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, uintptr(clock), uintptr(unsafe.Pointer(&t)), 0); errno != 0 {
		return 0, errno
	}
	return time.Duration(t.Nano()), nil
}

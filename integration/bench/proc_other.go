//go:build !linux

package main

import (
	"errors"
	"syscall"
	"time"
)

// Where there is no Linux nothing can be measured: the binary is compiled, so
// that every package of the module builds, and says so.
const (
	sigKill = syscall.Signal(0)
	sigStop = syscall.Signal(0)
	sigCont = syscall.Signal(0)
)

func orphaned() *syscall.SysProcAttr { return nil }

func cpuTime(int) (time.Duration, error) { return 0, errors.New("the bench needs Linux") }

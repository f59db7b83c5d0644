//go:build !linux

package main

import "syscall"

var dieWithUs *syscall.SysProcAttr

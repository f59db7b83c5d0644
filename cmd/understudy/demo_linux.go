package main

import "syscall"

// dieWithUs has a process that we start end when we do, however that is.
var dieWithUs = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM, Setpgid: true}

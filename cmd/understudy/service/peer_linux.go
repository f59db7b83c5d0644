package service

import (
	"net"
	"os/user"
	"strconv"
	"syscall"
)

// Peer gives the name of the user at the other end of a unix socket, as the
// kernel knows it (unix(7), SO_PEERCRED).
func Peer(c net.Conn) (name string, known bool) {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return "", false
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return "", false
	}
	var cred *syscall.Ucred
	failed := raw.Control(func(fd uintptr) {
		cred, err = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	if failed != nil || err != nil {
		return "", false
	}
	uid := strconv.FormatUint(uint64(cred.Uid), 10)
	if who, err := user.LookupId(uid); err == nil {
		return who.Username, true
	}
	return "uid " + uid, true
}

package node

import (
	"context"
	"net"
	"net/http"
	"os/user"
	"strconv"
	"syscall"
)

// asker finds the user at the other end of a connection.
type asker struct{}

// remember keeps with a connection who made it, as the kernel knows it (unix(7),
// SO_PEERCRED).
func remember(ctx context.Context, c net.Conn) context.Context {
	name := "nobody known"
	if s, ok := c.(*net.UnixConn); ok {
		if user, err := userOf(s); err == nil {
			name = user
		}
	}
	return context.WithValue(ctx, asker{}, name)
}

// who gives the name of the user who asks.
func who(r *http.Request) string {
	name, _ := r.Context().Value(asker{}).(string)
	return name
}

func userOf(c *net.UnixConn) (string, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return "", err
	}
	var cred *syscall.Ucred
	var failed error
	if err := raw.Control(func(fd uintptr) {
		cred, failed = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED) // #nosec G115 -- a file descriptor
	}); err != nil || failed != nil {
		return "", failed
	}
	uid := strconv.FormatUint(uint64(cred.Uid), 10)
	if who, err := user.LookupId(uid); err == nil {
		return who.Username, nil
	}
	return "uid " + uid, nil
}

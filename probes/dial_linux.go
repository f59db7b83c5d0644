package probes

import (
	"context"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"
)

// socket is a TCP connection made by no more system calls than a probe needs:
// the standard library's dial also asks for both addresses and sets options,
// which takes a quarter of all the CPU that a probe does.
type socket struct {
	*os.File
	to netip.AddrPort
}

// dial connects to addr, an IP address and port, for at most within.
func dial(ctx context.Context, addr string, within time.Duration) (net.Conn, error) {
	to, err := netip.ParseAddrPort(addr)
	if err != nil || to.Addr().Zone() != "" {
		return dialNet(ctx, addr, within)
	}
	fd, err := open(to)
	if err != nil {
		return nil, err
	}
	s := socket{os.NewFile(uintptr(fd), addr), to} // #nosec G115 -- a descriptor
	err = s.SetDeadline(time.Now().Add(within))
	if err == nil {
		err = s.connected(ctx)
	}
	if err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

// open gives a socket that has begun to connect. It is reset when it is
// closed: all that is wanted of a probe has been read by then, and neither side
// is left in TIME_WAIT.
func open(to netip.AddrPort) (fd int, err error) {
	family, address := syscall.AF_INET6, syscall.Sockaddr(&syscall.SockaddrInet6{Port: int(to.Port()), Addr: to.Addr().As16()})
	if to.Addr().Is4() {
		family, address = syscall.AF_INET, &syscall.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}
	}
	fd, err = syscall.Socket(family, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	err = syscall.SetsockoptLinger(fd, syscall.SOL_SOCKET, syscall.SO_LINGER, &syscall.Linger{Onoff: 1})
	if err == nil {
		// The last step of the handshake goes out with the request: one packet
		// less, and the node wakes up once.
		_ = syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_QUICKACK, 0)
		err = syscall.Connect(fd, address)
	}
	if err != nil && err != syscall.EINPROGRESS {
		_ = syscall.Close(fd)
		return -1, os.NewSyscallError("connect", err)
	}
	return fd, nil
}

// connected waits until the connection is made, or says why it is not.
func (s socket) connected(ctx context.Context) error {
	if ctx.Done() != nil {
		defer context.AfterFunc(ctx, func() { _ = s.SetDeadline(time.Unix(1, 0)) })()
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return err
	}
	var fault error
	err = raw.Write(func(fd uintptr) (done bool) {
		fault, done = state(int(fd)) // #nosec G115 -- a descriptor
		return done
	})
	if err != nil {
		return err
	}
	return fault
}

// state says whether a socket has come to the end of connecting, and how. On
// loopback it has when connect returns.
func state(fd int) (fault error, done bool) {
	if _, err := syscall.Getpeername(fd); err == nil {
		return nil, true
	}
	number, err := syscall.GetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_ERROR)
	switch {
	case err != nil:
		return os.NewSyscallError("getsockopt", err), true
	case number != 0:
		return os.NewSyscallError("connect", syscall.Errno(number)), true
	}
	return nil, false
}

// LocalAddr gives no address: nobody has asked for it.
func (s socket) LocalAddr() net.Addr { return &net.TCPAddr{} }

// RemoteAddr gives the address that it is connected to.
func (s socket) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(s.to) }

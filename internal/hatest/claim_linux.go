package hatest

import (
	"io"
	"net/netip"
	"os"
	"syscall"
)

// claim binds an address without listening on it and gives the address with
// its port. While the claim is open the kernel gives the port to nobody who
// asks for a free one, nor to a dial as its own end (which could then connect
// to itself), and a listener with SO_REUSEADDR, such as net's, can come and go
// beside it.
func claim(want netip.AddrPort) (netip.AddrPort, io.Closer, error) {
	family := syscall.AF_INET
	if want.Addr().Is6() {
		family = syscall.AF_INET6
	}
	fd, err := syscall.Socket(family, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return want, nil, os.NewSyscallError("socket", err)
	}
	s := socket(fd)
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		s.Close()
		return want, nil, os.NewSyscallError("setsockopt", err)
	}
	if err := syscall.Bind(fd, sockaddr(want)); err != nil {
		s.Close()
		return want, nil, os.NewSyscallError("bind", err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		s.Close()
		return want, nil, os.NewSyscallError("getsockname", err)
	}
	return netip.AddrPortFrom(want.Addr(), port(name)), s, nil
}

// socket is a bound file descriptor.
type socket int

func (s socket) Close() error { return syscall.Close(int(s)) }

func sockaddr(a netip.AddrPort) syscall.Sockaddr {
	if a.Addr().Is6() {
		return &syscall.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
	}
	return &syscall.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
}

func port(name syscall.Sockaddr) uint16 {
	switch a := name.(type) {
	case *syscall.SockaddrInet4:
		return uint16(a.Port)
	case *syscall.SockaddrInet6:
		return uint16(a.Port)
	}
	return 0
}

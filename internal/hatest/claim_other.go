//go:build !linux

package hatest

import (
	"io"
	"net"
	"net/netip"
)

// claim finds a free port. Elsewhere than on Linux a bound socket would keep
// the listener away too, so nothing holds the port while nobody listens.
func claim(want netip.AddrPort) (netip.AddrPort, io.Closer, error) {
	ln, err := net.Listen("tcp", want.String())
	if err != nil {
		return want, nil, err
	}
	return ln.Addr().(*net.TCPAddr).AddrPort(), nil, ln.Close()
}

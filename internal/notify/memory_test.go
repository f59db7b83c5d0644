package notify

import (
	"context"
	"net"
)

// dialTo gives a dialler whose every connection is in memory and is handled by
// serve in a goroutine of its own.
func dialTo(serve func(net.Conn)) func(context.Context, string, string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) {
		here, there := net.Pipe()
		go serve(there)
		return here, nil
	}
}

// memoryListener accepts what comes through a channel until that is closed.
type memoryListener struct{ conns chan net.Conn }

func (l memoryListener) Accept() (net.Conn, error) {
	c, ok := <-l.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (l memoryListener) Close() error   { close(l.conns); return nil }
func (l memoryListener) Addr() net.Addr { return &net.TCPAddr{} }

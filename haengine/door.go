package haengine

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// How a client's address is told to the application (PROXY protocol, 2.1 and
// 2.2).
const (
	ProxyV1 = "v1"
	ProxyV2 = "v2"
)

const (
	quiet   = 50 * time.Millisecond // nothing was said for so long, and the application last: no answer is out
	cutTime = 2 * time.Second       // with clients that are never quiet
)

// dialTimeout is how long the application may take to accept a client.
const dialTimeout = 5 * time.Second

// Gate is a Door that listens on TCP and forwards to the application. It does
// not listen while it is closed: clients are refused by the kernel.
type Gate struct {
	listen, forward, proxy string
	may                    func() bool // asked for every client; nil: always
	log                    *slog.Logger
	now                    atomic.Int64
	ever                   atomic.Uint64
	fault                  atomic.Pointer[string]
	guests                 sync.WaitGroup
	conns                  sync.Map // of the clients that are in: net.Conn

	mu     sync.Mutex // guards the fields below
	cancel context.CancelFunc
	ended  chan struct{}
}

// NewGate gives a closed door. may is asked before a client is let in: a node
// that was frozen must not let in those who waited in the kernel.
func NewGate(listen, forward, proxy string, may func() bool, log *slog.Logger) *Gate {
	return &Gate{listen: listen, forward: forward, proxy: proxy, may: may, log: log}
}

// Open lets clients in, as soon as the address is free.
func (g *Gate) Open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.cancel != nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	before := g.ended
	ended := make(chan struct{})
	g.cancel, g.ended = cancel, ended
	l, err := net.Listen("tcp", g.listen)
	g.blame(err)
	go func() {
		defer close(ended)
		if before != nil {
			<-before
		}
		g.serve(ctx, l)
	}()
}

// Close lets no new client in; it returns when the listener is gone.
func (g *Gate) Close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.cancel == nil {
		return
	}
	g.cancel()
	<-g.ended
	g.cancel = nil
	g.fault.Store(nil)
}

// Cut ends the connections of the clients that are in: each as soon as it is
// quiet, which is between two requests of one that is kept, and whatever is said
// once cutTime is over.
func (g *Gate) Cut() {
	for end := time.Now().Add(cutTime); ; time.Sleep(quiet / 10) {
		left, over := 0, time.Now().After(end)
		g.conns.Range(func(key, _ any) bool {
			switch c := key.(net.Conn); {
			case over:
				reset(c)
			case isQuiet(c):
				_ = c.Close()
			default:
				left++
			}
			return true
		})
		if left == 0 {
			return
		}
	}
}

// Fault says why an open door lets nobody in.
func (g *Gate) Fault() string {
	if why := g.fault.Load(); why != nil {
		return *why
	}
	return ""
}

// Clients counts those that are in, and those that ever were.
func (g *Gate) Clients() (now int, ever uint64) { return int(g.now.Load()), g.ever.Load() }

func (g *Gate) blame(err error) {
	if err == nil {
		g.fault.Store(nil)
		return
	}
	why := err.Error()
	if old := g.fault.Swap(&why); old == nil || *old != why {
		g.log.Error("clients cannot come in", "error", err)
	}
}

// serve lets clients in until ctx ends; where it cannot listen it tries again.
func (g *Gate) serve(ctx context.Context, l net.Listener) {
	for l == nil {
		select {
		case <-ctx.Done():
			return
		case <-time.After(between):
		}
		var err error
		if l, err = net.Listen("tcp", g.listen); err != nil {
			l = nil
		}
		g.blame(err)
	}
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	defer l.Close()
	for ctx.Err() == nil {
		c, err := l.Accept()
		if err != nil {
			if ctx.Err() == nil && !errors.Is(err, net.ErrClosed) { // out of files, say
				time.Sleep(10 * time.Millisecond)
			}
			continue
		}
		if g.may != nil && !g.may() {
			reset(c)
			continue
		}
		g.now.Add(1)
		g.ever.Add(1)
		g.guests.Go(func() {
			defer g.now.Add(-1)
			g.conns.Store(c, nil)
			defer g.conns.Delete(c)
			g.guide(c)
		})
	}
}

// reset ends a connection so that the client knows that nothing was done.
func reset(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = c.Close()
}

// guide connects a client with the application until both have said all.
func (g *Gate) guide(client net.Conn) {
	defer client.Close()
	app, err := net.DialTimeout("tcp", g.forward, dialTimeout)
	if err != nil {
		g.log.Warn("a client finds no application", "error", err)
		reset(client)
		return
	}
	defer app.Close()
	if g.proxy != "" {
		if _, err := app.Write(proxyHeader(g.proxy, client.RemoteAddr(), client.LocalAddr())); err != nil {
			reset(client)
			return
		}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		pour(app, client)
	}()
	pour(client, app)
	<-done
}

// pour copies one direction and passes its end on.
func pour(to, from net.Conn) {
	_, err := io.Copy(to, from)
	if err != nil { // one side is gone: so is the other
		_ = to.Close()
		_ = from.Close()
		return
	}
	if t, ok := to.(*net.TCPConn); ok {
		_ = t.CloseWrite()
	}
}

// proxyHeader gives what goes before a client's first byte.
func proxyHeader(version string, from, to net.Addr) []byte {
	a, errA := netip.ParseAddrPort(from.String())
	b, errB := netip.ParseAddrPort(to.String())
	if errA != nil || errB != nil {
		if version == ProxyV1 {
			return []byte("PROXY UNKNOWN\r\n")
		}
		return append([]byte(signature), 0x20, 0, 0, 0) // LOCAL
	}
	src, dst := a.Addr().Unmap().WithZone(""), b.Addr().Unmap().WithZone("")
	family, kind := "TCP4", byte(0x11)
	if !src.Is4() || !dst.Is4() {
		family, kind = "TCP6", 0x21
		src, dst = netip.AddrFrom16(src.As16()), netip.AddrFrom16(dst.As16())
	}
	if version == ProxyV1 {
		return fmt.Appendf(nil, "PROXY %s %s %s %d %d\r\n", family, src, dst, a.Port(), b.Port())
	}
	addrs := append(src.AsSlice(), dst.AsSlice()...)
	h := append([]byte(signature), 0x21, kind)
	h = binary.BigEndian.AppendUint16(h, uint16(len(addrs)+4)) // #nosec G115 -- 12 or 36
	h = append(h, addrs...)
	h = binary.BigEndian.AppendUint16(h, a.Port())
	return binary.BigEndian.AppendUint16(h, b.Port())
}

// signature begins a header of version 2 (PROXY protocol, 2.2).
const signature = "\r\n\r\n\x00\r\nQUIT\n"

// NoDoor is the Door of a node whose clients reach the application without us.
type NoDoor struct{}

// Open does nothing.
func (NoDoor) Open() {}

// Close does nothing.
func (NoDoor) Close() {}

// Fault gives none.
func (NoDoor) Fault() string { return "" }

// Clients gives none.
func (NoDoor) Clients() (now int, ever uint64) { return 0, 0 }

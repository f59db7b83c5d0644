package probes

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// door lets connections in and keeps count of them.
type door struct {
	config  *atomic.Pointer[ProxyConfig]
	refused atomic.Uint64
	now     atomic.Int64 // seconds since the door was made, when it was last swept
	closing atomic.Bool
	closed  chan struct{} // closed when closing is set
	empty   chan struct{} // closed when the last visit has ended after that

	mu        sync.Mutex // guards the fields below
	listeners map[net.Listener]struct{}
	visits    map[*visit]struct{}
	callers   map[netip.Prefix]*caller
}

// visit is one connection.
type visit struct {
	net.Conn
	door   *door
	from   netip.Addr
	caller *caller
	at     atomic.Int64 // the turn, and the second in which it began: see turnTo
	begun  bool         // the first request line has been read
	once   sync.Once
}

// caller is an address that has connections: one of IPv4, a /64 of IPv6, which
// is what one host has.
type caller struct {
	key    netip.Prefix
	visits int          // guarded by the door's mu
	due    atomic.Int64 // when its next request is due at the rate, on the Proxy's clock
}

func newDoor(config *atomic.Pointer[ProxyConfig]) *door {
	return &door{
		config: config, listeners: map[net.Listener]struct{}{}, visits: map[*visit]struct{}{},
		callers: map[netip.Prefix]*caller{}, closed: make(chan struct{}), empty: make(chan struct{}),
	}
}

// doorway is a listener whose connections come through the door.
type doorway struct {
	net.Listener
	door *door
	as   func(*visit) net.Conn // how the server sees a connection
}

// open gives ln through the door. If the door is closing, ln is closed, which
// Accept says.
func (d *door) open(ln net.Listener, as func(*visit) net.Conn) net.Listener {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closing.Load() {
		_ = ln.Close()
	}
	d.listeners[ln] = struct{}{}
	return &doorway{ln, d, as}
}

// Close closes the listener and lets the door forget it.
func (l *doorway) Close() error {
	l.door.mu.Lock()
	defer l.door.mu.Unlock()
	delete(l.door.listeners, l.Listener)
	return l.Listener.Close()
}

// Accept gives the next connection that is let in. A lack of descriptors or
// memory passes: it waits, and tries again.
func (l *doorway) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		switch {
		case err == nil:
			if v := l.door.enter(c); v != nil {
				return l.as(v), nil
			}
			l.door.refused.Add(1)
			_ = c.Close()
		case l.door.closing.Load() || errors.Is(err, net.ErrClosed):
			return nil, net.ErrClosed
		case scarce(err):
			l.door.log().Error("no connection can be accepted for now", "error", err)
			l.door.pause(100 * time.Millisecond)
		default:
			return nil, err
		}
	}
}

func scarce(err error) bool {
	return slices.ContainsFunc([]error{
		syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED,
	}, func(e error) bool { return errors.Is(err, e) })
}

func (d *door) log() *slog.Logger { return d.config.Load().Log }

// pause waits, unless the door closes.
func (d *door) pause(t time.Duration) {
	timer := time.NewTimer(t)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-d.closed:
	}
}

// enter lets a connection in, or gives nil.
func (d *door) enter(c net.Conn) *visit {
	from := remote(c)
	config := d.config.Load()
	if !allowed(config.Allow, from) {
		return nil
	}
	key := origin(from)
	d.mu.Lock()
	defer d.mu.Unlock()
	who := d.callers[key]
	switch most := config.Limits; {
	case d.closing.Load(), most.Conns > 0 && len(d.visits) >= most.Conns,
		most.PerAddr > 0 && who != nil && who.visits >= most.PerAddr:
		return nil
	}
	if who == nil {
		who = &caller{key: key}
		d.callers[key] = who
	}
	who.visits++
	v := &visit{Conn: c, door: d, from: from, caller: who}
	v.turnTo(arriving)
	d.visits[v] = struct{}{}
	return v
}

// leave forgets a connection. An address that the rate counts is remembered
// until the next sweep.
func (d *door) leave(v *visit) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.visits, v)
	if v.caller.visits--; v.caller.visits == 0 && v.caller.due.Load() == 0 {
		delete(d.callers, v.caller.key)
	}
	if len(d.visits) == 0 && d.closing.Load() {
		close(d.empty)
	}
}

// sweep closes the connections that are too slow, and forgets the addresses
// that have none and may ask again.
func (d *door) sweep(now int64) {
	seconds := now / int64(time.Second)
	d.now.Store(seconds)
	d.each(func(v *visit) {
		if v.overdue(seconds) {
			_ = v.Close()
		}
	})
	d.mu.Lock()
	defer d.mu.Unlock()
	maps.DeleteFunc(d.callers, func(_ netip.Prefix, c *caller) bool { return c.visits == 0 && c.due.Load() <= now })
}

// expel closes the connections of addresses that are not allowed.
func (d *door) expel(allow []netip.Prefix) {
	d.each(func(v *visit) {
		if !allowed(allow, v.from) {
			_ = v.Close()
		}
	})
}

// each does something with every connection, without holding mu.
func (d *door) each(do func(*visit)) {
	d.mu.Lock()
	visits := slices.Collect(maps.Keys(d.visits))
	d.mu.Unlock()
	for _, v := range visits {
		do(v)
	}
}

func (d *door) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.visits)
}

// shut closes the listeners and has every connection end at its next read. It
// waits for that until ctx ends; then it closes them.
func (d *door) shut(ctx context.Context) error {
	d.lock()
	again := time.NewTicker(20 * time.Millisecond) // for one that has just set a deadline itself
	defer again.Stop()
	for {
		d.each((*visit).end)
		select {
		case <-d.empty:
			return nil
		case <-again.C:
		case <-ctx.Done():
			d.each(func(v *visit) { _ = v.Close() })
			return ctx.Err()
		}
	}
}

// lock lets nobody in any more.
func (d *door) lock() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closing.Swap(true) {
		return
	}
	close(d.closed)
	for l := range d.listeners {
		_ = l.Close()
	}
	if len(d.visits) == 0 {
		close(d.empty)
	}
}

// allowed says whether an address is answered.
func allowed(allow []netip.Prefix, from netip.Addr) bool {
	return len(allow) == 0 || slices.ContainsFunc(allow, func(p netip.Prefix) bool { return p.Contains(from) })
}

// remote gives the address of a connection's other side; the zero address if
// it has none, as on a Unix socket.
func remote(c net.Conn) netip.Addr {
	a, ok := c.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return a.AddrPort().Addr().Unmap().WithZone("")
}

// origin gives what one host has of addresses: the address of IPv4, the /64
// around one of IPv6 (RFC 4291, 2.5.4).
func origin(from netip.Addr) netip.Prefix {
	bits := from.BitLen()
	if from.Is6() {
		bits = 64
	}
	key, _ := from.Prefix(bits)
	return key
}

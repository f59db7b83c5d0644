package dnsgtm

import (
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"time"
)

// judge puts the rate limit between a reply and the socket: it gives what is to
// be sent, nil if nothing is. Who has shown a good cookie is not limited.
func (w *worker) judge(reply []byte, to netip.Addr, proven bool, now int64) []byte {
	l := w.s.limiter.Load()
	if l == nil || proven || l.allow(to, now) {
		return reply
	}
	w.over++
	if l.rate.Slip > 0 && w.over%uint64(l.rate.Slip) == 0 { // #nosec G115 -- not negative
		w.tally.slipped.Add(1)
		return slipped(reply)
	}
	w.tally.limited.Add(1)
	return nil
}

// work answers one message, which has the capacity mostUDP. It gives nil if
// nothing is to be sent.
func (w *worker) work(k *quick, q []byte, d *desk, from netip.AddrPort, now int64) []byte {
	reply, rcode, proven := []byte(nil), uint16(0), false
	if from.Port() != 0 {
		reply, rcode, proven = k.answer(q, d, from.Addr())
	}
	switch {
	case reply != nil && rcode == 0:
		w.tally.answered.Add(1)
	case reply != nil:
		w.tally.nothing.Add(1)
	default:
		w.tally.slow.Add(1)
		if reply, _ = w.s.reply(q, client{addr: from}); reply == nil {
			w.tally.dropped.Add(1)
			return nil
		}
	}
	return w.judge(reply, from.Addr(), proven, now)
}

// desk gives what the fast path needs, as it is now.
func (s *Server) desk(now time.Time) desk {
	return desk{s.table.Load(), s.cookies.Load(), uint32(now.Unix())} // #nosec G115 -- until 2106
}

// servePortable serves the socket as any system can: one message at a time.
func (w *worker) servePortable(closing *atomic.Bool) {
	var k quick
	buf := make([]byte, mostUDP)
	for !closing.Load() {
		n, from, err := w.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			continue // an error of an earlier reply, or the alarm of wake
		}
		now := time.Now()
		d := w.s.desk(now)
		plain := netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		if reply := w.work(&k, buf[:n], &d, plain, now.UnixNano()); reply != nil {
			if _, err := w.conn.WriteToUDPAddrPort(reply, from); err != nil {
				w.tally.unsent.Add(1)
			}
		}
	}
}

package dnsgtm

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"
)

// limiter bounds the replies to each network. A slot holds when the network's
// budget is used up, in nanoseconds: one atomic number, moved on by every
// reply. A network has a slot in each of two rows and is over its limit only if
// both are, so that sharing one slot with a flood harms nobody.
type limiter struct {
	rate   Rate
	step   int64 // nanoseconds that one reply uses up
	secret [2]uint64
	rows   [2][]atomic.Int64
}

const slots = 1 << 16

// newLimiter gives a limiter, nil for no limit.
func newLimiter(r Rate) *limiter {
	if r.PerSecond == 0 {
		return nil
	}
	var seed [16]byte
	_, _ = rand.Read(seed[:]) // never fails
	return &limiter{
		rate: r, step: int64(time.Second) / int64(r.PerSecond),
		secret: [2]uint64{binary.LittleEndian.Uint64(seed[:]), binary.LittleEndian.Uint64(seed[8:])},
		rows:   [2][]atomic.Int64{make([]atomic.Int64, slots), make([]atomic.Int64, slots)},
	}
}

// allow says whether one more reply may go to an address at a time, in
// nanoseconds since any fixed moment. A burst of a second's replies is free.
func (l *limiter) allow(to netip.Addr, now int64) bool {
	if l == nil {
		return true
	}
	for _, p := range l.rate.Exempt {
		if p.Contains(to) {
			return true
		}
	}
	h := l.hash(to)
	first, second := &l.rows[0][h%slots], &l.rows[1][h>>32%slots]
	a, b := spend(first, now, l.step), spend(second, now, l.step)
	return a || b
}

// spend uses one reply of a slot's budget, if there is one left.
func spend(slot *atomic.Int64, now, step int64) bool {
	for {
		was := slot.Load()
		from := max(was, now)
		if from-now > int64(time.Second)-step {
			return false
		}
		if slot.CompareAndSwap(was, from+step) {
			return true
		}
	}
}

// hash tells networks apart in a way that nobody outside can foresee.
func (l *limiter) hash(a netip.Addr) uint64 {
	var text [9]byte
	if a.Is4() {
		four := a.As4()
		binary.BigEndian.PutUint32(text[:], binary.BigEndian.Uint32(four[:])&(^uint32(0)<<(32-l.rate.V4)))
		text[8] = 4
	} else {
		all := a.As16()
		binary.BigEndian.PutUint64(text[:], binary.BigEndian.Uint64(all[:])&(^uint64(0)<<(64-l.rate.V6)))
		text[8] = 6
	}
	return sipHash(l.secret, text[:])
}

// key tells two limits apart.
func (r Rate) key() string { return fmt.Sprint(r) }

// slipped turns a reply into a truncated one without records, so that a real
// client comes back by TCP. It gives nil if the reply has no question.
func slipped(reply []byte) []byte {
	if len(reply) < headerSize || binary.BigEndian.Uint16(reply[4:]) != 1 {
		return nil
	}
	at := headerSize
	for at < len(reply) && reply[at] != 0 {
		at += int(reply[at]) + 1
	}
	at += 5
	if at > len(reply) {
		return nil
	}
	bits := binary.BigEndian.Uint16(reply[2:])
	binary.BigEndian.PutUint16(reply[2:], bits&^0xf|bitTC)
	binary.BigEndian.PutUint16(reply[6:], 0)
	binary.BigEndian.PutUint32(reply[8:], 0)
	return reply[:at]
}

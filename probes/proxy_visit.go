package probes

import (
	"bytes"
	"net"
	"runtime"
	"time"
)

// Close closes the connection and lets the door forget it.
func (v *visit) Close() error {
	v.once.Do(func() { v.door.leave(v) })
	return v.Conn.Close()
}

// end has the connection end: at once if nothing has been asked, else after the
// answer that is under way.
func (v *visit) end() {
	if v.turn() == arriving {
		_ = v.Close()
		return
	}
	_ = v.SetReadDeadline(time.Now())
}

// turn is what a connection is at.
type turn int64

const (
	arriving turn = iota // new, nothing has been read
	resting              // an answer has been sent
	asking               // the first byte of a request has been read
	replying             // the request is known
)

// patience is how long a connection may be at a turn. Balancers that keep
// connections ask every minute at the least.
func (p turn) patience() time.Duration {
	if p == resting {
		return 90 * time.Second
	}
	return proxyPatience
}

// turnTo notes that v is at a turn from now on. Three deadlines a request would
// take more time than all else that is ours; so the door looks every second.
func (v *visit) turnTo(p turn) { v.at.Store(int64(v.door.now.Load())<<2 | int64(p)) }

func (v *visit) turn() turn { return turn(v.at.Load() & 3) }

// overdue says whether v has been at its turn for too long.
func (v *visit) overdue(now int64) bool {
	at := v.at.Load()
	return time.Duration(now-at>>2)*time.Second > turn(at&3).patience()
}

// take says whether one more request may be answered now at a rate of so many
// a second, and counts it. A second's worth may come at once.
func (c *caller) take(now int64, rate int) bool {
	gap := int64(time.Second) / int64(rate)
	for {
		was := c.due.Load()
		due := max(was, now)
		if due-now > int64(time.Second)-gap {
			return false
		}
		if c.due.CompareAndSwap(was, due+gap) {
			return true
		}
	}
}

// httpVisit is a connection of which the first request line is looked at before
// the server reads it.
type httpVisit struct{ *visit }

// visitOf gives the visit that a server sees as c; nil if it is none.
func visitOf(c net.Conn) *visit {
	if r, ok := c.(httpVisit); ok {
		return r.visit
	}
	return nil
}

// Read reads on. The first request line of a connection is waited for and
// mended, for the server takes none without a version.
func (r httpVisit) Read(p []byte) (int, error) {
	if !r.begun {
		return r.begin(p)
	}
	if r.turn() == replying {
		r.turnTo(resting)
		runtime.Gosched() // others first: meanwhile the next request may have come, else the read is one too many
	}
	n, err := r.Conn.Read(p)
	if r.turn() == resting {
		r.turnTo(asking)
	}
	return n, err
}

// begin reads until p has the first line that is not empty, or is full.
func (r httpVisit) begin(p []byte) (n int, err error) {
	for n < len(p) {
		var m int
		m, err = r.Conn.Read(p[n:])
		if n += m; n > 0 && r.turn() == arriving {
			r.turnTo(asking)
		}
		if start, end := firstLine(p[:n]); end > 0 {
			r.begun = true
			return mend(p, n, start, end), err
		}
		if err != nil {
			return n, err
		}
	}
	r.begun = true
	return n, nil
}

// firstLine finds the first line in p that is not empty: from start up to its
// line end. end is 0 if there is none yet.
func firstLine(p []byte) (start, end int) {
	for start < len(p) && (p[start] == '\r' || p[start] == '\n') {
		start++
	}
	length := bytes.IndexByte(p[start:], '\n')
	if length < 0 {
		return start, 0
	}
	return start, start + length
}

// mend makes a whole HTTP/1.0 request of one of HTTP/0.9, which is "GET PATH"
// and nothing else, as the default of F5's HTTP monitor sends it. What follows
// is dropped, for nothing may follow. p has n bytes in use; it gives how many
// are then. Anything else is left as it is.
func mend(p []byte, n, start, end int) int {
	const rest = " HTTP/1.0\r\n\r\n"
	line := bytes.TrimRight(p[start:end], "\r")
	path, isGet := bytes.CutPrefix(line, []byte("GET /"))
	if !isGet || bytes.IndexByte(path, ' ') >= 0 || start+len(line)+len(rest) > len(p) {
		return n
	}
	return start + len(line) + copy(p[start+len(line):], rest)
}

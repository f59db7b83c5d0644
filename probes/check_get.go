package probes

import (
	"context"
	"crypto/tls"
	"net"
	"os"
	"strings"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// get is one GET of one page, over a connection that nobody else uses.
type get struct {
	*Checker
	page     ha.Page
	deadline time.Time
	phase    phase
	conn     net.Conn // nil until connected
	ear      *ear     // nil until the request is sent
	trace    *Trace   // nil: nobody asks how it went
}

// phase is how far a get has come.
type phase uint8

const (
	naming phase = iota
	connecting
	shaking // hands, with TLS
	answering
	phases
)

// finding is what a get found: a Reading without its node and times, not cut.
type finding struct {
	state  ha.State
	cause  ha.Cause
	words  string
	detail string
	epoch  uint64
	safe   bool
}

// find does the whole get. The connection and what it was heard with stay for
// end.
func (g *get) find(ctx context.Context) finding {
	g.enter(naming)
	addrs, err := g.names.addresses(ctx, g.deadline)
	if err != nil {
		return g.failed(err)
	}
	g.enter(connecting)
	if err := g.connect(ctx, addrs); err != nil {
		return g.failed(err)
	}
	if ctx.Done() != nil {
		defer context.AfterFunc(ctx, func() { _ = g.conn.SetDeadline(time.Unix(1, 0)) })()
	}
	stream := g.conn
	if g.security != nil {
		g.enter(shaking)
		secure := tls.Client(g.conn, g.security)
		if err := secure.Handshake(); err != nil {
			return g.failed(err)
		}
		if g.trace != nil {
			g.trace.TLS = tellVersion(secure.ConnectionState())
		}
		stream = secure
	}
	g.enter(answering)
	return g.converse(stream)
}

// connect tries the addresses in turn. Each has an equal share of the time
// that is left, so that a dead one leaves some for the next.
func (g *get) connect(ctx context.Context, addrs []string) error {
	var failed unreached
	for i, addr := range addrs {
		left := time.Until(g.deadline) / time.Duration(len(addrs)-i)
		conn, err := g.reach(ctx, addr, left)
		if err == nil {
			g.conn = conn
			if i > 0 {
				g.names.prefer(addr)
			}
			return conn.SetDeadline(g.deadline)
		}
		failed = append(failed, unreachedAddr{addr, left, err})
		if ctx.Err() != nil {
			break
		}
	}
	return failed
}

// reach connects to one address.
func (g *get) reach(ctx context.Context, addr string, within time.Duration) (net.Conn, error) {
	switch {
	case within <= 0:
		return nil, os.ErrDeadlineExceeded
	case g.dial != nil:
		return g.dial(addr, within)
	}
	return dial(ctx, addr, within)
}

// dialNet is dial by the standard library.
func dialNet(ctx context.Context, addr string, within time.Duration) (net.Conn, error) {
	d := net.Dialer{Timeout: within, KeepAlive: -1}
	return d.DialContext(ctx, "tcp", addr)
}

// converse asks and hears. What stands in the headers is judged before the
// body is read. A request that cannot be sent is no failure of its own: a node
// may answer and hang up before it has read.
func (g *get) converse(stream net.Conn) finding {
	_, _ = stream.Write(g.requests[g.page])
	g.ear = listen(stream)
	if g.trace != nil {
		g.ear.wire.tell = g.trace.hear
	}
	if err := g.ear.readHead(); err != nil {
		return g.failed(err)
	}
	f := finding{epoch: g.ear.epoch(), safe: g.ear.safe()}
	if f.cause, f.detail = g.ear.judgeHead(); f.cause != "" {
		return f
	}
	if err := g.ear.readBody(); err != nil {
		return g.failed(err)
	}
	body := string(g.ear.resp.Body())
	f.state, f.words = g.profile.Read(g.page, body)
	if !f.state.Available() {
		f.cause, f.detail = ha.Body, g.profile.Path(g.page)+" does not say what it must"
		if strings.TrimSpace(body) == "" {
			f.detail = g.profile.Path(g.page) + " is empty"
		}
	}
	return f
}

func (g *get) failed(err error) finding {
	cause, detail := g.blame(err)
	return finding{cause: cause, detail: detail}
}

// end gives everything back. The connection is reset rather than shut: all
// that was wanted of it has been read, and neither side is left in TIME_WAIT.
func (g *get) end() {
	if g.conn != nil {
		if tcp, ok := g.conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = g.conn.Close()
	}
	if g.ear != nil {
		g.ear.release()
	}
}

// enter notes how far the get has come.
func (g *get) enter(p phase) {
	g.phase = p
	if g.trace != nil {
		g.trace.entered[p] = time.Now()
	}
}

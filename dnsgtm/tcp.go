package dnsgtm

import (
	"bufio"
	"container/list"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"
)

// hall holds the open connections, the one that was heard last at the back.
type hall struct {
	bounds  TCP
	figures *figures

	mu     sync.Mutex // guards the fields below
	guests list.List  // of *guest
	closed bool
}

// guest is one connection.
type guest struct {
	net.Conn
	place *list.Element
}

func newHall(b TCP, f *figures) *hall { return &hall{bounds: b, figures: f} }

// enter takes a connection in. Where the hall is full the one that was silent
// for longest leaves: so idle ones, however many, keep nobody out (RFC 7766,
// 6.2.3).
func (h *hall) enter(conn net.Conn) *guest {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed { // it came in as the door was closing, and is not sent away with its question
		_ = conn.SetReadDeadline(time.Now().Add(lastWords))
	}
	if h.guests.Len() >= h.bounds.Connections {
		silent := h.guests.Front().Value.(*guest)
		h.remove(silent)
		silent.Close()
		h.figures.evicted.Add(1)
	}
	g := &guest{Conn: conn}
	g.place = h.guests.PushBack(g)
	h.figures.connections.Add(1)
	return g
}

// heard notes that a guest has said something, or is being told something.
func (h *hall) heard(g *guest) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if g.place != nil {
		h.guests.MoveToBack(g.place)
	}
}

func (h *hall) leave(g *guest) {
	h.mu.Lock()
	h.remove(g)
	h.mu.Unlock()
	g.Close()
}

// remove is called with the lock.
func (h *hall) remove(g *guest) {
	if g.place != nil {
		h.guests.Remove(g.place)
		g.place = nil
		h.figures.connections.Add(-1)
	}
}

// lastWords is how long a connection may still ask once the door is closed.
const lastWords = 500 * time.Millisecond

// empty ends all connections: what they still ask at once is answered.
func (h *hall) empty() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for e := h.guests.Front(); e != nil; e = e.Next() {
		_ = e.Value.(*guest).SetReadDeadline(time.Now().Add(lastWords))
	}
}

// await sets how long a guest may be silent.
func (h *hall) await(g *guest, limit time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.closed {
		_ = g.SetReadDeadline(time.Now().Add(limit))
	}
}

// accept takes connections until the listener is closed.
func (d *door) accept(s *Server, l stream) {
	wait := 5 * time.Millisecond
	for {
		conn, err := l.Accept()
		switch {
		case err == nil:
			wait = 5 * time.Millisecond
		case d.closing.Load() || errors.Is(err, net.ErrClosed):
			return
		default: // out of descriptors, most likely
			s.logRarely(slog.LevelError, "connections not accepted", "error", err)
			pause := time.NewTimer(wait)
			<-pause.C
			wait = min(2*wait, time.Second)
			continue
		}
		if l.secret {
			conn = tls.Server(conn, &tls.Config{
				MinVersion: tls.VersionTLS12, NextProtos: []string{"dot"},
				GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return d.cert.Load(), nil },
			})
		}
		g := d.hall.enter(conn)
		d.serving.Go(func() {
			defer d.hall.leave(g)
			s.converse(d.hall, g, client{addr: addressOf(conn), stream: true, secret: l.secret})
		})
	}
}

func addressOf(conn net.Conn) netip.AddrPort {
	a, is := conn.RemoteAddr().(*net.TCPAddr)
	if !is {
		return netip.AddrPort{}
	}
	at := a.AddrPort()
	return netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
}

// converse answers messages of one connection in the order in which they come
// (RFC 7766). Replies go out together when nothing more has been read.
func (s *Server) converse(h *hall, g *guest, from client) {
	in := bufio.NewReaderSize(g, 4096)
	out := bufio.NewWriterSize(g, 16<<10)
	var frame [2]byte
	for {
		if in.Buffered() < 2 {
			if out.Flush() != nil {
				return
			}
			h.await(g, h.bounds.Idle)
		}
		if _, err := io.ReadFull(in, frame[:]); err != nil {
			return
		}
		h.heard(g)
		h.await(g, h.bounds.Whole)
		raw := make([]byte, binary.BigEndian.Uint16(frame[:]))
		if _, err := io.ReadFull(in, raw); err != nil {
			return
		}
		send := func(message []byte) error {
			h.heard(g) // a long transfer is no silence
			_ = g.SetWriteDeadline(time.Now().Add(h.bounds.Whole))
			binary.BigEndian.PutUint16(frame[:], uint16(len(message))) // #nosec G115 -- a message has at most 65535 bytes
			_, err := out.Write(frame[:])
			if err == nil {
				_, err = out.Write(message)
			}
			return err
		}
		if s.hear(raw, from, send) != nil {
			return
		}
	}
}

// errMute ends a connection that sends what is no query.
var errMute = errors.New("no reply")

// hear answers one message of a connection, a transfer with many.
func (s *Server) hear(raw []byte, from client, send func([]byte) error) error {
	reply, transfer := s.reply(raw, from)
	switch {
	case transfer != nil:
		return transfer.transfer(send)
	case reply == nil:
		s.figures.dropped.Add(1)
		return errMute
	}
	return send(reply)
}

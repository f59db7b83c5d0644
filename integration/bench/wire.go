package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// wire is an HTTP/1.1 client with a pool of connections, which sends every
// request exactly once. The client of net/http would repeat a GET by itself
// when a reused connection breaks, and so hide what a front lost.
type wire struct {
	address string

	mu   sync.Mutex // guards idle
	idle []*link
}

// link is a connection to the front.
type link struct {
	net.Conn
	in *bufio.Reader
}

// reply is what came back.
type reply struct {
	status int
	node   string // who answered
}

// ask sends one request and waits for the whole answer, until the deadline.
func (w *wire) ask(method, id string, deadline time.Time) (reply, error) {
	l, err := w.take(deadline)
	if err != nil {
		return reply{}, err
	}
	again := false
	defer func() { w.give(l, again) }()
	if err := l.SetDeadline(deadline); err != nil {
		return reply{}, err
	}
	body := ""
	if method == http.MethodPost {
		body = "id=" + id
	}
	if _, err := fmt.Fprintf(l, "%s / HTTP/1.1\r\nHost: bench.example\r\n%s: %s\r\nContent-Length: %d\r\n\r\n%s", method, idHeader, id, len(body), body); err != nil {
		return reply{}, err
	}
	resp, err := http.ReadResponse(l.in, &http.Request{Method: method})
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return reply{}, err
	}
	again = !resp.Close
	return reply{resp.StatusCode, resp.Header.Get(nodeHeader)}, nil
}

// take gives the connection that was used last, or a new one.
func (w *wire) take(deadline time.Time) (*link, error) {
	w.mu.Lock()
	if last := len(w.idle) - 1; last >= 0 {
		l := w.idle[last]
		w.idle = w.idle[:last]
		w.mu.Unlock()
		return l, nil
	}
	w.mu.Unlock()
	conn, err := net.DialTimeout("tcp", w.address, time.Until(deadline))
	if err != nil {
		return nil, err
	}
	return &link{conn, bufio.NewReader(conn)}, nil
}

// give takes a connection back, to be used again or closed.
func (w *wire) give(l *link, again bool) {
	if !again {
		_ = l.Close()
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.idle = append(w.idle, l)
}

// close closes the idle connections.
func (w *wire) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range w.idle {
		_ = l.Close()
	}
	w.idle = nil
}

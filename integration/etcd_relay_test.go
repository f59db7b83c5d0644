//go:build linux

package integration

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"
)

// relay is a way to somewhere that can be cut: then nothing passes, and nobody
// is told, as behind a firewall that drops.
type relay struct {
	net.Listener
	to string

	mu    sync.Mutex // guards the fields below
	cut   bool
	whole chan struct{} // closed while it is not cut
}

func newRelay(t *testing.T, url string) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{Listener: l, to: strings.TrimPrefix(url, "http://"), whole: make(chan struct{})}
	close(r.whole)
	t.Cleanup(func() {
		r.be(true)
		_ = l.Close()
	})
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go r.pass(conn)
		}
	}()
	return r
}

func (r *relay) url() string { return "http://" + r.Addr().String() }

// be makes the way whole, or cuts it.
func (r *relay) be(whole bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case whole && r.cut:
		close(r.whole)
	case !whole && !r.cut:
		r.whole = make(chan struct{})
	}
	r.cut = !whole
}

func (r *relay) wait() {
	r.mu.Lock()
	whole := r.whole
	r.mu.Unlock()
	<-whole
}

func (r *relay) pass(from net.Conn) {
	r.wait()
	to, err := net.Dial("tcp", r.to)
	if err != nil {
		_ = from.Close()
		return
	}
	go r.copy(to, from)
	r.copy(from, to)
}

func (r *relay) copy(to, from net.Conn) {
	defer to.Close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		r.wait()
		if _, err := to.Write(buffer[:n]); err != nil && err != io.EOF {
			return
		}
	}
}

// far is a node as one watcher sees it: by a way of its own.
type far struct {
	node
	way *relay
}

func (f far) URL() string { return f.way.url() }

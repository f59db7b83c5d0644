package hatest

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
)

// listener is the node's door: it hands out no connection while the node is
// Frozen, resets them under Reset, and speaks TLS where the script says so.
type listener struct {
	net.Listener
	node *Node
	dead <-chan struct{} // closed by the kill
}

func (l *listener) Accept() (net.Conn, error) {
	for {
		raw, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		n := l.node
		if !n.thawed(l.dead) {
			raw.Close()
			return nil, net.ErrClosed
		}
		n.accepted.Add(1)
		c := &conn{Conn: raw, node: n, closed: make(chan struct{})}
		n.conns.add(c)
		n.news.ring()
		s := n.script.Load()
		if s.parts[Pages].broken.Fault == Reset && s.parts[App].broken.Fault == Reset {
			c.reset()
			continue
		}
		if s.tls == TLSOff {
			return c, nil
		}
		return tls.Server(c, n.tlsConfig()), nil
	}
}

// conn is one connection of a client. While the node is Frozen it hands over
// and sends nothing; what arrives meanwhile waits.
type conn struct {
	net.Conn
	node   *Node
	once   sync.Once
	closed chan struct{}
	asked  atomic.Int64 // requests so far
}

func (c *conn) Read(p []byte) (int, error) {
	k, err := c.Conn.Read(p)
	if !c.node.thawed(c.closed) {
		return 0, net.ErrClosed
	}
	return k, err
}

func (c *conn) Write(p []byte) (int, error) {
	if !c.node.thawed(c.closed) {
		return 0, net.ErrClosed
	}
	k, err := c.Conn.Write(p)
	c.node.sent.Add(int64(k))
	return k, err
}

func (c *conn) Close() error {
	err := net.ErrClosed
	c.once.Do(func() {
		close(c.closed)
		err = c.Conn.Close()
		c.node.conns.remove(c)
		c.node.news.ring()
	})
	return err
}

// reset closes the connection with a RST.
func (c *conn) reset() {
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	c.Close()
}

// thawed waits while the node is Frozen. It is false when gone was closed.
func (n *Node) thawed(gone <-chan struct{}) bool {
	for n.script.Load().door == Frozen {
		changed := n.changed.next()
		if n.script.Load().door != Frozen {
			break
		}
		select {
		case <-changed:
		case <-gone:
			return false
		}
	}
	select {
	case <-gone:
		return false
	default:
		return true
	}
}

type connKey struct{}

// connContext lets a request find its connection.
func connContext(ctx context.Context, c net.Conn) context.Context {
	if secure, ok := c.(*tls.Conn); ok {
		c = secure.NetConn()
	}
	return context.WithValue(ctx, connKey{}, c)
}

func connOf(r *http.Request) *conn { return r.Context().Value(connKey{}).(*conn) }

// connSet is the open connections of a node.
type connSet struct {
	mu  sync.Mutex // guards all
	all map[*conn]bool
}

func (s *connSet) add(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = make(map[*conn]bool)
	}
	s.all[c] = true
}

func (s *connSet) remove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, c)
}

func (s *connSet) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.all)
}

func (s *connSet) closeAll() {
	s.mu.Lock()
	open := make([]*conn, 0, len(s.all))
	for c := range s.all {
		open = append(open, c)
	}
	s.mu.Unlock()
	for _, c := range open {
		c.Close()
	}
}

package caddymodule

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// errFenced is the error of a dial to a node that does not serve.
var errFenced = errors.New("the node does not serve any more")

// errStarting is the error of a dial to a node that has just been chosen and
// refuses.
var errStarting = errors.New("the node has just been chosen and takes no connections yet")

// startWait is the pause between two dials of a node that refuses connections.
const startWait = 50 * time.Millisecond

// server is the serving node as long as it serves: its connections and what
// live traffic says of it. A node that serves again is a new server.
type server struct {
	node      string
	address   string
	successor bool        // it took over from another node
	young     atomic.Bool // it did so, and has accepted no connection yet
	knock     atomic.Pointer[knock]

	waiting *atomic.Int64 // how many requests of the group wait

	before *server // the same node at the address it had before, whose connections go on

	used     atomic.Bool  // it has been sent a request
	started  atomic.Int64 // requests sent
	finished atomic.Int64 // requests that got an answer or an error

	ctx    context.Context // ends when the node is fenced
	cancel context.CancelFunc

	mu     sync.Mutex // guards the fields below
	fenced bool
	conns  map[*tracked]struct{}
}

func (r *route) newServer(node, address string, successor bool) *server {
	s := &server{node: node, address: address, successor: successor, waiting: &r.waiting, conns: map[*tracked]struct{}{}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.young.Store(successor)
	return s
}

// fence forbids new connections, and ends those that are being made.
func (s *server) fence() {
	s.mu.Lock()
	s.fenced = true
	s.mu.Unlock()
	s.cancel()
}

// close closes every connection and says how many there were.
func (s *server) close() int {
	s.mu.Lock()
	conns := make([]*tracked, 0, len(s.conns))
	for c := range s.conns {
		conns = append(conns, c)
	}
	s.mu.Unlock()
	for _, c := range conns {
		_ = c.Close()
	}
	if s.before != nil {
		return len(conns) + s.before.close()
	}
	return len(conns)
}

// dialer makes one connection.
type dialer func(ctx context.Context) (net.Conn, error)

// dial makes a connection with dial and keeps track of it. It fails with
// errFenced if the node is fenced before the connection stands, and with
// errStarting if it has just been chosen and refuses. A node that refuses is
// knocked at.
func (s *server) dial(ctx context.Context, dial dialer) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	conn, err := dial(ctx)
	switch {
	case s.ctx.Err() != nil:
		if err == nil {
			_ = conn.Close()
		}
		return nil, errFenced
	case err == nil:
		s.young.Store(false)
		return s.track(conn)
	case refused(err):
		if k := (&knock{make(chan struct{})}); s.knock.CompareAndSwap(nil, k) {
			go s.knocking(context.WithoutCancel(ctx), k, dial)
		}
		if s.young.Load() { // it cannot be expected to listen yet: no evidence against it
			return nil, errStarting
		}
	}
	return nil, err
}

// knock is the time in which a node that refuses is tried by us again and
// again, so that requests can wait where waiting is bounded: it has just been
// chosen, its application is started anew, or its door is closed for a moment.
type knock struct{ over chan struct{} } // closed when requests may try for themselves

// knocking tries the node again until it takes a connection, or serves no more,
// or nobody waits for it.
func (s *server) knocking(ctx context.Context, k *knock, dial dialer) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	defer close(k.over)
	defer s.knock.Store(nil)
	pause := time.NewTicker(startWait)
	defer pause.Stop()
	for {
		select {
		case <-pause.C:
		case <-ctx.Done():
			return
		}
		if s.waiting.Load() == 0 {
			return
		}
		conn, err := dial(ctx)
		if err == nil {
			s.young.Store(false)
			_ = conn.Close()
		}
		if err == nil || !refused(err) {
			return
		}
	}
}

// refused says whether a dial failed because nobody listens. Caddy's DialError
// hides what it holds; only its words are left.
func refused(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || strings.HasSuffix(err.Error(), syscall.ECONNREFUSED.Error())
}

// track registers a connection, unless the node was fenced meanwhile.
func (s *server) track(conn net.Conn) (net.Conn, error) {
	t := &tracked{Conn: conn, server: s}
	s.mu.Lock()
	if !s.fenced {
		s.conns[t] = struct{}{}
		s.mu.Unlock()
		return t, nil
	}
	s.mu.Unlock()
	_ = conn.Close()
	return nil, errFenced
}

// open says how many connections there are.
func (s *server) open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// tracked is a connection to a node that its server can close.
type tracked struct {
	net.Conn
	server *server
	once   sync.Once
}

// Close closes the connection and forgets it.
func (t *tracked) Close() error {
	t.once.Do(func() {
		t.server.mu.Lock()
		delete(t.server.conns, t)
		t.server.mu.Unlock()
	})
	return t.Conn.Close()
}

// CloseWrite ends the sending half, if the connection has one, so that a
// half-closed tunnel lives on.
func (t *tracked) CloseWrite() error {
	if half, ok := t.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return t.Close()
}

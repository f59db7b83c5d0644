//go:build linux

package integration

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"
)

// terminal is the TCP side of a node: it greets every connection with its name
// and what it knows of the client, sends back what it gets, and when the client
// has ended its half says bye.
type terminal struct {
	t      *testing.T
	name   string
	listen string
	tls    *tls.Config // nil: plain TCP
	proxy  bool        // a PROXY header comes first

	mu    sync.Mutex // guards the fields below
	door  net.Listener
	conns map[net.Conn]bool
	came  int
	work  sync.WaitGroup
}

// open starts the terminal on its port, where it was before.
func (n *terminal) open() *terminal {
	n.t.Helper()
	if n.listen == "" {
		n.listen = loopback(freePort(n.t))
	}
	door, err := net.Listen("tcp", n.listen)
	if err != nil {
		n.t.Fatal(err)
	}
	n.mu.Lock()
	n.door, n.conns = door, map[net.Conn]bool{}
	n.mu.Unlock()
	n.work.Go(func() {
		for {
			c, err := door.Accept()
			if err != nil {
				return
			}
			n.mu.Lock()
			n.conns[c] = true
			n.came++
			n.mu.Unlock()
			n.work.Go(func() { n.serve(c) })
		}
	})
	n.t.Cleanup(n.kill)
	return n
}

// kill ends the terminal as a kill of its process does.
func (n *terminal) kill() {
	n.mu.Lock()
	n.door.Close()
	for c := range n.conns {
		c.Close()
	}
	n.mu.Unlock()
	n.work.Wait()
}

// accepted counts the connections that ever came.
func (n *terminal) accepted() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.came
}

// open connections now.
func (n *terminal) alive() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.conns)
}

func (n *terminal) serve(raw net.Conn) {
	defer func() {
		raw.Close()
		n.mu.Lock()
		delete(n.conns, raw)
		n.mu.Unlock()
	}()
	c, from := raw, raw.RemoteAddr().String()
	if n.proxy {
		in := bufio.NewReader(raw)
		header, err := proxyproto.Read(in)
		if err != nil {
			fmt.Fprintf(raw, "%s no PROXY header: %v\n", n.name, err)
			return
		}
		c, from = &ahead{raw, in}, fmt.Sprintf("%s v%d", header.SourceAddr, header.Version)
	}
	user := "nobody"
	if n.tls != nil {
		secure := tls.Server(c, n.tls)
		if err := secure.Handshake(); err != nil {
			return
		}
		if certs := secure.ConnectionState().PeerCertificates; len(certs) > 0 {
			user = certs[0].DNSNames[0]
		}
		c = secure
	}
	fmt.Fprintf(c, "%s user %s from %s\n", n.name, user, from)
	if _, err := io.Copy(c, c); err == nil {
		fmt.Fprint(c, "bye\n")
	}
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}

// ahead is a connection of which something has been read already.
type ahead struct {
	net.Conn
	in *bufio.Reader
}

func (a *ahead) Read(p []byte) (int, error) { return a.in.Read(p) }

func (a *ahead) CloseWrite() error { return a.Conn.(*net.TCPConn).CloseWrite() }

// caller is a client of a terminal.
type caller struct {
	net.Conn
	in *bufio.Reader
}

// call connects to the layer 4 side of a front, by TLS if a config is given.
func call(t *testing.T, address string, config *tls.Config) (*caller, error) {
	t.Helper()
	dialer := &net.Dialer{Timeout: patience}
	var c net.Conn
	var err error
	if config == nil {
		c, err = dialer.Dial("tcp", address)
	} else {
		c, err = tls.DialWithDialer(dialer, "tcp", address, config)
	}
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return &caller{c, bufio.NewReader(c)}, nil
}

// mustCall is call that must succeed.
func mustCall(t *testing.T, address string, config *tls.Config) *caller {
	t.Helper()
	c, err := call(t, address, config)
	if err != nil {
		t.Fatalf("call %s: %v", address, err)
	}
	return c
}

// expectLine reads one line.
func (c *caller) expectLine(t *testing.T, want string) {
	t.Helper()
	if got, err := c.in.ReadString('\n'); got != want+"\n" {
		t.Fatalf("got %q, %v; want %q", got, err, want)
	}
}

// expectEcho sends a line and reads it back.
func (c *caller) expectEcho(t *testing.T, word string) {
	t.Helper()
	_ = c.SetDeadline(time.Now().Add(patience))
	fmt.Fprintln(c, word)
	c.expectLine(t, word)
}

// expectEnd reads until the connection ends.
func (c *caller) expectEnd(t *testing.T) {
	t.Helper()
	_ = c.SetDeadline(time.Now().Add(patience))
	_, err := io.Copy(io.Discard, c.in)
	if late, ok := err.(net.Error); ok && late.Timeout() {
		t.Fatal("the connection did not end")
	}
}

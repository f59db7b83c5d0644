// Package hatest is a node to test against: a real HTTP or HTTPS server with
// the two status pages and a small application, which takes any state, breaks
// in any way a server can break, lies, dies, and comes back on the same port.
//
//	n := hatest.New(t, hatest.Config{Name: "core1", State: ha.Active})
//	n.Break(hatest.Hang)
//
// Everything may be set while requests are under way and from any goroutine.
// A setting counts for an answer that has not begun, and a fault ends for
// those who wait in it. Start, Kill, Break, Mend and Close run one at a time
// and wait for the goroutines that they end.
package hatest

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/understudy-ha/understudy/internal/ha"
)

// Config says what a node is when it opens. The zero value is a plain HTTP
// node, NotAvailable, on a free port of 127.0.0.1.
type Config struct {
	Name      string      // what the application calls itself; empty is the test's name, or "node"
	State     ha.State    // see Set
	Epoch     uint64      // see SetEpoch
	Listen    string      // host:port; empty is 127.0.0.1:0, port 0 a free one
	TLS       TLS         // see SetTLS
	Authority *Authority  // who signs the certificates, to be shared by nodes; nil is one of the node's own
	Names     []string    // further names and addresses in the certificate, beside 127.0.0.1, ::1 and localhost
	Failed    func(error) // told when a node cannot listen again; nil panics
}

// T is what New needs of *testing.T, *testing.B or *testing.F.
type T interface {
	Helper()
	Cleanup(func())
	Fatalf(format string, args ...any)
	Name() string
}

// Node is one server under test, made by New or Open.
type Node struct {
	cfg    Config
	addr   netip.AddrPort // fixed by Open
	claim  io.Closer      // keeps the port while nobody listens, or nil
	certs  map[TLS]*tls.Certificate
	client *http.Client

	script  atomic.Pointer[script] // replaced as a whole by edit
	editing sync.Mutex             // one edit at a time
	changed bell                   // a new script
	news    bell                   // what Await looks at has moved

	acting sync.Mutex // guards the fields below; one of Start, Kill, Break, Mend, Close at a time
	closed bool
	life   *life         // nil while killed
	door   *listener     // nil while nobody listens
	served chan struct{} // closed when the door's accept loop has ended

	work     sync.WaitGroup // connections and requests
	busy     atomic.Int64
	sent     atomic.Int64
	accepted atomic.Int64
	conns    connSet
	probes   record
	requests record
	hits     tally
}

// New opens a node that ends with the test. A node that cannot listen, now or
// later, ends the test by Fatalf, which must not return.
func New(t T, cfg Config) *Node {
	t.Helper()
	if cfg.Name == "" {
		cfg.Name = t.Name()
	}
	if cfg.Failed == nil {
		cfg.Failed = func(err error) {
			t.Helper()
			t.Fatalf("node %s: %v", cfg.Name, err)
		}
	}
	n, err := Open(cfg)
	if err != nil {
		t.Fatalf("node %s: %v", cfg.Name, err)
	}
	t.Cleanup(n.Close)
	return n
}

// Open opens a node outside of a test. The error says why it cannot listen or
// make its certificates. The caller calls Close.
func Open(cfg Config) (*Node, error) {
	if cfg.Name == "" {
		cfg.Name = "node"
	}
	n := &Node{cfg: cfg}
	n.script.Store(&script{state: cfg.State, epoch: cfg.Epoch, tls: cfg.TLS})
	if err := n.claimPort(); err != nil {
		return nil, err
	}
	if err := n.certify(); err != nil {
		n.Close()
		return nil, err
	}
	n.client = &http.Client{
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{RootCAs: n.CA().Pool()}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	if err := n.start(); err != nil {
		n.Close()
		return nil, err
	}
	return n, nil
}

// Close kills the node for good and gives its port back.
func (n *Node) Close() {
	n.Kill()
	n.acting.Lock()
	defer n.acting.Unlock()
	n.closed = true
	if n.claim != nil {
		n.claim.Close()
		n.claim = nil
	}
	if n.client != nil {
		n.client.CloseIdleConnections()
	}
}

// Name gives what the application calls itself.
func (n *Node) Name() string { return n.cfg.Name }

// Addr gives the address that the node listens on, the same after a Kill and
// a Start.
func (n *Node) Addr() netip.AddrPort { return n.addr }

// URL gives the root of the node, without a slash at the end. A node that
// listens on every address is named by its loopback address.
func (n *Node) URL() string {
	scheme := "https"
	if n.script.Load().tls == TLSOff {
		scheme = "http"
	}
	return fmt.Sprintf("%s://%s", scheme, dialable(n.addr))
}

// PageURL gives the address of a page.
func (n *Node) PageURL(page ha.Page) string { return n.URL() + pagePath(page) }

// Client gives a client that trusts the node's CA, follows no redirect and
// keeps connections for reuse. It is the same at every call.
func (n *Node) Client() *http.Client { return n.client }

// CA gives who signed the node's certificates.
func (n *Node) CA() *Authority { return n.cfg.Authority }

func dialable(a netip.AddrPort) netip.AddrPort {
	switch ip := a.Addr(); {
	case !ip.IsUnspecified():
		return a
	case ip.Is4():
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), a.Port())
	}
	return netip.AddrPortFrom(netip.IPv6Loopback(), a.Port())
}

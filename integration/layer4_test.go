//go:build linux

package integration

import (
	"bufio"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"hash"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/api"
	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/internal/hatest"
)

// TCP and TLS passed through: the nodes, not the front, end it.

// passage is a front that passes TCP through to the terminals of a pair.
type passage struct {
	*front
	address      string // where clients call
	core1, core2 *hatest.Node
	term1, term2 *terminal
	authority    *hatest.Authority
}

// passing says how a passage is made.
type passing struct {
	secure  bool              // the nodes end TLS and want a certificate
	proxy   bool              // the nodes want a PROXY header
	matcher string            // of the route; empty: every connection
	before  []string          // a route before ours
	handler []string          // lines of ours
	probe   map[string]string // what differs from quick
}

// pass makes a passage.
func pass(t *testing.T, how passing) *passage {
	t.Helper()
	p := &passage{address: loopback(freePort(t))}
	p.core1, p.core2 = localPair(t)
	var err error
	if p.authority, err = hatest.NewAuthority(); err != nil {
		t.Fatal(err)
	}
	p.term1, p.term2 = &terminal{t: t, name: "core1", proxy: how.proxy}, &terminal{t: t, name: "core2", proxy: how.proxy}
	for _, n := range []*terminal{p.term1, p.term2} {
		if how.secure {
			n.tls = &tls.Config{Certificates: []tls.Certificate{p.certificate(t, appName)}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: p.authority.Pool()}
		}
		n.open()
	}
	layer4 := []string{"layer4 {", p.address + " {"}
	route := "route {"
	if how.matcher != "" {
		layer4, route = append(layer4, "@it "+how.matcher), "route @it {"
	}
	layer4 = append(append(layer4, how.before...), route, "understudy mdm {")
	layer4 = append(append(layer4, how.handler...), "}", "}", "}", "}")
	p.front = startFront(t, plan{
		nodes: []node{p.core1, p.core2}, probe: how.probe, global: layer4,
		url: map[string]string{"core1": "http://" + p.term1.listen, "core2": "http://" + p.term2.listen},
	})
	return p
}

// certificate makes one for a name.
func (p *passage) certificate(t *testing.T, name string) tls.Certificate {
	t.Helper()
	c, err := p.authority.Certificate(name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// client gives what a device shows and trusts.
func (p *passage) client(t *testing.T, device, server string) *tls.Config {
	t.Helper()
	return &tls.Config{ServerName: server, RootCAs: p.authority.Pool(), Certificates: []tls.Certificate{p.certificate(t, device)}}
}

// die kills all of a node.
func die(n *hatest.Node, term *terminal) {
	n.Kill()
	term.kill()
}

func TestTLSEndsAtTheNode(t *testing.T) {
	t.Parallel()
	p := pass(t, passing{secure: true, matcher: "tls sni " + appName})
	c := mustCall(t, p.address, p.client(t, "device-7.example.com", appName))
	line, _ := c.in.ReadString('\n')
	if !strings.HasPrefix(line, "core1 user device-7.example.com from ") {
		t.Errorf("the node says %q; it must see the device's certificate", line)
	}
	c.expectEcho(t, "through TLS")
	if _, err := call(t, p.address, p.client(t, "device-7.example.com", "other.example.com")); err == nil {
		t.Error("a connection for another name was taken")
	}
	if n := p.term1.accepted() + p.term2.accepted(); n != 1 {
		t.Errorf("the nodes got %d connections, want 1", n)
	}
	die(p.core1, p.term1)
	p.expectServing("core2")
	c.expectEnd(t)
	again := mustCall(t, p.address, p.client(t, "device-7.example.com", appName))
	if line, _ := again.in.ReadString('\n'); !strings.HasPrefix(line, "core2 user device-7.example.com from ") {
		t.Errorf("after the failover the node says %q", line)
	}
}

func TestTheNodeIsToldTheClientsAddress(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"v1", "v2"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			p := pass(t, passing{proxy: true, handler: []string{"proxy_protocol " + version}})
			c := mustCall(t, p.address, nil)
			c.expectLine(t, fmt.Sprintf("core1 user nobody from %s %s", c.LocalAddr(), version))
			c.expectEcho(t, "after the header")
		})
	}
}

// proxyIn is a route that takes a PROXY header from whoever is before the front.
var proxyIn = []string{"route {", "proxy_protocol {", "timeout 5s", "allow 127.0.0.0/8", "}", "}"}

func TestAPROXYHeaderIsPassedOn(t *testing.T) {
	t.Parallel()
	p := pass(t, passing{
		proxy: true, handler: []string{"proxy_protocol v2"},
		before: proxyIn,
	})
	c := mustCall(t, p.address, nil)
	fmt.Fprint(c, "PROXY TCP4 192.0.2.55 192.0.2.1 5555 443\r\nwith it came this\n")
	c.expectLine(t, "core1 user nobody from 192.0.2.55:5555 v2")
	c.expectLine(t, "with it came this")
	c.expectEcho(t, "and this later")
}

func TestTheNameIsFoundBehindAPROXYHeader(t *testing.T) {
	t.Parallel()
	p := pass(t, passing{
		secure: true, proxy: true, before: proxyIn, matcher: "tls sni " + appName, handler: []string{"proxy_protocol v2"},
	})
	raw := mustCall(t, p.address, nil)
	fmt.Fprint(raw, "PROXY TCP6 2001:db8::55 2001:db8::1 5555 443\r\n")
	secure := tls.Client(raw.Conn, p.client(t, "device-9.example.com", appName))
	c := &caller{secure, bufio.NewReader(secure)}
	c.expectLine(t, "core1 user device-9.example.com from [2001:db8::55]:5555 v2")
	c.expectEcho(t, "found")
}

func TestTLSAndPROXYTogether(t *testing.T) {
	t.Parallel()
	p := pass(t, passing{secure: true, proxy: true, matcher: "tls sni " + appName, handler: []string{"proxy_protocol v1"}})
	c := mustCall(t, p.address, p.client(t, "device-8.example.com", appName))
	c.expectLine(t, fmt.Sprintf("core1 user device-8.example.com from %s v1", c.LocalAddr()))
	c.expectEcho(t, "both")
}

func TestAHalfClosedConnectionLivesOn(t *testing.T) {
	t.Parallel()
	p := pass(t, passing{})
	c := mustCall(t, p.address, nil)
	c.in.ReadString('\n')
	fmt.Fprint(c, "the last word\n")
	_ = c.Conn.(*net.TCPConn).CloseWrite()
	c.expectLine(t, "the last word")
	c.expectLine(t, "bye")
	if _, err := c.in.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("after bye: %v, want the end", err)
	}
	await(t, "the node's connection has ended", func() bool { return p.term1.alive() == 0 })
}

func TestAClientsBreakReachesTheNode(t *testing.T) {
	t.Parallel()
	p := pass(t, passing{})
	c := mustCall(t, p.address, nil)
	c.expectEchoAfterGreeting(t)
	_ = c.Conn.(*net.TCPConn).SetLinger(0) // RST
	c.Close()
	await(t, "the node's connection has ended", func() bool { return p.term1.alive() == 0 })
}

func (c *caller) expectEchoAfterGreeting(t *testing.T) {
	t.Helper()
	if _, err := c.in.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	c.expectEcho(t, "hello")
}

func TestNewConnectionsWaitDuringAFailover(t *testing.T) {
	t.Parallel()
	p := pass(t, passing{probe: map[string]string{"fall": "20"}})
	die(p.core1, p.term1)
	p.expectRow(row{4, api.Wait, ha.Missing, "", ""})
	c := mustCall(t, p.address, nil)
	awaitFigure(t, p.front, waitingFigure, 1)
	line, err := c.in.ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "core2 ") {
		t.Errorf("got %q, %v; want core2's greeting", line, err)
	}
	c.expectEcho(t, "served by core2")
	if n := p.term2.accepted(); n != 1 {
		t.Errorf("core2 got %d connections, want 1", n)
	}
}

func TestAConnectionIsClosedAtQueueTimeout(t *testing.T) {
	t.Parallel()
	p := pass(t, passing{probe: map[string]string{"fall": "1000"}, handler: []string{"queue_timeout 700ms"}})
	die(p.core1, p.term1)
	p.expectRow(row{4, api.Wait, ha.Missing, "", ""})
	begun := time.Now()
	c := mustCall(t, p.address, nil)
	c.expectEnd(t)
	if took := time.Since(begun); took < 600*time.Millisecond || took > 5*time.Second {
		t.Errorf("closed after %s, want 700 ms", took)
	}
	if n := p.term2.accepted(); n != 0 {
		t.Errorf("core2 got %d connections", n)
	}
}

func TestConnectionsToAHungNodeAreCutAtAFailover(t *testing.T) {
	t.Parallel()
	p := pass(t, passing{probe: map[string]string{"timeout": "300ms"}})
	c := mustCall(t, p.address, nil)
	c.expectEchoAfterGreeting(t)
	p.core1.Break(hatest.Frozen) // the terminal cuts nothing
	p.expectServing("core2")
	c.expectEnd(t)
	await(t, "the old node's connection has ended", func() bool { return p.term1.alive() == 0 })
	again := mustCall(t, p.address, nil)
	if line, _ := again.in.ReadString('\n'); !strings.HasPrefix(line, "core2 ") {
		t.Errorf("the new connection greets with %q", line)
	}
	p.core1.Mend() // a stale Primary gets no connections either
	p.expectRow(row{1, api.Stay, ha.DualActive, "core1", "alarm"})
	before := p.term1.accepted()
	for range 10 {
		mustCall(t, p.address, nil).expectEchoAfterGreeting(t)
	}
	if n := p.term1.accepted() - before; n != 0 {
		t.Errorf("core1 got %d connections", n)
	}
}

func TestAConnectionSurvivesAReload(t *testing.T) {
	t.Parallel()
	p := pass(t, passing{})
	c := mustCall(t, p.address, nil)
	c.expectEchoAfterGreeting(t)
	changed := p.plan
	changed.probe = map[string]string{"fall": "4"}
	p.reload(changed)
	c.expectEcho(t, "after the reload")
	mustCall(t, p.address, nil).expectEchoAfterGreeting(t)
	die(p.core1, p.term1)
	p.expectServing("core2")
	c.expectEnd(t)
	mustCall(t, p.address, nil).expectEchoAfterGreeting(t)
}

func TestABigTransferBothWays(t *testing.T) {
	t.Parallel()
	p := pass(t, passing{})
	c := mustCall(t, p.address, nil)
	c.in.ReadString('\n')
	_ = c.SetDeadline(time.Now().Add(2 * patience))
	sent := make(chan error, 1)
	up := sha256.New()
	go func() {
		_, err := io.Copy(io.MultiWriter(c.Conn, up), &letters{left: big})
		if err == nil {
			err = c.Conn.(*net.TCPConn).CloseWrite()
		}
		sent <- err
	}()
	down := sha256.New()
	n, err := io.CopyN(down, c.in, big)
	if err != nil || n != big {
		t.Fatalf("%d bytes came back: %v", n, err)
	}
	if err := <-sent; err != nil {
		t.Fatalf("send: %v", err)
	}
	if !same(up, down) {
		t.Error("what came back is not what was sent")
	}
	c.expectLine(t, "bye")
}

func same(a, b hash.Hash) bool { return string(a.Sum(nil)) == string(b.Sum(nil)) }

// The nodes' port for this traffic may differ from that of their URLs, and is
// the same on all.
func TestTheNodesPortMayBeAnother(t *testing.T) {
	t.Parallel()
	address, port := loopback(freePort(t)), 0
	open := func(name, ip string, state ha.State) (*hatest.Node, *terminal) {
		n := hatest.New(t, hatest.Config{Name: name, State: state, Listen: ip + ":0"})
		term := &terminal{t: t, name: name, listen: fmt.Sprintf("%s:%d", ip, port)}
		term.open()
		if port == 0 {
			port = term.door.Addr().(*net.TCPAddr).Port
		}
		return n, term
	}
	core1, term1 := open("core1", "127.0.0.2", ha.Active)
	core2, _ := open("core2", "127.0.0.3", ha.Standby)
	f := startFront(t, plan{nodes: []node{core1, core2}, global: []string{
		"layer4 {", address + " {", "route {", "understudy mdm {", fmt.Sprintf("port %d", port), "}", "}", "}", "}",
	}})
	mustCall(t, address, nil).expectEchoAfterGreeting(t)
	die(core1, term1)
	f.expectServing("core2")
	line, _ := mustCall(t, address, nil).in.ReadString('\n')
	if !strings.HasPrefix(line, "core2 ") {
		t.Errorf("got %q, want core2's greeting", line)
	}
	f.expectAllTo("core2") // HTTP to the same group goes on beside it
}

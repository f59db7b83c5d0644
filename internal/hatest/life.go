package hatest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
)

// life is the time from a start to a kill.
type life struct {
	base func(net.Listener) context.Context // of every request
	dead <-chan struct{}
	end  context.CancelFunc
}

func newLife() *life {
	ctx, end := context.WithCancel(context.Background())
	return &life{base: func(net.Listener) context.Context { return ctx }, dead: ctx.Done(), end: end}
}

// Start listens again on the port that the node had before Kill. It does
// nothing on a node that is up. A failure goes to Config.Failed and leaves the
// node killed.
func (n *Node) Start() {
	if err := n.start(); err != nil {
		n.failed(err)
	}
}

// Kill ends the node as kill -9 ends a process: the listener and every
// connection, tunnels too, are closed at once, whatever was under way. What
// was set and counted stays. It returns when nothing of the node runs.
func (n *Node) Kill() {
	n.acting.Lock()
	defer n.acting.Unlock()
	if n.life == nil {
		return
	}
	n.life.end()
	n.life = nil
	n.shut()
	n.conns.closeAll()
	n.work.Wait()
	n.news.ring()
}

// Up says whether the node lives: it has been opened or started, and not been
// killed since.
func (n *Node) Up() bool {
	n.acting.Lock()
	defer n.acting.Unlock()
	return n.life != nil
}

func (n *Node) start() error {
	n.acting.Lock()
	defer n.acting.Unlock()
	if n.closed {
		return errors.New("start: the node is closed")
	}
	if n.life != nil {
		return nil
	}
	n.life = newLife()
	if err := n.settle(); err != nil {
		n.life.end()
		n.life = nil
		return err
	}
	n.news.ring()
	return nil
}

// settle opens or closes the door as the node's life and its fault ask. The
// caller holds acting.
func (n *Node) settle() error {
	open := n.life != nil && n.script.Load().door != Refuse
	switch {
	case open && n.door == nil:
		return n.open()
	case !open:
		n.shut()
	}
	return nil
}

func (n *Node) open() error {
	ln, err := net.Listen("tcp", n.addr.String())
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	server := &http.Server{
		Handler:     http.HandlerFunc(n.serve),
		ErrorLog:    log.New(io.Discard, "", 0),
		BaseContext: n.life.base,
		ConnContext: connContext,
		ConnState:   n.follow,
	}
	door, served := &listener{Listener: ln, node: n, dead: n.life.dead}, make(chan struct{})
	n.door, n.served = door, served
	go func() {
		defer close(served)
		_ = server.Serve(door) // it ends when the door is closed, with nothing to tell
	}()
	return nil
}

func (n *Node) shut() {
	if n.door == nil {
		return
	}
	n.door.Close()
	<-n.served
	n.door, n.served = nil, nil
}

func (n *Node) failed(err error) {
	if n.cfg.Failed == nil {
		panic(fmt.Sprintf("node %s: %v", n.cfg.Name, err))
	}
	n.cfg.Failed(err)
}

// claimPort settles the address of the node for its whole life.
func (n *Node) claimPort() error {
	want := n.cfg.Listen
	if want == "" {
		want = "127.0.0.1:0"
	}
	if addr, err := netip.ParseAddrPort(want); err == nil && !addr.Addr().IsUnspecified() {
		n.addr, n.claim, err = claim(addr)
		if err != nil {
			return fmt.Errorf("claim %s: %w", want, err)
		}
		return nil
	}
	ln, err := net.Listen("tcp", want)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	defer ln.Close()
	n.addr = ln.Addr().(*net.TCPAddr).AddrPort()
	return nil
}

// follow counts every connection of the server, from its first byte to its
// end or to the handler that takes it over.
func (n *Node) follow(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		n.work.Add(1)
	case http.StateHijacked, http.StateClosed:
		n.work.Done()
	}
}

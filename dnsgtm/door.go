package dnsgtm

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// door is everything that listens. It owns the goroutines that serve.
type door struct {
	packets []*worker
	streams []stream
	hall    *hall // the connections
	cert    atomic.Pointer[tls.Certificate]
	closing atomic.Bool
	serving sync.WaitGroup
}

// stream is one listener for TCP or TLS.
type stream struct {
	net.Listener
	key    string
	secret bool
}

// worker is one UDP socket and the goroutine that serves it.
type worker struct {
	s     *Server
	conn  *net.UDPConn
	key   string
	tally tally
	over  uint64 // replies over the limit
}

// sockets are open ones by key, such as those that another process has handed
// over: "udp 127.0.0.1:53 0", "tcp 127.0.0.1:53", "tls 127.0.0.1:853".
type sockets map[string]*os.File

// open opens every listener of a configuration, or takes those that are given.
func (s *Server) openDoor(ctx context.Context, given sockets) (*door, error) {
	c := s.table.Load().config
	d := &door{hall: newHall(c.TCP, &s.figures)}
	err := d.open(ctx, s, c, given)
	if err == nil && c.TLS != nil {
		err = d.reload(c)
	}
	if err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

func (d *door) open(ctx context.Context, s *Server, c Config, given sockets) error {
	count := c.Workers
	if count == 0 {
		count = workers()
	}
	for _, address := range c.Listen {
		network := family(address)
		l, err := listen(ctx, "tcp"+network, address, given["tcp "+address])
		if err != nil {
			return err
		}
		d.streams = append(d.streams, stream{l, "tcp " + address, false})
		at := address
		if _, port, _ := net.SplitHostPort(address); port == "0" { // UDP on the port that TCP was given
			_, port, _ = net.SplitHostPort(l.Addr().String())
			host, _, _ := net.SplitHostPort(address)
			at = net.JoinHostPort(host, port)
		}
		for n := 0; n < count || given[fmt.Sprintf("udp %s %d", address, n)] != nil; n++ {
			key := fmt.Sprintf("udp %s %d", address, n)
			conn, err := listenPacket(ctx, "udp"+network, at, given[key])
			if err != nil {
				return err
			}
			d.packets = append(d.packets, &worker{s: s, conn: conn, key: key})
		}

	}
	if c.TLS == nil {
		return nil
	}
	for _, address := range c.TLS.Listen {
		l, err := listen(ctx, "tcp"+family(address), address, given["tls "+address])
		if err != nil {
			return err
		}
		d.streams = append(d.streams, stream{l, "tls " + address, true})
	}
	return nil
}

// family keeps an IPv6 address from taking IPv4 as well.
func family(address string) string {
	if strings.HasPrefix(address, "[") {
		return "6"
	}
	if host, _, err := net.SplitHostPort(address); err == nil && net.ParseIP(host).To4() != nil {
		return "4"
	}
	return ""
}

func listen(ctx context.Context, network, address string, given *os.File) (net.Listener, error) {
	if given != nil {
		return net.FileListener(given)
	}
	l, err := (&net.ListenConfig{Control: shareStream}).Listen(ctx, network, address)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return l, nil
}

func listenPacket(ctx context.Context, network, address string, given *os.File) (*net.UDPConn, error) {
	var conn net.PacketConn
	var err error
	if given != nil {
		conn, err = net.FilePacketConn(given)
	} else {
		conn, err = (&net.ListenConfig{Control: sharePacket}).ListenPacket(ctx, network, address)
	}
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	udp, is := conn.(*net.UDPConn)
	if !is {
		conn.Close()
		return nil, errors.New("listen: what was handed over is no UDP socket")
	}
	return udp, nil
}

// serve starts every goroutine.
func (d *door) serve(s *Server) {
	for _, w := range d.packets {
		d.serving.Go(func() { w.serve(&d.closing) })
	}
	for _, l := range d.streams {
		d.serving.Go(func() { d.accept(s, l) })
	}
}

// reload reads the certificate anew.
func (d *door) reload(c Config) error {
	if c.TLS == nil {
		return nil
	}
	cert, err := tls.LoadX509KeyPair(c.TLS.CertFile, c.TLS.KeyFile)
	if err != nil {
		return Faults{badCertificate(c.TLS, err)}
	}
	d.cert.Store(&cert)
	return nil
}

// close ends everything. Queries that have been read are answered.
func (d *door) close() {
	d.closing.Store(true)
	for _, l := range d.streams {
		l.Close()
	}
	for _, w := range d.packets {
		w.wake()
	}
	d.hall.empty()
	d.serving.Wait()
	for _, w := range d.packets {
		w.conn.Close()
	}
}

func (d *door) tallies() []*tally {
	all := make([]*tally, len(d.packets))
	for i, w := range d.packets {
		all[i] = &w.tally
	}
	return all
}

// Addresses gives where the server listens: as configured, but with the ports
// that were found free where port 0 was asked for. TLS listeners come last.
func (s *Server) Addresses() []net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.door == nil {
		return nil
	}
	var all []net.Addr
	for _, l := range s.door.streams {
		all = append(all, l.Addr())
	}
	return slices.Clip(all)
}

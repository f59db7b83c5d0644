package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/mholt/caddy-l4/layer4"
	"github.com/pires/go-proxyproto"
)

func init() { caddy.RegisterModule(&Layer4{}) }

// Layer4 forwards TCP connections, whatever they carry, to the serving node of
// a group. While a decision is being made new connections wait; at a failover
// those to the old node are closed, so that clients connect anew.
type Layer4 struct {
	// Group is the group's name.
	Group string `json:"group"`
	// Port is the nodes' port for this traffic. Default: the port of the node's
	// URL.
	Port int `json:"port,omitempty"`
	// ProxyProtocol is v1 or v2 to tell the node the client's address by the
	// PROXY protocol. Default: none.
	ProxyProtocol string `json:"proxy_protocol,omitempty"`
	// DialTimeout bounds one attempt to connect. Default 3s.
	DialTimeout caddy.Duration `json:"dial_timeout,omitempty"`
	// QueueTimeout and QueueMax are as in the HTTP handler.
	QueueTimeout caddy.Duration `json:"queue_timeout,omitempty"`
	QueueMax     int            `json:"queue_max,omitempty"`

	queue Policy
	route *route
}

// CaddyModule gives the module's identity.
func (*Layer4) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "layer4.handlers.understudy", New: func() caddy.Module { return new(Layer4) }}
}

// Provision checks the settings and finds the group.
func (l *Layer4) Provision(ctx caddy.Context) error {
	switch {
	case l.ProxyProtocol != "" && l.ProxyProtocol != "v1" && l.ProxyProtocol != "v2":
		return fmt.Errorf("proxy_protocol is v1 or v2, not %q", l.ProxyProtocol)
	case l.Port < 0 || l.Port > 65535:
		return fmt.Errorf("port %d is not a port", l.Port)
	case l.DialTimeout < 0:
		return fmt.Errorf("dial_timeout must be above zero")
	case l.DialTimeout == 0:
		l.DialTimeout = caddy.Duration(3 * time.Second)
	}
	l.queue = Policy{Group: l.Group, QueueTimeout: l.QueueTimeout, QueueMax: l.QueueMax}
	if err := l.queue.Provision(ctx); err != nil {
		return err
	}
	l.route = l.queue.route
	return nil
}

// Handle forwards one connection until both directions have ended.
func (l *Layer4) Handle(down *layer4.Connection, _ layer4.Handler) error {
	up, err := l.connect(down)
	if err != nil {
		l.route.turnedAway.Add(1)
		return fmt.Errorf("forward to group %s: %w", l.Group, err)
	}
	defer func() { _ = up.Close() }()
	forward(down, up)
	return nil
}

// connect gives a connection to the serving node, which has been told the
// client's address if it is to be. It waits as a request would, and tries
// again until the deadline.
func (l *Layer4) connect(down *layer4.Connection) (*tracked, error) {
	deadline := time.Now().Add(time.Duration(l.queue.QueueTimeout))
	var tried *server
	var failed error
	for {
		c, out := l.route.settle(down.Context, tried, true, patience{deadline, int64(l.queue.QueueMax)})
		if out != proceed {
			if failed == nil {
				failed = fmt.Errorf("no node takes connections: %s", c.why())
			}
			return nil, failed
		}
		up, err := l.dial(c.serving)
		if err == nil {
			if err = l.introduce(down, up); err == nil {
				return up, nil
			}
			_ = up.Close()
		}
		failed = err
		if !errors.Is(err, errFenced) && !errors.Is(err, errStarting) {
			tried = c.serving
			l.route.doubt(c.serving.node, err.Error())
			if time.Now().After(deadline) {
				return nil, err
			}
		}
	}
}

// dial connects to a node that serves.
func (l *Layer4) dial(s *server) (*tracked, error) {
	select {
	case l.route.dials <- struct{}{}:
		defer func() { <-l.route.dials }()
	case <-s.ctx.Done():
		return nil, errFenced
	}
	address := s.address
	if l.Port != 0 {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		address = net.JoinHostPort(host, strconv.Itoa(l.Port))
	}
	dialer := net.Dialer{Timeout: time.Duration(l.DialTimeout)}
	conn, err := s.dial(context.Background(), func(ctx context.Context) (net.Conn, error) {
		return dialer.DialContext(ctx, "tcp", address)
	})
	if err != nil {
		return nil, err
	}
	return conn.(*tracked), nil
}

// introduce sends the PROXY header.
func (l *Layer4) introduce(down *layer4.Connection, up net.Conn) error {
	if l.ProxyProtocol == "" {
		return nil
	}
	version := byte(2)
	if l.ProxyProtocol == "v1" {
		version = 1
	}
	_ = up.SetWriteDeadline(time.Now().Add(time.Duration(l.DialTimeout)))
	_, err := proxyproto.HeaderProxyFromAddrs(version, down.RemoteAddr(), down.LocalAddr()).WriteTo(up)
	_ = up.SetWriteDeadline(time.Time{})
	return err
}

// forward copies both ways. When one side ends its half, the other is told so
// and may go on; when one side breaks, both end.
func forward(down *layer4.Connection, up *tracked) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := upload(down, up); err == nil {
			if up.CloseWrite() == nil {
				return
			}
		}
		_ = up.Close()
		_ = down.Conn.Close()
	}()
	_, err := io.Copy(down.Conn, up.Conn)
	if half, ok := down.Conn.(interface{ CloseWrite() error }); err == nil && ok && half.CloseWrite() == nil {
		<-done
		return
	}
	_ = up.Close()
	_ = down.Conn.Close()
	<-done
}

// upload sends what the matchers have read already, then the rest; the kernel
// does the rest where both ends are TCP sockets (splice).
func upload(down *layer4.Connection, up *tracked) error {
	for len(down.MatchingBytes()) > 0 {
		if _, err := io.CopyN(up.Conn, down, int64(len(down.MatchingBytes()))); err != nil {
			return err
		}
	}
	_, err := io.Copy(up.Conn, down.Conn)
	return err
}

// UnmarshalCaddyfile reads the handler in a layer4 route:
//
//	understudy <group> {
//		port <port>
//		proxy_protocol v1|v2
//		dial_timeout <duration>
//		queue_timeout <duration>
//		queue_max <count>
//	}
func (l *Layer4) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if !d.AllArgs(&l.Group) {
		return d.Err("the handler is written: understudy GROUP { … }")
	}
	var queue Policy
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		key, text := d.Val(), ""
		if key == "queue_timeout" || key == "queue_max" {
			if err := queue.parse(d); err != nil {
				return err
			}
			continue
		}
		if !d.AllArgs(&text) {
			return d.ArgErr()
		}
		var err error
		switch key {
		case "port":
			l.Port, err = strconv.Atoi(text)
		case "proxy_protocol":
			l.ProxyProtocol = text
		case "dial_timeout":
			var wait time.Duration
			wait, err = caddy.ParseDuration(text)
			l.DialTimeout = caddy.Duration(wait)
		default:
			return d.Errf("unknown %q; known here: port, proxy_protocol, dial_timeout, queue_timeout, queue_max", key)
		}
		if err != nil {
			return d.Errf("%s %q cannot be read: %v", key, text, err)
		}
	}
	l.QueueTimeout, l.QueueMax = queue.QueueTimeout, queue.QueueMax
	return nil
}

var (
	_ caddy.Provisioner     = (*Layer4)(nil)
	_ layer4.NextHandler    = (*Layer4)(nil)
	_ caddyfile.Unmarshaler = (*Layer4)(nil)
)

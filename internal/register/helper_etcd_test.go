package register_test

import (
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// silent gives the URL of a listener that accepts and says nothing.
func silent(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return "http://" + l.Addr().String()
}

// delay passes connections on to a member, each answer late by an adjustable
// time; below zero nothing passes any more.
type delay struct {
	net.Listener
	to   string
	late atomic.Int64
}

func newDelay(t testing.TB, to string) *delay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &delay{Listener: l, to: strings.TrimPrefix(to, "http://")}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go d.pass(conn)
		}
	}()
	return d
}

func (d *delay) url() string { return "http://" + d.Addr().String() }

func (d *delay) pass(from net.Conn) {
	to, err := net.Dial("tcp", d.to)
	if err != nil {
		_ = from.Close()
		return
	}
	go func() {
		_, _ = io.Copy(to, from)
		_ = to.Close()
	}()
	defer from.Close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := to.Read(buffer)
		if err != nil {
			return
		}
		if late := time.Duration(d.late.Load()); late > 0 {
			time.Sleep(late) // the network's time, not the test's
		} else if late < 0 {
			continue
		}
		if _, err := from.Write(buffer[:n]); err != nil {
			return
		}
	}
}

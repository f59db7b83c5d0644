//go:build !linux

package dnsgtm

import (
	"net"
	"sync/atomic"
	"syscall"
	"time"
)

func (w *worker) serve(closing *atomic.Bool) { w.servePortable(closing) }

// wake lets the worker see that it shall end.
func (w *worker) wake() { _ = w.conn.SetReadDeadline(time.Now()) }

func shareStream(_, _ string, _ syscall.RawConn) error { return nil }
func sharePacket(_, _ string, _ syscall.RawConn) error { return nil }

// ownUser leaves it to the permissions of the unix socket.
func ownUser(*net.UnixConn) bool { return true }

//go:build !linux

package probes

import (
	"context"
	"net"
	"time"
)

// dial connects to addr, an IP address and port, for at most within.
func dial(ctx context.Context, addr string, within time.Duration) (net.Conn, error) {
	return dialNet(ctx, addr, within)
}

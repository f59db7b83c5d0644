//go:build !linux

package sidecar

import "net"

// peer knows nobody: the name that is given counts as claimed.
func peer(net.Conn) (name string, known bool) { return "", false }

//go:build linux

package integration

import "testing"

func TestSmoke(t *testing.T) {
	core1, core2 := pair(t)
	f := startFront(t, plan{nodes: []node{core1, core2}})
	f.expectAllTo("core1")
	core1.Kill()
	f.expectServing("core2")
	f.expectAllTo("core2")
}

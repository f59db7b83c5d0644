//go:build !linux

package lean

func giveBack() error { return nil }

package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// widthOf gives the columns of a terminal, 0 if f is none.
func widthOf(f *os.File) int {
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ) // #nosec G115 -- a descriptor
	if err != nil {
		return 0
	}
	return int(size.Col)
}

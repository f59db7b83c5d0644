//go:build !linux

package main

import "os"

// widthOf gives the columns of a terminal, 0 where they are not known.
func widthOf(*os.File) int { return 0 }

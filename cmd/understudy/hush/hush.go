// Package hush keeps libraries from writing to stderr while the process is
// being initialised, before main can say where logs go: VictoriaMetrics/metrics
// reports on every start, of every command, that a kernel has no pressure
// figures.
//
// It imports only the standard library, and packages are initialised in the
// order of their paths as soon as what they import is (Go specification,
// Program initialization). So its turn comes before that of
// github.com/valyala/histogram, for which metrics has to wait.
package hush

import (
	"io"
	"log"
)

var stderr = begin()

func begin() io.Writer {
	was := log.Writer()
	log.SetOutput(io.Discard)
	return was
}

// End gives the standard logger its voice back.
func End() { log.SetOutput(stderr) }

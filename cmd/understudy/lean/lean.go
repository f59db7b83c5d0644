// Package lean gives memory back that only the start of the process needed.
package lean

import (
	"runtime/debug"
	"time"
)

// A process that has just started has read half of its binary to get ready, and
// has a heap that grew while it read its configuration.
var settled = []time.Duration{3 * time.Second, 30 * time.Second}

// Soon gives back, when the start is over, what it took: the program's own pages
// that were only read to get ready, and the heap beyond what is in use. Both
// come back where they are needed.
func Soon() {
	for _, d := range settled {
		time.AfterFunc(d, func() {
			debug.FreeOSMemory()
			_ = giveBack() // the process is only larger than it need be
		})
	}
}

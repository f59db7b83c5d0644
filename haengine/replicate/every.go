package replicate

import (
	"sync"
	"time"
)

// every does something at an interval in a goroutine of its own, until end is
// called, which waits for the last time to be over.
func every(interval time.Duration, do func()) (end func()) {
	done := make(chan struct{})
	var doing sync.WaitGroup
	doing.Go(func() {
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				do()
			}
		}
	})
	return func() {
		close(done)
		doing.Wait()
	}
}

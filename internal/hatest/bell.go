package hatest

import (
	"context"
	"sync"
)

// bell wakes everybody who waits for its next ring. Who waits asks for next
// first and looks after that, so that no ring falls between.
type bell struct {
	mu sync.Mutex // guards ch
	ch chan struct{}
}

func (b *bell) next() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch == nil {
		b.ch = make(chan struct{})
	}
	return b.ch
}

func (b *bell) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch != nil {
		close(b.ch)
		b.ch = nil
	}
}

// Await waits until holds is true, which it asks at once and after everything
// that happens to the node: a connection opened or closed, a request that
// arrived or was done, a start, a kill. The error is the context's.
func (n *Node) Await(ctx context.Context, holds func() bool) error {
	for {
		next := n.news.next()
		if holds() {
			return nil
		}
		select {
		case <-next:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

package caddymodule

import (
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// ebbing is how often idle connections are closed while every request waits for
// a planned swap.
const ebbing = 50 * time.Millisecond

// join enters a transport, whose idle connections are closed during a freeze.
func (r *route) join(t *Transport) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.transports[t] = struct{}{}
}

// part takes it out again.
func (r *route) part(t *Transport) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.transports, t)
}

// frozen says whether every request waits for a planned swap.
func frozen(s ha.Situation) bool {
	return s.Queue == ha.QueueAll && s.Traffic.Waits(s.At)
}

// ebb closes idle connections for as long as every request waits for a planned
// swap: the node counts its clients, and is to see when the last request is over.
func (r *route) ebb() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.choice.Load().frozen {
		return
	}
	for t := range r.transports {
		t.HTTPTransport.Transport.CloseIdleConnections()
	}
	time.AfterFunc(ebbing, r.ebb)
}

// Cleanup ends the transport.
func (t *Transport) Cleanup() error {
	if t.route != nil {
		t.route.part(t)
	}
	return t.HTTPTransport.Cleanup()
}

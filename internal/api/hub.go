package api

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	keptEvents  = 256 // events that a client may have missed and still be given
	mostWaiting = 64  // events that a client may be behind before it is dropped
	mostStreams = 256 // clients at a time
)

// event is one change, ready to be sent.
type event struct {
	id    string
	group string
	at    time.Time // of the situation it tells
	data  []byte
}

// hub passes events on to clients and never waits for one: a client that is
// too far behind is dropped, and may come back with the id that it has seen.
type hub struct {
	boot string // tells the ids of this hub from those of another

	mu      sync.Mutex // guards the fields below
	running bool
	last    uint64 // the number of the newest event, 0: none yet
	ring    []event
	clients map[*client]bool
}

// client is one event stream.
type client struct {
	events chan event // closed when the client was dropped or the hub has closed
	known  bool       // missed is all that happened since the event it saw last
	missed []event
	now    string // the id of the newest event when it joined
}

func newHub() *hub {
	return &hub{boot: rand.Text()[:10], clients: map[*client]bool{}}
}

func (h *hub) open() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.running = true
}

func (h *hub) close() {
	h.mu.Lock()
	h.running = false
	h.mu.Unlock()
	h.hangUp()
}

func (h *hub) hangUp() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.clients {
		h.drop(c)
	}
}

// publish sends how a group is to every client and gives how many were dropped.
func (h *hub) publish(g Group) (dropped int) {
	e, err := eventOf(g)
	if err != nil {
		return 0
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last++
	e.id = h.id(h.last)
	if h.ring = append(h.ring, e); len(h.ring) > keptEvents {
		h.ring = h.ring[1:]
	}
	for c := range h.clients {
		select {
		case c.events <- e:
		default:
			h.drop(c)
			dropped++
		}
	}
	return dropped
}

func eventOf(g Group) (event, error) {
	data, err := json.Marshal(g)
	return event{group: g.Name, at: g.At, data: data}, err
}

// join adds a client that saw the event with the given id last.
func (h *hub) join(saw string) (*client, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case !h.running:
		return nil, errors.New("this process is starting or shutting down")
	case len(h.clients) >= mostStreams:
		return nil, fmt.Errorf("%d clients follow the events already", mostStreams)
	}
	c := &client{events: make(chan event, mostWaiting), now: h.id(h.last)}
	if n, ok := h.number(saw); ok && h.last-n <= uint64(len(h.ring)) {
		c.missed, c.known = slices.Clone(h.ring[len(h.ring)-int(h.last-n):]), true
	}
	h.clients[c] = true
	return c, nil
}

// leave removes a client; one that was dropped is gone already.
func (h *hub) leave(c *client) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.clients[c] {
		h.drop(c)
	}
}

// drop is called with mu held.
func (h *hub) drop(c *client) {
	delete(h.clients, c)
	close(c.events)
}

func (h *hub) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.clients)
}

func (h *hub) id(n uint64) string { return h.boot + "-" + strconv.FormatUint(n, 10) }

// number gives the number of an id of this hub; called with mu held.
func (h *hub) number(id string) (uint64, bool) {
	text, ours := strings.CutPrefix(id, h.boot+"-")
	n, err := strconv.ParseUint(text, 10, 64)
	return n, ours && err == nil && n <= h.last
}

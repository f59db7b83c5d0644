package hatest

import (
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Request is one request as it reached a node.
type Request struct {
	Method, Path, Query string
	Host                string
	ID                  string // X-Request-Id
	Header              http.Header
	ServerName          string // asked for in the TLS handshake
	From                string // the client's address and port
	Reused              bool   // the connection had carried a request before
	At                  time.Time
}

// kept is how many requests of a kind a node remembers.
const kept = 4096

// Probes gives the requests for pages, oldest first, at most the last 4096.
func (n *Node) Probes() []Request { return n.probes.list() }

// Requests gives the requests to the application, oldest first, at most the
// last 4096. Hits counts them all.
func (n *Node) Requests() []Request { return n.requests.list() }

// Hits counts the requests that reached the application since the node was
// opened. One counts when its headers are read, whatever then becomes of it.
func (n *Node) Hits() int { return n.HitsOf("", "") }

// HitsOf counts the requests with a method and an X-Request-Id; an empty
// argument is any.
func (n *Node) HitsOf(method, id string) int {
	total := 0
	for k, v := range n.hits.counts() {
		if (method == "" || k.method == method) && (id == "" || k.id == id) {
			total += v
		}
	}
	return total
}

// IDs counts the requests with a method by X-Request-Id; those without one are
// left out. An empty method is any.
func (n *Node) IDs(method string) map[string]int {
	ids := make(map[string]int)
	for k, v := range n.hits.counts() {
		if k.id != "" && (method == "" || k.method == method) {
			ids[k.id] += v
		}
	}
	return ids
}

// Forget empties the records and the counts of requests. Nothing else does: a
// node that runs for days under ever new X-Request-Ids should forget at times.
func (n *Node) Forget() {
	n.probes.empty()
	n.requests.empty()
	n.hits.empty()
}

// Busy counts the requests that are being answered, tunnels and hanging ones
// among them.
func (n *Node) Busy() int { return int(n.busy.Load()) }

// Conns counts the open connections, and Accepted all there ever were.
func (n *Node) Conns() int { return n.conns.len() }

// Accepted counts the connections that the node took since it was opened.
func (n *Node) Accepted() int { return int(n.accepted.Load()) }

// Sent counts the bytes that the node has handed to the kernel since it was
// opened, TLS and headers among them.
func (n *Node) Sent() int64 { return n.sent.Load() }

// note writes a request down before anything is done about it.
func (n *Node) note(on Part, r *http.Request) {
	q := Request{
		Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery, Host: r.Host, ID: r.Header.Get(IDHeader),
		Header: r.Header, From: r.RemoteAddr, Reused: connOf(r).asked.Add(1) > 1, At: time.Now(),
	}
	if r.TLS != nil {
		q.ServerName = r.TLS.ServerName
	}
	if on == Pages {
		n.probes.add(q)
	} else {
		n.requests.add(q)
		n.hits.add(hit{q.Method, q.ID})
	}
	n.news.ring()
}

// record is the last requests of a kind.
type record struct {
	mu   sync.Mutex // guards last
	last []Request
}

func (c *record) add(q Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.last) == 2*kept {
		c.last = slices.Delete(c.last, 0, kept)
	}
	c.last = append(c.last, q)
}

func (c *record) list() []Request {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := slices.Clone(c.last[max(0, len(c.last)-kept):])
	for i := range list {
		list[i].Header = list[i].Header.Clone()
	}
	return list
}

func (c *record) empty() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = nil
}

type hit struct{ method, id string }

// tally counts requests.
type tally struct {
	mu sync.Mutex // guards of
	of map[hit]int
}

func (t *tally) add(h hit) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.of == nil {
		t.of = make(map[hit]int)
	}
	t.of[h]++
}

func (t *tally) counts() map[hit]int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.of)
}

func (t *tally) empty() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.of = nil
}

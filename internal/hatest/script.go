package hatest

import (
	"net/http"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// Part is what a fault or a setting is for.
type Part uint8

// The parts of a node.
const (
	Whole Part = iota // both of the following
	Pages             // /status/status.html and /hastatus.html
	App               // every other path
)

func (p Part) each() []Part {
	if p == Whole {
		return []Part{Pages, App}
	}
	return []Part{p}
}

// script is what a node is told to do. Each answer is given from one script.
type script struct {
	state  ha.State
	epoch  uint64
	tls    TLS
	door   Fault // None, Frozen or Refuse
	lies   [2]*string
	header http.Header // never changed in place
	parts  [3]manner   // by Part; Whole's is not used
}

// manner is how one part answers.
type manner struct {
	status  int // 0 is the true one
	latency time.Duration
	broken  Breakage
}

// edit replaces the script by a changed copy.
func (n *Node) edit(change func(*script)) {
	n.editing.Lock()
	defer n.editing.Unlock()
	s := *n.script.Load()
	change(&s)
	n.script.Store(&s)
	n.changed.ring()
}

// Set gives the node a state. Only the pages show it: the application answers
// in every state, so that a request that went to the wrong node is seen.
func (n *Node) Set(state ha.State) { n.edit(func(s *script) { s.state = state }) }

// State gives the state that was set last.
func (n *Node) State() ha.State { return n.script.Load().state }

// SetEpoch puts X-Understudy-Epoch on the pages; 0 takes it away.
func (n *Node) SetEpoch(epoch uint64) { n.edit(func(s *script) { s.epoch = epoch }) }

// SetTLS changes the certificate, or whether there is TLS at all, for
// connections to come.
func (n *Node) SetTLS(kind TLS) { n.edit(func(s *script) { s.tls = kind }) }

// Lie makes a page answer 200 with exactly body, whatever the state, until
// Mend.
func (n *Node) Lie(page ha.Page, body string) { n.edit(func(s *script) { s.lies[page] = &body }) }

// SetStatus makes a part answer with an HTTP status of at least 200 and its
// usual body, until Mend; 0 is the true status.
func (n *Node) SetStatus(on Part, status int) {
	n.edit(func(s *script) {
		for _, p := range on.each() {
			s.parts[p].status = status
		}
	})
}

// SetLatency makes a part wait before each answer. An answer on its way keeps
// the wait that it began with; the client that goes and the kill end it.
func (n *Node) SetLatency(on Part, wait time.Duration) {
	n.edit(func(s *script) {
		for _, p := range on.each() {
			s.parts[p].latency = wait
		}
	})
}

// SetHeader puts a header on every answer; without a value it takes it away.
func (n *Node) SetHeader(key string, values ...string) {
	n.edit(func(s *script) {
		s.header = s.header.Clone()
		if s.header == nil {
			s.header = make(http.Header)
		}
		s.header.Del(key)
		for _, v := range values {
			s.header.Add(key, v)
		}
	})
}

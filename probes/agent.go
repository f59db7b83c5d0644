package probes

import (
	"bytes"
	"errors"
	"net"
	"os"
	"sync"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

const (
	// agentPatience is how long a line may take. One that has not ended by then
	// is taken as it is, within HAProxy's own 2 s, for who forgot the line end
	// in agent-send would never learn of it.
	agentPatience = time.Second
	maxAgentLine  = 512
)

// sayAgent is the answer to HAProxy's agent check about a node (configuration
// manual, agent-check); empty is none, for where nothing is answered HAProxy
// changes nothing. "ready" takes back a drain, "drain" lets the connections of
// the old node of a planned switch end by themselves. maint is never said:
// only a person takes that back.
func sayAgent(s ha.Situation, node, drained string) string {
	seen := s.View.Of(node)
	switch {
	case s.Traffic.Serving == "":
		return "" // the provisional node is a guess; what HAProxy was told last is worth more
	case node == s.Traffic.Serving:
		return "ready up\n"
	case node == drained && seen.Available():
		return "drain\n"
	}
	return "ready down\n"
}

// drain gives the old node of the last move of a group's traffic if a person
// planned it (Resume or Switch, not forced), else "". was is what it gave
// before. A Traffic does not tell where it came from, so it is worked out from
// two that followed one another; after a restart it is "", and the old node is
// answered like any other that traffic does not belong on.
func drain(before, now ha.Traffic, was string) string {
	switch {
	case before.Serving == now.Serving:
		return was
	case before.Serving == "" || now.Epoch != before.Epoch+1 || now.Forced:
		return ""
	case now.Cause == ha.Resumed || now.Cause == ha.Switched:
		return before.Serving
	}
	return ""
}

// ServeAgent answers HAProxy's agent check on ln until Shutdown, or until ln is
// closed; then it returns nil. It closes ln.
func (p *Proxy) ServeAgent(ln net.Listener) error {
	ln = p.door.open(ln, func(v *visit) net.Conn { return v })
	defer ln.Close()
	var serving sync.WaitGroup
	defer serving.Wait()
	for {
		conn, err := ln.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil
		case err != nil:
			return err
		}
		serving.Go(func() { p.answerAgent(conn.(*visit)) })
	}
}

// answerAgent reads one line and answers it.
func (p *Proxy) answerAgent(c *visit) {
	defer c.Close()
	c.turnTo(asking)
	line, err := readLine(c)
	if err != nil || !p.permits(c, time.Now()) {
		p.figures.silent.Add(1)
		return
	}
	said := p.findAgent(bytes.TrimSpace(line), p.clock.at(time.Now()))
	if len(said) == 0 {
		p.figures.silent.Add(1)
		return
	}
	p.figures.agent.Add(1)
	_ = c.SetWriteDeadline(time.Now().Add(agentPatience))
	_, _ = c.Write(said)
}

// readLine gives what comes before the first line end, or before the patience
// is over.
func readLine(c net.Conn) ([]byte, error) {
	var buf [maxAgentLine]byte
	if err := c.SetReadDeadline(time.Now().Add(agentPatience)); err != nil {
		return nil, err
	}
	for n := 0; n < len(buf); {
		m, err := c.Read(buf[n:])
		n += m
		if line, _, ended := bytes.Cut(buf[:n], []byte{'\n'}); ended {
			return line, nil
		}
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) && n > 0 {
				return buf[:n], nil
			}
			return nil, err
		}
	}
	return nil, errors.New("the line is too long")
}

// findAgent gives the answer to the line GROUP/NODE, or none.
func (p *Proxy) findAgent(line []byte, now int64) []byte {
	group, node, _ := bytes.Cut(line, []byte{'/'})
	e := p.book.find(group)
	if e == nil || now > e.until.Load() {
		return nil
	}
	return e.sheet.Load().agent[string(node)]
}

package dnsgtm

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/miekg/dns"
)

// How a secondary is told of a new serial: again and again until it confirms
// (RFC 1996, 3.6).
const (
	notifyTries = 6
	notifyWait  = time.Second // doubled after every try
)

// announce tells the secondaries of a zone of a serial. A later one ends it.
// It is called with the lock.
func (s *Server) announce(z *zone, serial uint32) {
	if stop := s.announcing[z.apex]; stop != nil {
		stop()
	}
	if len(z.config.Notify) == 0 || s.tasks.ctx == nil {
		return
	}
	ctx, stop := context.WithCancel(s.tasks.ctx)
	s.announcing[z.apex] = stop
	for _, p := range z.config.Notify {
		s.tasks.run(func() { s.notify(ctx, z, p, serial) })
	}
}

// notify tells one secondary.
func (s *Server) notify(ctx context.Context, z *zone, p Peer, serial uint32) {
	wait := notifyWait
	for range notifyTries {
		err := s.notifyOnce(ctx, z, p, wait)
		if err == nil {
			s.figures.notified.Add(1)
			s.log.Debug("secondary notified", "zone", z.apex, "serial", serial, "secondary", p.Address.String())
			return
		}
		if ctx.Err() != nil {
			return
		}
		s.log.Debug("secondary does not confirm", "zone", z.apex, "serial", serial, "secondary", p.Address.String(), "error", err)
		pause := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			pause.Stop()
			return
		case <-pause.C:
		}
		wait *= 2
	}
	s.figures.unheard.Add(1)
	s.log.Warn("secondary not notified: it will learn of the change when its refresh time is over", "zone", z.apex, "serial", serial, "secondary", p.Address.String())
}

// notifyOnce sends one NOTIFY and waits for its confirmation.
func (s *Server) notifyOnce(ctx context.Context, z *zone, p Peer, wait time.Duration) error {
	m := new(dns.Msg)
	m.SetNotify(z.apex)
	m.Answer = z.now.Load().soa.rrs[:1]
	keys := s.table.Load().keys
	if key, _ := canonical(p.Key); p.Key != "" {
		m.SetTsig(key, keys[key].algorithm, 300, time.Now().Unix())
	}
	raw, err := (&net.Dialer{}).DialContext(ctx, "udp", p.Address.String())
	if err != nil {
		return err
	}
	defer raw.Close()
	defer context.AfterFunc(ctx, func() { _ = raw.SetDeadline(time.Now()) })()
	_ = raw.SetDeadline(time.Now().Add(wait))
	conn := &dns.Conn{Conn: raw, TsigProvider: keys}
	if err := conn.WriteMsg(m); err != nil {
		return err
	}
	for {
		got, err := conn.ReadMsg()
		switch {
		case err != nil:
			return err
		case got.Id != m.Id || !got.Response || got.Opcode != dns.OpcodeNotify:
			continue
		case got.Rcode != dns.RcodeSuccess:
			return fmt.Errorf("answers %s", dns.RcodeToString[got.Rcode])
		}
		return nil
	}
}

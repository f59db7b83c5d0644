package dnsgtm

import (
	"errors"
	"fmt"
	"time"

	"github.com/miekg/dns"
)

// proof is what the TSIG of a query has shown (RFC 8945). A nil *proof is a
// query without one.
type proof struct {
	query *dns.TSIG
	key   string // canonical name of the key; only where rcode is 0
	rcode uint16 // 0: good; else BADKEY, BADSIG or BADTIME
	mac   string // of the last message signed: the query's, then each of ours
	timer bool   // a later message of a transfer (5.3.1)
}

// prove verifies the TSIG of the query, nil if it has none.
func (x *exchange) prove() *proof {
	t := x.q.IsTsig()
	if t == nil {
		return nil
	}
	p := &proof{query: t, mac: t.MAC}
	raw := append([]byte(nil), x.raw...) // the verifier writes into it
	switch err := dns.TsigVerifyWithProvider(raw, x.t.keys, "", false); {
	case err == nil:
		p.key, _ = canonical(t.Hdr.Name)
	case errors.Is(err, dns.ErrSecret):
		p.rcode = dns.RcodeBadKey
	case errors.Is(err, dns.ErrTime):
		p.rcode = dns.RcodeBadTime
	default:
		p.rcode = dns.RcodeBadSig
	}
	return p
}

// room is how much longer a message becomes by its TSIG.
func (p *proof) room() int {
	if p == nil {
		return 0
	}
	return len(p.query.Hdr.Name) + len(p.query.Algorithm) + 64 + 6 + 30
}

// pack packs a message and signs it as the query was.
func (p *proof) pack(m *dns.Msg, keys keyring, now time.Time) ([]byte, error) {
	if p == nil {
		return m.Pack()
	}
	t := &dns.TSIG{
		Hdr:       dns.RR_Header{Name: p.query.Hdr.Name, Rrtype: dns.TypeTSIG, Class: dns.ClassANY},
		Algorithm: p.query.Algorithm, TimeSigned: uint64(now.Unix()), Fudge: 300, OrigId: m.Id, Error: p.rcode, // #nosec G115 -- after 1970
	}
	mac := p.mac
	switch p.rcode {
	case dns.RcodeBadTime: // signed, with the client's time and beside it ours (5.2.3)
		t.OtherData, t.OtherLen, t.TimeSigned = fmt.Sprintf("%012x", now.Unix()), 6, p.query.TimeSigned
	case dns.RcodeBadKey, dns.RcodeBadSig:
		mac = ""
	}
	m.Extra = append(m.Extra, t)
	out, signed, err := dns.TsigGenerateWithProvider(m, keys, mac, p.timer)
	p.mac, p.timer = signed, true
	return out, err
}

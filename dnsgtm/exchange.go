package dnsgtm

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"log/slog"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Bits of the header's second word.
const (
	bitQR = 1 << 15
	bitAA = 1 << 10
	bitTC = 1 << 9
	bitRD = 1 << 8
	bitCD = 1 << 4
)

const headerSize = 12

// exchange is one query on the slow path and its reply in the making.
type exchange struct {
	s    *Server
	t    *table
	from client
	now  uint32
	raw  []byte
	q    *dns.Msg
	edns edns
	tsig *proof // nil: the query has no TSIG
}

// reply gives the reply to one message, nil if there is none to give. Messages
// that could be an answer, ours or somebody else's, get none, or two servers
// could talk for ever; nor does what comes from port 0. For a transfer, which
// takes more than a reply, it gives the exchange.
func (s *Server) reply(raw []byte, from client) (reply []byte, transfer *exchange) {
	defer s.survive(raw, &reply)
	x, early := s.open(raw, from)
	if x == nil {
		return early, nil
	}
	if x.wantsTransfer() {
		return nil, x
	}
	return x.send(x.respond()), nil
}

// survive turns a panic over one message into SERVFAIL: no message, whatever is
// in it, may end the server.
func (s *Server) survive(raw []byte, reply *[]byte) {
	if what := recover(); what != nil {
		s.figures.panics.Add(1)
		s.logRarely(slog.LevelError, "query not answered: this is a fault in the server, please report it", "panic", what, "query", hex.EncodeToString(raw))
		*reply = bare(raw, dns.RcodeServerFailure)
	}
}

// logRarely logs what a stranger can cause, once a second at most: nobody outside
// shall fill a disk.
func (s *Server) logRarely(level slog.Level, message string, data ...any) {
	at, last := time.Now().Unix(), s.logged.Load()
	if at != last && s.logged.CompareAndSwap(last, at) {
		s.log.Log(context.Background(), level, message, data...)
	}
}

// open parses a message. What cannot become an exchange is answered at once.
func (s *Server) open(raw []byte, from client) (x *exchange, early []byte) {
	if len(raw) < headerSize || from.addr.Port() == 0 {
		return nil, nil
	}
	bits := binary.BigEndian.Uint16(raw[2:])
	if bits&bitQR != 0 {
		return nil, nil
	}
	if opcode := bits >> 11 & 0xf; opcode != dns.OpcodeQuery {
		s.count(dns.RcodeNotImplemented)
		return nil, bare(raw, dns.RcodeNotImplemented)
	}
	q, ok := parse(raw)
	if !ok || !wellFormed(raw, q) {
		s.count(dns.RcodeFormatError)
		return nil, bare(raw, dns.RcodeFormatError)
	}
	return &exchange{
		s: s, t: s.table.Load(), from: from, raw: raw, q: q, edns: readEDNS(q),
		now: uint32(time.Now().Unix()), // #nosec G115 -- serial arithmetic until 2106
	}, nil
}

// parse reads a query. An option of EDNS that is of no use to us must be ignored,
// whatever is in it (RFC 6891, 6.1.2), though the parser wants to understand it.
func parse(raw []byte) (q *dns.Msg, ok bool) {
	q = new(dns.Msg)
	if q.Unpack(raw) == nil {
		return q, true
	}
	plain, masked := maskOptions(raw)
	if !masked {
		return nil, false
	}
	q = new(dns.Msg)
	return q, q.Unpack(plain) == nil
}

// bare gives a reply that is only a header (RFC 8906, 8.1.4 wants no more of an
// unknown opcode): the query's ID and opcode, and no flag but QR.
func bare(raw []byte, rcode int) []byte {
	out := make([]byte, headerSize)
	copy(out, raw[:2])
	binary.BigEndian.PutUint16(out[2:], bitQR|binary.BigEndian.Uint16(raw[2:])&(0xf<<11)|uint16(rcode)) // #nosec G115 -- below 16
	return out
}

// wellFormed says whether the counts of a query are those of its records and
// fit a query. The parser is lenient with the first.
func wellFormed(raw []byte, q *dns.Msg) bool {
	count := func(at int) int { return int(binary.BigEndian.Uint16(raw[at:])) }
	if len(q.Question) != count(4) || len(q.Answer) != count(6) || len(q.Ns) != count(8) || len(q.Extra) != count(10) {
		return false
	}
	if len(q.Answer) > 0 || len(q.Question) > 1 {
		return false
	}
	if len(q.Question) == 0 {
		e := readEDNS(q)
		return e.cookie != nil && !e.malformed // only to learn a cookie (RFC 7873, 5.4)
	}
	return len(q.Ns) == 0 || len(q.Ns) == 1 && q.Question[0].Qtype == dns.TypeIXFR
}

// outcome is what a query is answered with before EDNS and TSIG are added.
type outcome struct {
	found
	authority bool // AA
	code      uint16
	text      string // EDE
}

func refuse(rcode int) outcome { return outcome{found: found{rcode: rcode}} }

// respond decides on a query.
func (x *exchange) respond() outcome {
	if x.tsig = x.prove(); x.tsig != nil && x.tsig.rcode != 0 {
		return refuse(dns.RcodeNotAuth)
	}
	switch {
	case x.edns.malformed:
		return refuse(dns.RcodeFormatError)
	case x.edns.version > 0:
		return refuse(dns.RcodeBadVers)
	case len(x.q.Question) == 0:
		return outcome{}
	}
	question := x.q.Question[0]
	switch question.Qclass {
	case dns.ClassINET:
	case dns.ClassCHAOS:
		return x.chaos(question)
	default:
		return refuse(dns.RcodeRefused)
	}
	switch question.Qtype {
	case dns.TypeAXFR, dns.TypeIXFR:
		return x.transferByDatagram(question)
	case dns.TypeOPT, dns.TypeTSIG, dns.TypeTKEY:
		return refuse(dns.RcodeFormatError)
	}
	name, err := canonical(question.Name)
	if err != nil {
		return refuse(dns.RcodeFormatError)
	}
	z := x.t.zoneOf(name, question.Qtype)
	if z == nil {
		o := refuse(dns.RcodeRefused)
		o.code, o.text = dns.ExtendedErrorCodeNotAuthoritative, "not a zone of this server"
		return o
	}
	f := z.look(question, x.edns.do, x.s.turn.Add(1))
	return outcome{found: f, authority: !f.foreign && f.rcode != dns.RcodeServerFailure, text: f.why}
}

// send makes the message of an outcome.
func (x *exchange) send(o outcome) []byte {
	x.s.count(o.rcode)
	m := x.message(o)
	most := dns.MaxMsgSize - 1
	if !x.from.stream {
		most = min(x.edns.size, int(x.t.config.UDPSize))
	}
	most -= x.tsig.room()
	x.pad(m)
	if m.Len() > most {
		m.Answer, m.Ns, m.Extra, m.Truncated = nil, nil, onlyOPT(m.Extra), true
	}
	return x.seal(m)
}

func onlyOPT(rrs []dns.RR) []dns.RR {
	for _, rr := range rrs {
		if _, is := rr.(*dns.OPT); is {
			return []dns.RR{rr}
		}
	}
	return nil
}

// message gives the reply without TSIG. RD is copied; of the other flags only
// CD, for who knows of DNSSEC.
func (x *exchange) message(o outcome) *dns.Msg {
	m := &dns.Msg{Question: x.q.Question, Compress: true}
	m.Id, m.Response, m.Opcode = x.q.Id, true, x.q.Opcode
	m.RecursionDesired = x.q.RecursionDesired
	m.CheckingDisabled = x.q.CheckingDisabled && x.edns.do
	m.Authoritative, m.Rcode = o.authority, o.rcode
	m.Answer, m.Ns, m.Extra = o.answer, o.found.authority, append([]dns.RR(nil), o.extra...)
	if x.edns.present {
		m.Extra = append(m.Extra, x.opt(o.code, o.text))
	} else if o.rcode > 15 {
		m.Rcode = dns.RcodeFormatError
	}
	return m
}

// seal packs a reply, with a TSIG if the query had a good one.
func (x *exchange) seal(m *dns.Msg) []byte {
	out, err := x.tsig.pack(m, x.t.keys, time.Now())
	if err != nil {
		return bare(x.raw, dns.RcodeServerFailure)
	}
	return out
}

// chaos answers what a server tells of itself: nothing, unless configured.
func (x *exchange) chaos(q dns.Question) outcome {
	name := strings.ToLower(q.Name)
	var text string
	switch {
	case q.Qtype != dns.TypeTXT && q.Qtype != dns.TypeANY:
	case name == "version.bind." || name == "version.server.":
		text = x.t.config.Version
	case name == "id.server." || name == "hostname.bind.":
		text = x.t.config.NSID
	case strings.HasPrefix(name, "why.") && strings.HasSuffix(name, ".understudy.") && x.mayAskWhy():
		group := strings.TrimSuffix(strings.TrimPrefix(name, "why."), ".understudy.")
		text = x.s.why(group)
	}
	if text == "" {
		return refuse(dns.RcodeRefused)
	}
	rr := &dns.TXT{Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeTXT, Class: dns.ClassCHAOS}, Txt: chunks(text)}
	return outcome{found: found{answer: []dns.RR{rr}}, authority: true}
}

func (x *exchange) mayAskWhy() bool {
	for _, p := range x.t.config.Why {
		if p.Contains(x.from.addr.Addr().Unmap()) {
			return true
		}
	}
	return false
}

// chunks cuts a text into strings that a TXT record can carry.
func chunks(text string) []string {
	var cut []string
	text = strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text)
	for len(text) > 200 {
		at := 200
		for at > 1 && text[at-1] == '\\' {
			at--
		}
		cut = append(cut, text[:at])
		text = text[at:]
	}
	return append(cut, text)
}

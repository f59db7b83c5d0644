package dnsgtm

import (
	"bytes"
	"encoding/hex"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// exchangeRaw sends bytes over UDP and gives the reply.
func exchangeRaw(t testing.TB, address string, raw []byte) []byte {
	t.Helper()
	got := sendRaw(t, address, raw)
	if got == nil {
		t.Fatalf("%x: no reply", raw)
	}
	return got
}

// sendRaw is exchangeRaw where there may be no reply, which is known as soon as
// a query that was sent behind the bytes is answered.
func sendRaw(t testing.TB, address string, raw []byte) []byte {
	t.Helper()
	conn, err := net.Dial("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	after := query("ns1.example.com", dns.TypeA)
	after.Id = 0xfffe
	packed, _ := after.Pack()
	for _, one := range [][]byte{raw, packed} {
		if _, err := conn.Write(one); err != nil {
			t.Fatal(err)
		}
	}
	buf := make([]byte, 65535)
	n, err := conn.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.HasPrefix(buf, packed[:2]) {
		return nil
	}
	return buf[:n]
}

func hexOf(t testing.TB, text string) []byte {
	t.Helper()
	raw, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

const (
	mdmName = "036d646d 07657861 6d706c65 03636f6d 00"
	tail1   = "0001 0001" // A IN
)

// What is no query gets no reply or a FORMERR, and never anything else.
func TestMessagesThatAreNoQuery(t *testing.T) {
	t.Parallel()
	s := running(t, example())
	tests := []struct{ name, raw, want string }{
		{"nothing", "00", ""},
		{"eleven bytes", "0102 0000 0001 0000 0000 00", ""},
		{"a response", "0102 8000 0001 0000 0000 0000" + mdmName + tail1, ""},
		{"a response that is an error", "0102 8003 0000 0000 0000 0000", ""},
		{"no question", "0102 0000 0000 0000 0000 0000", "0102 8001 0000 0000 0000 0000"},
		{"two questions", "0102 0000 0002 0000 0000 0000" + mdmName + tail1 + mdmName + tail1, "0102 8001 0000 0000 0000 0000"},
		{"a question that is not there", "0102 0000 0001 0000 0000 0000", "0102 8001 0000 0000 0000 0000"},
		{"a question without class", "0102 0000 0001 0000 0000 0000" + mdmName + "0001", ""}, // see below
		{"a name that points at itself", "0102 0000 0001 0000 0000 0000 c00c" + tail1, "0102 8001 0000 0000 0000 0000"},
		{"two names that point at one another", "0102 0000 0001 0000 0000 0000 c00e c00c" + tail1, "0102 8001 0000 0000 0000 0000"},
		{"a name that points behind the end", "0102 0000 0001 0000 0000 0000 c0ff" + tail1, "0102 8001 0000 0000 0000 0000"},
		{"a label longer than the message", "0102 0000 0001 0000 0000 0000 3f61" + tail1, "0102 8001 0000 0000 0000 0000"},
		{"a label type that does not exist", "0102 0000 0001 0000 0000 0000 8061" + tail1, "0102 8001 0000 0000 0000 0000"},
		{"an answer in the query", "0102 0000 0001 0001 0000 0000" + mdmName + tail1 + "00 0001 0001 00000000 0004 01020304", "0102 8001 0000 0000 0000 0000"},
		{"records that are not there", "0102 0000 0001 0000 0000 0005" + mdmName + tail1, "0102 8001 0000 0000 0000 0000"},
		{"an OPT that is cut", "0102 0000 0001 0000 0000 0001" + mdmName + tail1 + "00 0029 1000 00000000 0008 000a", "0102 8001 0000 0000 0000 0000"},
		{"a name of 256 bytes", "0102 0000 0001 0000 0000 0000" + strings.Repeat("3f"+strings.Repeat("61", 63), 4) + "00" + tail1, "0102 8001 0000 0000 0000 0000"},
	}
	for _, tt := range tests {
		got := sendRaw(t, s.address(), hexOf(t, tt.raw))
		if tt.name == "a question without class" { // the parser takes class 0 for it, which is refused
			if len(got) < headerSize || got[3]&0xf == 0 {
				t.Errorf("%s: got %x, want an error", tt.name, got)
			}
			continue
		}
		if !bytes.Equal(got, hexOf(t, tt.want)) {
			t.Errorf("%s: got %x, want %s", tt.name, got, tt.want)
		}
	}
}

func TestWhatComesFromPort0GetsNoReply(t *testing.T) {
	t.Parallel()
	s := running(t, example())
	q, _ := query("mdm.example.com", dns.TypeA).Pack()
	if got, _ := s.reply(q, client{addr: netip.MustParseAddrPort("192.0.2.77:0")}); got != nil {
		t.Errorf("got %x", got)
	}
	w := &worker{s: s}
	d := s.desk(time.Now())
	if got := w.work(new(quick), append(make([]byte, 0, mostUDP), q...), &d, netip.MustParseAddrPort("192.0.2.77:0"), 0); got != nil {
		t.Errorf("got %x from a worker", got)
	}
}

// Connections that say half a thing and stop.
func TestTruncatedFramesOverTCPHoldNobodyUp(t *testing.T) {
	t.Parallel()
	c := example()
	c.TCP.Idle, c.TCP.Whole = time.Second, 300*time.Millisecond
	s := running(t, c)
	q, _ := query("mdm.example.com", dns.TypeA).Pack()
	for _, frame := range []string{"", "\x00", "\x00\x40", "\x00\x40abc", "\x00\x00", "\x00\x03abc", "\xff\xff" + string(q)} {
		conn, err := net.Dial("tcp", s.address())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Write([]byte(frame)); err != nil {
			t.Fatal(err)
		}
		_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		if n, err := conn.Read(make([]byte, 10)); err == nil {
			t.Errorf("%q: got %d bytes, want the end", frame, n)
		} else if timeout, is := err.(net.Error); is && timeout.Timeout() {
			t.Errorf("%q: the connection was not closed", frame)
		}
	}
	if got := first(ask(t, "tcp", s.address(), query("mdm.example.com", dns.TypeA))); got != "A 192.0.2.10" {
		t.Errorf("got %s", got)
	}
}

// Queries of one connection may follow one another without waiting (RFC 7766,
// 6.2.1.1), also where a frame is cut into pieces.
func TestPipelinedQueriesAreAllAnswered(t *testing.T) {
	t.Parallel()
	s := running(t, example())
	conn, err := net.Dial("tcp", s.address())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var stream []byte
	const count = 300
	for id := range count {
		m := query("mdm.example.com", dns.TypeA)
		m.Id = uint16(id)
		q, _ := m.Pack()
		stream = append(append(stream, byte(len(q)>>8), byte(len(q))), q...)
	}
	go func() {
		for len(stream) > 0 {
			n := min(101, len(stream))
			_, _ = conn.Write(stream[:n])
			stream = stream[n:]
		}
	}()
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	in := &dns.Conn{Conn: conn}
	for id := range count {
		r, err := in.ReadMsg()
		if err != nil {
			t.Fatal(err)
		}
		if int(r.Id) != id || first(r) != "A 192.0.2.10" {
			t.Fatalf("reply %d: got %d with %s", id, r.Id, first(r))
		}
	}
}

// A reply that does not fit is empty and says so; over TCP it is whole.
func TestATruncatedReplyIsEmptyAndTCPHasTheWhole(t *testing.T) {
	t.Parallel()
	c := example()
	zone := exampleZone
	for i := range 60 {
		zone += "big IN TXT \"" + strings.Repeat("x", 20) + string(rune('0'+i/10)) + string(rune('0'+i%10)) + "\"\n"
	}
	c.Zones[0].Text = []byte(zone)
	s := running(t, c)
	for _, size := range []uint16{0, 512, 1232, 4096} {
		q := query("big.example.com", dns.TypeTXT)
		if size > 0 {
			q.SetEdns0(size, false)
		}
		r := ask(t, "udp", s.address(), q)
		if !r.Truncated || len(r.Answer) > 0 || (size > 0) != (r.IsEdns0() != nil) {
			t.Errorf("size %d: got TC %v and %d records", size, r.Truncated, len(r.Answer))
		}
	}
	if r := ask(t, "tcp", s.address(), query("big.example.com", dns.TypeTXT)); len(r.Answer) != 60 || r.Truncated {
		t.Errorf("over TCP: got %d records, TC %v", len(r.Answer), r.Truncated)
	}
}

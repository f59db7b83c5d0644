package dnsgtm

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// transferOf fetches a zone, or what changed since a serial that is not 0.
func transferOf(address, zone string, since uint32, key Key) ([]dns.RR, error) {
	m := new(dns.Msg)
	if m.SetAxfr(zone); since > 0 {
		m.SetIxfr(zone, since, "ns1."+zone, "hostmaster."+zone)
	}
	tr := &dns.Transfer{ReadTimeout: 10 * time.Second}
	if key.Name != "" {
		tr.TsigSecret = map[string]string{key.Name: key.File}
		m.SetTsig(key.Name, key.Algorithm, 300, time.Now().Unix())
	}
	envelopes, err := tr.In(m, address)
	if err != nil {
		return nil, err
	}
	var rrs []dns.RR
	for e := range envelopes {
		if e.Error != nil {
			err = e.Error
		}
		rrs = append(rrs, e.RR...)
	}
	return rrs, err
}

// Who may not have the zone does not get it, over UDP neither.
func TestATransferIsForThoseWhoMay(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const name, secret = "k.", "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
	here, elsewhere := netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("192.0.2.0/24")
	good := Key{Name: name, Algorithm: dns.HmacSHA256, File: secret}
	tests := []struct {
		what  string
		allow []Peer
		key   Key
		want  string
	}{
		{"nobody may", nil, Key{}, "rcode: 5"},
		{"somebody elsewhere may", []Peer{{Network: elsewhere}}, Key{}, "rcode: 5"},
		{"the network may", []Peer{{Network: elsewhere}, {Network: here}}, Key{}, ""},
		{"who has the key may", []Peer{{Key: "K."}}, good, ""},
		{"without the key", []Peer{{Key: name}}, Key{}, "rcode: 5"},
		{"the key from elsewhere", []Peer{{Key: name, Network: elsewhere}}, good, "rcode: 5"},
		{"both fit", []Peer{{Key: name, Network: here}}, good, ""},
		{"a key is more than is asked for", []Peer{{Network: here}}, good, ""},
		{"a wrong secret", []Peer{{Key: name}}, Key{Name: name, Algorithm: dns.HmacSHA256, File: "AAAA" + secret[4:]}, "rcode: 9"},
		{"another algorithm", []Peer{{Key: name}}, Key{Name: name, Algorithm: dns.HmacSHA512, File: secret}, "rcode: 9"},
		{"an unknown key", []Peer{{Key: name}}, Key{Name: "other.", Algorithm: dns.HmacSHA256, File: secret}, "rcode: 9"},
		{"a wrong secret where none is wanted", []Peer{{Network: here}}, Key{Name: name, Algorithm: dns.HmacSHA256, File: "AAAA" + secret[4:]}, "rcode: 9"},
	}
	for _, tt := range tests {
		c := example()
		c.Keys = []Key{{Name: name, File: write(t, dir, "secret", secret)}}
		c.Zones[0].Allow = tt.allow
		s := running(t, c)
		for _, since := range []uint32{0, 2026010100} {
			rrs, err := transferOf(s.address(), "example.com.", since, tt.key)
			switch {
			case tt.want == "" && (err != nil || len(rrs) == 0):
				t.Errorf("%s: got %d records and %v", tt.what, len(rrs), err)
			case tt.want != "" && (err == nil || len(rrs) > 0):
				t.Errorf("%s: got %d records and %v, want %s", tt.what, len(rrs), err, tt.want)
			}
		}
	}
}

// A key with the wrong time, and what each fault is answered with (RFC 8945,
// 5.2).
func TestAWrongTSIGIsToldWhatIsWrong(t *testing.T) {
	t.Parallel()
	const name, secret = "k.", "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
	c := example()
	c.Keys = []Key{{Name: name, File: write(t, t.TempDir(), "secret", secret)}}
	s := running(t, c)
	tests := []struct {
		what, name, secret string
		at                 time.Time
		want               uint16
		signed             bool
	}{
		{"good", name, secret, time.Now(), 0, true},
		{"an hour ago", name, secret, time.Now().Add(-time.Hour), dns.RcodeBadTime, true},
		{"an hour ahead", name, secret, time.Now().Add(time.Hour), dns.RcodeBadTime, true},
		{"another secret", name, "AAAA" + secret[4:], time.Now(), dns.RcodeBadSig, false},
		{"an unknown key", "other.", secret, time.Now(), dns.RcodeBadKey, false},
	}
	for _, tt := range tests {
		m := query("mdm.example.com", dns.TypeA)
		m.SetTsig(tt.name, dns.HmacSHA256, 300, tt.at.Unix())
		raw, mac, err := dns.TsigGenerate(m, tt.secret, "", false)
		if err != nil {
			t.Fatal(err)
		}
		got := exchangeRaw(t, s.address(), raw)
		r := new(dns.Msg)
		if err := r.Unpack(got); err != nil {
			t.Fatal(err)
		}
		sig := r.IsTsig()
		if sig == nil || sig.Error != tt.want || (sig.MACSize > 0) != tt.signed {
			t.Errorf("%s: got the TSIG %v", tt.what, sig)
			continue
		}
		if (r.Rcode == dns.RcodeNotAuth) != (tt.want != 0) || len(r.Answer) > 0 != (tt.want == 0) {
			t.Errorf("%s: got %s with %d records", tt.what, dns.RcodeToString[r.Rcode], len(r.Answer))
		}
		if tt.want == 0 {
			if err := dns.TsigVerify(got, tt.secret, mac, false); err != nil {
				t.Errorf("the reply does not verify: %v", err)
			}
		}
	}
}

// Transfers that are larger than a message, with a key that signs each.
func TestALargeZoneIsTransferredWhole(t *testing.T) {
	t.Parallel()
	const name, secret = "k.", "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
	c := example()
	var text strings.Builder
	text.WriteString(exampleZone)
	for i := range 20000 {
		fmt.Fprintf(&text, "n%d IN A 10.0.%d.%d\n", i, i>>8, i&255)
	}
	c.Zones[0].Text = []byte(text.String())
	c.Keys = []Key{{Name: name, File: write(t, t.TempDir(), "secret", secret)}}
	c.Zones[0].Allow = []Peer{{Key: name}}
	s := running(t, c)
	rrs, err := transferOf(s.address(), "example.com.", 0, Key{Name: name, Algorithm: dns.HmacSHA256, File: secret})
	if err != nil || len(rrs) < 20000 {
		t.Errorf("got %d records and %v", len(rrs), err)
	}
	dig := tool(t, "dig", "@127.0.0.1", "-p", s.port(), "-y", "hmac-sha256:k:"+secret, "+noidnout", "example.com", "AXFR")
	if got := strings.Count(dig, "\tIN\tA\t"); got < 20000 {
		t.Errorf("dig got %d addresses", got)
	}
}

func (s *Server) port() string { _, port := splitPort(s.address()); return port }

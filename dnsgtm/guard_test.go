package dnsgtm

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/hex"
	"encoding/pem"
	"math/big"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// The vectors of RFC 9018, appendix A.
func TestCookiesAreThoseOfRFC9018(t *testing.T) {
	t.Parallel()
	tests := []struct {
		what, secret, from, shown, want string
		at                              int64
	}{
		{"A.1 a new cookie", "e5e973e5a6b2a43f48e7dc849e37bfcf", "198.51.100.100", "2464c4abcf10c957", "2464c4abcf10c957010000005cf79f111f8130c3eee29480", 1559731985},
		{"A.2 a young one stays", "e5e973e5a6b2a43f48e7dc849e37bfcf", "198.51.100.100", "2464c4abcf10c957010000005cf79f111f8130c3eee29480", "2464c4abcf10c957010000005cf79f111f8130c3eee29480", 1559734385 - 1000},
		{"A.2 an old one is made anew", "e5e973e5a6b2a43f48e7dc849e37bfcf", "198.51.100.100", "2464c4abcf10c957010000005cf79f111f8130c3eee29480", "2464c4abcf10c957010000005cf7a871d4a564a1442aca77", 1559734385},
		{"A.3 too old, with reserved bits", "e5e973e5a6b2a43f48e7dc849e37bfcf", "203.0.113.203", "fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5", "fc93fc62807ddb86010000005cf7a9acf73a7810aca2381e", 1559734700},
		{"A.4 over IPv6, with a rolled secret", "dd3bdf9344b678b185a6f5cb60fca715", "2001:db8:220:1:59de:d0f4:8769:82b8", "22681ab97d52c298010000005cf7c57926556bd0934c72f8", "22681ab97d52c298010000005cf7c609a6bb79d16625507a", 1559741961},
	}
	for _, tt := range tests {
		secret, shown := hexOf(t, tt.secret), hexOf(t, tt.shown)
		c := &cookies{[][2]uint64{halves(secret)}}
		if strings.HasPrefix(tt.what, "A.4") {
			c.secrets = append([][2]uint64{halves(hexOf(t, "445536bcd2513298075a5d379663c962"))}, c.secrets...)
		}
		from := netip.MustParseAddr(tt.from)
		if got := hex.EncodeToString(c.answer(nil, shown, from, uint32(tt.at))); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.what, got, tt.want)
		}
		old := tt.at-int64(binary.BigEndian.Uint32(append(shown, 0, 0, 0, 0, 0, 0, 0, 0)[12:])) > int64(cookieOld/time.Second)
		if len(shown) > clientCookie && !c.valid(shown, from, uint32(tt.at)) && !old {
			t.Errorf("%s: the cookie was not taken", tt.what)
		}
		if len(shown) > clientCookie && c.valid(shown, netip.MustParseAddr("192.0.2.1"), uint32(tt.at)) {
			t.Errorf("%s: the cookie was taken from another address", tt.what)
		}
	}
}

func TestACookieHasItsTime(t *testing.T) {
	t.Parallel()
	c, err := readCookies("")
	if err != nil {
		t.Fatal(err)
	}
	from := netip.MustParseAddr("192.0.2.1")
	const now = uint32(1_900_000_000)
	given := c.answer(nil, []byte("12345678"), from, now)
	for age, want := range map[time.Duration]bool{0: true, time.Hour: true, time.Hour + time.Second: false, -5 * time.Minute: true, -5*time.Minute - time.Second: false} {
		if got := c.valid(given, from, now+uint32(int64(age/time.Second))); got != want {
			t.Errorf("after %s: valid is %v", age, got)
		}
	}
	given[20] ^= 1
	if c.valid(given, from, now) {
		t.Error("a forged cookie was taken")
	}
}

// A secret is brought to every server before the first one uses it.
func TestAStagedSecretIsTaken(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	old, next := strings.Repeat("11", 16), strings.Repeat("22", 16)
	a, err := readCookies(write(t, dir, "a", old+"\n# to come\n"+next+"\n"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := readCookies(write(t, dir, "b", next+"\n"+old+"\n"))
	if err != nil {
		t.Fatal(err)
	}
	from := netip.MustParseAddr("192.0.2.1")
	if !b.valid(a.answer(nil, []byte("12345678"), from, 1e9), from, 1e9) || !a.valid(b.answer(nil, []byte("12345678"), from, 1e9), from, 1e9) {
		t.Error("the two servers do not take one another's cookies")
	}
	for _, text := range []string{"", "12", strings.Repeat("zz", 16), "# nothing\n"} {
		if _, err := readCookies(write(t, dir, "c", text)); err == nil || strings.Contains(err.Error(), "zz") {
			t.Errorf("%q: got %v", text, err)
		}
	}
}

// Over the limit some replies are kept back, some go out truncated, and who
// shows a cookie or comes by TCP has all of them.
func TestFloodsAreLimitedAndRealClientsAreNot(t *testing.T) {
	t.Parallel()
	c := example()
	c.Rate = Rate{PerSecond: 50, Slip: 2, V4: 24, V6: 56}
	s := running(t, c)
	conn, err := net.Dial("udp", s.address())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	q, _ := query("mdm.example.com", dns.TypeA).Pack()
	const flood = 400
	began := time.Now()
	for range flood {
		if _, err := conn.Write(q); err != nil {
			t.Fatal(err)
		}
	}
	await(t, "the flood to be judged", func() bool {
		f := s.Figures()
		return f.Replies["NOERROR"] >= flood
	})
	most := 50 + 50*int(time.Since(began).Seconds()+1) // a burst of a second, and what came free meanwhile
	f := s.Figures()
	whole, truncated := 0, 0
	_ = conn.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
	for buf := make([]byte, 512); ; {
		n, err := conn.Read(buf)
		if err != nil {
			break
		}
		r := new(dns.Msg)
		if err := r.Unpack(buf[:n]); err != nil {
			t.Fatalf("%x: %v", buf[:n], err)
		}
		if r.Truncated && len(r.Answer) == 0 {
			truncated++
		} else {
			whole++
		}
	}
	if over := flood - whole; whole < 50 || whole > most || truncated != int(f.Slipped) || truncated != over/2 || int(f.Limited) != over-over/2 {
		t.Errorf("of %d: %d whole (at most %d), %d truncated, %d slipped, %d kept back", flood, whole, most, truncated, f.Slipped, f.Limited)
	}
	cookied := query("mdm.example.com", dns.TypeA)
	edns0(0, 1232, 0, cookie)(cookied)
	given := optionOf(ask(t, "tcp", s.address(), cookied), dns.EDNS0COOKIE)
	for range 100 {
		q := query("mdm.example.com", dns.TypeA)
		edns0(0, 1232, 0, local(dns.EDNS0COOKIE, given))(q)
		if got := first(ask(t, "udp", s.address(), q)); got != "A 192.0.2.10" {
			t.Fatalf("with a cookie: got %s", got)
		}
	}
}

func TestTheLimitIsOfANetworkAndForgetsInTime(t *testing.T) {
	t.Parallel()
	l := newLimiter(Rate{PerSecond: 10, Slip: 2, V4: 24, V6: 56, Exempt: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}})
	count := func(address string, now int64) (n int) {
		for range 1000 {
			if l.allow(netip.MustParseAddr(address), now) {
				n++
			}
		}
		return n
	}
	second := int64(time.Second)
	for _, step := range []struct {
		address string
		at      int64
		want    int
	}{
		{"192.0.2.1", 100 * second, 10},
		{"192.0.2.200", 100 * second, 0},
		{"192.0.3.1", 100 * second, 10},
		{"192.0.2.1", 100*second + second/2, 5},
		{"192.0.2.1", 110 * second, 10},
		{"2001:db8::1", 100 * second, 10},
		{"2001:db8:0:ff::1", 100 * second, 0},
		{"2001:db8:0:100::1", 100 * second, 10},
		{"198.51.100.1", 100 * second, 1000},
	} {
		if got := count(step.address, step.at); got != step.want {
			t.Errorf("%s at %ds: %d were allowed, want %d", step.address, step.at/second, got, step.want)
		}
	}
}

// certificate makes one for 127.0.0.1.
func certificate(t testing.TB, dir string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "ns1.example.com"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return write(t, dir, "cert", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))),
		write(t, dir, "key", string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: secret})))
}

// kdig asks over TLS; the replies are padded (RFC 8467), and keepalive, NSID
// and cookies work there too.
func TestKdigOverTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := certificate(t, dir)
	c := example()
	c.TLS = &TLS{Listen: []string{"127.0.0.1:0"}, CertFile: cert, KeyFile: key}
	s := running(t, c)
	_, port := splitPort(s.Addresses()[1].String())
	said := tool(t, "kdig", "@127.0.0.1", "-p", port, "+tls", "+tls-ca="+cert, "+padding", "+nsid", "+cookie=0102030405060708", "+keepopen", "mdm.example.com", "A")
	for _, want := range []string{"TLS session", "192.0.2.10", "NSID: 6E7331 \"ns1\"", "COOKIE: 0102030405060708", "PADDING: ", "Received 468 B"} {
		if !strings.Contains(said, want) {
			t.Errorf("kdig does not say %q:\n%s", want, said)
		}
	}
	certificate(t, dir)
	if err := s.Reload(c); err != nil {
		t.Fatal(err)
	}
	if said := tool(t, "kdig", "@127.0.0.1", "-p", port, "+tls", "+tls-ca="+cert, "mdm.example.com"); !strings.Contains(said, "192.0.2.10") {
		t.Errorf("with a new certificate:\n%s", said)
	}
	if err := os.WriteFile(cert, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Reload(c); err == nil || !strings.HasPrefix(err.Error(), cert+": the certificate") {
		t.Errorf("a broken certificate: got %v", err)
	}
}

// Ten thousand connections that say nothing keep nobody out.
func TestTenThousandConnectionsKeepNobodyOut(t *testing.T) {
	count := 10_000
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if raised := (syscall.Rlimit{Cur: limit.Max, Max: limit.Max}); syscall.Setrlimit(syscall.RLIMIT_NOFILE, &raised) == nil {
		defer func() { _ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit) }()
		limit.Cur = limit.Max
	}
	if room := int(min(limit.Cur, 1<<20)) - 2000; room < count {
		count = max(room, 0)
		t.Logf("only %d descriptors here", count)
	}
	c := example()
	c.TCP = TCP{Connections: 500, Idle: time.Minute, Whole: 5 * time.Second}
	s := running(t, c)
	for i := range count {
		conn, err := net.Dial("tcp", s.address())
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		defer conn.Close()
		if i%1000 == 999 {
			if got := first(ask(t, "tcp", s.address(), query("mdm.example.com", dns.TypeA))); got != "A 192.0.2.10" {
				t.Fatalf("after %d connections: got %s", i, got)
			}
		}
	}
	await(t, "no more than 500 connections", func() bool { f := s.Figures(); return f.Connections <= 500 && f.Evicted >= uint64(count-600) })
}

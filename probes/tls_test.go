package probes

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/internal/hatest"
)

// HAProxy reg-tests/checks/tls_health_checks.vtc.
func TestWhatIsWrongWithACertificateIsTold(t *testing.T) {
	t.Parallel()
	n := hatest.New(t, hatest.Config{TLS: hatest.TLSValid, State: ha.Active, Names: []string{"mdm.example.com"}})
	trusted := trusting(t, n)
	distrusted, named, misnamed, blind := trusted, trusted, trusted, trusted
	distrusted.CAFile = ""
	named.Host = "mdm.example.com:8443"
	misnamed.Host = "other.example.com"
	blind.CAFile, blind.Insecure = "", true
	for _, tt := range []struct {
		kind   hatest.TLS
		target Target
		want   string // the beginning
	}{
		{hatest.TLSValid, trusted, "Active"},
		{hatest.TLSValid, named, "Active"},
		{hatest.TLSValid, blind, "Active"},
		{hatest.TLSValid, distrusted, `tls: the certificate is signed by an unknown CA ("CN=hatest CA")`},
		{hatest.TLSValid, misnamed, `tls: the certificate is for another name than other.example.com: "localhost, mdm.example.com`},
		{hatest.TLSExpired, trusted, "tls: the certificate expired at "},
		{hatest.TLSExpired, blind, "Active"},
		{hatest.TLSWrongName, trusted, `tls: the certificate is for another name than 127.0.0.1: "elsewhere.example"`},
		{hatest.TLSUnknownCA, trusted, `tls: the certificate is signed by an unknown CA ("CN=hatest CA")`},
		{hatest.TLSUnknownCA, blind, "Active"},
		{hatest.TLSOff, trusted, "tls: what answers does not speak TLS"},
		{hatest.TLSOff, blind, "tls: what answers does not speak TLS"},
	} {
		n.SetTLS(tt.kind)
		if got := verdict(checker(t, tt.target).Check(statusPage)); !strings.HasPrefix(got, tt.want) {
			t.Errorf("kind %d, %+v:\ngot  %s\nwant %s", tt.kind, tt.target, got, tt.want)
		}
	}
	n.SetTLS(hatest.TLSValid)
	plain := trusted
	plain.URL, plain.CAFile = strings.Replace(plain.URL, "https", "http", 1), ""
	wantVerdict(t, checker(t, plain).Check(statusPage), "status: 400 Bad Request")
}

func TestTheServerNameIsTheHost(t *testing.T) {
	t.Parallel()
	n := hatest.New(t, hatest.Config{TLS: hatest.TLSValid, State: ha.Active, Names: []string{"mdm.example.com"}})
	target := trusting(t, n)
	target.Host = "mdm.example.com:8443"
	wantVerdict(t, checker(t, target).Check(statusPage), "Active")
	if p := n.Probes()[0]; p.Host != "mdm.example.com:8443" || p.ServerName != "mdm.example.com" {
		t.Errorf("got %+v", p)
	}
}

// A certificate that expires is seen by the next probe, whatever the one
// before it was shown.
func TestNoHandshakeLeansOnAnEarlierOne(t *testing.T) {
	t.Parallel()
	n := hatest.New(t, hatest.Config{TLS: hatest.TLSValid, State: ha.Active})
	c := checker(t, trusting(t, n))
	for _, tt := range []struct {
		kind hatest.TLS
		want ha.Cause
	}{{hatest.TLSValid, ""}, {hatest.TLSExpired, ha.TLSFault}, {hatest.TLSValid, ""}, {hatest.TLSUnknownCA, ha.TLSFault}} {
		n.SetTLS(tt.kind)
		if r := c.Check(statusPage); r.Cause != tt.want {
			t.Errorf("kind %d: got %+v", tt.kind, r)
		}
	}
}

func TestAHandshakeThatBreaksIsNoFaultOfACertificate(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		end  func(c *net.TCPConn)
		want string
	}{
		{func(c *net.TCPConn) {}, "reset: the connection was closed in the TLS handshake"},
		{func(c *net.TCPConn) { _ = c.SetLinger(0) }, "reset: the connection broke in the TLS handshake: connection reset by peer"},
		{func(c *net.TCPConn) { _, _ = c.Write([]byte("\x15\x03\x03\x00\x02\x02\x28")) }, "tls: the node refuses the handshake: handshake failure"},
		{func(c *net.TCPConn) { _, _ = c.Write([]byte("220 mail.example\r\n")) }, "tls: what answers does not speak TLS"},
	} {
		ln, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			c, err := ln.AcceptTCP()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 4096)) // the hello
			tt.end(c)
			c.Close()
		}()
		r := checker(t, Target{URL: fmt.Sprintf("https://%s", ln.Addr()), Insecure: true}).Check(statusPage)
		wantVerdict(t, r, tt.want)
		ln.Close()
	}
}

func TestEveryFaultOfAHandshakeIsTold(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	cert := &x509.Certificate{NotBefore: now.Add(time.Hour), NotAfter: now.Add(-time.Hour), IPAddresses: []net.IP{net.IPv4(192, 0, 2, 1)}}
	for _, tt := range []struct {
		err  error
		want string
	}{
		{errors.New("tls: no cipher suite in common"), "TLS handshake: no cipher suite in common"},
		{x509.CertificateInvalidError{Cert: cert, Reason: x509.Expired}, "the certificate is not valid before 2026-07-01 13:00:00 UTC"},
		{x509.CertificateInvalidError{Cert: &x509.Certificate{NotAfter: cert.NotAfter}, Reason: x509.Expired}, "the certificate expired at 2026-07-01 11:00:00 UTC"},
		{x509.UnknownAuthorityError{}, "the certificate is signed by an unknown CA"},
		{x509.HostnameError{Host: "a", Certificate: cert}, `the certificate is for another name than a: "192.0.2.1"`},
		{x509.HostnameError{Host: "a", Certificate: &x509.Certificate{}}, "the certificate is for another name than a: it carries none"},
		{tls.RecordHeaderError{}, "what answers does not speak TLS"},
	} {
		if got := tellTLS(tt.err, now); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

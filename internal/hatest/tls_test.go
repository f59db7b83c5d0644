package hatest

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/understudy-ha/understudy/internal/ha"
)

func TestACertificateIsAsGoodAsItIsSaidToBe(t *testing.T) {
	t.Parallel()
	n := New(t, Config{TLS: TLSValid, State: ha.Active})
	var invalid x509.CertificateInvalidError
	var name x509.HostnameError
	var unknown x509.UnknownAuthorityError
	for _, tt := range []struct {
		kind TLS
		want func(error) bool
	}{
		{TLSValid, func(err error) bool { return err == nil }},
		{TLSExpired, func(err error) bool { return errors.As(err, &invalid) && invalid.Reason == x509.Expired }},
		{TLSWrongName, func(err error) bool { return errors.As(err, &name) }},
		{TLSUnknownCA, func(err error) bool { return errors.As(err, &unknown) }},
		{TLSValid, func(err error) bool { return err == nil }},
	} {
		n.SetTLS(tt.kind)
		n.Client().CloseIdleConnections()
		if _, err := ask(t, n, http.MethodGet, status); !tt.want(err) {
			t.Errorf("kind %d: got %v", tt.kind, err)
		}
	}
}

func TestTLSCanBeTurnedOffAndOn(t *testing.T) {
	t.Parallel()
	n := New(t, Config{State: ha.Active})
	if !strings.HasPrefix(n.URL(), "http://127.0.0.1:") {
		t.Errorf("got %s", n.URL())
	}
	must(t, n, status)
	n.SetTLS(TLSValid)
	if !strings.HasPrefix(n.URL(), "https://127.0.0.1:") {
		t.Errorf("got %s", n.URL())
	}
	must(t, n, status)
}

func TestNodesCanShareAnAuthority(t *testing.T) {
	t.Parallel()
	ca, err := NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	a := New(t, Config{TLS: TLSValid, Authority: ca, Names: []string{"a.example", "192.0.2.7"}})
	b := New(t, Config{TLS: TLSValid, Authority: ca})
	if a.CA() != ca || b.CA() != ca {
		t.Error("a node has another authority")
	}
	resp, err := b.Client().Get(a.URL())
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()

	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca.PEM()) {
		t.Fatal("the PEM text holds no certificate")
	}
	for _, name := range []string{"a.example", "192.0.2.7", "localhost", "127.0.0.1", "::1"} {
		c, err := tls.Dial("tcp", a.Addr().String(), &tls.Config{RootCAs: pool, ServerName: name, NextProtos: []string{"h2", "http/1.1"}})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := c.ConnectionState().NegotiatedProtocol; got != "http/1.1" {
			t.Errorf("got protocol %q", got)
		}
		c.Close()
	}
	if _, err := ca.Certificate("front.example"); err != nil {
		t.Errorf("got %v, want a certificate for another server", err)
	}
}

func TestFaultsHoldUnderTLSToo(t *testing.T) {
	t.Parallel()
	n := New(t, Config{TLS: TLSValid, State: ha.Active})
	for _, fault := range []Fault{Reset, Cut, Garbage} {
		for _, on := range []Part{Pages, Whole} {
			n.BreakWith(Breakage{Fault: fault, On: on})
			if g, err := ask(t, n, http.MethodGet, status); err == nil {
				t.Errorf("%s: got %d %q, want an error", fault, g.status, g.body)
			}
			n.Mend()
			must(t, n, status)
		}
	}
}

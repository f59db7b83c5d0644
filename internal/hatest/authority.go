package hatest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"time"
)

// TLS is what a node shows to a client that connects.
type TLS uint8

// The kinds of TLS, all without HTTP/2. The zero value is plain HTTP.
const (
	TLSOff       TLS = iota
	TLSValid         // signed by the node's CA, with its address in it
	TLSExpired       // the same, ended an hour ago
	TLSWrongName     // the same, for elsewhere.example
	TLSUnknownCA     // right in all but its CA, which nobody trusts
)

// Authority is a certificate authority in memory.
type Authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewAuthority makes an authority with a key of its own, good for a year.
func NewAuthority() (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	now := time.Now()
	form := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "hatest CA"},
		NotBefore:             now.Add(-48 * time.Hour),
		NotAfter:              now.AddDate(1, 0, 0),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	cert, err := sign(form, form, key, key)
	if err != nil {
		return nil, err
	}
	return &Authority{cert: cert, key: key}, nil
}

// Pool gives the authority as the only one to trust.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// PEM gives the authority's certificate as a file would hold it.
func (a *Authority) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// Certificate makes a certificate for names and addresses that is good for a
// year, for servers and for clients.
func (a *Authority) Certificate(names ...string) (tls.Certificate, error) {
	return a.issue(names, time.Now().AddDate(1, 0, 0))
}

func (a *Authority) issue(names []string, until time.Time) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make key: %w", err)
	}
	form := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "hatest node"},
		NotBefore:   a.cert.NotBefore,
		NotAfter:    until,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			form.IPAddresses = append(form.IPAddresses, ip)
		} else {
			form.DNSNames = append(form.DNSNames, name)
		}
	}
	cert, err := sign(form, a.cert, key, a.key)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}, nil
}

func sign(form, parent *x509.Certificate, key, by *ecdsa.PrivateKey) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("make serial number: %w", err)
	}
	form.SerialNumber = serial
	der, err := x509.CreateCertificate(rand.Reader, form, parent, key.Public(), by)
	if err != nil {
		return nil, fmt.Errorf("sign certificate: %w", err)
	}
	return x509.ParseCertificate(der)
}

// certify makes the certificate of every kind of TLS.
func (n *Node) certify() error {
	stranger, err := NewAuthority()
	if err != nil {
		return err
	}
	if n.cfg.Authority == nil {
		if n.cfg.Authority, err = NewAuthority(); err != nil {
			return err
		}
	}
	names := append([]string{n.addr.Addr().String(), "127.0.0.1", "::1", "localhost"}, n.cfg.Names...)
	future := time.Now().AddDate(1, 0, 0)
	n.certs = make(map[TLS]*tls.Certificate)
	for _, c := range []struct {
		kind  TLS
		by    *Authority
		names []string
		until time.Time
	}{
		{TLSValid, n.cfg.Authority, names, future},
		{TLSExpired, n.cfg.Authority, names, time.Now().Add(-time.Hour)},
		{TLSWrongName, n.cfg.Authority, []string{"elsewhere.example"}, future},
		{TLSUnknownCA, stranger, names, future},
	} {
		cert, err := c.by.issue(c.names, c.until)
		if err != nil {
			return err
		}
		n.certs[c.kind] = &cert
	}
	return nil
}

// tlsConfig has no session tickets, so that every connection is judged by the
// certificate of its own time, and no HTTP/2, so that every fault can be done.
func (n *Node) tlsConfig() *tls.Config {
	return &tls.Config{
		NextProtos:             []string{"http/1.1"},
		SessionTicketsDisabled: true,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			if cert := n.certs[n.script.Load().tls]; cert != nil {
				return cert, nil
			}
			return n.certs[TLSValid], nil
		},
	}
}

package probes

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"
)

// classic leaves the post-quantum key exchange out: a probe has no secret to
// keep, and without it the first flight is one small segment and a handshake
// takes a fifth less of the processor.
var classic = []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521}

// security gives what a target's handshakes go by. Sessions are never resumed:
// a probe sees the certificate that a new client would see.
func security(t Target, server string) (*tls.Config, error) {
	config := &tls.Config{
		MinVersion:             tls.VersionTLS12,
		ServerName:             server,
		NextProtos:             []string{"http/1.1"},
		SessionTicketsDisabled: true,
		CurvePreferences:       classic,
		InsecureSkipVerify:     t.Insecure, // #nosec G402 -- asked for by the operator, and only for a probe
	}
	if t.CAFile == "" {
		return config, nil
	}
	text, err := os.ReadFile(t.CAFile)
	if err != nil {
		return nil, fmt.Errorf("node %s: read tls_ca: %w", t.Node, err)
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("node %s: tls_ca %s holds no certificate in PEM", t.Node, t.CAFile)
	}
	return config, nil
}

// tellTLS says what was wrong with a handshake that the connection outlived.
func tellTLS(err error, now time.Time) string {
	var (
		invalid x509.CertificateInvalidError
		unknown x509.UnknownAuthorityError
		name    x509.HostnameError
		record  tls.RecordHeaderError
		remote  *net.OpError
	)
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && now.Before(invalid.Cert.NotBefore):
		return "the certificate is not valid before " + stamp(invalid.Cert.NotBefore)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the certificate expired at " + stamp(invalid.Cert.NotAfter)
	case errors.As(err, &unknown):
		return "the certificate is signed by an unknown CA" + issuer(unknown.Cert)
	case errors.As(err, &name):
		return fmt.Sprintf("the certificate is for another name than %s: %s", name.Host, names(name.Certificate))
	case errors.As(err, &record):
		return "what answers does not speak TLS"
	case errors.As(err, &remote) && remote.Op == "remote error":
		return "the node refuses the handshake: " + strings.TrimPrefix(remote.Err.Error(), "tls: ")
	}
	return "TLS handshake: " + strings.TrimPrefix(err.Error(), "tls: ")
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

func issuer(cert *x509.Certificate) string {
	if cert == nil || cert.Issuer.String() == "" {
		return ""
	}
	return " (" + said(cert.Issuer.String()) + ")"
}

// names gives what a certificate is for.
func names(cert *x509.Certificate) string {
	list := cert.DNSNames
	for _, ip := range cert.IPAddresses {
		list = append(list, ip.String())
	}
	if len(list) == 0 {
		return "it carries none"
	}
	return said(strings.Join(list, ", "))
}

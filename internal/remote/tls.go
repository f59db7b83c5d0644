package remote

import (
	"crypto/tls"
	"errors"
	"fmt"
)

// WrongKey is the error of a call to a host that answers with another TLS key
// than the one that is trusted. Nothing was sent to it.
type WrongKey struct {
	Host, At  string
	Got, Want Pin
}

func (w *WrongKey) Error() string {
	return fmt.Sprintf("%s at %s answers with the TLS key %s, but %s is trusted: nothing was sent; if %s has a new key, remove it and pair again, else somebody is between you", w.Host, w.At, w.Got, w.Want, w.Host)
}

// ServerTLS gives the configuration of the listener for peers and browsers. It
// asks for a certificate and takes any: [Trust.Prove] looks whose it is. There
// is no resumption, so that every connection shows its key anew.
func (t *Trust) ServerTLS() *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		Certificates:           []tls.Certificate{t.Key.Certificate},
		ClientAuth:             tls.RequestClientCert,
		SessionTicketsDisabled: true,
		NextProtos:             []string{"http/1.1"},
	}
}

// clientTLS gives the configuration for a call to a host with a pinned key. The
// pin takes the place of names, authorities and dates.
func (t *Trust) clientTLS(host, at string, want Pin) *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		Certificates:       []tls.Certificate{t.Key.Certificate},
		InsecureSkipVerify: true, // #nosec G402 -- VerifyConnection compares the key itself
		NextProtos:         []string{"http/1.1"},
		VerifyConnection: func(s tls.ConnectionState) error {
			got, err := pinOfPeer(s)
			switch {
			case err != nil:
				return err
			case want == Pin{} || got != want:
				return &WrongKey{host, at, got, want}
			}
			return nil
		},
	}
}

func pinOfPeer(s tls.ConnectionState) (Pin, error) {
	if len(s.PeerCertificates) == 0 {
		return Pin{}, errors.New("the other side shows no TLS key")
	}
	return PinOf(s.PeerCertificates[0]), nil
}

// bindingLabel and an empty context give the tls-exporter channel binding
// (RFC 9266, 2): 32 bytes that both ends of one TLS connection know, and nobody
// else, not even one who has two connections of his own.
const bindingLabel = "EXPORTER-Channel-Binding"

func channelBinding(s tls.ConnectionState) ([]byte, error) {
	return s.ExportKeyingMaterial(bindingLabel, nil, 32)
}

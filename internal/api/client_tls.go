package api

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
)

// TLSFiles are the files, in PEM, by which a Client and an https API know one
// another. All may be empty.
type TLSFiles struct {
	CA   string // who signed the API's certificate; empty: whom the system trusts
	Cert string // what the client shows, together with Key
	Key  string
}

// Secure has c go by f, from the first call on. The error says which file
// cannot be used.
func (c *Client) Secure(f TLSFiles) error {
	if f == (TLSFiles{}) {
		return nil
	}
	if !strings.HasPrefix(c.base, "https://") {
		return fmt.Errorf("%s is no https URL, so no certificate is shown or checked there", c.at)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if f.CA != "" {
		text, err := os.ReadFile(f.CA)
		if err != nil {
			return fmt.Errorf("read the CA: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(text) {
			return fmt.Errorf("%s has no certificate in PEM", f.CA)
		}
	}
	switch {
	case (f.Cert == "") != (f.Key == ""):
		return errors.New("a client certificate needs its key, and a key its certificate")
	case f.Cert != "":
		pair, err := tls.LoadX509KeyPair(f.Cert, f.Key)
		if err != nil {
			return fmt.Errorf("read the client certificate: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	c.http.Transport.(*http.Transport).TLSClientConfig = config
	return nil
}

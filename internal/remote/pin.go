package remote

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"strings"
)

// Pin is the SHA-256 of a certificate's SubjectPublicKeyInfo (RFC 7469, 2.4):
// it stays the same when the certificate is made anew from the same key. The
// zero Pin is nobody's.
type Pin [sha256.Size]byte

const pinPrefix = "SHA256:"

// PinOf gives the pin of a certificate.
func PinOf(c *x509.Certificate) Pin { return sha256.Sum256(c.RawSubjectPublicKeyInfo) }

// String gives a pin as OpenSSH shows fingerprints, and "none" for the zero Pin.
func (p Pin) String() string {
	if p == (Pin{}) {
		return "none"
	}
	return pinPrefix + base64.RawStdEncoding.EncodeToString(p[:])
}

// ParsePin reads what String gives, but for "none".
func ParsePin(text string) (Pin, error) {
	rest, ok := strings.CutPrefix(text, pinPrefix)
	raw, err := base64.RawStdEncoding.Strict().DecodeString(rest)
	if !ok || err != nil || len(raw) != sha256.Size {
		return Pin{}, fmt.Errorf("%.80q is not the pin of a TLS key: it looks like SHA256: and 43 letters", text)
	}
	return Pin(raw), nil
}

// MarshalText gives String, but for the zero Pin nothing.
func (p Pin) MarshalText() ([]byte, error) {
	if p == (Pin{}) {
		return nil, nil
	}
	return []byte(p.String()), nil
}

// UnmarshalText reads what MarshalText gives.
func (p *Pin) UnmarshalText(text []byte) (err error) {
	if len(text) == 0 {
		*p = Pin{}
		return nil
	}
	*p, err = ParsePin(string(text))
	return err
}

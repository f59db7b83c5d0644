package remote

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/understudy-ha/understudy/internal/statefile"
)

const (
	keyLimit = 64 << 10
	lockTime = 10 * time.Second
)

// Key is the TLS key pair of this node with a certificate that it signed
// itself: others know it by the pin alone.
type Key struct {
	Certificate tls.Certificate
	Pin         Pin
}

// OpenKey gives the key at path, one PEM file of mode 0600. A missing one is
// made, with a certificate for name that never expires (RFC 5280, 4.1.2.5): a
// pin does not depend on clocks.
func OpenKey(path, name string) (*Key, error) {
	text, err := openSecret(path, func() ([]byte, error) { return newKey(name) })
	if err != nil {
		return nil, err
	}
	c, err := tls.X509KeyPair(text, text)
	if err != nil {
		return nil, fmt.Errorf("read TLS key %s: %w; move it away to get a new one, and pair again", path, err)
	}
	return &Key{c, PinOf(c.Leaf)}, nil
}

// newKey gives a key and its certificate in PEM. The curve is one that browsers
// know, for the portal answers with it too.
func newKey(name string) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:  time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
		KeyUsage:  x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
	return append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})...), nil
}

// SSHKey is this node's own SSH key pair: the Local Server SSH Key.
type SSHKey struct {
	Path   string // of the private key, for ssh -i
	Public string // type and base64, without a comment
}

// OpenSSHKey gives the key at path, a file of mode 0600 as OpenSSH writes it. A
// missing one is made.
func OpenSSHKey(path, comment string) (*SSHKey, error) {
	text, err := openSecret(path, func() ([]byte, error) {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, err
		}
		block, err := ssh.MarshalPrivateKey(key, comment)
		if err != nil {
			return nil, err
		}
		return pem.EncodeToMemory(block), nil
	})
	if err != nil {
		return nil, err
	}
	signer, err := ssh.ParsePrivateKey(text)
	if err != nil {
		return nil, fmt.Errorf("read SSH key %s: it is damaged; move it away to get a new one, and pair again", path)
	}
	return &SSHKey{path, sshText(signer.PublicKey())}, nil
}

// sshText gives a public key as a line of authorized_keys without a comment.
func sshText(key ssh.PublicKey) string {
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
}

// openSecret gives what the file at path holds, and first makes it if it is
// missing. A file that others can read is refused: it may have been read.
func openSecret(path string, fresh func() ([]byte, error)) ([]byte, error) {
	unlock, err := lock(path + ".lock")
	if err != nil {
		return nil, err
	}
	defer unlock()
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		text, err := fresh()
		if err != nil {
			return nil, fmt.Errorf("make key %s: %w", path, err)
		}
		return text, writeOwned(path, text, 0o600)
	case err != nil:
		return nil, err
	case info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("key %s can be read by others (mode %s): nobody may read it but its owner; chmod 600 it if you are sure that nobody has, else remove it and pair again", path, info.Mode().Perm())
	}
	return statefile.Read(path, keyLimit)
}

// lock takes the lock at path. One that root makes is the directory's owner's,
// for the engine may run as that user.
func lock(path string) (unlock func(), err error) {
	ctx, cancel := context.WithTimeout(context.Background(), lockTime)
	defer cancel()
	unlock, err = statefile.Lock(ctx, path, 0o600)
	if err != nil {
		return nil, err
	}
	if err := own(path); err != nil {
		unlock()
		return nil, err
	}
	return unlock, nil
}

// writeOwned is statefile.Write; what root writes is the directory's owner's.
func writeOwned(path string, data []byte, perm fs.FileMode) error {
	if err := statefile.Write(path, data, perm); err != nil {
		return err
	}
	return own(path)
}

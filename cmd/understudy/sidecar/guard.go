package sidecar

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/understudy-ha/understudy/internal/config"
	"github.com/understudy-ha/understudy/internal/statefile"
	"github.com/understudy-ha/understudy/web/account"
)

// guard knows who may use the API over TCP: who has a token, or a certificate
// of the authority that was named.
type guard struct {
	tls    *tls.Config // nil: plain TCP, on this machine alone
	tokens []token
	open   bool // everybody on this machine can read the tokens
}

// token is a name, the SHA-256 of its token, and what it may do.
type token struct {
	name string
	sum  [sha256.Size]byte
	role account.Role
}

// The bounds of a token file.
const (
	mostTokens = 1 << 20 // bytes
	leastToken = 16      // letters of a token
)

// newGuard reads the files that an API is guarded by.
func newGuard(a config.API) (*guard, error) {
	g := new(guard)
	if a.TokenFile != "" {
		text, err := statefile.Read(a.TokenFile, mostTokens)
		if err != nil {
			return nil, fmt.Errorf("token_file cannot be used: %w", err)
		}
		if g.tokens, err = readTokens(string(text)); err != nil {
			return nil, fmt.Errorf("token_file %s: %w", a.TokenFile, err)
		}
		if info, err := os.Stat(a.TokenFile); err == nil {
			g.open = info.Mode().Perm()&0o004 != 0
		}
	}
	if a.Cert == "" {
		return g, nil
	}
	pair, err := tls.LoadX509KeyPair(a.Cert, a.Key)
	if err != nil {
		return nil, fmt.Errorf("cert and key cannot be used: %w", err)
	}
	g.tls = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, NextProtos: []string{"http/1.1"}}
	if a.ClientCA == "" {
		return g, nil
	}
	text, err := os.ReadFile(a.ClientCA)
	if err != nil {
		return nil, fmt.Errorf("client_ca cannot be used: %w", err)
	}
	g.tls.ClientCAs = x509.NewCertPool()
	if !g.tls.ClientCAs.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("client_ca %s holds no certificate in PEM", a.ClientCA)
	}
	g.tls.ClientAuth = tls.RequireAndVerifyClientCert
	if len(g.tokens) > 0 {
		g.tls.ClientAuth = tls.VerifyClientCertIfGiven // either will do
	}
	return g, nil
}

// readTokens reads lines of a name and a token, or its SHA-256 in hexadecimal
// digits after sha256:, and perhaps a role. Errors name the line and never the
// token.
func readTokens(text string) (tokens []token, err error) {
	var faults []error
	names := map[string]bool{}
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		words := strings.Fields(line)
		t, err := readToken(words)
		switch {
		case err != nil:
			faults = append(faults, fmt.Errorf("line %d: %w", number, err))
		case names[t.name]:
			faults = append(faults, fmt.Errorf("line %d: the name %q stands twice", number, t.name))
		}
		names[t.name] = true
		tokens = append(tokens, t)
	}
	if len(tokens) == 0 {
		faults = append(faults, errors.New("it holds no token; a line is: NAME TOKEN"))
	}
	return tokens, errors.Join(faults...)
}

func readToken(words []string) (token, error) {
	if len(words) < 2 || len(words) > 3 {
		return token{}, errors.New("a line is: NAME TOKEN, or NAME sha256:DIGITS, and after it perhaps viewer, operator or admin")
	}
	if why := config.CheckName(words[0]); why != "" {
		return token{}, errors.New(why)
	}
	t := token{name: words[0], sum: sha256.Sum256([]byte(words[1])), role: account.Operator}
	if len(words) == 3 {
		var err error
		if t.role, err = account.ParseRole(words[2]); err != nil {
			return t, err
		}
	}
	digits, hashed := strings.CutPrefix(words[1], "sha256:")
	switch {
	case hashed:
		sum, err := hex.DecodeString(digits)
		if err != nil || copy(t.sum[:], sum) != sha256.Size || len(sum) != sha256.Size {
			return t, errors.New("after sha256: there must be 64 hexadecimal digits")
		}
	case len(words[1]) < leastToken:
		return t, fmt.Errorf("the token is shorter than %d letters; openssl rand -hex 16 makes a good one", leastToken)
	}
	return t, nil
}

// who gives the name and the role of the one who asks over TCP; false if it is
// nobody who may. A certificate has been verified before it gets here. more
// knows tokens beside those of the file.
func (g *guard) who(r *http.Request, more func(string) (string, account.Role, bool)) (string, account.Role, bool) {
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		cert := r.TLS.PeerCertificates[0]
		switch {
		case cert.Subject.CommonName != "":
			return cert.Subject.CommonName, account.Operator, true
		case len(cert.DNSNames) > 0:
			return cert.DNSNames[0], account.Operator, true
		}
		return "certificate " + cert.SerialNumber.Text(16), account.Operator, true
	}
	given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return "", account.Nobody, false
	}
	if name, role, ok := g.find(strings.TrimSpace(given)); ok || more == nil {
		return name, role, ok
	}
	return more(strings.TrimSpace(given))
}

// find compares with every token, so that the time tells nothing.
func (g *guard) find(given string) (name string, role account.Role, found bool) {
	sum := sha256.Sum256([]byte(given))
	for _, t := range g.tokens {
		if subtle.ConstantTimeCompare(sum[:], t.sum[:]) == 1 {
			name, role, found = t.name, t.role, true
		}
	}
	return name, role, found
}

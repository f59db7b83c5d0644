package account

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Tokens gives the tokens of programs by name.
func (b *Book) Tokens() []Token {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refresh()
	tokens := slices.Clone(b.stored.Tokens)
	slices.SortFunc(tokens, func(a, b Token) int { return strings.Compare(a.Name, b.Name) })
	return tokens
}

// AddToken makes a token, good until a time, or for ever if that is zero. The
// secret is given this once and is not kept.
func (b *Book) AddToken(name string, role Role, until time.Time) (secret string, err error) {
	if err := checkName(name); err != nil {
		return "", err
	}
	if role <= Nobody || role > Admin {
		return "", errors.New("a token needs a role")
	}
	secret = rand.Text() + rand.Text()
	b.mu.Lock()
	defer b.mu.Unlock()
	err = b.change(func(s *stored) error {
		switch {
		case slices.ContainsFunc(s.Tokens, func(t Token) bool { return t.Name == name }):
			return fmt.Errorf("there is a token %q already", name)
		case len(s.Tokens) >= mostOf:
			return fmt.Errorf("there are %d tokens already, more there cannot be", mostOf)
		}
		s.Tokens = append(s.Tokens, Token{name, role, sum(secret), b.now().UTC(), until.UTC()})
		return nil
	})
	if err != nil {
		return "", err
	}
	return secret, nil
}

// RemoveToken removes a token.
func (b *Book) RemoveToken(name string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.change(func(s *stored) error {
		had := len(s.Tokens)
		s.Tokens = slices.DeleteFunc(s.Tokens, func(t Token) bool { return t.Name == name })
		if len(s.Tokens) == had {
			return fmt.Errorf("there is no token %.60q", name)
		}
		return nil
	})
}

// Bearer gives the name and role of the token that a program shows. It compares
// with every one, so that the time tells nothing.
func (b *Book) Bearer(secret string) (name string, role Role, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refresh()
	shown, now := sum(secret), b.now()
	for _, t := range b.stored.Tokens {
		same := subtle.ConstantTimeCompare([]byte(shown), []byte(t.Sum)) == 1
		if same && (t.Until.IsZero() || now.Before(t.Until)) {
			name, role, ok = t.Name, t.Role, true
		}
	}
	return name, role, ok
}

func sum(secret string) string {
	s := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(s[:])
}

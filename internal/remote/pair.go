package remote

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// pairing is what an invited host sends: which invitation it means, and its
// card. The proof stands in a header.
type pairing struct {
	Version int    `json:"version"`
	ID      string `json:"id"`
	Card    Card   `json:"card"`
}

const proofHeader = "X-Understudy-Proof"

// proofText is what the invited host signs with the key that the pairing string
// gives: the TLS connection, so that a proof is worth nothing on any other one,
// and all that it sends.
func proofText(s tls.ConnectionState, body []byte) ([]byte, error) {
	binding, err := channelBinding(s)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(body)
	text := append([]byte("understudy pairing proof v1\x00"), binding...)
	return append(text, sum[:]...), nil
}

// pairTime is how long pairing may take from dial to answer.
const pairTime = 15 * time.Second

// Join has this host and the one that made an invitation trust one another, and
// gives the other. The inviting host's key is checked before anything is sent.
// The inviting host enters this one first; whatever breaks after that is mended
// by calling Join again with the same string. With an *Unapplied both are
// paired.
func (t *Trust) Join(ctx context.Context, i Invitation, by string) (Host, error) {
	ctx, cancel := context.WithTimeout(ctx, pairTime)
	defer cancel()
	if own := t.Card().Role; i.Role != own {
		return Host{}, fmt.Errorf("the pairing string invites a %s, and this is a %s; fronts and admins are invited with: failover trusted-hosts invite --front, or --admin", i.Role, own)
	}
	dialer := tls.Dialer{Config: t.clientTLS("the inviting host", i.At(), i.Pin)}
	conn, err := dialer.DialContext(ctx, "tcp", i.At())
	var wrong *WrongKey
	switch {
	case errors.As(err, &wrong):
		return Host{}, fmt.Errorf("the node at %s has the TLS key %s, and the pairing string is of %s: nothing was sent; look whether this is the right node, else somebody is between you", i.At(), wrong.Got, wrong.Want)
	case err != nil:
		return Host{}, fmt.Errorf("call %s: %w; its engine has to run, and port %d has to be open from here", i.At(), plainDial(err), i.Port)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	c, err := t.present(ctx, conn, i)
	if err != nil {
		return Host{}, err
	}
	var rest *Unapplied
	err = t.Add(c, by, time.Now())
	if err != nil && !errors.As(err, &rest) {
		return Host{}, fmt.Errorf("%s trusts this host now, but not the other way round: %w", c.Name, err)
	}
	h, found := t.Hosts.Get(c.Name)
	return h, errors.Join(err, found)
}

// plainDial leaves out what a dialer says besides.
func plainDial(err error) error {
	var wrong *WrongKey
	var op *net.OpError
	switch {
	case errors.As(err, &wrong):
		return wrong
	case errors.As(err, &op) && op.Err != nil:
		return op.Err
	}
	return err
}

// present sends this host's card with its proof, and gives the other's card.
func (t *Trust) present(ctx context.Context, conn net.Conn, i Invitation) (Card, error) {
	secure, ok := conn.(*tls.Conn)
	if !ok {
		return Card{}, errors.New("the connection is not secure")
	}
	key := i.token.key()
	public, _ := key.Public().(ed25519.PublicKey)
	body, err := json.Marshal(pairing{version, inviteID(public), t.Card()})
	if err != nil {
		return Card{}, err
	}
	text, err := proofText(secure.ConnectionState(), body)
	if err != nil {
		return Card{}, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+i.At()+pathPair, bytes.NewReader(body))
	if err != nil {
		return Card{}, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set(proofHeader, base64.StdEncoding.EncodeToString(ed25519.Sign(key, text)))
	once := &http.Transport{DialTLSContext: func(context.Context, string, string) (net.Conn, error) { return conn, nil }, DisableKeepAlives: true}
	answer, err := once.RoundTrip(r)
	if err != nil {
		return Card{}, fmt.Errorf("pair with %s: %w; the same string may be used again", i.At(), err)
	}
	defer answer.Body.Close()
	var c Card
	if err := hear(answer, &c); err != nil {
		return Card{}, fmt.Errorf("pair with %s: %w", i.At(), err)
	}
	switch err := c.Check(); {
	case err != nil:
		return Card{}, fmt.Errorf("pair with %s: what it tells of itself cannot be: %w", i.At(), err)
	case c.Pin != i.Pin || c.Role != Node:
		return Card{}, fmt.Errorf("pair with %s: it tells another key of itself than it has", i.At())
	}
	return c, nil
}

// errProof is said of a proof and of an invitation that are not; which of both
// is nobody's business.
var errProof = errors.New("the pairing string is not one of this node's, or the proof is wrong: copy it again, or make a new one with: failover trusted-hosts invite")

// pair answers an invited host.
func (s *server) pair(w http.ResponseWriter, r *http.Request) {
	p, pin, text, proof, err := s.readPairing(w, r)
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	if !s.invited(p.ID) { // anybody may ask: no lock, and no line in the log
		refuse(w, http.StatusForbidden, errProof)
		return
	}
	err = s.trust.locked(func() error { return s.accept(p, pin, text, proof) })
	if err != nil {
		s.log.Warn("a host was not paired", "name", cut(p.Card.Name), "from", r.RemoteAddr, "error", err)
		refuse(w, http.StatusForbidden, err)
		return
	}
	s.log.Info("a host was paired", "name", p.Card.Name, "role", string(p.Card.Role), "key", pin.String(), "from", r.RemoteAddr)
	send(w, http.StatusOK, s.trust.Card())
}

// invited says whether there is an invitation, or that nobody can know.
func (s *server) invited(id string) bool {
	invites, err := s.trust.readInvites()
	return err != nil || findInvite(invites, id) >= 0
}

// readPairing gives a request's parts: what is asked, the key that the
// connection has proven, what must be signed and the signature.
func (s *server) readPairing(w http.ResponseWriter, r *http.Request) (p pairing, pin Pin, text, proof []byte, err error) {
	if r.TLS == nil {
		return p, pin, nil, nil, errors.New("pairing needs TLS 1.3")
	}
	if pin, err = pinOfPeer(*r.TLS); err != nil {
		return p, pin, nil, nil, err
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, mostBody))
	if err != nil {
		return p, pin, nil, nil, errTooLarge
	}
	if err := decode(bytes.NewReader(body), &p); err != nil {
		return p, pin, nil, nil, err
	}
	switch {
	case p.Version != version:
		return p, pin, nil, nil, fmt.Errorf("the pairing has version %d, this node reads %d: update the older of both", p.Version, version)
	case p.Card.Pin != pin:
		return p, pin, nil, nil, errors.New("the card does not have the key of the connection")
	}
	if text, err = proofText(*r.TLS, body); err != nil {
		return p, pin, nil, nil, err
	}
	proof, err = base64.StdEncoding.DecodeString(r.Header.Get(proofHeader))
	return p, pin, text, proof, err
}

// accept enters the invited host and then marks the invitation as used; the
// lock is held. What a crash between the two leaves, a repeat finds unused and
// enters again.
func (s *server) accept(p pairing, pin Pin, text, proof []byte) error {
	t, now := s.trust, time.Now()
	invites, err := t.readInvites()
	if err != nil {
		return err
	}
	n := findInvite(invites, p.ID)
	if n < 0 {
		return errProof
	}
	v := &invites[n]
	if len(v.Public) != ed25519.PublicKeySize || !ed25519.Verify(v.Public, text, proof) {
		if v.Wrong++; v.Wrong <= inviteTries {
			err = t.writeInvites(invites)
		}
		return errors.Join(errProof, err)
	}
	if err := v.refuse(p.Card.Role, pin, now); err != nil {
		return err
	}
	if err := p.Card.Check(); err != nil {
		return fmt.Errorf("the card cannot be taken: %w", err)
	}
	if strings.EqualFold(p.Card.Name, t.name) || pin == t.Key.Pin {
		return fmt.Errorf("this node is called %s itself: every host has a name of its own", t.name)
	}
	if err := t.Hosts.put(Host{p.Card, v.By, now.UTC().Truncate(time.Second)}); err != nil {
		return err
	}
	v.UsedBy, v.Used, v.UsedAt = p.Card.Name, pin, now.UTC()
	if err := t.writeInvites(invites); err != nil {
		return err
	}
	if err := t.apply(); err != nil { // the host is trusted; its test will lead here
		s.log.Error("a paired host may not call over SSH yet; put that right, then: failover trusted-hosts apply", "host", p.Card.Name, "error", err)
	}
	return nil
}

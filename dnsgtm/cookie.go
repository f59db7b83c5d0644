package dnsgtm

import (
	"bytes"
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/bits"
	"net/netip"
	"time"

	"github.com/understudy-ha/understudy/internal/statefile"
)

// How old a server cookie may be, how far ahead of us, and when a new one is
// given (RFC 9018, 4.3).
const (
	cookieOld   = time.Hour
	cookieAhead = 5 * time.Minute
	cookieFresh = 30 * time.Minute
)

const (
	clientCookie = 8
	serverCookie = 16
)

// cookies holds the secrets of server cookies. The first one makes them; all
// are taken, so that a new secret can be brought to every server of a zone
// before the first one uses it (RFC 9018, 5).
type cookies struct{ secrets [][2]uint64 }

// readCookies reads a file of secrets, a line of 32 hex digits each; without a
// file it makes one up.
func readCookies(file string) (*cookies, error) {
	if file == "" {
		var secret [16]byte
		if _, err := rand.Read(secret[:]); err != nil {
			return nil, err
		}
		return &cookies{[][2]uint64{halves(secret[:])}}, nil
	}
	text, err := statefile.Read(file, mostKey)
	if err != nil {
		return nil, errors.New("the cookie secrets cannot be read: " + cause(err))
	}
	c := &cookies{}
	for i, line := range bytes.Split(text, []byte("\n")) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		secret, err := hex.DecodeString(string(line))
		if err != nil || len(secret) != 16 {
			return nil, fmt.Errorf("line %d: a cookie secret has 32 hex digits", i+1)
		}
		c.secrets = append(c.secrets, halves(secret))
	}
	if len(c.secrets) == 0 {
		return nil, errors.New("there is no cookie secret in it: write a line of 32 hex digits")
	}
	return c, nil
}

func halves(secret []byte) [2]uint64 {
	return [2]uint64{binary.LittleEndian.Uint64(secret), binary.LittleEndian.Uint64(secret[8:])}
}

// cookieLength says whether a COOKIE option may have a length (RFC 7873, 4).
func cookieLength(n int) bool { return n == clientCookie || n >= 16 && n <= 40 }

// valid says whether a client has shown a server cookie that was given to its
// address.
func (c *cookies) valid(cookie []byte, from netip.Addr, now uint32) bool {
	return c.maker(cookie, from, now) >= 0
}

// maker gives the place of the secret that a valid cookie was made with, -1 if
// it is not valid.
func (c *cookies) maker(cookie []byte, from netip.Addr, now uint32) int {
	if len(cookie) != clientCookie+serverCookie || cookie[8] != 1 {
		return -1
	}
	age := int32(now - binary.BigEndian.Uint32(cookie[12:])) // #nosec G115 -- serial arithmetic (RFC 9018, 4.3)
	if age > int32(cookieOld/time.Second) || age < -int32(cookieAhead/time.Second) {
		return -1
	}
	for i, s := range c.secrets {
		var want [8]byte
		binary.LittleEndian.PutUint64(want[:], cookieHash(s, cookie[:16], from))
		if subtle.ConstantTimeCompare(want[:], cookie[16:]) == 1 {
			return i
		}
	}
	return -1
}

// answer appends the cookie of a reply, of 24 bytes: the client's own, and the
// server cookie that it has shown if that is good, young and made with the
// first secret, else a new one.
// cookie has at least the client's 8 bytes.
func (c *cookies) answer(to, cookie []byte, from netip.Addr, now uint32) []byte {
	if c.maker(cookie, from, now) == 0 {
		age := int32(now - binary.BigEndian.Uint32(cookie[12:])) // #nosec G115 -- serial arithmetic
		if age >= 0 && age < int32(cookieFresh/time.Second) {
			return append(to, cookie...)
		}
	}
	var whole [16]byte
	copy(whole[:], cookie[:8])
	whole[8] = 1 // the version; three bytes are reserved
	binary.BigEndian.PutUint32(whole[12:], now)
	to = append(to, whole[:]...)
	return binary.LittleEndian.AppendUint64(to, cookieHash(c.secrets[0], whole[:], from))
}

// cookieHash is SipHash-2-4 over client cookie, version, reserved, timestamp
// (16 bytes) and the client's address (RFC 9018, 4.4).
func cookieHash(secret [2]uint64, head []byte, from netip.Addr) uint64 {
	var text [32]byte
	n := copy(text[:], head[:16])
	if from = from.Unmap(); from.Is4() {
		a := from.As4()
		n += copy(text[n:], a[:])
	} else {
		a := from.As16()
		n += copy(text[n:], a[:])
	}
	return sipHash(secret, text[:n])
}

// sipHash is SipHash-2-4 (Aumasson and Bernstein, 2012), of 64 bits.
func sipHash(secret [2]uint64, text []byte) uint64 {
	v := [4]uint64{
		secret[0] ^ 0x736f6d6570736575, secret[1] ^ 0x646f72616e646f6d,
		secret[0] ^ 0x6c7967656e657261, secret[1] ^ 0x7465646279746573,
	}
	length := uint64(len(text)) << 56
	for ; len(text) >= 8; text = text[8:] {
		sipWord(&v, binary.LittleEndian.Uint64(text))
	}
	last := length
	for i, b := range text {
		last |= uint64(b) << (8 * i)
	}
	sipWord(&v, last)
	v[2] ^= 0xff
	for range 4 {
		sipRound(&v)
	}
	return v[0] ^ v[1] ^ v[2] ^ v[3]
}

func sipWord(v *[4]uint64, word uint64) {
	v[3] ^= word
	sipRound(v)
	sipRound(v)
	v[0] ^= word
}

func sipRound(v *[4]uint64) {
	v[0] += v[1]
	v[1] = bits.RotateLeft64(v[1], 13) ^ v[0]
	v[0] = bits.RotateLeft64(v[0], 32)
	v[2] += v[3]
	v[3] = bits.RotateLeft64(v[3], 16) ^ v[2]
	v[0] += v[3]
	v[3] = bits.RotateLeft64(v[3], 21) ^ v[0]
	v[2] += v[1]
	v[1] = bits.RotateLeft64(v[1], 17) ^ v[2]
	v[2] = bits.RotateLeft64(v[2], 32)
}

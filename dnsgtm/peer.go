package dnsgtm

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1" // #nosec G505 -- hmac-sha1 is still what some secondaries speak
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"net/netip"

	"github.com/miekg/dns"

	"github.com/understudy-ha/understudy/internal/statefile"
)

// secret is a TSIG key that has been read.
type secret struct {
	algorithm string // canonical
	key       []byte
}

// keyring holds the TSIG keys by canonical name.
type keyring map[string]secret

var tsigAlgorithms = map[string]func() hash.Hash{
	dns.HmacSHA1: sha1.New, dns.HmacSHA224: sha256.New224, dns.HmacSHA256: sha256.New,
	dns.HmacSHA384: sha512.New384, dns.HmacSHA512: sha512.New,
}

// readKeys reads the secrets.
func readKeys(keys []Key) (keyring, Faults) {
	ring := keyring{}
	var faults Faults
	for _, k := range keys {
		name, err := canonical(k.Name)
		fault := func(what string) {
			faults = append(faults, Fault{File: k.File, What: fmt.Sprintf("key %s: %s", k.Name, what)})
		}
		algorithm := dns.HmacSHA256
		if k.Algorithm != "" {
			algorithm = dns.CanonicalName(k.Algorithm)
		}
		text, readErr := statefile.Read(k.File, mostKey)
		text = bytes.TrimSpace(text)
		raw, decodeErr := base64.StdEncoding.DecodeString(string(text))
		switch {
		case err != nil:
			fault("its name is not a domain name")
		case ring[name].key != nil:
			fault("stands twice")
		case tsigAlgorithms[algorithm] == nil:
			fault(fmt.Sprintf("algorithm %q: hmac-sha256, hmac-sha512 and their like", k.Algorithm))
		case readErr != nil:
			fault("its secret cannot be read: " + cause(readErr))
		case decodeErr != nil || len(raw) == 0:
			fault("the file must hold the secret in base64, and nothing else")
		default:
			ring[name] = secret{algorithm, raw}
		}
	}
	return ring, faults
}

// Generate makes the MAC of a message. It and Verify are there for miekg/dns;
// their errors are those of that package.
func (k keyring) Generate(msg []byte, t *dns.TSIG) ([]byte, error) {
	s, ok := k[dns.CanonicalName(t.Hdr.Name)]
	if !ok || s.algorithm != dns.CanonicalName(t.Algorithm) {
		return nil, dns.ErrSecret
	}
	mac := hmac.New(tsigAlgorithms[s.algorithm], s.key)
	mac.Write(msg)
	return mac.Sum(nil), nil
}

// Verify compares the whole MAC: truncated ones are not taken.
func (k keyring) Verify(msg []byte, t *dns.TSIG) error {
	want, err := k.Generate(msg, t)
	if err != nil {
		return err
	}
	got, err := hex.DecodeString(t.MAC)
	if err != nil || !hmac.Equal(got, want) {
		return dns.ErrSig
	}
	return nil
}

// allowed says whether somebody who asks from an address, and has proven a key
// (canonical name, empty: none), may transfer the zone.
func (z *zone) allowed(from netip.Addr, key string) bool {
	for _, p := range z.config.Allow {
		wants, _ := canonical(p.Key)
		if p.Key != "" && wants != key {
			continue
		}
		if p.Network.IsValid() && !p.Network.Contains(from.Unmap()) {
			continue
		}
		if p.Key != "" || p.Network.IsValid() {
			return true
		}
	}
	return false
}

// checkPeers looks for peers that say nothing or name keys that do not exist.
func checkPeers(z Zone, keys keyring) Faults {
	var faults Faults
	check := func(what string, p Peer, complete bool) {
		name, err := canonical(p.Key)
		switch {
		case !complete:
			faults = append(faults, Fault{Zone: z.Name, What: what})
		case p.Key != "" && (err != nil || keys[name].key == nil):
			faults = append(faults, Fault{Zone: z.Name, What: fmt.Sprintf("there is no good key %q", p.Key)})
		}
	}
	for _, p := range z.Allow {
		check("who may transfer the zone is said by a network, a key or both", p, p.Network.IsValid() || p.Key != "")
	}
	for _, p := range z.Notify {
		check("who is told of changes is said by an address with a port", p, p.Address.IsValid() && p.Address.Port() != 0)
	}
	return faults
}

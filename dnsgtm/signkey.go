package dnsgtm

import (
	"bytes"
	"crypto"
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/understudy-ha/understudy/internal/statefile"
)

// signingKey is a DNSSEC key of a zone with what its file says of its time.
type signingKey struct {
	public    *dns.DNSKEY
	private   crypto.Signer
	active    bool // signs now
	signsKeys bool // it has the SEP flag
	signsRest bool // it has not, or no active key has not
}

// mostKey is the most that a key file may have.
const mostKey = 64 << 10

// newSigner reads the key files of a zone. A key that is past its time or not
// yet in its time does not sign; if none does, that is a fault.
func newSigner(z *zone, now time.Time) (*signer, Faults) {
	s := &signer{
		apex: z.apex, denialTTL: min(z.soa.Minttl, z.soa.Hdr.Ttl),
		from: uint32(now.Add(-signedBefore).Unix()), // #nosec G115 -- serial arithmetic by design (RFC 4034, 3.1.5)
		to:   uint32(now.Add(signedFor).Unix()),     // #nosec G115 -- the same
	}
	s.renew = now.Add(signedFor / 2)
	var faults Faults
	for _, file := range z.config.Sign {
		k, times, err := readSigningKey(z, file)
		if err != nil {
			faults = append(faults, Fault{File: file, Zone: z.config.Name, What: err.Error()})
			continue
		}
		if end := times["delete"]; !end.IsZero() && !now.Before(end) {
			continue
		}
		k.active = !now.Before(times["activate"]) && (times["inactive"].IsZero() || now.Before(times["inactive"]))
		for _, at := range times {
			if at.After(now) && at.Before(s.renew) {
				s.renew = at
			}
		}
		s.keys = append(s.keys, k)
	}
	if len(faults) > 0 {
		return nil, faults
	}
	if !s.share() {
		return nil, Faults{{Zone: z.config.Name, File: z.config.Sign[0], What: "no key is in its time now, so that nothing could be signed: make a new key, or change the times in the key files"}}
	}
	return s, nil
}

// share says who signs what, and whether everything finds somebody to sign it.
func (s *signer) share() bool {
	plain, secure := false, false
	for i := range s.keys {
		k := &s.keys[i]
		k.signsKeys = k.public.Flags&dns.SEP != 0
		plain = plain || k.active && !k.signsKeys
		secure = secure || k.active && k.signsKeys
	}
	for i := range s.keys {
		k := &s.keys[i]
		k.signsRest = !k.signsKeys || !plain
		k.signsKeys = k.signsKeys || !secure
	}
	return plain || secure
}

// keySets gives the zone's DNSKEY, and CDS and CDNSKEY for the keys that the
// parent should know (RFC 7344).
func (s *signer) keySets(z *zone) []*set {
	keys, cds, cdnskey := &set{}, &set{}, &set{}
	for _, k := range s.keys {
		h := dns.RR_Header{Name: z.apex, Class: dns.ClassINET, Ttl: z.soa.Hdr.Ttl, Rrtype: dns.TypeDNSKEY}
		public := *k.public
		public.Hdr = h
		keys.rrs = append(keys.rrs, &public)
		if k.public.Flags&dns.SEP == 0 || !k.active {
			continue
		}
		digest := public.ToDS(dns.SHA256).ToCDS()
		digest.Hdr.Ttl = h.Ttl
		cds.rrs = append(cds.rrs, digest)
		cdnskey.rrs = append(cdnskey.rrs, public.ToCDNSKEY())
	}
	if len(cds.rrs) == 0 {
		return []*set{keys}
	}
	return []*set{keys, cds, cdnskey}
}

// readSigningKey reads K*.private and K*.key as dnssec-keygen makes them, and
// the times in the first.
func readSigningKey(z *zone, file string) (k signingKey, times map[string]time.Time, err error) {
	base, ok := strings.CutSuffix(file, ".private")
	if !ok {
		return k, nil, fmt.Errorf("name the file that ends in .private; the one that ends in .key is read beside it")
	}
	text, err := statefile.Read(base+".key", mostKey)
	if err != nil {
		return k, nil, fmt.Errorf("%s.key beside it cannot be read: %s", base, cause(err))
	}
	rr, err := dns.ReadRR(bytes.NewReader(append(text, '\n')), base+".key")
	public, is := rr.(*dns.DNSKEY)
	if err != nil || !is {
		return k, nil, fmt.Errorf("%s.key beside it has no DNSKEY record", base)
	}
	owner, _ := canonical(public.Hdr.Name)
	switch {
	case owner != z.apex:
		return k, nil, fmt.Errorf("is a key of %s, not of %s", public.Hdr.Name, z.apex)
	case public.Algorithm != dns.ECDSAP256SHA256:
		return k, nil, fmt.Errorf("has algorithm %s: only ECDSAP256SHA256 is used here", dns.AlgorithmToString[public.Algorithm])
	case public.Flags&dns.ZONE == 0 || public.Flags&dns.REVOKE != 0:
		return k, nil, fmt.Errorf("is not a key that signs a zone (flags %d)", public.Flags)
	}
	secret, err := statefile.Read(file, mostKey)
	if err != nil {
		return k, nil, fmt.Errorf("cannot be read: %s", cause(err))
	}
	private, err := public.ReadPrivateKey(bytes.NewReader(secret), file)
	if err != nil {
		return k, nil, fmt.Errorf("is not a private key file of dnssec-keygen") // never what it holds
	}
	signs, is := private.(crypto.Signer)
	if !is {
		return k, nil, fmt.Errorf("holds no key that can sign")
	}
	k = signingKey{public: public, private: signs}
	if err := k.fits(); err != nil {
		return k, nil, err
	}
	return k, keyTimes(string(secret)), nil
}

// fits says whether the private key belongs to the public one.
func (k signingKey) fits() error {
	probe := &dns.TXT{Hdr: dns.RR_Header{Name: k.public.Hdr.Name, Rrtype: dns.TypeTXT, Class: dns.ClassINET}, Txt: []string{"probe"}}
	sig := &dns.RRSIG{Algorithm: k.public.Algorithm, KeyTag: k.public.KeyTag(), SignerName: k.public.Hdr.Name}
	if sig.Sign(k.private, []dns.RR{probe}) != nil || sig.Verify(k.public, []dns.RR{probe}) != nil {
		return fmt.Errorf("does not belong to the .key file beside it")
	}
	return nil
}

// keyTimes gives the times of a private key file, by the word in lower case.
func keyTimes(text string) map[string]time.Time {
	times := map[string]time.Time{}
	for line := range strings.Lines(text) {
		word, value, _ := strings.Cut(line, ":")
		word = strings.ToLower(word)
		if word != "activate" && word != "inactive" && word != "delete" {
			continue
		}
		if at, err := time.Parse("20060102150405", strings.TrimSpace(value)); err == nil {
			times[word] = at
		}
	}
	return times
}

func workers() int { return runtime.GOMAXPROCS(0) }

package dnsgtm

import (
	"bytes"
	"errors"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// wireName gives a name as it goes over the wire, in lower case. The error
// says what is wrong with the name.
func wireName(name string) (string, error) {
	var buf [256]byte
	n, err := dns.PackDomainName(dns.Fqdn(name), buf[:], 0, nil, false)
	if err != nil {
		return "", errors.New("is not a domain name")
	}
	lowerASCII(buf[:n])
	return string(buf[:n]), nil
}

// canonical gives a name in its one spelling: lower case, and escapes only
// where they are needed.
func canonical(name string) (string, error) {
	wire, err := wireName(name)
	if err != nil {
		return "", err
	}
	return ofWire(wire), nil
}

// ofWire gives a name of the wire, which must be whole, as text.
func ofWire(wire string) string {
	name, _, _ := dns.UnpackDomainName([]byte(wire), 0)
	return name
}

func lowerASCII(b []byte) {
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c | 0x20
		}
	}
}

// parent gives the name without its first label; of the root the root.
func parent(name string) string {
	i, end := dns.NextLabel(name, 0)
	if end {
		return "."
	}
	return name[i:]
}

// below says whether name lies in the tree of top, both canonical.
func below(name, top string) bool {
	switch {
	case top == ".":
		return true
	case !strings.HasSuffix(name, top):
		return false
	}
	n := len(name) - len(top)
	if n == 0 {
		return true
	}
	if name[n-1] != '.' {
		return false
	}
	slashes := 0
	for i := n - 2; i >= 0 && name[i] == '\\'; i-- {
		slashes++
	}
	return slashes%2 == 0
}

// compareNames orders canonical names as DNSSEC does: by their labels from the
// right, as bytes (RFC 4034, 6.1). Both are in wire form.
func compareNames(a, b string) int {
	var one, two [128]int
	i, j := labelsOf(a, &one), labelsOf(b, &two)
	for i > 0 && j > 0 {
		i, j = i-1, j-1
		la, lb := a[one[i]+1:one[i]+1+int(a[one[i]])], b[two[j]+1:two[j]+1+int(b[two[j]])]
		if c := bytes.Compare([]byte(la), []byte(lb)); c != 0 {
			return c
		}
	}
	return i - j
}

// labelsOf notes where the labels of a name in wire form begin and gives their
// number.
func labelsOf(wire string, at *[128]int) int {
	n := 0
	for i := 0; i < len(wire) && wire[i] != 0 && n < len(at); i += int(wire[i]) + 1 {
		at[n] = i
		n++
	}
	return n
}

// spelled gives rr with another spelling of its owner, or another owner.
func spelled(rr dns.RR, owner string) dns.RR {
	if rr.Header().Name == owner {
		return rr
	}
	c := dns.Copy(rr)
	c.Header().Name = owner
	return c
}

// respell gives the part of the question's name that is the canonical name, in
// the question's own spelling; a name elsewhere stays as it is.
func respell(name, question string) string {
	if len(name) > len(question) {
		return name
	}
	if end := question[len(question)-len(name):]; strings.EqualFold(end, name) && below(strings.ToLower(question), name) {
		return end
	}
	return name
}

// sortSets puts sets in the order of their types.
func sortSets(sets []*set) {
	slices.SortFunc(sets, func(a, b *set) int { return int(a.rtype()) - int(b.rtype()) })
}

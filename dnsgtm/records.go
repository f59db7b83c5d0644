package dnsgtm

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// addressesWord in Name.Records stands for an A or AAAA record for every
// address of the node. Every other one is a record as in a zone file, without
// name and TTL, in which {node}, {group}, {ipv4} and {ipv6} stand for the
// node's name, the group's and the node's addresses, with commas between:
//
//	SRV 0 5 443 {node}.example.com.
//	HTTPS 1 . alpn=h2 ipv4hint={ipv4}
const addressesWord = "addresses"

// templateTypes are the types that a dynamic record may have.
var templateTypes = []uint16{
	dns.TypeA, dns.TypeAAAA, dns.TypeCNAME, dns.TypeSRV, dns.TypeHTTPS, dns.TypeSVCB, dns.TypeMX, dns.TypeTXT,
}

// mostTTL is the largest TTL there is (RFC 2181, 8).
const mostTTL = 1<<31 - 1

// seconds gives a TTL as records carry it.
func seconds(d time.Duration) uint32 {
	return uint32(min(max(d/time.Second, 0), mostTTL)) // #nosec G115 -- bounded
}

// records gives the records that a name has while node serves. owner is the
// absolute name. The error says what the node lacks or which record is wrong.
func (n Name) records(owner string, g Group, node Node) ([]dns.RR, error) {
	templates := n.Records
	if len(templates) == 0 {
		templates = []string{addressesWord}
	}
	var rrs []dns.RR
	for _, t := range templates {
		if strings.TrimSpace(t) == addressesWord {
			if len(node.Addresses) == 0 {
				return nil, fmt.Errorf("node %s of group %s has no address: give it addresses", node.Name, g.Name)
			}
			rrs = append(rrs, addresses(owner, n.TTL, node.Addresses)...)
			continue
		}
		rr, err := n.fill(owner, t, g, node)
		if err != nil {
			return nil, err
		}
		rrs = append(rrs, rr)
	}
	return rrs, nil
}

// addresses gives an A or AAAA record for each address.
func addresses(owner string, ttl time.Duration, of []netip.Addr) []dns.RR {
	var rrs []dns.RR
	for _, a := range of {
		h := dns.RR_Header{Name: owner, Class: dns.ClassINET, Ttl: seconds(ttl)}
		if a = a.Unmap(); a.Is4() {
			h.Rrtype = dns.TypeA
			rrs = append(rrs, &dns.A{Hdr: h, A: a.AsSlice()})
		} else {
			h.Rrtype = dns.TypeAAAA
			rrs = append(rrs, &dns.AAAA{Hdr: h, AAAA: a.AsSlice()})
		}
	}
	return rrs
}

// fill makes a record of a template.
func (n Name) fill(owner, template string, g Group, node Node) (dns.RR, error) {
	words := strings.NewReplacer("{node}", node.Name, "{group}", g.Name,
		"{ipv4}", joined(node.Addresses, netip.Addr.Is4), "{ipv6}", joined(node.Addresses, netip.Addr.Is6)).Replace(template)
	for word, has := range map[string]func(netip.Addr) bool{"{ipv4}": netip.Addr.Is4, "{ipv6}": netip.Addr.Is6} {
		if strings.Contains(template, word) && joined(node.Addresses, has) == "" {
			return nil, fmt.Errorf("record %q wants an address for %s, but node %s of group %s has none of that family", template, word, node.Name, g.Name)
		}
	}
	if strings.ContainsAny(words, "\n\r$()") {
		return nil, fmt.Errorf("record %q: a record is one line without $ ( and )", template)
	}
	rr, err := dns.NewRR(owner + " " + strconv.FormatUint(uint64(seconds(n.TTL)), 10) + " IN " + words)
	switch {
	case err != nil:
		return nil, fmt.Errorf("record %q: %s", template, quoteCut(err.Error()))
	case rr == nil:
		return nil, fmt.Errorf("record %q is empty", template)
	case !slices.Contains(templateTypes, rr.Header().Rrtype):
		return nil, fmt.Errorf("record %q: a dynamic name may have A, AAAA, CNAME, SRV, HTTPS, SVCB, MX and TXT", template)
	}
	rr.Header().Name = owner
	return rr, nil
}

func joined(addresses []netip.Addr, family func(netip.Addr) bool) string {
	var words []string
	for _, a := range addresses {
		if a = a.Unmap(); family(a) {
			words = append(words, a.String())
		}
	}
	return strings.Join(words, ",")
}

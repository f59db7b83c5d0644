package dnsgtm

import (
	"time"

	"github.com/miekg/dns"
)

// transferOf fetches a zone, or what changed since a serial that is not 0.
func transferOf(address, zone string, since uint32, key Key) ([]dns.RR, error) {
	m := new(dns.Msg)
	if m.SetAxfr(zone); since > 0 {
		m.SetIxfr(zone, since, "ns1."+zone, "hostmaster."+zone)
	}
	tr := &dns.Transfer{ReadTimeout: 10 * time.Second}
	if key.Name != "" {
		tr.TsigSecret = map[string]string{key.Name: key.File}
		m.SetTsig(key.Name, key.Algorithm, 300, time.Now().Unix())
	}
	envelopes, err := tr.In(m, address)
	if err != nil {
		return nil, err
	}
	var rrs []dns.RR
	for e := range envelopes {
		if e.Error != nil {
			err = e.Error
		}
		rrs = append(rrs, e.RR...)
	}
	return rrs, err
}

package dnsgtm

import (
	"strings"
	"testing"
	"time"
)

func TestTheExampleIsWithoutFault(t *testing.T) {
	t.Parallel()
	if faults := example().Check(time.Now()); faults != nil {
		t.Error(faults)
	}
}

// A zone file is judged with the line of each fault, and all of them at once.
func TestEveryFaultOfAZoneFileIsToldWithItsLine(t *testing.T) {
	t.Parallel()
	const head = "$ORIGIN example.com.\n$TTL 300\n@ IN SOA ns hostmaster 1 3600 900 604800 60\n@ IN NS ns\nns IN A 192.0.2.1\n"
	tests := []struct {
		name, text string
		want       []string
	}{
		{"a bad address", head + "a IN A 192.0.2\n", []string{"z:6: bad A A"}},
		{"a bad word in the middle", head + "a IN A 192.0.2.1\nb IN FROB x\nc IN A 192.0.2.3\n", []string{"z:7: "}},
		{"a name outside", head + "www.example.org. IN A 192.0.2.1\n", []string{"z:6: www.example.org. lies outside the zone"}},
		{"two faults at once", head + "www.example.org. IN A 192.0.2.1\nx IN CNAME y\nx IN A 192.0.2.1\n", []string{"z:6: www", "z:7: x.example.com. has a CNAME and other records"}},
		{"no SOA", "$TTL 1\nexample.com. IN NS ns.example.org.\n", []string{"z: there is no SOA"}},
		{"two SOA", head + "@ IN SOA ns hostmaster 2 3600 900 604800 60\n", []string{"z:3: there are 2 SOA records"}},
		{"a SOA elsewhere", head + "x IN SOA ns hostmaster 2 3600 900 604800 60\n", []string{"z:6: the SOA record of x.example.com."}},
		{"no NS", "$TTL 1\nexample.com. IN SOA a.b. c.d. 1 2 3 4 5\n", []string{"z:2: there is no NS record"}},
		{"a CNAME at the apex", head + "@ IN CNAME x.example.org.\n", []string{"z:6: a CNAME cannot stand at the zone's own name"}},
		{"a CNAME beside others, over lines", head + "x IN CNAME y\n\n; nothing\nx IN TXT (\n \"a\"\n \"b\" )\n", []string{"z:6: x.example.com. has a CNAME"}},
		{"two CNAME", head + "x IN CNAME y\nx IN CNAME z\n", []string{"z:6: x.example.com. has 2 CNAME"}},
		{"another class", head + "x CH TXT \"a\"\n", []string{"z:6: x.example.com. has class CH"}},
		{"a server without address", head + "@ IN NS ns9\n", []string{"z:4: example.com. has the name server ns9.example.com., which has no address"}},
		{"glue that is missing", head + "sub IN NS ns.sub\n", []string{"z:6: sub.example.com. has the name server ns.sub.example.com."}},
		{"signatures", head + "x IN NSEC y A\n", []string{"z:6: NSEC records are made here"}},
		{"dynamic and static", head + "mdm IN A 192.0.2.7\n", []string{"z:6: mdm.example.com. has static A records and is a dynamic name of group mdm"}},
		{"dynamic and CNAME", head + "mdm IN CNAME x\n", []string{"z:6: mdm.example.com. has static CNAME records"}},
		{"dynamic below a delegation", strings.ReplaceAll(head, "@ IN NS", "mdm 300 IN NS ns.example.org.\n@ IN NS"), []string{"z:4: mdm.example.com. is delegated and is a dynamic name"}},
		{"the last line without its end", head + "www.example.org. IN A 192.0.2.1", []string{"z:6: www.example.org."}},
		{"static beside dynamic of another type", head + "mdm IN CAA 0 issue \"x\"\n", nil},
	}
	for _, tt := range tests {
		c := example()
		c.Zones[0].File, c.Zones[0].Text = "z", []byte(tt.text)
		c.Zones[0].Names = c.Zones[0].Names[:1]
		sameFaults(t, tt.name, c.Check(time.Now()), tt.want)
	}
}

func TestAnIncludedFileIsNamedInItsFaults(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	inner := write(t, dir, "inner", "a IN A 192.0.2.5\n\nwww.example.org. IN A 192.0.2.6\n")
	broken := write(t, dir, "broken", "b IN A 192.0.2.5\nc IN A nonsense\n")
	zone := write(t, dir, "zone", "$ORIGIN example.com.\n$TTL 300\n@ IN SOA ns h 1 2 3 4 5\n@ IN NS ns.example.org.\n$INCLUDE inner\nx.example.org. IN A 192.0.2.7\n$INCLUDE broken\n")
	c := example()
	c.Zones[0] = Zone{Name: "example.com", File: zone}
	sameFaults(t, "include", c.Check(time.Now()), []string{inner + ":3: www.example.org.", zone + ":6: x.example.org.", broken + ":2: "})
}

func TestEveryFaultOfADynamicNameIsTold(t *testing.T) {
	t.Parallel()
	good := Name{Name: "n", Group: "mdm", TTL: 5 * time.Second}
	tests := []struct {
		name   string
		change func(*Name)
		want   string
	}{
		{"outside", func(n *Name) { n.Name = "n.example.org." }, "n.example.org. lies outside the zone"},
		{"empty", func(n *Name) { n.Name = "" }, "a dynamic name is empty"},
		{"no group", func(n *Name) { n.Group = "frob" }, `there is no group "frob"`},
		{"TTL 0", func(n *Name) { n.TTL = 0 }, "TTL 0s: the least is 1s"},
		{"TTL in parts", func(n *Name) { n.TTL = 1500 * time.Millisecond }, "whole seconds only"},
		{"TTL too large", func(n *Name) { n.TTL = 1 << 62 / time.Second * time.Second }, "is too large"},
		{"a ramp upwards", func(n *Name) { n.RampTTL = 5 * time.Second }, "less than the TTL"},
		{"a CNAME at the apex", func(n *Name) { n.Name, n.Records = "@", []string{"CNAME x.example.net."} }, "a CNAME cannot stand at the zone's own name"},
		{"a CNAME and others", func(n *Name) { n.Records = []string{"addresses", "CNAME x.example.net."} }, "a CNAME stands alone"},
		{"no IPv6", func(n *Name) { n.Records = []string{"HTTPS 1 . ipv6hint={ipv6}"} }, "core2 of group mdm has none of that family"},
		{"nonsense", func(n *Name) { n.Records = []string{"SRV 0 x"} }, `record "SRV 0 x"`},
		{"another type", func(n *Name) { n.Records = []string{"NS x.example.net."} }, "a dynamic name may have"},
		{"a directive", func(n *Name) { n.Records = []string{"TXT a\n$INCLUDE /etc/passwd"} }, "a record is one line"},
		{"when_down", func(n *Name) { n.WhenDown = "panic" }, `when_down "panic": keep, servfail or fixed`},
		{"fixed without addresses", func(n *Name) { n.WhenDown = Fixed }, "wants addresses"},
		{"addresses without fixed", func(n *Name) { n.Fixed = addrs("192.0.2.1") }, "are for when_down fixed"},
		{"no address for a node", func(n *Name) { n.Group = "bare" }, "node b1 of group bare has no address"},
		{"below a delegation", func(n *Name) { n.Name = "x.sub" }, "sub.example.com. is delegated"},
		{"not a name", func(n *Name) { n.Name = "a..b" }, "is not a domain name"},
	}
	for _, tt := range tests {
		c := example()
		c.Groups = append(c.Groups, Group{Name: "bare", Nodes: []Node{{Name: "b1"}}})
		n := good
		tt.change(&n)
		c.Zones[0].Names = []Name{n}
		faults := c.Check(time.Now())
		if !strings.Contains(faults.Error(), tt.want) {
			t.Errorf("%s: got %q, want %q", tt.name, faults, tt.want)
		}
		for _, f := range faults {
			if f.Zone != "example.com" {
				t.Errorf("%s: the fault %q does not name its zone", tt.name, f)
			}
		}
	}
}

func TestEveryFaultOfTheRestIsTold(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	tests := []struct {
		want   string
		change func(*Config)
	}{
		{"there are no zones", func(c *Config) { c.Zones = nil }},
		{"is configured twice", func(c *Config) { c.Zones = append(c.Zones, c.Zones[0]) }},
		{"stands twice among the dynamic names", func(c *Config) { c.Zones[0].Names = append(c.Zones[0].Names, c.Zones[0].Names[0]) }},
		{"cannot be read: no such file", func(c *Config) { c.Zones[0].Text, c.Zones[0].File = nil, dir+"/none" }},
		{"UDP size 100", func(c *Config) { c.UDPSize = 100 }},
		{"group mdm: stands twice", func(c *Config) { c.Groups = append(c.Groups, c.Groups[0]) }},
		{"has no nodes", func(c *Config) { c.Groups[1].Nodes = nil }},
		{"policy \"frob\"", func(c *Config) { c.Groups[1].Pool = "frob" }},
		{"its secret cannot be read", func(c *Config) { c.Keys = []Key{{Name: "k", File: dir + "/none"}} }},
		{"the secret in base64", func(c *Config) { c.Keys = []Key{{Name: "k", File: write(t, dir, "k", "%%%")}} }},
		{"algorithm \"md5\"", func(c *Config) { c.Keys = []Key{{Name: "k", Algorithm: "md5", File: write(t, dir, "k", "AAAA")}} }},
		{"there is no good key \"k\"", func(c *Config) { c.Zones[0].Allow = []Peer{{Key: "k"}} }},
		{"is said by a network, a key or both", func(c *Config) { c.Zones[0].Allow = []Peer{{}} }},
		{"is said by an address with a port", func(c *Config) { c.Zones[0].Notify = []Peer{{}} }},
		{"TCP wants", func(c *Config) { c.TCP.Idle = 0 }},
		{"no address to listen on", func(c *Config) { c.Listen = nil }},
		{"listen \"53\": want an address and a port", func(c *Config) { c.Listen = []string{"53"} }},
		{"listen \"localhost:53\"", func(c *Config) { c.Listen = []string{"localhost:53"} }},
		{"listen \"[::]:99999\"", func(c *Config) { c.Listen = []string{"[::]:99999"} }},
		{"cannot be used: no such file", func(c *Config) { c.TLS = &TLS{Listen: []string{"[::1]:853"}, CertFile: dir + "/none"} }},
		{"cookie secrets cannot be read", func(c *Config) { c.Cookies = dir + "/none" }},
		{"rate limit", func(c *Config) { c.Rate.V4 = 64 }},
	}
	for _, tt := range tests {
		c := example()
		tt.change(&c)
		if faults := c.Check(time.Now()); !strings.Contains(faults.Error(), tt.want) {
			t.Errorf("got %q, want %q", faults, tt.want)
		}
	}
}

func sameFaults(t *testing.T, name string, got Faults, want []string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: got %q, want %q", name, got, want)
		return
	}
	for i := range want {
		if !strings.HasPrefix(got[i].String(), want[i]) {
			t.Errorf("%s: got %q, want %q", name, got[i], want[i])
		}
	}
}

package dnsgtm

import (
	"net/netip"
	"time"
)

// Config is what a Server goes by. Default gives the parts that a person need
// not say; Check tells what is wrong with the whole.
type Config struct {
	Listen   []string // host:port for UDP and TCP; an empty host is every address
	TLS      *TLS     // DNS over TLS; nil: none
	StateDir string   // where serials are kept; empty: nowhere, for tests
	Groups   []Group
	Zones    []Zone
	Keys     []Key // that transfers and notifications may name

	NSID    string         // what an NSID option is answered with; empty: the option is ignored
	Version string         // what CH TXT version.bind. says; empty: refused
	Why     []netip.Prefix // who may ask CH TXT why.GROUP.understudy.
	Cookies string         // file of cookie secrets, a line of 32 hex digits each; empty: one of our own until the process ends
	UDPSize uint16         // the most bytes in a reply over UDP

	Rate    Rate
	TCP     TCP
	Workers int // UDP sockets on each address; 0: one a core
}

// TLS says where DNS over TLS is served (RFC 7858).
type TLS struct {
	Listen   []string
	CertFile string
	KeyFile  string
}

// TCP bounds what connections may take.
type TCP struct {
	Connections int           // at once; the one that was idle longest makes room for a new one
	Idle        time.Duration // until a silent connection is closed
	Whole       time.Duration // for one message once it has begun, in either direction
}

// Rate limits replies over UDP to one network, so that a forged source cannot
// be flooded by us. Who shows a valid cookie is not limited.
type Rate struct {
	PerSecond int            // replies to one network; 0: no limit
	Slip      int            // of the replies over the limit every so manieth goes out truncated, so that a real client comes by TCP; 0: none
	V4, V6    int            // bits of a network
	Exempt    []netip.Prefix // networks without a limit
}

// Group is what names may be bound to. Its nodes stand in the configured order
// of succession.
type Group struct {
	Name  string
	Pool  Pool // empty: active and stand-by by the latched decision
	Nodes []Node
}

// Pool says how the nodes of a companion group share clients. No decision is
// kept for such a group: who is available answers.
type Pool string

// The pools.
const (
	ActiveActive  Pool = "active_active"  // all that are available; with different weights one of them an answer, in turn
	ActiveStandby Pool = "active_standby" // the first that is available
)

// Node is one node and the addresses under which clients reach it. Nodes of
// one site may share addresses.
type Node struct {
	Name      string
	Addresses []netip.Addr
	Weight    int // in an active_active pool; 0 is 1
}

// Zone is one zone that we have authority for.
type Zone struct {
	Name   string
	File   string // RFC 1035 text: everything that does not depend on a group
	Text   []byte // the text of File, if it was read already
	Names  []Name
	Allow  []Peer   // who may transfer the zone
	Notify []Peer   // who is told of a new serial
	Sign   []string // DNSSEC key files, K*.private of dnssec-keygen; empty: not signed
}

// Peer is another name server: as somebody who transfers, a network, a key or
// both; as somebody who is told, an address and perhaps a key.
type Peer struct {
	Network netip.Prefix   // of those that may transfer; zero: any, if there is a key
	Address netip.AddrPort // of one that is told
	Key     string         // the name of a Key; empty: none
}

// Key is a TSIG key (RFC 8945).
type Key struct {
	Name      string
	Algorithm string // hmac-sha256 and its like; empty: hmac-sha256
	File      string // holds the secret in base64
}

// Name is a dynamic name: its records follow a group.
type Name struct {
	Name     string // relative to the zone, or absolute with a final dot; @ is the zone's own
	Group    string
	TTL      time.Duration
	RampTTL  time.Duration // before a planned switch; 0: TTL stays
	Records  []string      // see Records below; empty: the addresses
	WhenDown WhenDown
	Fixed    []netip.Addr // for Fixed
}

// WhenDown says what a name answers while no node that the decision names is
// available. Empty is Keep.
type WhenDown string

// What to answer then.
const (
	Keep     WhenDown = "keep"     // the node that serves, as ever: the rule keeps traffic where it is
	ServFail WhenDown = "servfail" // no answer, so that resolvers go on with what they have
	Fixed    WhenDown = "fixed"    // fixed addresses
)

// Default gives the parts of a Config that have a default.
func Default() Config {
	return Config{
		UDPSize: 1232, // DNS flag day 2020
		Rate:    Rate{PerSecond: 1000, Slip: 2, V4: 24, V6: 56},
		TCP:     TCP{Connections: 1000, Idle: 10 * time.Second, Whole: 5 * time.Second},
	}
}

// group gives the group of a name, nil if there is none.
func (c *Config) group(name string) *Group {
	for i := range c.Groups {
		if c.Groups[i].Name == name {
			return &c.Groups[i]
		}
	}
	return nil
}

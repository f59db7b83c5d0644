// Package dnsgtm sends clients by DNS: an authoritative name server for UDP,
// TCP and TLS whose answers follow the decision of each group.
//
// A [Server] owns everything. What it is told of a group ([Server.Tell])
// becomes a Choice (a pure function), a Choice becomes the records of every
// name that is bound to the group, and the records become a new version of
// their zone: one serial later, with one atomic store. Whoever answers a query
// loads the version once and takes no lock.
//
// Two paths answer. The slow one parses with miekg/dns and knows everything.
// The fast one, for plain queries over UDP, looks at the bytes, copies an
// answer that was packed when the version was made, and allocates nothing;
// what it does not know well it leaves to the slow one. A differential fuzz
// test holds the two equal.
//
// Changes of a zone (a failover, a reload, new signatures) are made one after
// the other under the Server's lock; so are serials, of which a stock is stored
// in advance: a failover waits for no disk.
package dnsgtm

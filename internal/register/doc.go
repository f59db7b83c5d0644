// Package register keeps the Traffic of groups where several processes share
// it: they see one another's changes, and one compare-and-set on the epoch
// decides between them.
//
// [Dir] keeps it in a directory that the processes of one host share. Each
// group has, under its own name:
//
//	GROUP.traffic     what holds now: JSON with a format version and a checksum
//	GROUP.history     every Traffic that was stored, a line each, the newest last
//	GROUP.lock        an empty file; who stores holds its lock
//	GROUP.damaged.N   a GROUP.traffic that could not be read, kept when it was replaced
//
// A Traffic is first stored, then added to the history. A crash between the two
// leaves a history that is one line short; the next Load or Save adds it.
// Reading needs no lock, for files are replaced whole.
//
// A Dir owns one goroutine, which hears of changes and tells them to the
// channels that Watch gave; Close ends it and waits for it.
//
// [Etcd] keeps it in etcd, which several hosts share. Below its prefix stand
//
//	traffic/GROUP          what holds now, as a line of a history is
//	history/GROUP/EPOCH    the newest Traffics that were stored
//	votes/GROUP/WATCHER    what a watcher says of the serving node, under its lease
//	lease/NAME             the lease of the one node that may be Active, and .../served
//
// A Traffic and its history are one transaction, guarded by the revision that
// was read. What was last known is copied to a directory of this host: it is
// given, as ha.Adrift, while etcd cannot be reached, and shows when etcd went
// back to less.
package register

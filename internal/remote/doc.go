// Package remote is how one node trusts another: who the trusted hosts are, how
// they prove who they are over TLS and over SSH, how two nodes are paired, and
// what a trusted host may ask for.
//
// A node has two key pairs of its own, made at its first start: one for TLS,
// known to others by its [Pin], and one for SSH. A trusted [Host] is what
// another node has told of itself in a [Card]. Nobody is trusted on first use:
// a card comes by hand ([Card.Line], pasted by a person) or by a pairing string
// ([Trust.Invite], [Trust.Join]), whose pin is checked before anything is sent.
//
// Everything is kept in files below one directory, which the engine and the
// commands of people share; every change takes the lock there. A [Trust] may be
// used by several goroutines. Of the parts that face a network the server side
// is [Trust.Handler], the client side [Peer], and [Serve] is what the forced
// command of authorized_keys runs.
package remote

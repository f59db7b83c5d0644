// Package sidecar watches groups without carrying their traffic, and tells
// others where it belongs: people and programs by the API, load balancers by
// the probe proxy or by files that they read, receivers of messages by
// webhooks.
//
// A [Sidecar] owns everything that runs. A configuration is first assembled
// into [parts], which is all of it that can be wrong, then prepared (what can
// fail for other reasons: a port that is taken, a group whose stored traffic
// does not fit) and only then committed, which cannot fail. A start is the
// first such change and a reload any later one; one that fails before it is
// committed leaves everything as it was. One goroutine, that of Run, makes all
// changes.
package sidecar

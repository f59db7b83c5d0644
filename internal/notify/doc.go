// Package notify tells people, outside the program, what happened to a group:
// each change of traffic and the begin and end of each alarm become a
// [Message], which waits in a queue on disk until its receiver has taken it.
//
// [Describe] decides what is worth a message; it is pure. [Notifier.Tell]
// takes a message and returns at once. [Notifier.Run] owns every goroutine:
//
//   - the filer, the only one that empties Tell's buffer, writes each message
//     into the queue of each sender;
//   - one lane a sender, the only one that delivers from that queue, oldest
//     first, and the only one that touches the sender, its breaker and its
//     ledger.
//
// Processes that share a directory share its queues: all of them file, and the
// one that holds a queue's lock delivers. A message that says what the ledger
// knows to be told already (front and sidecar saw the same failover) is not
// sent again.
package notify

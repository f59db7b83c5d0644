// Package api shows groups to people and programs and takes their wishes: the
// HTTP API that the front's admin endpoint and the sidecar have in common, its
// client, and the sentences in which both tell a group's situation.
//
// [New] makes the server side over a [Groups]; its [API.Routes] can be mounted
// one by one, [API.Handler] serves them all, and [API.Run] feeds the event
// streams. [NewClient] makes the other side. Both speak the types of wire.go,
// and the pure functions of the files of words ([Status], [Why], [Sentence],
// [Because], [WayBack], [HistoryLine]) turn those into text.
//
// The handlers hold no state of a group: every answer is made of the
// Situation that Groups gives at that instant.
package api

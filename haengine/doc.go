// Package haengine runs the node-side machine of internal/ha on a real node: it
// stores what the machine says must be stored, does what it asks for, and tells
// it what came of that.
//
// One goroutine, [Engine.Run], owns the Member, its Settings and the files that
// hold them. Everything else sends it what it has to do and reads an atomic
// [Snapshot]. No act waits: heartbeats, commands and questions run in
// goroutines of their own and come back as events. What is kept is stored
// before anything is done that follows from it; a kill at any moment leaves a
// node that rolls forward when it starts again.
//
// What an act needs of the world stands behind small interfaces: [Peer], [App],
// [Door], [Lease], [Register]. Without trust between the nodes the peer is what
// its two status pages tell ([Pages]), and nothing can be asked of it.
package haengine

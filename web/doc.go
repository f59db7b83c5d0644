// Package web is what the console and the portal have in common: one frame,
// one stylesheet, one way in.
//
// A [Site] serves pages below a base path. It lets in whom its
// [account.Book] knows, asks for the role that each page wants, refuses what
// other sites' pages send, and answers with headers that let nothing run but
// our own files. Every page works without JavaScript; the one script only
// shows changes sooner, told by the event stream of [Site.Tell].
//
// The folders below are the faces: console shows groups, portal shows a node.
package web

// Package integration tells stories: its tests run the real understudy binary
// as processes of their own, between clients and nodes that are real too, and
// look only at what anybody could see from outside: answers, the API, files.
//
// A story sets up nodes (pair, local), a front that watches them, does
// something to one of them and says what must be seen then. Everything runs on
// free loopback ports, in directories of its own, and ends with its test.
package integration

// Package account knows who may use a console or a portal: its users with
// their roles, their sessions, the tokens of programs, and the audit log of
// what was done by whom.
//
// A [Book] is all of it for one place. Users and tokens stand in one file that
// several processes may share; sessions live in the memory of one process and
// end with it. There is no default account: as long as there is no user,
// [Open] gives a setup code that makes the first one.
//
// A Book may be used from any goroutine.
package account

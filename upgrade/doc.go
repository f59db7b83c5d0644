// Package upgrade walks a pair of nodes through an upgrade or a planned swap of
// their roles, as a run that can be killed anywhere and goes on at the same place.
//
// A [Plan] is a value: what is to be done, made of what was so when it was made
// (its [Pins]). Its [Step]s are pure: each looks at a [View] and says whether it
// is done, what is to be done, and how to take it back. A [Runner] alone acts: it
// writes into the [Journal] what it is about to do, has a [Hand] do it, writes
// what came of it, and looks again. What is not known is looked at, never done
// twice. One goroutine owns a run: the one that calls Run.
package upgrade

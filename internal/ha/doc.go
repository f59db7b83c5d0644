// Package ha decides who serves a group and why: it turns readings of nodes
// into a Decision and a person's wish into a new Traffic, as pure functions
// over values, without input, output, goroutines or a clock.
//
// The rule comes from the EPMM guide, "Load balancer setup", 1 to 4: traffic
// stays on the Primary; it fails over only when the Primary's probe fails and
// the Secondary shows "Mode: Standby"; it goes back only by a person's act
// (Manual Resume = Yes).
//
// A reading enters by [View.Observe]; [Next] reads Traffic and View from the
// top of the truth table in testdata/rule.txt; a Decision that fails over
// becomes the next Traffic by [Apply]; [Resume], [Switch], [Reorder],
// [HoldTraffic] and [Release] are what a person may do. Time is an argument
// everywhere.
package ha

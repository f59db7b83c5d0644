// Package console shows groups to people and takes their wishes: where traffic
// goes, whether a failover would work now, what happened last, why, and the
// acts resume, switch, reorder, hold and release with what they would do shown
// before the button.
//
// A [Console] asks the API of internal/api in its own process, so that there is
// nothing it can do that the API cannot. [Console.Run] feeds the event stream
// and remembers the nodes' states for the lanes.
package console

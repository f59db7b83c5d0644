package haengine

import "time"

const (
	// tick is how often the loop turns at the least. A timer of the runtime does
	// not count while the machine is suspended: the machine's own are looked at
	// by Boottime at every turn.
	tick = time.Second

	// lateness is how much later than it should the loop may turn before what it
	// has measured does not count (the value of Redis Sentinel).
	lateness = 2 * time.Second
)

package account

import (
	"fmt"
	"time"
)

// Later is the error of one who has failed too often and has to wait.
type Later struct{ Wait time.Duration }

func (l *Later) Error() string {
	return fmt.Sprintf("too many attempts have failed; try again in %v", max(l.Wait.Round(time.Second), time.Second))
}

// The bounds of a throttle.
const (
	mostWait    = 15 * time.Minute
	mostWatched = 4096 // keys that are remembered
)

// attempt names what is counted: every failure counts for the address, for the
// name from that address, and for the name from anywhere.
type attempt struct {
	key  string
	free int // failures that cost nothing
}

func attempts(name, from string) []attempt {
	return []attempt{{"from " + from, 10}, {"name " + name + " from " + from, 5}, {"name " + name, 50}}
}

// failures is what is remembered of a key.
type failures struct {
	count int
	until time.Time // before that no attempt is looked at
}

// throttle makes each further failure wait twice as long. It is not safe for
// use by several goroutines.
type throttle map[string]failures

// wait gives how long somebody still has to wait, 0 for not at all.
func (t throttle) wait(name, from string, now time.Time) (longest time.Duration) {
	for _, a := range attempts(name, from) {
		longest = max(longest, t[a.key].until.Sub(now))
	}
	return longest
}

// failed counts a failure.
func (t throttle) failed(name, from string, now time.Time) {
	t.forget(now)
	for _, a := range attempts(name, from) {
		f := t[a.key]
		f.count++
		wait := time.Duration(0)
		if over := f.count - a.free; over >= 0 {
			wait = min(time.Second<<min(over, 20), mostWait)
		}
		f.until = now.Add(wait)
		t[a.key] = f
	}
}

// succeeded forgets the failures of the name from there.
func (t throttle) succeeded(name, from string) {
	delete(t, attempts(name, from)[1].key)
	delete(t, attempts(name, from)[2].key)
}

// forget drops what is over, and if that is not enough whatever comes first.
func (t throttle) forget(now time.Time) {
	for key, f := range t {
		if now.Sub(f.until) > mostWait || len(t) > mostWatched {
			delete(t, key)
		}
	}
}

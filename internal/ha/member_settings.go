package ha

import (
	"fmt"
	"time"
)

// Settings are the numbers and choices of a node that a Member goes by. The
// guides give names and no numbers; "keep the defaults" is their advice (EPMM
// guide, HA best practice recommendations).
type Settings struct {
	Profile Safety
	Place   int // of this node in the order: 1 for the Primary, at most 4
	Servers int // nodes in the order

	HeartbeatInterval time.Duration // from a good heartbeat to the next
	Failures          int           // Consecutive Heartbeat failures before failover
	RecheckInterval   time.Duration // from a failed heartbeat to the next
	AttemptTimeout    time.Duration // of one heartbeat, over all its paths
	KeepInStandby     bool          // If Failure Detected: Keep in Standby
	PromotionHold     time.Duration // from the last failure to the promotion, so that traffic may decide first
	PromotionTime     time.Duration // nobody has served for so long: a node that gave up may try again
	Resume            bool          // resume: client_majority: the agents may bring a superseded node back
	Fence             bool          // a fence command must have said that the peer is off
	StartTries        int           // of the application, at least 1
	StopTimeout       time.Duration // the application is killed after it
	AppFail           time.Duration // how long the application may fail before safe gives up the lease

	Lease    time.Duration
	Watchdog time.Duration // of the service manager over the engine
	Retry    time.Duration // from a question that was not answered to the next
	Slack    time.Duration // for clocks that differ in rate, and for scheduling
	Continue bool          // on_register_loss: continue; two may serve then

	Front Detection // of the fronts, where it is known
}

// Detection is how soon a front finds that the serving node is down.
type Detection struct {
	Interval time.Duration
	Timeout  time.Duration
	Fall     int
}

// Time gives the longest time from a node's death to the front's decision.
func (d Detection) Time() time.Duration { return d.Interval*time.Duration(d.Fall) + d.Timeout }

// DefaultSettings gives a pair's Secondary in profile documented.
func DefaultSettings() Settings {
	return Settings{
		Place: 2, Servers: 2,
		HeartbeatInterval: 10 * time.Second, Failures: 6, RecheckInterval: 10 * time.Second, AttemptTimeout: 5 * time.Second,
		PromotionHold: 15 * time.Second, PromotionTime: 2 * time.Minute,
		StartTries: 3, StopTimeout: 20 * time.Second, AppFail: 30 * time.Second,
		Lease: 75 * time.Second, Watchdog: 5 * time.Second, Retry: 5 * time.Second, Slack: 5 * time.Second,
	}
}

// Renew is how long after a renewal was sent the next one is due.
func (s Settings) Renew() time.Duration { return s.Lease / 3 }

// Hold is how long after its last confirmed renewal was sent a node may serve.
// The rest of the lease is for the watchdog, for the application to stop and
// for Slack.
func (s Settings) Hold() time.Duration { return s.Lease - s.Watchdog - s.StopTimeout - s.Slack }

// Detect is the shortest time in which heartbeats find the peer dead.
func (s Settings) Detect() time.Duration {
	return s.HeartbeatInterval + time.Duration(s.Failures-1)*s.RecheckInterval
}

// Check gives every fault of the settings, one sentence each that says what to
// change; none if there is none.
func (s Settings) Check() []string {
	faults := s.ranges()
	add := func(wrong bool, format string, args ...any) {
		if wrong {
			faults = append(faults, fmt.Sprintf(format, args...))
		}
	}
	add(s.AttemptTimeout > s.RecheckInterval,
		"An attempt may take %v, longer than the Re-check interval of %v: two heartbeats would overlap. Make the attempt timeout smaller or the Re-check interval larger.",
		s.AttemptTimeout, s.RecheckInterval)
	front, node := s.Front.Time()+s.Slack, s.Detect()+s.PromotionHold
	add(s.Front.Fall > 0 && front >= node,
		"The front may need %v to find the serving node down, and this node promotes itself after %v: the front would not see Mode: Standby any more. Make the front's interval or fall smaller, or the promotion hold larger.",
		front, node)
	if s.Profile != Safe {
		return faults
	}
	add(s.Renew()+2*s.Retry >= s.Hold(),
		"A lease of %v leaves %v to renew it, and one renewal with two retries takes %v: make the lease longer than %v.",
		s.Lease, s.Hold(), s.Renew()+2*s.Retry, s.shortest())
	add(s.PromotionTime <= s.Lease,
		"The promotion time of %v is not longer than the lease of %v: a node would take it back while the other still waits for the lease to end. Make the promotion time longer than the lease and the application's start together.",
		s.PromotionTime, s.Lease)
	return faults
}

// shortest gives the lease that is just too short: renew, which is a third of
// it, and everything else.
func (s Settings) shortest() time.Duration {
	return (2*s.Retry + s.Watchdog + s.StopTimeout + s.Slack) * 3 / 2
}

// tick is the smallest step of every duration.
const tick = 100 * time.Millisecond

// ranges gives the faults of single settings.
func (s Settings) ranges() []string {
	var faults []string
	if s.Servers < 2 || s.Servers > 4 || s.Place < 1 || s.Place > s.Servers {
		faults = append(faults, fmt.Sprintf("Place %d of %d servers is not possible: two to four servers stand in order, and the Primary has place 1.", s.Place, s.Servers))
	}
	if s.Failures < 1 {
		faults = append(faults, "Consecutive Heartbeat failures before failover is 0: it takes at least 1.")
	}
	if s.StartTries < 1 {
		faults = append(faults, "The application is never started with 0 start tries: it takes at least 1.")
	}
	for _, d := range []struct {
		name  string
		value time.Duration
		least time.Duration
	}{
		{"Heartbeat Interval", s.HeartbeatInterval, tick},
		{"Re-check interval", s.RecheckInterval, tick},
		{"attempt timeout", s.AttemptTimeout, tick},
		{"promotion hold", s.PromotionHold, time.Duration(0)},
		{"promotion time", s.PromotionTime, tick},
		{"stop timeout", s.StopTimeout, tick},
		{"app_fail", s.AppFail, tick},
		{"lease", s.Lease, tick},
		{"watchdog", s.Watchdog, tick},
		{"retry", s.Retry, tick},
		{"slack", s.Slack, tick},
	} {
		if d.value < d.least || d.value%tick != 0 {
			faults = append(faults, fmt.Sprintf("The %s of %v is not possible: it is at least %v, in steps of %v.", d.name, d.value, d.least, tick))
		}
	}
	return faults
}

package portal

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/internal/ha"
)

// The guide's names of the settings (EPMM guide, Setting up the HA workflow,
// Step 6).
const (
	heartbeat     = "Heartbeat Interval"
	failures      = "Consecutive Heartbeat failures before failover"
	recheck       = "Re-check interval"
	detected      = "If Failure Detected"
	startTime     = "StartTime"
	runEvery      = "Run Every"
	email         = "Email"
	notifySync    = "Notify On: Sync Completion"
	notifyFailure = "Notify On: Failure / This server becomes primary"
	attempt       = "Attempt timeout"
)

// documented are the settings that have a field of their own in the window; the
// others are ours and stand below it.
var documented = []string{heartbeat, failures, recheck, detected, startTime, runEvery, email, notifySync, notifyFailure}

// values are settings by name.
type values map[string]string

func valuesOf(list []nodeapi.Setting) values {
	v := values{}
	for _, s := range list {
		v[s.Name] = s.Value
	}
	return v
}

// Count and Unit are the two parts of Run Every.
func (v values) count() string { n, _, _ := strings.Cut(v[runEvery], " "); return n }

func (v values) unit() string {
	_, unit, _ := strings.Cut(v[runEvery], " ")
	return strings.TrimSuffix(unit, "s") + "s"
}

// every reads Run Every; 0 if it is none.
func (v values) every() time.Duration {
	n, err := strconv.Atoi(v.count())
	unit, known := map[string]time.Duration{"minutes": time.Minute, "hours": time.Hour, "days": 24 * time.Hour}[v.unit()]
	if err != nil || !known || n < 0 || n > 100_000 {
		return 0
	}
	return time.Duration(n) * unit
}

// schedule gives when syncs run if the settings were saved at an instant.
func (v values) schedule(saved time.Time) (ha.Schedule, error) {
	at, err := time.Parse("15:04", v[startTime])
	if err != nil {
		return ha.Schedule{}, fmt.Errorf("StartTime %.20q is not a time of day like 13:00", v[startTime])
	}
	s := ha.Schedule{StartTime: time.Duration(at.Hour()*60+at.Minute()) * time.Minute, RunEvery: v.every(), Saved: saved}
	if faults, _ := s.Check(); len(faults) > 0 {
		return s, fmt.Errorf("%s", strings.Join(faults, " "))
	}
	return s, nil
}

// upcoming gives the next three runs, none if there is no schedule.
func (v values) upcoming(saved, now time.Time) []time.Time {
	s, err := v.schedule(saved)
	if err != nil {
		return nil
	}
	runs := s.Upcoming(now)
	return runs[:]
}

// detection says how long it takes at most to find the Primary dead: the
// heartbeat that came just before, the failed ones, and the last one's time.
func (v values) detection() string {
	interval, err := time.ParseDuration(v[heartbeat])
	again, err2 := time.ParseDuration(v[recheck])
	limit, err3 := time.ParseDuration(v[attempt])
	n, err4 := strconv.Atoi(v[failures])
	if err != nil || err2 != nil || err3 != nil || err4 != nil || n < 1 {
		return ""
	}
	worst := interval + time.Duration(n-1)*again + limit
	return fmt.Sprintf("%v = %v + %d × %v + %v", worst, interval, n-1, again, limit)
}

// check gives what is wrong with the settings, as far as that can be seen
// without the engine, which has the last word.
func (v values) check() (faults, warnings []string) {
	s := ha.DefaultSettings()
	spans := map[string]*time.Duration{
		heartbeat: &s.HeartbeatInterval, recheck: &s.RecheckInterval, attempt: &s.AttemptTimeout, "Promotion hold": &s.PromotionHold,
		"Promotion time": &s.PromotionTime, "Stop timeout": &s.StopTimeout, "Application fail time": &s.AppFail, "Retry": &s.Retry,
	}
	for name, into := range spans {
		text, given := v[name]
		d, err := time.ParseDuration(text)
		if given && err != nil {
			faults = append(faults, fmt.Sprintf("%s: %.40q is not a duration like 10s or 500ms.", name, text))
			continue
		}
		if given {
			*into = d
		}
	}
	for name, into := range map[string]*int{failures: &s.Failures, "Start tries": &s.StartTries} {
		text, given := v[name]
		n, err := strconv.Atoi(text)
		if given && (err != nil || n < 1 || n > 250) {
			faults = append(faults, fmt.Sprintf("%s: %.40q is not a number from 1 to 250.", name, text))
			continue
		}
		if given {
			*into = n
		}
	}
	if len(faults) > 0 {
		return faults, nil
	}
	faults = s.Check()
	sched, err := v.schedule(time.Now())
	if err != nil {
		faults = append(faults, err.Error()+".")
	}
	_, warnings = sched.Check()
	if user, host, ok := strings.Cut(v[email], "@"); v[email] != "" && (!ok || user == "" || host == "" || strings.ContainsAny(v[email], " \t\r\n<>,;\"")) {
		faults = append(faults, fmt.Sprintf("Email: %.60q is not one address.", v[email]))
	}
	return faults, warnings
}

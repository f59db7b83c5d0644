package ha

import (
	"fmt"
	"time"
)

// Schedule is when a Standby syncs (EPMM guide, Setting up the HA workflow,
// Step 6, and HA best practice recommendations): first at StartTime, then every
// RunEvery from there. Every save of the page sets Saved, and so begins anew.
type Schedule struct {
	StartTime time.Duration // since midnight, UTC
	RunEvery  time.Duration // whole minutes, hours or days
	Saved     time.Time
}

// leastRunEvery is what the guide recommends: not more often than that.
const leastRunEvery = time.Hour

// Anchor gives the first run: the next StartTime after Saved. A StartTime that
// is the very minute of Saved is tomorrow's, for it has begun.
func (s Schedule) Anchor() time.Time {
	saved := s.Saved.UTC()
	anchor := time.Date(saved.Year(), saved.Month(), saved.Day(), 0, 0, 0, 0, time.UTC).Add(s.StartTime)
	if !anchor.After(saved) {
		anchor = anchor.AddDate(0, 0, 1)
	}
	return anchor
}

// Next gives the first run after an instant.
func (s Schedule) Next(after time.Time) time.Time {
	anchor := s.Anchor()
	if after.Before(anchor) {
		return anchor
	}
	return anchor.Add((after.Sub(anchor)/s.RunEvery + 1) * s.RunEvery)
}

// upcoming is how many runs are shown.
const upcoming = 3

// Upcoming gives the next runs after an instant.
func (s Schedule) Upcoming(after time.Time) [upcoming]time.Time {
	var runs [upcoming]time.Time
	for i := range runs {
		after = s.Next(after)
		runs[i] = after
	}
	return runs
}

// Check gives the faults of a schedule, and what it warns of, one sentence
// each.
func (s Schedule) Check() (faults, warnings []string) {
	if s.StartTime < 0 || s.StartTime >= 24*time.Hour || s.StartTime%time.Minute != 0 {
		faults = append(faults, fmt.Sprintf("StartTime is %v after midnight: it has to be a time of day, in whole minutes, UTC.", s.StartTime))
	}
	if s.RunEvery < time.Minute || s.RunEvery%time.Minute != 0 {
		faults = append(faults, fmt.Sprintf("Run Every is %v: it has to be a number of minutes, hours or days.", s.RunEvery))
	} else if s.RunEvery < leastRunEvery {
		warnings = append(warnings, fmt.Sprintf("Run Every is %v: the guide recommends not less than %v, so that syncs do not overlap.", s.RunEvery, leastRunEvery))
	}
	return faults, warnings
}

// Idle gives the part of the time between two runs in which no sync runs, from
// 0 to 1, when one takes so long. Below a half it is time for a longer Run
// Every.
func (s Schedule) Idle(took time.Duration) float64 {
	return float64(s.RunEvery-min(took, s.RunEvery)) / float64(s.RunEvery)
}

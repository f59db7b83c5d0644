package ha_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/understudy-ha/understudy/internal/ha"
)

const minutes = "2006-01-02 15:04"

func TestAScheduleRunsAsItsTableSays(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/schedule.txt")
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for i, line := range strings.Split(string(text), "\n") {
		line, _, _ = strings.Cut(line, "#")
		f := strings.Fields(line)
		if len(f) == 0 || f[0] == "saved" {
			continue
		}
		parse := func(day, clock string) time.Time {
			at, err := time.Parse(minutes, day+" "+clock)
			if err != nil {
				t.Fatalf("schedule.txt:%d: %v", i+1, err)
			}
			return at
		}
		every, err := time.ParseDuration(f[3])
		if err != nil {
			t.Fatalf("schedule.txt:%d: %v", i+1, err)
		}
		s := ha.Schedule{StartTime: parse("2026-01-01", f[2]).Sub(parse("2026-01-01", "00:00")), RunEvery: every, Saved: parse(f[0], f[1])}
		var got []string
		for _, run := range s.Upcoming(parse(f[4], f[5])) {
			got = append(got, run.Format(minutes))
		}
		if want := strings.Join(f[6:], " "); strings.Join(got, ", ") != want {
			t.Errorf("schedule.txt:%d: got %s, want %s", i+1, strings.Join(got, ", "), want)
		}
		rows++
	}
	if rows < 10 {
		t.Errorf("only %d rows", rows)
	}
}

func TestASchedulesTimeZoneIsUTCWhereverItWasSaved(t *testing.T) {
	t.Parallel()
	east := time.FixedZone("east", 9*3600)
	s := ha.Schedule{StartTime: 13 * time.Hour, RunEvery: time.Hour, Saved: time.Date(2026, 3, 2, 1, 0, 0, 0, east)} // 16:00 UTC the day before
	if got, want := s.Anchor(), time.Date(2026, 3, 2, 13, 0, 0, 0, time.UTC); !got.Equal(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestAScheduleThatCannotBeIsRefusedAndAFrequentOneWarns(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		start, every time.Duration
		want         string
	}{
		{13 * time.Hour, time.Hour, "[] []"},
		{0, 24 * time.Hour, "[] []"},
		{24*time.Hour - time.Minute, time.Hour, "[] []"},
		{24 * time.Hour, time.Hour, "[StartTime is 24h0m0s after midnight: it has to be a time of day, in whole minutes, UTC.] []"},
		{-time.Minute, time.Hour, "[StartTime is -1m0s after midnight: it has to be a time of day, in whole minutes, UTC.] []"},
		{time.Second, time.Hour, "[StartTime is 1s after midnight: it has to be a time of day, in whole minutes, UTC.] []"},
		{0, 59 * time.Minute, "[] [Run Every is 59m0s: the guide recommends not less than 1h0m0s, so that syncs do not overlap.]"},
		{0, time.Minute, "[] [Run Every is 1m0s: the guide recommends not less than 1h0m0s, so that syncs do not overlap.]"},
		{0, 0, "[Run Every is 0s: it has to be a number of minutes, hours or days.] []"},
		{0, -time.Hour, "[Run Every is -1h0m0s: it has to be a number of minutes, hours or days.] []"},
		{0, 90 * time.Second, "[Run Every is 1m30s: it has to be a number of minutes, hours or days.] []"},
	} {
		faults, warnings := ha.Schedule{StartTime: c.start, RunEvery: c.every}.Check()
		if got := fmt.Sprint(faults, warnings); got != c.want {
			t.Errorf("%v, %v: got %s, want %s", c.start, c.every, got, c.want)
		}
	}
}

func TestASyncThatTakesLongLeavesLittleIdleTime(t *testing.T) {
	t.Parallel()
	got := []float64{}
	for _, took := range []time.Duration{0, 15 * time.Minute, time.Hour, 2 * time.Hour} {
		got = append(got, ha.Schedule{RunEvery: time.Hour}.Idle(took))
	}
	if diff := cmp.Diff([]float64{1, 0.75, 0, 0}, got); diff != "" {
		t.Error(diff)
	}
}

package ha_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

var sensors = ha.PanelRule{Interval: 30 * time.Second, Takes: 180 * time.Second}

// poll asks a panel of agents once a second; here says how many of them reach
// this node at a second, -1 that the agent says nothing. It gives the second of
// the first election, -1 if there is none within an hour.
func poll(agents int, here func(agent, second int) int) int {
	p := ha.NewPanel(nil)
	for second := range 3600 {
		now := instant.After(time.Duration(second) * time.Second)
		for a := range agents {
			if h := here(a, second); second%30 == a%30 && h >= 0 {
				p.Hear(fmt.Sprint("sensor", a), h == 1, now)
			}
		}
		if p.Elects(sensors, now) {
			return second
		}
	}
	return -1
}

func TestMoreThanHalfOfTheAgentsElectANodeAfterThreeMinutes(t *testing.T) {
	t.Parallel()
	b := map[bool]int{true: 1, false: 0}
	for _, c := range []struct {
		name     string
		agents   int
		here     func(agent, second int) int
		from, to int // of the election
	}{
		{"one of one", 1, func(int, int) int { return 1 }, 180, 180},
		{"all of 1,000", 1000, func(int, int) int { return 1 }, 180, 210},
		{"501 of 1,000, from the tenth minute on", 1000, func(a, s int) int { return b[a < 501 && s >= 600] }, 780, 810},
		{"exactly half", 1000, func(a, _ int) int { return b[a%2 == 0] }, -1, -1},
		{"less than half", 1000, func(a, _ int) int { return b[a < 499] }, -1, -1},
		{"more than half, but not for long enough", 100, func(a, s int) int { return b[a < 60 && s%200 < 100] }, -1, -1},
		{"the others fall silent, which is no majority here", 1000, func(a, s int) int {
			if a >= 500 && s > 600 {
				return -1
			}
			return b[a < 500]
		}, -1, -1},
		{"those who were here fall silent", 3, func(a, s int) int {
			if s > 60 {
				return -1
			}
			return 1
		}, -1, -1},
	} {
		if got := poll(c.agents, c.here); got < c.from || got > c.to {
			t.Errorf("%s: elected in second %d, want %d to %d", c.name, got, c.from, c.to)
		}
	}
}

func TestAnAgentIsSilentAfterThreeIntervals(t *testing.T) {
	t.Parallel()
	p := ha.NewPanel([]string{"before"})
	p.Hear("a", true, instant)
	p.Hear("b", false, instant)
	for _, c := range []struct {
		after time.Duration
		want  ha.Tally
	}{
		{0, ha.Tally{Agents: 3, Here: 1, There: 1}},
		{90*time.Second - 1, ha.Tally{Agents: 3, Here: 1, There: 1}},
		{90 * time.Second, ha.Tally{Agents: 3}},
	} {
		if got := p.Tally(sensors, instant.After(c.after)); got != c.want {
			t.Errorf("after %v: %+v, want %+v", c.after, got, c.want)
		}
	}
	if p.Drop("nobody") || !p.Drop("a") || p.Tally(sensors, instant).Agents != 2 {
		t.Error("an agent that is dropped is counted no more")
	}
	if p.Hear("b", true, instant) || !p.Hear("new", true, instant) {
		t.Error("only an agent that was never heard is new")
	}
}

func TestAnElectionIsToldOnceInItsTime(t *testing.T) {
	t.Parallel()
	p, told := ha.NewPanel(nil), 0
	for second := range 1000 {
		now := instant.After(time.Duration(second) * time.Second)
		p.Hear("a", true, now)
		if p.Elects(sensors, now) {
			told++
		}
	}
	if told != 5 {
		t.Errorf("told %d times in 1,000 s", told)
	}
	if got := p.Tally(sensors, instant.After(1000*time.Second)).For; got != 100*time.Second {
		t.Errorf("more than half have been here for %v", got)
	}
}

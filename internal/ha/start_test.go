package ha_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/understudy-ha/understudy/internal/ha"
)

// start says in one line what comes of a block of start.txt.
func start(b block) (line string, err error) {
	s, err := b.build()
	if err != nil {
		return "", err
	}
	defer func() {
		if r := recover(); r != nil {
			line = fmt.Sprint("panic: ", r)
		}
	}()
	defer catch(&err)
	verb, rest, _ := strings.Cut(s.ask.value, " ")
	before, t := ha.Traffic{Order: s.traffic.Order}, ha.Traffic{}
	switch verb {
	case "begin":
		var ok bool
		if t, ok = ha.Begin("core", s.traffic.Order, s.view, now); !ok {
			return "not yet", nil
		}
	case "lost":
		floor := 0
		if n, found := strings.CutPrefix(rest, "above epoch "); found {
			floor = number(s.ask, n)
		}
		t = ha.Lost("core", s.traffic.Order, uint64(floor), "the file is damaged", now)
	case "fit":
		return sayFit(s.traffic, strings.Fields(rest)), nil
	case "learn":
		next, news := ha.Learn(s.traffic, s.view, now)
		if !news {
			if !cmp.Equal(s.traffic, next) {
				return "no news, but: " + cmp.Diff(s.traffic, next), nil
			}
			return "no news", nil
		}
		return sayTraffic(s.traffic, next), nil
	case "provide":
		before, t = s.traffic, s.traffic
	default:
		fail(s.ask.at, "unknown ask %q", s.ask.value)
	}
	return sayTraffic(before, t) + "; " + sayTargets(s, t), nil
}

// sayTargets says where requests go in the first and in the later view.
func sayTargets(s scene, t ha.Traffic) string {
	say := func(v ha.View) string {
		t = ha.Provide(t, v)
		if target := ha.Target(t, v); target != "" {
			return "requests to " + target
		}
		return "requests to none"
	}
	line := say(s.view)
	if s.later != nil {
		line += "; later " + say(s.later)
	}
	return line
}

func sayFit(t ha.Traffic, configured []string) string {
	next, differs, err := ha.Fit(t, configured, now)
	switch {
	case err != nil && (differs || !cmp.Equal(t, next)):
		return "an error, but the traffic changed: " + cmp.Diff(t, next)
	case err != nil:
		return "refused: " + err.Error()
	case !differs && !cmp.Equal(t, next):
		return "does not differ, but: " + cmp.Diff(t, next)
	case !differs:
		return "stays as it is"
	}
	return sayTraffic(t, next)
}

func TestAGroupStartsWithoutGuessing(t *testing.T) {
	t.Parallel()
	for _, b := range readTable(t, "start.txt") {
		t.Run(b.title, func(t *testing.T) {
			t.Parallel()
			got, err := start(b)
			if err != nil {
				t.Fatal(err)
			}
			if got != b.want {
				t.Errorf("%s\n got %s\nwant %s", b.at, got, b.want)
			}
		})
	}
}

func TestLearnLeavesTheMapItWasGiven(t *testing.T) {
	t.Parallel()
	s := sceneOf(t, "core1 Active, epoch 5 | core2 Standby", "seen epoch: core1 4", "seen epoch: gone 9")
	next, news := ha.Learn(s.traffic, s.view, now)
	if !news {
		t.Fatal("no news")
	}
	if diff := cmp.Diff(map[string]uint64{"core1": 4, "gone": 9}, s.traffic.NodeEpochs); diff != "" {
		t.Errorf("before (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]uint64{"core1": 5, "gone": 9}, next.NodeEpochs); diff != "" {
		t.Errorf("after (-want +got):\n%s", diff)
	}
}

func TestAGroupThatIsUnknownForTwoActiveNodesStaysSoInAnotherConfiguration(t *testing.T) {
	t.Parallel()
	s := sceneOf(t, "core1 Active | core2 Active")
	begun, _ := ha.Begin("core", s.traffic.Order, s.view, now)
	fit, differs, err := ha.Fit(begun, []string{"core1", "core2", "dr1"}, now)
	if err != nil || !differs {
		t.Fatalf("differs %v, error %v", differs, err)
	}
	later := sceneOf(t, "core1 Active | core2 down | dr1 Standby")
	if target := ha.Target(ha.Provide(fit, later.view), later.view); target != "" {
		t.Errorf("requests go to %s, which may be stale", target)
	}
	s.traffic.Evidence = []ha.Reading{s.view[0].Last}
	if fit, _, _ := ha.Fit(s.traffic, []string{"core1", "core2", "dr1"}, now); fit.Evidence != nil {
		t.Errorf("nobody was asked, but there is evidence: %v", fit.Evidence)
	}
}

func TestProvideLeavesATrafficThatIsNotLost(t *testing.T) {
	t.Parallel()
	s := sceneOf(t, "core1 down | core2 Active", "hold: by alice")
	if got := ha.Provide(s.traffic, s.view); !cmp.Equal(got, s.traffic) {
		t.Error(cmp.Diff(s.traffic, got))
	}
}

func TestAGroupWithoutNodeEpochsStoresNone(t *testing.T) {
	t.Parallel()
	s := sceneOf(t, "core1 Active | core2 Standby")
	if begun, _ := ha.Begin("core", s.traffic.Order, s.view, now); begun.NodeEpochs != nil {
		t.Errorf("got %v", begun.NodeEpochs)
	}
}

func TestWhatAGroupStartsFromIsNotShared(t *testing.T) {
	t.Parallel()
	s := sceneOf(t, "core1 Active | core2 Standby")
	order := []string{"core1", "core2"}
	begun, _ := ha.Begin("core", order, s.view, now)
	lost := ha.Lost("core", order, 0, "why", now)
	fit, _, _ := ha.Fit(s.traffic, []string{"core1", "core2", "dr1"}, now)
	for _, t := range []ha.Traffic{begun, lost, fit} {
		t.Order[0] = "spoiled"
	}
	if order[0] != "core1" || s.traffic.Order[0] != "core1" {
		t.Error("an order is shared")
	}
}

func TestARestoredTrafficIsTheOneInForceOneEpochLater(t *testing.T) {
	t.Parallel()
	was := ha.Traffic{
		Group: "core", Epoch: 7, Order: []string{"core1", "core2"}, Serving: "core2", Since: now, At: now,
		Cause: ha.FailedOver, Actor: "alice", Claimed: true, Words: "why", NodeEpochs: map[string]uint64{"core2": 3},
	}
	want := was
	want.Epoch, want.Actor, want.Claimed, want.Forced, want.Words = 8, "understudy", false, true, "stored again: cut off"
	if diff := cmp.Diff(want, ha.Restore(was, "cut off")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

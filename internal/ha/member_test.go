package ha_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/understudy-ha/understudy/internal/ha"
)

func safe() ha.Settings {
	s := ha.DefaultSettings()
	s.Profile = ha.Safe
	return s
}

func machine(s ha.Settings) *ha.Machine { return ha.NewMachine(s, ha.MemberTable()) }

func TestTheDefaultsOfANodeAreTheDecidedOnes(t *testing.T) {
	t.Parallel()
	got := fmt.Sprintf("%+v", ha.DefaultSettings())
	want := "{Profile:documented Place:2 Servers:2 HeartbeatInterval:10s Failures:6 RecheckInterval:10s AttemptTimeout:5s KeepInStandby:false " +
		"PromotionHold:15s PromotionTime:2m0s Resume:false Fence:false StartTries:3 StopTimeout:20s AppFail:30s Lease:1m15s Watchdog:5s Retry:5s Slack:5s Continue:false " +
		"Front:{Interval:0s Timeout:0s Fall:0}}"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// Saving the settings starts the schedule in every phase, as far as High
// Availability is enabled, and does nothing else.
func TestSavedSettingsStartTheScheduleAndNothingElse(t *testing.T) {
	t.Parallel()
	for _, enabled := range []bool{false, true} {
		m := ha.Member{Kept: ha.Kept{Enabled: enabled, Epoch: 3}, Phase: ha.InStandby}
		got, acts := machine(ha.DefaultSettings()).Step(m, ha.Event{On: ha.OnSaved}, instant, nil)
		want := m
		want.Scheduled = enabled
		if got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
		if stored := slices.ContainsFunc(acts, func(a ha.MemberAct) bool { return a.Do == ha.DoPersist }); stored != enabled || len(acts) > 1 {
			t.Errorf("enabled %t: it does %v", enabled, acts)
		}
	}
}

func TestTheDefaultSettingsHaveNoFault(t *testing.T) {
	t.Parallel()
	for _, profile := range []ha.Safety{ha.Documented, ha.Safe} {
		s := ha.DefaultSettings()
		s.Profile = profile
		s.Front = ha.Detection{Interval: 5 * time.Second, Timeout: 2 * time.Second, Fall: 3}
		if got := s.Check(); len(got) != 0 {
			t.Errorf("%v: %q", profile, got)
		}
	}
}

func TestEachFaultOfTheSettingsIsASentence(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		change func(*ha.Settings)
		want   []string // a part of each fault
	}{
		{func(s *ha.Settings) { s.AttemptTimeout = 10 * time.Second }, nil},
		{func(s *ha.Settings) { s.AttemptTimeout = 10100 * time.Millisecond }, []string{"An attempt may take 10.1s, longer than the Re-check interval of 10s"}},
		{func(s *ha.Settings) {
			s.Front = ha.Detection{Interval: 10 * time.Second, Timeout: 9900 * time.Millisecond, Fall: 6}
		}, nil},
		{func(s *ha.Settings) {
			s.Front = ha.Detection{Interval: 10 * time.Second, Timeout: 10 * time.Second, Fall: 6}
		}, []string{"The front may need 1m15s to find the serving node down, and this node promotes itself after 1m15s"}},
		{func(s *ha.Settings) { s.Front = ha.Detection{Interval: time.Hour, Timeout: time.Hour} }, nil}, // not known
		{func(s *ha.Settings) { s.Front = ha.Detection{Interval: 80 * time.Second, Fall: 1} }, []string{"The front may need 1m25s"}},
		{func(s *ha.Settings) { s.Lease = 60 * time.Second }, []string{"A lease of 1m0s leaves 30s to renew it, and one renewal with two retries takes 30s: make the lease longer than 1m0s."}},
		{func(s *ha.Settings) { s.Lease = 60300 * time.Millisecond }, nil},
		{func(s *ha.Settings) { s.PromotionTime = 75 * time.Second }, []string{"The promotion time of 1m15s is not longer than the lease of 1m15s"}},
		{func(s *ha.Settings) { s.PromotionTime = 75100 * time.Millisecond }, nil},
		{func(s *ha.Settings) { s.Profile, s.Lease, s.PromotionTime = ha.Documented, time.Second, time.Second }, nil},
		{func(s *ha.Settings) { s.Failures = 0 }, []string{"Consecutive Heartbeat failures before failover is 0"}},
		{func(s *ha.Settings) { s.Failures = 1 }, nil},
		{func(s *ha.Settings) { s.StartTries = 0 }, []string{"The application is never started with 0 start tries"}},
		{func(s *ha.Settings) { s.StartTries = 1 }, nil},
		{func(s *ha.Settings) { s.Place = 1 }, nil},
		{func(s *ha.Settings) { s.Place = 0 }, []string{"Place 0 of 2 servers is not possible"}},
		{func(s *ha.Settings) { s.Place = 3 }, []string{"Place 3 of 2 servers is not possible"}},
		{func(s *ha.Settings) { s.Place, s.Servers = 1, 1 }, []string{"Place 1 of 1 servers is not possible"}},
		{func(s *ha.Settings) { s.Place, s.Servers = 4, 4 }, nil},
		{func(s *ha.Settings) { s.Place, s.Servers = 1, 5 }, []string{"Place 1 of 5 servers is not possible"}},
		{func(s *ha.Settings) { s.PromotionHold = 0 }, nil},
		{func(s *ha.Settings) { s.PromotionHold = -time.Second }, []string{"The promotion hold of -1s is not possible"}},
		{func(s *ha.Settings) { s.HeartbeatInterval = 100 * time.Millisecond }, nil},
		{func(s *ha.Settings) { s.HeartbeatInterval = 50 * time.Millisecond }, []string{"The Heartbeat Interval of 50ms is not possible: it is at least 100ms, in steps of 100ms."}},
		{func(s *ha.Settings) { s.HeartbeatInterval = 150 * time.Millisecond }, []string{"The Heartbeat Interval of 150ms is not possible"}},
		{func(s *ha.Settings) { s.StopTimeout, s.AppFail, s.Watchdog = 0, 0, 0 }, []string{"stop timeout", "app_fail", "watchdog"}},
		{func(s *ha.Settings) { s.Retry, s.Slack = 0, 0 }, []string{"retry", "slack"}},
		{func(s *ha.Settings) { s.AttemptTimeout, s.RecheckInterval = 0, 0 }, []string{"Re-check interval", "attempt timeout"}},
	} {
		s := safe()
		c.change(&s)
		got := s.Check()
		if len(got) != len(c.want) || slices.ContainsFunc(c.want, func(w string) bool {
			return !slices.ContainsFunc(got, func(g string) bool { return strings.Contains(g, w) })
		}) {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

func TestAShortLeaseSaysTheShortestThatWillDo(t *testing.T) {
	t.Parallel()
	s := safe()
	s.Lease = 20 * time.Second
	if got := s.Check(); len(got) != 1 || !strings.Contains(got[0], "longer than 1m0s") {
		t.Errorf("got %q", got)
	}
	if got := [...]time.Duration{safe().Renew(), safe().Hold(), safe().Detect()}; got != [...]time.Duration{25 * time.Second, 45 * time.Second, time.Minute} {
		t.Errorf("renew, hold and detect are %v", got)
	}
}

// TestThePagesOfEveryPhase is the table of ha.md 5.6: what the node's pages say.
func TestThePagesOfEveryPhase(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	for _, profile := range []ha.Safety{ha.Documented, ha.Safe} {
		mc := machine(safe())
		mc.Profile = profile
		for _, p := range ha.Phases() {
			for _, m := range []ha.Member{
				{},
				{Kept: ha.Kept{Last: ha.Standby, Served: 3, Reign: 2}, Back: ha.InHeld},
				{Kept: ha.Kept{Last: ha.Active}, Back: ha.OutSuperseded, Timers: [8]ha.Instant{ha.AtDeadline: instant.After(time.Nanosecond)}},
				{Kept: ha.Kept{Last: ha.Active, Out: ha.OutSuperseded}, AppBad: true, Timers: [8]ha.Instant{ha.AtDeadline: instant.After(time.Hour)}},
				{Kept: ha.Kept{Last: ha.Active}, Timers: [8]ha.Instant{ha.AtDeadline: instant}},
			} {
				m.Phase = p
				r := mc.Report(m, instant)
				fmt.Fprintf(&out, "%v %v last %v out %v back %v bad %v: %+v\n", profile, p, m.Last, m.Out, m.Back, m.AppBad, r)
			}
		}
	}
	golden(t, "member_pages.txt", out.String())
}

func TestANodeThatWasFrozenDoesNotSayOK(t *testing.T) {
	t.Parallel()
	m := ha.Member{Phase: ha.InActive, Timers: [8]ha.Instant{ha.AtDeadline: instant}}
	mc := machine(safe())
	for _, c := range []struct {
		at   ha.Instant
		want ha.State
	}{{instant - 1, ha.Active}, {instant, ha.NotAvailable}, {instant + 1, ha.NotAvailable}} {
		if got := mc.State(m, c.at); got != c.want {
			t.Errorf("at %d: %v, want %v", c.at, got, c.want)
		}
	}
	after, acts := mc.Step(m, ha.Event{On: ha.OnAppGood}, instant, nil)
	if after.Phase != ha.InDemoting || acts[1].Do != ha.DoCloseDoor {
		t.Errorf("it hears an event before it looks at the clock: %v, %v", after.Phase, acts)
	}
	s := safe()
	s.Continue = true
	if got := machine(s).State(m, instant); got != ha.Active {
		t.Errorf("on_register_loss continue: %v", got)
	}
}

func TestANodeThatWasFrozenOpensNoDoor(t *testing.T) {
	t.Parallel()
	m := ha.Member{Kept: ha.Kept{Epoch: 4}, Phase: ha.InRecording, Back: ha.InHeld, Timers: [8]ha.Instant{ha.AtDeadline: instant}}
	after, acts := machine(safe()).Step(m, ha.Event{On: ha.OnServedWritten, Epoch: 4}, instant, nil)
	for _, a := range acts {
		if a.Do == ha.DoOpenDoor {
			t.Errorf("it opens its door, then is %v", after.Phase)
		}
	}
}

func TestTheMostPressingTimerComesFirst(t *testing.T) {
	t.Parallel()
	m := ha.Member{Phase: ha.InActive}
	for i := range m.Timers {
		m.Timers[i] = instant - 5
	}
	m.Timers[ha.AtDeadline] = instant
	var got []string
	mc := machine(safe())
	after, acts := mc.Wake(m, instant, nil)
	for _, a := range acts {
		got = append(got, a.Do.String())
	}
	want := []string{"persist", "close door", "stop app", "renew lease"}
	if diff := cmp.Diff(want, got); diff != "" || after.Phase != ha.InDemoting {
		t.Errorf("%v\n%s", after.Phase, diff)
	}
	if due := after.Due(); due != instant.After(5*time.Second) {
		t.Errorf("next is due %v", due)
	}
	several := ha.Member{Timers: [8]ha.Instant{ha.AtStop: 7, ha.AtBeat: 5, ha.AtRetry: 6}}
	if due := several.Due(); due != 5 {
		t.Errorf("of 7, 5 and 6 %d is due next", due)
	}
	if due := (ha.Member{}).Due(); due != 0 {
		t.Errorf("a member without timers is due %v", due)
	}
}

func TestATimerThatIsSetToNowDoesNotSpin(t *testing.T) {
	t.Parallel()
	s := safe()
	s.HeartbeatInterval = 0
	mc := machine(s)
	_, acts := mc.Wake(ha.Member{Phase: ha.InActive, Timers: [8]ha.Instant{ha.AtDeadline: instant + 1, ha.AtBeat: instant}}, instant, nil)
	if len(acts) != 24 {
		t.Errorf("%d acts", len(acts))
	}
}

func TestNoTwoNodesTakeTheSameEpoch(t *testing.T) {
	t.Parallel()
	var got []uint64
	for place := 1; place <= 4; place++ {
		for known := range uint64(6) {
			s := ha.DefaultSettings()
			s.Place, s.Servers = place, 4
			m, _ := machine(s).Step(ha.Member{Kept: ha.Kept{Epoch: known / 2, Seen: known}, Phase: ha.InLooking}, ha.Event{On: ha.OnPeerSilent}, instant, nil)
			got = append(got, m.Epoch)
		}
	}
	want := []uint64{1, 5, 5, 5, 5, 9, 2, 2, 6, 6, 6, 6, 3, 3, 3, 7, 7, 7, 4, 4, 4, 4, 8, 8}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestAMemberKeepsItsNotesAsJSON(t *testing.T) {
	t.Parallel()
	was := ha.Kept{Enabled: true, Mode: ha.Secondary, Last: ha.Active, Out: ha.OutYielded, Epoch: 7}
	text, err := json.Marshal(was)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"enabled":true,"mode":"Secondary","last":"Active","out":"yielded","epoch":7,"served":0,"reign":0,"seen":0}`; string(text) != want {
		t.Errorf("got %s, want %s", text, want)
	}
	var is ha.Kept
	if err := json.Unmarshal(text, &is); err != nil || is != was {
		t.Errorf("got %+v, %v", is, err)
	}
	for _, bad := range []string{`{"mode":"Third"}`, `{"out":"asleep"}`} {
		if err := json.Unmarshal([]byte(bad), &is); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
	var profile ha.Safety
	if err := profile.UnmarshalText([]byte("safe")); err != nil || profile != ha.Safe {
		t.Errorf("got %v, %v", profile, err)
	}
	if text, _ := ha.Safe.MarshalText(); string(text) != "safe" || profile.UnmarshalText([]byte("brave")) == nil {
		t.Errorf("got %s", text)
	}
}

func TestALateAnswerIsNotTakenForARegisterThatWentBack(t *testing.T) {
	t.Parallel()
	m := ha.Member{Kept: ha.Kept{Revision: 9, Cluster: 4}, Phase: ha.OutIsolated}
	for _, c := range []struct {
		revision, cluster, floor uint64
		want                     ha.Phase
	}{
		{7, 4, 5, ha.OutIsolated}, // asked at 5, answered at 7, heard after an answer of 9
		{9, 4, 9, ha.OutIsolated},
		{8, 4, 9, ha.OutWentBack},
		{9, 5, 9, ha.OutWentBack},
	} {
		got, _ := machine(safe()).Step(m, ha.Event{On: ha.OnRegisterRead, Held: true, Revision: c.revision, Cluster: c.cluster, Floor: c.floor}, instant, nil)
		if got.Phase != c.want || got.Revision != 9 || got.Cluster != 4 {
			t.Errorf("revision %d of %d, asked at %d: %v, %d of %d", c.revision, c.cluster, c.floor, got.Phase, got.Revision, got.Cluster)
		}
	}
}

func TestATiltEndsWhenItsTimeIsOver(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		until ha.Instant
		want  ha.Phase
	}{{instant + 1, ha.InHeld}, {instant, ha.InTaking}, {instant - 1, ha.InTaking}} {
		got, _ := machine(safe()).Step(ha.Member{Phase: ha.InDeciding, TiltUntil: c.until}, ha.Event{On: ha.OnHoldOver}, instant, nil)
		if got.Phase != c.want {
			t.Errorf("tilt until %d: %v, want %v", c.until-instant, got.Phase, c.want)
		}
	}
}

func TestALastLookDecidesWhetherTheHoldEndsInAPromotion(t *testing.T) {
	t.Parallel()
	says := func(r ha.Report) ha.Event { return ha.Event{On: ha.OnPeerSays, Peer: r} }
	for _, c := range []struct {
		name    string
		event   ha.Event
		blocked bool
		fence   bool
		want    ha.Phase
	}{
		{"the peer is silent", ha.Event{On: ha.OnPeerSilent}, false, false, ha.InPromoting},
		{"the peer is silent, and a fence command is required", ha.Event{On: ha.OnPeerSilent}, false, true, ha.InFencing},
		{"automation was blocked meanwhile", ha.Event{On: ha.OnPeerSilent}, true, false, ha.InHeld},
		{"the peer serves again", says(ha.Report{State: ha.Active, Runs: true}), false, true, ha.InStandby},
		{"the peer is starting", says(ha.Report{Coming: true, Runs: true}), false, false, ha.InStandby},
		{"the peer asks whether it may", says(ha.Report{Asks: true}), false, true, ha.InStandby},
		{"the peer asks this node", ha.Event{On: ha.OnPeerAsks, Peer: ha.Report{Asks: true}}, false, false, ha.InStandby},
		{"only the peer's application fails", says(ha.Report{Runs: true}), false, false, ha.InWaiting},
		{"only the peer's application fails, and a fence command is required", says(ha.Report{Runs: true}), false, true, ha.InFencing},
		{"the peer has stepped down", says(ha.Report{Yielded: true}), true, false, ha.InHeld},
	} {
		s := ha.DefaultSettings()
		s.Fence = c.fence
		m, acts := machine(s).Step(ha.Member{Phase: ha.InDeciding}, ha.Event{On: ha.OnHoldOver}, instant, nil)
		if m.Phase != ha.InLooking || len(acts) != 1 || acts[0].Do != ha.DoLookPeer || !machine(s).Report(m, instant).Coming {
			t.Fatalf("after the hold: %v, %v", m.Phase, acts)
		}
		m.Blocked = c.blocked
		if got, _ := machine(s).Step(m, c.event, instant, nil); got.Phase != c.want {
			t.Errorf("%s: %v, want %v", c.name, got.Phase, c.want)
		}
	}
}

func TestAReturnBeginsNoReignUnlessItIsTheFirst(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		reign     uint64
		returning bool
		want      uint64
	}{{0, true, 7}, {3, true, 3}, {3, false, 7}} {
		m := ha.Member{Kept: ha.Kept{Epoch: 7, Reign: c.reign}, Phase: ha.InPromoting, Returning: c.returning}
		if got, _ := machine(ha.DefaultSettings()).Step(m, ha.Event{On: ha.OnAppUp}, instant, nil); got.Reign != c.want || got.Served != 7 {
			t.Errorf("reign %d, returning %v: %d, want %d", c.reign, c.returning, got.Reign, c.want)
		}
	}
}

func TestAPersonsPromotionThatFailsLeadsBack(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		profile  ha.Safety
		in, want ha.Phase
	}{
		{ha.Safe, ha.InStandby, ha.InHeld},
		{ha.Safe, ha.InSuspect, ha.InHeld},
		{ha.Safe, ha.InDeciding, ha.InHeld},
		{ha.Documented, ha.InLooking, ha.InHeld},
		{ha.Safe, ha.InFencing, ha.InHeld},
		{ha.Safe, ha.InHeld, ha.InHeld},
		{ha.Safe, ha.InGate, ha.OutIsolated},
		{ha.Documented, ha.InGate, ha.OutAppFailed},
		{ha.Safe, ha.OutSuperseded, ha.OutSuperseded},
		{ha.Safe, ha.OutYielded, ha.OutYielded},
	} {
		s := safe()
		s.Profile = c.profile
		got, _ := machine(s).Step(ha.Member{Phase: c.in}, ha.Event{On: ha.OnModePrimary}, instant, nil)
		if got.Phase != ha.InWaiting || got.Back != c.want || !got.Asked {
			t.Errorf("%v, %v: %v, back to %v, want %v", c.profile, c.in, got.Phase, got.Back, c.want)
		}
	}
}

func TestAPeerThatYieldsToTrafficIsFollowed(t *testing.T) {
	t.Parallel()
	mc := machine(safe())
	m, _ := mc.Step(ha.Member{Phase: ha.InStandby}, ha.Event{On: ha.OnTrafficDecided, Epoch: 4}, instant, nil)
	if !m.Handing || m.Seen != 4 {
		t.Errorf("handing %v, seen %d", m.Handing, m.Seen)
	}
	if m, _ = mc.Step(m, ha.Event{On: ha.OnPeerSays, Peer: ha.Report{Yielded: true}}, instant, nil); m.Phase != ha.InTaking {
		t.Errorf("%v", m.Phase)
	}
}

func TestAnActKnowsItsRow(t *testing.T) {
	t.Parallel()
	mc := machine(ha.DefaultSettings())
	_, acts := mc.Step(ha.Member{Phase: ha.InSuspect, Misses: 5}, ha.Event{On: ha.OnBeatBad}, instant, nil)
	if len(acts) != 1 || acts[0].Do != ha.DoNotify || !strings.Contains(mc.Row(acts[0]).Why, "failover process begins") {
		t.Errorf("got %v", acts)
	}
	_, acts = mc.Step(ha.Member{Phase: ha.InSuspect, Misses: 5}, ha.Event{On: ha.OnBeatBad, Peer: ha.Report{Served: 9}}, instant, nil)
	if len(acts) != 2 || acts[0].Do != ha.DoPersist || acts[0].Row != acts[1].Row || acts[1].Row == 0 {
		t.Errorf("got %v", acts)
	}
}

func TestAMachineWithoutARowDoesNothing(t *testing.T) {
	t.Parallel()
	mc := ha.NewMachine(safe(), ha.Table{})
	if _, ok := mc.Look(ha.Member{}, ha.Event{}, instant); ok {
		t.Error("a row fits")
	}
	if m, acts := mc.Step(ha.Member{}, ha.Event{}, instant, nil); m != (ha.Member{}) || len(acts) != 0 {
		t.Errorf("%+v, %v", m, acts)
	}
}

func TestAStepAllocatesOnlyItsMemberAndItsEvent(t *testing.T) { // AllocsPerRun wants no other test beside it
	mc := machine(safe())
	m := ha.Member{Phase: ha.InStandby}
	acts := make([]ha.MemberAct, 0, 16)
	if n := testing.AllocsPerRun(100, func() { _, _ = mc.Step(m, ha.Event{On: ha.OnBeatBad}, instant, acts[:0]) }); n != 2 {
		t.Errorf("%v allocations, want 2", n)
	}
}

func BenchmarkStep(b *testing.B) {
	mc := machine(safe())
	m := ha.Member{Phase: ha.InStandby}
	acts := make([]ha.MemberAct, 0, 16)
	b.ReportAllocs()
	for b.Loop() {
		_, _ = mc.Step(m, ha.Event{On: ha.OnBeatBad}, instant, acts[:0])
	}
}

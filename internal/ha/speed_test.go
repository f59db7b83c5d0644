package ha_test

import (
	"testing"

	"github.com/understudy-ha/understudy/internal/ha"
)

// hot are the functions that stand in the way of a request or run at every
// reading, by the situation that costs most.
var hot = []struct {
	name  string
	nodes string
}{
	{"serving", "core1 Active | core2 Standby | dr1 Standby | dr2 Standby"},
	{"dual active", "core1 Active | core2 Standby | dr1 Standby | dr2 Active"},
	{"down", "core1 down | core2 down | dr1 down | dr2 Standby, manual"},
	{"promoted", "core1 down, epoch 4 | core2 Active, epoch 5 | dr1 Standby | dr2 Standby"},
}

func TestDecidingAllocatesNothing(t *testing.T) { // AllocsPerRun wants no other test beside it
	for _, h := range hot {
		s := sceneOf(t, h.nodes, "policy: epoch")
		d := ha.Next(s.traffic, s.view, s.rules, now)
		lost := ha.Provide(ha.Lost("core", s.traffic.Order, 1, "why", now), s.view)
		for name, f := range map[string]func(){
			"Next":   func() { ha.Next(s.traffic, s.view, s.rules, now) },
			"Queue":  func() { ha.Queue(s.traffic, d, s.view, now) },
			"Target": func() { ha.Target(s.traffic, s.view); ha.Target(lost, s.view) },
			"Armed":  func() { ha.Armed(s.traffic, s.view, s.rules, now) },
			"Urgent": func() { ha.Urgent(s.traffic, s.view, now) },
			"Wanted": func() { ha.Wanted(s.traffic, s.view, "dr2") },
			"Assess": func() { ha.Assess(s.traffic, s.view, s.rules, now) },
		} {
			if n := testing.AllocsPerRun(100, f); n != 0 {
				t.Errorf("%s, %s: %v allocations, want none", name, h.name, n)
			}
		}
	}
}

func BenchmarkNext(b *testing.B) {
	for _, h := range hot {
		s := sceneOf(b, h.nodes, "policy: epoch")
		b.Run(h.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				ha.Next(s.traffic, s.view, s.rules, now)
			}
		})
	}
}

func BenchmarkAssess(b *testing.B) {
	s := sceneOf(b, hot[0].nodes)
	b.ReportAllocs()
	for b.Loop() {
		ha.Assess(s.traffic, s.view, s.rules, now)
	}
}

func BenchmarkObserve(b *testing.B) {
	s := sceneOf(b, hot[0].nodes)
	r := s.view[0].Last
	b.ReportAllocs()
	for b.Loop() {
		s.view.Observe(r, "core1", 3)
	}
}

func BenchmarkRead(b *testing.B) {
	_, body := ha.FormatPage(ha.HAStatusPage, ha.Standby)
	body = "<html>\n<body>\n" + body + "\n</body>\n</html>\n"
	b.ReportAllocs()
	for b.Loop() {
		ha.Profile{}.Read(ha.HAStatusPage, body)
	}
}

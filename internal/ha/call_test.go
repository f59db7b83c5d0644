package ha_test

import (
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

func TestANodeIsToldOfTrafficAsLongAsItStandsBy(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	at := func(core1, core2 ha.Reading) ha.View {
		core1.Node, core2.Node = "core1", "core2"
		return ha.View{}.Keep([]string{"core1", "core2"}, nil).Observe(core1, "core1", 3).Observe(core2, "core1", 3)
	}
	before := ha.Traffic{Group: "mdm", Epoch: 4, Order: []string{"core1", "core2"}, Serving: "core1", NodeEpochs: map[string]uint64{"core1": 5}}
	v := at(ha.Reading{State: ha.Active, Epoch: 7, At: now}, ha.Reading{State: ha.Standby, At: now})
	moved := ha.Apply(before, ha.Decision{Verb: ha.FailOver, Reason: ha.FailedOver, To: "core2"}, v, now)
	later, learned := ha.Learn(moved, at(ha.Reading{State: ha.Active, Epoch: 9, At: now}, ha.Reading{State: ha.Standby, At: now}), now)
	if !learned || later.NodeEpochs["core1"] != 9 {
		t.Fatalf("got %+v", later)
	}
	with := func(t ha.Traffic, change func(*ha.Traffic)) ha.Traffic { change(&t); return t }
	active := at(ha.Reading{At: now}, ha.Reading{State: ha.Active, At: now})
	tests := []struct {
		name    string
		traffic ha.Traffic
		view    ha.View
		want    ha.Call
	}{
		{"nothing was left yet", before, v, ha.Call{}},
		{"right after the decision", moved, v, ha.Call{Group: "mdm", Node: "core2", Epoch: 5, Left: "core1", LeftEpoch: 7}},
		{"the node that was left has begun a new reign, which was not left", later, v, ha.Call{Group: "mdm", Node: "core2", Epoch: 6, Left: "core1", LeftEpoch: 7}},
		{"it is Active now", moved, active, ha.Call{}},
		{"held", with(moved, func(t *ha.Traffic) { t.Hold = &ha.Hold{Owner: "anna"} }), v, ha.Call{}},
		{"the register is away", with(moved, func(t *ha.Traffic) { t.Adrift = ha.RegisterLost }), v, ha.Call{}},
		{"nobody is known to serve", with(moved, func(t *ha.Traffic) { t.Serving = "" }), v, ha.Call{}},
		{"it came back to the same node", with(moved, func(t *ha.Traffic) { t.Left = "core2" }), v, ha.Call{}},
	}
	for _, tt := range tests {
		s := ha.Assess(tt.traffic, tt.view, ha.DefaultRules(), now)
		if got, ok := s.Call(); got != tt.want || ok != (tt.want != ha.Call{}) {
			t.Errorf("%s: got %+v %t, want %+v", tt.name, got, ok, tt.want)
		}
	}
}

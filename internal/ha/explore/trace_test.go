package explore

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/understudy-ha/understudy/internal/ha"
)

// A tale is a trace of moves that everybody should be able to read.
type tale struct {
	file    string
	profile ha.Safety
	moves   []any // a move, or a sentence
}

func ticks(n int) []move { return make([]move, n) }

var (
	person = func(k moveKind, n uint8) move { return move{kind: k, node: n} }

	// Table 1 of the EPMM guide, row after row, in profile documented.
	tableOne = []any{
		"Table 1, first row: the Primary is Active, the Secondary in Standby.", ticks(2),
		"Second row: the Primary goes down. The Secondary counts, promotes itself and serves.", person(crashNode, 0), ticks(9),
		"Third row: the Primary is up again. Nothing swaps by itself.", person(bootNode, 0), ticks(3),
		"A person makes it a Standby, which may sync from the Secondary (failover mode secondary; failover sync).", person(modeSecondary, 0), ticks(3),
		"After the sync the roles swap, with nothing done by itself meanwhile: the Secondary becomes a Standby.", person(block, 0), person(block, 1), person(modeSecondary, 1), ticks(2),
		"Both stand by for a moment. Then the Primary returns to Active.", person(modePrimary, 0), ticks(3),
		"It is as in the first row; traffic is resumed.", person(unblock, 0), person(unblock, 1), person(resumeFront, 0), ticks(2),
	}

	// Steps 1 to 4 of the guide's software upgrade, on the Secondary.
	stepFour = []any{
		"Step 1: High Availability is disabled on the Secondary. No heartbeat, no schedule.", person(haDisable, 1), ticks(3),
		"Step 4: its Mode becomes Primary so that it can download. It is only shown: no promotion, no epoch, its door stays closed.", person(modePrimary, 1), ticks(3),
		"It is upgraded and starts again; it is still disabled.", person(crashNode, 1), ticks(1), person(bootNode, 1), ticks(2),
		"High Availability cannot be enabled while the Mode is flipped.", person(haEnable, 1), ticks(1),
		"It returns to Secondary and is enabled: STANDBY.", person(modeSecondary, 1), person(haEnable, 1), ticks(3),
	}

	// Step 5: the Primary, while High Availability is disabled on the Secondary.
	stepFive = []any{
		"High Availability is disabled on the Secondary, which is upgraded by now.", person(haDisable, 1), ticks(2),
		"Step 5: the Primary goes down for its upgrade. Nobody is promoted: the outage is by design.", person(crashNode, 0), ticks(6),
		"It comes back and asks the Secondary, which is disabled and has not served since: Active again.", person(bootNode, 0), ticks(4),
		"Step 6: High Availability is enabled on the Secondary.", person(haEnable, 1), ticks(4),
	}
)

var tales = []tale{
	{file: "member_table1.txt", profile: ha.Documented, moves: tableOne},
	{file: "member_table1_safe.txt", profile: ha.Safe, moves: tableOne},
	{file: "member_upgrade4.txt", profile: ha.Documented, moves: stepFour},
	{file: "member_upgrade4_safe.txt", profile: ha.Safe, moves: stepFour},
	{file: "member_upgrade5.txt", profile: ha.Documented, moves: stepFive},
	{file: "member_upgrade5_safe.txt", profile: ha.Safe, moves: stepFive},
}

// TestTheGuidesTablesHappenAsWritten is invariant I10.
func TestTheGuidesTablesHappenAsWritten(t *testing.T) {
	t.Parallel()
	for _, c := range tales {
		t.Run(c.file, func(t *testing.T) {
			t.Parallel()
			x := newWalk(c.profile, ha.MemberTable(), whole, nil)
			x.w.faults, x.w.wishes = 99, 99
			got := fmt.Sprintf("Profile %v; a tick is a second, two failed heartbeats are enough, the hold is a second.\n", c.profile)
			for _, m := range c.moves {
				switch m := m.(type) {
				case string:
					got += "\n" + m + "\n"
				case move:
					got += x.line(m)
				case []move:
					for _, m := range m {
						got += x.line(m)
					}
				}
				if x.wrong != "" {
					t.Errorf("%s: %s", x.wrong, x.detail)
				}
			}
			at := "../testdata/" + c.file
			if *update {
				if err := os.WriteFile(at, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(at)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("%s differs:\n%s", at, diff)
			}
		})
	}
}

// line makes a move and gives a line of what came of it.
func (x *walk) line(m move) string {
	var acts []string
	x.seen = func(n uint8, _ ha.Phase, list []ha.MemberAct) {
		for _, a := range list {
			word := names[n] + " " + a.Do.String()
			if a.Number != 0 {
				word += fmt.Sprintf(" %d", a.Number)
			}
			acts = append(acts, word)
		}
	}
	x.make(m)
	x.seen = nil
	out := fmt.Sprintf("  %-22s", strings.TrimSuffix(m.String(), " P S F"))
	for i := range x.w.nodes {
		nd := &x.w.nodes[i]
		state, phase := ha.NotAvailable, "down"
		if nd.up {
			state, phase = x.mc[i].State(nd.m, now), nd.m.Phase.String()
		}
		out += fmt.Sprintf(" %s %-12v %-10s epoch %d |", names[i], state, phase, nd.disk.Served)
	}
	return strings.TrimRight(fmt.Sprintf("%s traffic %s | %s", out, names[x.w.front.serving], strings.Join(acts, ", ")), " |") + "\n"
}

package explore

import (
	"fmt"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

var (
	everyLink = []uint8{0, 1, 2, 3, 4, 5, 6, 7}
	everyMail = []mail{mailTake, mailRenew, mailRevoke, mailRecord, mailRead, mailTell, mailStep}
)

var scopes = []struct {
	name    string
	profile ha.Safety
	scope   scope
}{
	{"network", ha.Safe, scope{faults: 3, kinds: []moveKind{cutLink, crashNode}, links: everyLink, front: true, orders: 3}},
	{"late mail", ha.Safe, scope{faults: 3, kinds: []moveKind{crashNode, cutLink}, links: []uint8{2, 3}, mails: everyMail, die: true, front: true, orders: 2}},
	{"engine", ha.Safe, scope{faults: 3, kinds: []moveKind{killEngine, pauseEngine, crashNode, appFails, startFails, beginCommit}, front: true, orders: 2}},
	{"freeze", ha.Safe, scope{faults: 3, kinds: []moveKind{freezeNode, cutLink, crashNode}, links: everyLink, front: true, orders: 2}},
	{"person", ha.Safe, scope{faults: 2, wishes: 2, kinds: []moveKind{modePrimary, modeSecondary, haDisable, haEnable, block, unblock, holdFront, releaseFront, resumeFront, crashNode, cutLink, appFails}, links: []uint8{0, 1, 2, 3}, front: true, orders: 2}},
	{"everything", ha.Safe, scope{faults: 2, kinds: []moveKind{cutLink, crashNode, killEngine, pauseEngine, appFails, startFails, beginCommit, crashFront}, mails: everyMail, die: true, links: everyLink, front: true, orders: 3}},
	{"register goes back", ha.Safe, scope{faults: 3, kinds: []moveKind{registerBack, crashNode, cutLink}, links: []uint8{0, 1, 2, 3}, orders: 2}},
	{"documented", ha.Documented, scope{faults: 4, kinds: []moveKind{crashNode, startFails, appFails, beginCommit, crashFront}, front: true, orders: 3, die: true}},
	{"documented, person", ha.Documented, scope{faults: 2, wishes: 2, kinds: []moveKind{modePrimary, modeSecondary, haDisable, haEnable, block, unblock, holdFront, releaseFront, resumeFront, crashNode}, front: true, orders: 3}},
}

func TestProbe(t *testing.T) {
	for _, c := range scopes {
		t.Run(c.name, func(t *testing.T) {
			x := newWalk(c.profile, ha.MemberTable(), whole, nil)
			for range x.w.nodes {
			}
			began := time.Now()
			s := newSearch(x, c.scope, 1_500_000)
			s.quiet, s.free = 50, c.profile == ha.Documented || c.name == "register goes back"
			if c.scope.wishes > 0 || s.free {
				s.quiet = 0
			}
			s.run()
			t.Logf("%d states, %d transitions, depth %d, exhausted %v, rested %d, %v", s.states, s.transitions, s.depth, s.exhausted, s.rested, time.Since(began))
			if s.broken != "" {
				t.Errorf("%s: %s\n%s", s.broken, s.detail, s.story(x, s.trace))
			}
		})
	}
	fmt.Println()
}

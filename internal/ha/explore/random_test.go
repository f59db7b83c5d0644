package explore

import (
	"fmt"
	"hash/maphash"
	"math"
	"math/bits"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// The scope of the random schedules: everything at once, and far more faults
// than a search can go through.
var wild = []place{
	{"safe", ha.Safe, scope{faults: 12, kinds: []moveKind{cutLink, crashNode, killEngine, endEngine, pauseEngine, appFails, startFails, beginCommit, beginOld, crashFront}, mails: everyMail, die: true, links: everyLink, front: true, orders: 3}},
	{"safe, person", ha.Safe, scope{faults: 8, wishes: 6, kinds: []moveKind{cutLink, crashNode, killEngine, endEngine, pauseEngine, appFails, modePrimary, modeSecondary, haDisable, haEnable, block, unblock, holdFront, releaseFront, resumeFront}, mails: everyMail, die: true, links: everyLink, front: true, orders: 3}},
	{"safe, freeze", ha.Safe, scope{faults: 10, kinds: []moveKind{freezeNode, cutLink, crashNode, pauseEngine}, links: everyLink, front: true, orders: 3}},
	{"documented", ha.Documented, scope{faults: 8, kinds: []moveKind{crashNode, appFails, startFails, beginCommit, crashFront}, die: true, front: true, orders: 3}},
}

// TestRandomSchedulesKeepTheInvariants walks at random where a search does not
// reach, then lets everything heal. In a soak UNDERSTUDY_SEED repeats a run.
func TestRandomSchedulesKeepTheInvariants(t *testing.T) {
	t.Parallel()
	seed, schedules := uint64(1), 4_000 // the same ones in every short run; a soak draws its own
	switch {
	case raced:
		schedules = 300
	case os.Getenv("UNDERSTUDY_SOAK") != "":
		schedules = 1_000_000
		var err error
		if seed, err = strconv.ParseUint(os.Getenv("UNDERSTUDY_SEED"), 10, 64); err != nil {
			seed = uint64(time.Now().UnixNano())
		}
	}
	for _, c := range wild {
		t.Run(c.name, func(t *testing.T) {
			moves, states, same := 0, newSketch(), maphash.MakeSeed()
			for i := range schedules {
				r := rand.New(rand.NewPCG(seed, uint64(i)))
				x := newWalk(c.profile, ha.MemberTable(), whole, nil)
				s := c.search(x, 0)
				s.seed = same // so that a state is the same in every schedule
				trace, why := s.wander(r, 60, states)
				moves += len(trace)
				if why != "" {
					t.Errorf("schedule %d, UNDERSTUDY_SEED=%d: %s\n%s", i, seed, why, s.story(x, trace))
					break
				}
			}
			t.Logf("%d schedules of up to 60 moves, %d moves, %.0f different states, UNDERSTUDY_SEED=%d", schedules, moves, states.count(), seed)
		})
	}
}

// A sketch estimates how many different numbers it was given: within a part in a
// thousand up to some hundred millions, in 16 MiB.
type sketch []uint64

func newSketch() sketch { return make(sketch, 1<<21) }

func (s sketch) add(k uint64) { s[k>>6&uint64(len(s)-1)] |= 1 << (k & 63) }

func (s sketch) count() float64 {
	zeros := 0
	for _, word := range s {
		zeros += bits.OnesCount64(^word)
	}
	all := float64(64 * len(s))
	return -all * math.Log(float64(zeros)/all)
}

// wander makes random moves: mostly time passes, sometimes something goes wrong.
// It adds the states that it comes through to states.
func (s *search) wander(r *rand.Rand, most int, states sketch) ([]move, string) {
	x := s.x
	var trace []move
	var list []move
	for range most {
		list = s.scope.moves(&x.w, list[:0])
		m := list[r.IntN(len(list))]
		if r.IntN(2) == 0 {
			m = move{kind: passTick, arg: uint8(r.IntN(int(s.scope.orders)))}
		}
		before := x.w
		if !x.make(m) {
			x.w, x.wrong = before, ""
			continue
		}
		trace = append(trace, m)
		states.add(s.key(&x.w))
		if x.wrong != "" {
			return trace, fmt.Sprintf("%s: %s", x.wrong, x.detail)
		}
	}
	return trace, s.rest()
}

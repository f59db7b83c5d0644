package explore

import (
	"fmt"
	"hash/maphash"
	"slices"
	"strings"

	"github.com/understudy-ha/understudy/internal/ha"
)

// A mutant is one hole in the world or in what surrounds the machine. The zero
// value with the right watchdog has none.
type mutant struct {
	fromAnswer  bool  // the deadline counts from the answer
	byName      bool  // a key is one's own by the node's name
	deletesKey  bool  // release deletes the key, whosever it is
	noRecord    bool  // the register keeps no record of who has served
	actsFirst   bool  // stores last
	unbound     bool  // nobody stops the application when its engine dies
	anyEpoch    bool  // the front believes a page of any epoch
	noCall      bool  // the front does not call
	noAsk       bool  // and is not asked with every heartbeat
	noEpoch     bool  // on_promoted: wait
	heldDecides bool  // a held front does not abstain
	first       bool  // who served last does not leave the first move to the other
	watchdog    uint8 // ticks
}

// whole is no mutant.
var whole = mutant{watchdog: watchdog}

// newWalk makes a walk in a world in which both nodes have just been enabled
// and all is well after a few ticks.
func newWalk(profile ha.Safety, table ha.Table, mu mutant, change func(*ha.Settings)) *walk {
	x := &walk{front: newFrontRule(ha.PromotedEpoch), mutant: mu}
	if mu.noEpoch {
		x.front = newFrontRule(ha.PromotedWait)
	}
	for i := range x.mc {
		s := settings(i+1, profile)
		if change != nil {
			change(&s)
		}
		x.mc[i] = ha.NewMachine(s, table)
	}
	w := &x.w
	w.reg = register{rev: 1, cluster: 7}
	w.front = front{up: true}
	for i := range w.nodes {
		w.nodes[i].disk = ha.Kept{Enabled: true, Scheduled: true, Mode: ha.Primary + ha.Mode(i)}
		x.boot(uint8(i))
		x.settle()
	}
	for range 8 {
		x.make(move{kind: passTick})
	}
	x.w.alone = false
	return x
}

// A search goes through a scope breadth first, so that the first violation that
// it meets has a shortest trace.
type search struct {
	x      *walk
	scope  scope
	seed   maphash.Seed
	seen   *hashSet
	parent []uint32
	by     []move
	most   int // states

	states, transitions, depth int
	exhausted                  bool
	broken, detail             string
	trace                      []move
	start                      world
	quiet                      int // of so many states one is looked at for whether it comes to rest
	rested                     int
	free                       bool // ids are not renumbered
}

func newSearch(x *walk, s scope, most int) *search {
	x.w.faults, x.w.wishes = s.faults, s.wishes
	x.w.front.up = s.front
	return &search{x: x, scope: s, seed: maphash.MakeSeed(), seen: newHashSet(1 << 16), most: most, start: x.w}
}

// run searches until something is broken, everything has been seen, or most
// states have.
func (s *search) run() {
	level := []world{s.start}
	ids := []uint32{0}
	s.seen.add(s.key(&s.start))
	s.parent, s.by, s.states = []uint32{0}, []move{{}}, 1
	var list []move
	for s.depth = 0; len(level) > 0; s.depth++ {
		var next []world
		var nextIDs []uint32
		for i := range level {
			list = s.scope.moves(&level[i], list[:0])
			for _, m := range list {
				s.x.w = level[i]
				useful := s.x.make(m)
				s.transitions++
				if !useful {
					continue
				}
				if s.x.wrong != "" {
					s.broken, s.detail = s.x.wrong, s.x.detail
					s.trace = append(s.path(ids[i]), m)
					return
				}
				if !s.seen.add(s.key(&s.x.w)) {
					continue
				}
				if s.states >= s.most {
					return
				}
				s.states++
				s.parent, s.by = append(s.parent, ids[i]), append(s.by, m)
				next, nextIDs = append(next, s.x.w), append(nextIDs, uint32(len(s.parent)-1))
				if s.quiet > 0 && s.states%s.quiet == 0 {
					if why := s.rest(); why != "" {
						s.broken, s.detail = "rest", why
						s.trace = append(s.path(ids[i]), m)
						return
					}
				}
			}
		}
		level, ids = next, nextIDs
	}
	s.exhausted = true
}

// path gives the moves that led to a state.
func (s *search) path(id uint32) []move {
	var moves []move
	for ; id != 0; id = s.parent[id] {
		moves = append(moves, s.by[id])
	}
	slices.Reverse(moves)
	return moves
}

// key gives the hash of a world, in which what only grows has been renumbered.
func (s *search) key(w *world) uint64 {
	c := *w
	if !s.free {
		c.renumber()
	}
	return maphash.Comparable(s.seed, c)
}

// renumber gives attempts and epochs the smallest numbers in the same order.
// The machine and the register only compare them and, in profile safe, make new
// ones that are above all others, so that nothing depends on the numbers.
func (w *world) renumber() {
	var all [64]*uint64
	for n := range w.nodes {
		list := append(all[:0], &w.nodes[n].m.Attempt, &w.nodes[n].disk.Attempt)
		if w.reg.holder == uint8(n)+1 {
			list = append(list, &w.reg.attempt)
		}
		for i := range w.late {
			if l := &w.late[i]; l.present && int(l.from) == n && l.to == toRegister {
				list = append(list, &l.e.Attempt)
				if l.kind == mailTake || l.kind == mailRenew || l.kind == mailRevoke {
					list = append(list, &l.number)
				}
			}
		}
		rank(list)
	}
	list := append(all[:0], &w.reg.rev, &w.reg.epoch, &w.reg.served, &w.served, &w.front.epoch[0], &w.front.epoch[1], &w.front.decided)
	for i := range w.nodes {
		for _, k := range []*ha.Kept{&w.nodes[i].m.Kept, &w.nodes[i].disk} {
			list = append(list, &k.Epoch, &k.Served, &k.Seen, &k.Revision, &k.Reign)
		}
		list = append(list, &w.nodes[i].m.WaitEpoch, &w.nodes[i].m.PeerReign)
	}
	for i := range w.late {
		if l := &w.late[i]; l.present {
			list = append(list, &l.e.Epoch, &l.e.Floor, &l.e.PeerServed, &l.e.Revision, &l.e.Peer.Served, &l.e.Peer.Reign)
			if l.kind == mailRecord {
				list = append(list, &l.number)
			}
		}
	}
	rank(list)
}

// rank gives every number its place among the different ones; 0 stays 0.
func rank(list []*uint64) {
	var values [64]uint64
	n := 0
	for _, p := range list {
		at, found := slices.BinarySearch(values[:n], *p)
		if *p != 0 && !found {
			copy(values[at+1:n+1], values[at:n])
			values[at] = *p
			n++
		}
	}
	for _, p := range list {
		if *p != 0 {
			at, _ := slices.BinarySearch(values[:n], *p)
			*p = uint64(at + 1)
		}
	}
}

// tell gives a trace with what the nodes do at every move.
func (s *search) story(x *walk, moves []move) string {
	var out strings.Builder
	x.w = s.start
	for i, m := range moves {
		fmt.Fprintf(&out, "%3d %v\n", i+1, m)
		x.seen = func(n uint8, p ha.Phase, acts []ha.MemberAct) {
			if len(acts) == 0 {
				return
			}
			fmt.Fprintf(&out, "      %s %v:", names[n], p)
			for _, a := range acts {
				fmt.Fprintf(&out, " %v", a.Do)
				if a.Number != 0 {
					fmt.Fprintf(&out, "(%d)", a.Number)
				}
			}
			fmt.Fprintln(&out)
		}
		x.make(m)
		x.seen = nil
	}
	fmt.Fprintf(&out, "    P %v %+v\n    S %v %+v\n    register %+v\n    front %+v\n", x.w.nodes[0].m.Phase, x.w.nodes[0].m.Kept, x.w.nodes[1].m.Phase, x.w.nodes[1].m.Kept, x.w.reg, x.w.front)
	return out.String()
}

// rest lets every fault heal and time pass without another one. It says what is
// wrong if nobody serves then, or the front does not send clients there.
func (s *search) rest() string {
	x := s.x
	back := x.w
	defer func() { x.w = back }()
	if s.scope.wishes > 0 {
		s.rested++
		return wayOut(x)
	}
	for _, why := range []string{heal(x), quieten(x, 45)} {
		if why != "" {
			return why
		}
	}
	s.rested++
	return ""
}

// wayOut is invariant I9: from everywhere a person finds the way back to the
// first row of Table 1, the Primary Active and the Secondary in Standby.
func wayOut(x *walk) string {
	if why := heal(x); why != "" {
		return why
	}
	w := &x.w
	w.nodes[0].broken, w.nodes[1].broken = false, false
	settle := func() {
		for i := range 14 {
			x.make(move{kind: passTick, arg: uint8(i % 2)})
		}
	}
	say := func(k moveKind, n uint8) {
		w.wishes = 9
		x.make(move{kind: k, node: n})
		settle()
	}
	settle()
	for n := range uint8(2) {
		if w.nodes[n].m.Phase == ha.InOff {
			say(modeSecondary, n)
			say(haEnable, n)
		}
		say(unblock, n)
	}
	say(releaseFront, 0)
	if w.nodes[1].m.Phase < ha.InStandby || w.nodes[1].m.Phase > ha.InHeld {
		say(modeSecondary, 1)
	}
	say(modePrimary, 0)
	if w.nodes[1].m.Phase != ha.InStandby {
		say(modeSecondary, 1)
	}
	say(resumeFront, 0)
	if p, s := &w.nodes[0], &w.nodes[1]; p.m.Phase != ha.InActive || !p.door || s.m.Phase != ha.InStandby {
		return fmt.Sprintf("I9, no way back to Table 1's first row: P %v, S %v", p.m.Phase, s.m.Phase)
	}
	return ""
}

// heal ends every fault that lasts.
func heal(x *walk) string {
	w := &x.w
	w.faults, w.wishes = 0, 0
	w.cut = [links]bool{}
	w.late = [2]letter{}
	w.front.up = true
	for i := range w.nodes {
		nd, n := &w.nodes[i], uint8(i)
		if nd.ends {
			x.kill(n)
		}
		for _, m := range []struct {
			is bool
			k  moveKind
		}{{nd.frozen, thawNode}, {nd.paused > 0, resumeEngine}, {!nd.up, bootNode}, {nd.commit > 0 && nd.m.Commit, finishCommit}} {
			if m.is {
				if x.make(move{kind: m.k, node: n}); x.wrong != "" {
					return x.wrong + ", while it heals: " + x.detail
				}
			}
		}
	}
	return ""
}

// quieten lets ticks pass until somebody serves and the front knows.
func quieten(x *walk, ticks int) string {
	w := &x.w
	broken := w.nodes[0].broken || w.nodes[1].broken || w.nodes[0].bad || w.nodes[1].bad || w.nodes[0].m.Failed || w.nodes[1].m.Failed
	if (w.nodes[0].broken || w.nodes[0].bad) && (w.nodes[1].broken || w.nodes[1].bad) {
		return "" // nobody can serve
	}
	if x.documented() && (w.nodes[0].bad || w.nodes[1].bad) {
		return "" // a person decides (row 37)
	}
	for i := range ticks {
		x.make(move{kind: passTick, arg: uint8(i % 2)})
		if x.wrong != "" {
			return x.wrong + ", when all has healed: " + x.detail
		}
		if i > 3 && x.w.served1(broken) {
			return ""
		}
	}
	for i := range w.nodes {
		if nd, other := &w.nodes[i], &w.nodes[1-i]; (nd.broken || nd.bad) && other.m.Phase == ha.OutSuperseded && (other.stale || max(nd.disk.Served, w.reg.served) > other.disk.Served && other.disk.Last == ha.Active && nd.disk.Epoch > other.disk.Served) {
			return "" // only a person may let the other one serve
		}
	}
	return fmt.Sprintf("nobody serves where clients go, when all has healed: P %v, S %v, traffic on %s", x.w.nodes[0].m.Phase, x.w.nodes[1].m.Phase, names[x.w.front.serving])
}

// served1 says whether one node serves, clients go there, and the other one is
// where Table 1 has it. While an application cannot run it is enough that the
// other node serves: clients are brought there by a person.
func (w *world) served1(broken bool) bool {
	for i := range w.nodes {
		nd, other := &w.nodes[i], &w.nodes[1-i]
		if !nd.door || nd.m.Phase != ha.InActive || nd.bad || other.m.Phase == ha.InActive {
			continue
		}
		switch other.m.Phase {
		case ha.InStandby, ha.InSuspect, ha.InHeld, ha.InDeciding, ha.InLooking, ha.OutSuperseded:
			return broken || int(w.front.serving) == i
		}
		return broken
	}
	return false
}

// A hashSet is a set of numbers with open addressing.
type hashSet struct {
	slots []uint64
	n     int
}

func newHashSet(size int) *hashSet { return &hashSet{slots: make([]uint64, size)} }

// add puts a number in and says whether it was new. Of 64 bits a collision of
// two among ten million states is a matter of one run in 400,000.
func (h *hashSet) add(k uint64) bool {
	if k == 0 {
		k = 1
	}
	if h.n*2 > len(h.slots) {
		old := h.slots
		h.slots, h.n = make([]uint64, 2*len(old)), 0
		for _, k := range old {
			if k != 0 {
				h.add(k)
			}
		}
	}
	for i := k & uint64(len(h.slots)-1); ; i = (i + 1) & uint64(len(h.slots)-1) {
		switch h.slots[i] {
		case 0:
			h.slots[i] = k
			h.n++
			return true
		case k:
			return false
		}
	}
}

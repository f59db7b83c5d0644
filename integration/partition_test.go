//go:build linux

package integration

import (
	"fmt"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/api"
	"github.com/understudy-ha/understudy/internal/ha"
)

// loss is what a watcher's machine is cut from.
type loss int

const (
	nothing    loss = iota
	primary         // the serving node
	bothNodes       //
	members         // the other members, and so a majority of them
	everything      // nodes and register
)

func (l loss) String() string {
	return [...]string{"nothing", "core1", "nodes", "register", "everything"}[l]
}

func (l loss) ofCore1() bool    { return l == primary || l == bothNodes || l == everything }
func (l loss) ofCore2() bool    { return l == bothNodes || l == everything }
func (l loss) ofRegister() bool { return l == members || l == everything }

// cell is one case of the matrix: what each watcher has lost, and whether the
// Primary is dead besides.
type cell struct {
	front, names, third loss
	dead                bool
}

func (c cell) String() string {
	text := fmt.Sprintf("front off %s, names off %s, third off %s", c.front, c.names, c.third)
	if c.dead {
		text += ", core1 dead"
	}
	return text
}

func (c cell) losses() []loss { return []loss{c.front, c.names, c.third} }

// moves says whether traffic must move: two watchers that reach two members
// read core1 down, and one of these two or three sees core2 in Standby.
func (c cell) moves() bool {
	deciding, down, ready := 0, 0, false
	for _, l := range c.losses() {
		if l.ofRegister() {
			continue
		}
		deciding++
		if c.dead || l.ofCore1() {
			down++
			ready = ready || !l.ofCore2()
		}
	}
	return deciding >= 2 && down >= 2 && ready
}

// short are the cells of every run; a soak does all.
var short = []cell{
	{names: primary},
	{front: bothNodes, third: everything},
	{front: primary, names: primary},
	{front: members, names: primary, third: primary},
	{names: everything, dead: true},
	{front: members, third: members, dead: true},
}

func allCells() (all []cell) {
	for i := range 125 {
		all = append(all, cell{loss(i / 25), loss(i / 5 % 5), loss(i % 5), false})
	}
	for i := range 27 { // with a dead Primary it is all the same whether one sees it
		kinds := []loss{nothing, bothNodes, members}
		all = append(all, cell{kinds[i/9], kinds[i/3%3], kinds[i%3], true})
	}
	return all
}

// Whatever is cut: traffic moves if and only if a majority of the watchers that
// reach the register reads the serving node down; who cannot reach it goes on as
// it was; and afterwards all agree.
func TestWatchersThatAreCutOffInEveryCombination(t *testing.T) {
	t.Parallel()
	cells := short
	if soak() {
		cells = allCells()
	}
	f := newFigure1(t)
	moved := 0
	for _, c := range cells {
		start := time.Now()
		f.partition(c)
		f.judge(c)
		judged := time.Since(start).Round(100 * time.Millisecond)
		f.heal(c)
		if c.moves() {
			moved++
		}
		t.Logf("%-70s moves: %-5v known after %s, healed after %s", c, c.moves(), judged, time.Since(start).Round(100*time.Millisecond))
		if t.Failed() {
			return
		}
	}
	t.Logf("%d cases, traffic moved in %d", len(cells), moved)
	expectOneDecisionAnEpoch(t, f.fronts()...)
}

// partition cuts the register first and the serving node last, so that nobody
// decides by what is only half cut.
func (f *figure1) partition(c cell) {
	for _, pair := range f.apart(c) {
		f.cut(pair[0], pair[1])
	}
	for i, l := range c.losses() {
		if l.ofCore2() {
			f.cut(f.seats[i].host, f.site2)
		}
	}
	for i, l := range c.losses() {
		if l.ofCore1() {
			f.cut(f.seats[i].host, f.site1)
		}
	}
	if c.dead {
		f.core1.Kill()
	}
}

// apart gives every two machines between which the register is cut.
func (f *figure1) apart(c cell) (pairs [][2]*host) {
	l := c.losses()
	for i := range f.seats {
		for j := range i {
			if l[i].ofRegister() || l[j].ofRegister() {
				pairs = append(pairs, [2]*host{f.seats[i].host, f.seats[j].host})
			}
		}
	}
	return pairs
}

// judge waits until every watcher has come to its conclusion, and checks it.
func (f *figure1) judge(c cell) {
	f.t.Helper()
	for i, l := range c.losses() {
		s := f.seats[i]
		want := "core1"
		if c.moves() && !l.ofRegister() {
			want = "core2"
		}
		s.await(fmt.Sprintf("%s: %s knows that %s serves", c, s.host.name, want), func(g api.Group) bool {
			if g.Serving != want || g.Decision.Reason == ha.Missing || g.Decision.Reason == ha.Confirming {
				return false
			}
			return want == "core2" || !(c.dead || l.ofCore1()) || g.Decision.Verb == api.Wait
		})
	}
	if !c.moves() { // and it stays so: longer than a decision takes
		elapse(time.Second)
	}
	for i, l := range c.losses() {
		want := f.site1
		if c.moves() && !l.ofRegister() {
			want = f.site2
		}
		s := f.seats[i]
		if g := s.group(); g.Serving != want.name {
			f.t.Errorf("%s: %s sends clients to %s, want %s, by %s", c, s.host.name, g.Serving, want.name, g.Decision.Reason)
		}
		if got := f.clients.asks(s.host.address, "mdm.example.com."); s.host.name == "names" && got != want.address {
			f.t.Errorf("%s: the name is %s, want %s", c, got, want.address)
		}
	}
	seen := !c.front.ofCore1() && !c.dead
	if c.moves() && !c.front.ofRegister() {
		seen = !c.front.ofCore2()
	}
	if seen {
		f.front.expectFrom(f.front.group().Serving, f.front.get())
	}
}

// heal mends everything, in the other order, and brings traffic back to core1.
func (f *figure1) heal(c cell) {
	f.t.Helper()
	if c.moves() {
		f.core2.Set(ha.Active)
	}
	if c.dead {
		f.core1.Start() // a stale Primary
	}
	for i, l := range c.losses() {
		if l.ofCore1() {
			f.mend(f.seats[i].host, f.site1)
		}
	}
	for _, s := range f.seats {
		s.await(s.host.name+" sees core1", func(g api.Group) bool { return g.Nodes[0].Available() })
	}
	for i, l := range c.losses() {
		if l.ofCore2() {
			f.mend(f.seats[i].host, f.site2)
		}
	}
	for _, s := range f.seats {
		s.await(s.host.name+" sees core2", func(g api.Group) bool { return g.Nodes[1].Available() })
	}
	for _, pair := range f.apart(c) {
		f.mend(pair[0], pair[1])
	}
	if c.moves() {
		for _, s := range f.seats {
			s.expectServing("core2")
		}
		f.core2.Set(ha.Standby) // core1 was synced
		f.front.await("resume is granted", func(api.Group) bool { _, err := f.front.try("resume", api.Body{}); return err == nil })
	}
	f.calm("core1")
}

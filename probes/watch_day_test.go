package probes

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// chance is the seeded source of what happens to one thing on a day.
type chance struct{ *rand.Rand }

func chanceOf(seed, thing uint64) chance { return chance{rand.New(rand.NewPCG(seed, thing))} }

// around gives a time that is d on average: mostly shorter, at times much longer.
func (c chance) around(d time.Duration) time.Duration {
	return time.Duration(c.ExpFloat64() * float64(d))
}

func (c chance) one(of []string) string { return of[c.IntN(len(of))] }

// day is a day on which everything happens to a group.
type day struct {
	*stage
	seed   uint64
	until  time.Time
	names  []string
	single chan struct{} // held by a fault that no restart may meet

	starts   []time.Time // of the process
	suspects int         // how often a node turned suspect
	downs    int         // how often the serving node went down
}

const dayTime = 24 * time.Hour

// live has things happen until the day is over.
func (d *day) live() {
	var things sync.WaitGroup
	each := func(thing uint64, every time.Duration, happens func(chance)) {
		things.Go(func() {
			c := chanceOf(d.seed, thing)
			for pause := c.around(every); time.Now().Add(pause).Before(d.until); pause = c.around(every) {
				time.Sleep(pause)
				happens(c)
			}
		})
	}
	for i, name := range d.names {
		each(uint64(i), 20*time.Minute, func(c chance) { d.fail(c, name) })
	}
	each(100, 10*time.Minute, d.heal)
	each(200, time.Hour, d.spoil)
	each(300, 15*time.Minute, d.doubt)
	each(400, time.Hour, d.person)
	each(500, 2*time.Hour, d.process)
	time.Sleep(time.Until(d.until))
	things.Wait()
	synctest.Wait()
}

// fail has a node fail in one of many ways and come back, at times as a stale
// Primary.
func (d *day) fail(c chance, name string) {
	p, lasts := d.node(name), min(c.around([]time.Duration{300 * time.Millisecond, 2 * time.Second, 20 * time.Second, time.Minute}[c.IntN(4)]), 20*time.Minute)
	p.mu.Lock()
	was := p.state
	p.mu.Unlock()
	switch c.IntN(5) {
	case 0, 1:
		p.be(ha.NotAvailable)
	case 2:
		p.stall(lasts)
	case 3:
		p.slow([]time.Duration{700 * time.Millisecond, 1900 * time.Millisecond, 2100 * time.Millisecond}[c.IntN(3)])
	case 4:
		p.be([]ha.State{ha.Active, ha.Standby}[c.IntN(2)])
	}
	time.Sleep(lasts)
	p = d.node(name)
	p.slow(time.Duration(c.IntN(30)) * time.Millisecond)
	p.be(was)
}

// heal is what administrators and the nodes' own heartbeat do: who serves is
// Active, mostly, and the others stand by.
func (d *day) heal(c chance) {
	serving := d.current.Load().Situation().Traffic.Serving
	for _, name := range d.names {
		switch p := d.node(name); {
		case name == serving && c.IntN(10) > 0:
			p.be(ha.Active)
		case name != serving:
			p.be(ha.Standby)
		}
	}
}

// spoil has the register fail for a while.
func (d *day) spoil(c chance) {
	d.single <- struct{}{}
	defer func() { <-d.single }()
	last, err := d.register.last()
	trouble := c.IntN(5)
	d.register.trouble(func(m *memory) {
		switch {
		case trouble == 0:
			m.full = errDisk
		case trouble == 1:
			m.unread = errLost
		case trouble == 2:
			m.slow = c.around(time.Second)
		case trouble == 3 && err == nil:
			m.stored = nil
		case trouble == 4 && err == nil:
			m.damaged = damaged(last.Epoch)
		}
	})
	if trouble != 3 {
		<-d.single // the process may be restarted meanwhile
		time.Sleep(c.around(3 * time.Minute))
		d.single <- struct{}{}
	}
	d.register.trouble(func(m *memory) { m.full, m.unread, m.slow, m.damaged = nil, nil, 0, nil })
	time.Sleep(30 * time.Second)
}

// doubt has live traffic fail.
func (d *day) doubt(c chance) {
	name := c.one(d.names)
	if c.IntN(3) == 0 {
		d.current.Load().Hush(name)
	}
	for range c.IntN(200) {
		d.current.Load().Doubt(name, "connection reset")
		time.Sleep(c.around(20 * time.Millisecond))
	}
}

// person acts, wisely or not.
func (d *day) person(c chance) {
	verb := c.one([]string{"resume", "switch", "reorder", "hold", "release", "release"})
	order := slices.Clone(d.names)
	c.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	_, _ = d.act(verb, ha.Wish{To: c.one(d.names), Order: order, Force: c.IntN(2) == 0})
	time.Sleep(c.around(5 * time.Minute))
	_, _ = d.act("release", ha.Wish{})
}

// process is started anew, or gets another configuration.
func (d *day) process(c chance) {
	d.single <- struct{}{}
	defer func() { <-d.single }()
	if c.IntN(2) == 0 {
		d.begin()
		return
	}
	_ = d.current.Load().Apply(context.Background(), d.plan)
}

// begin starts the process, anew if it runs.
func (d *day) begin() {
	if d.stop != nil {
		d.stop()
	}
	d.starts = append(d.starts, time.Now())
	d.start()
	before := d.watcher.Situation()
	d.watcher.Follow(func(a ha.Situation) {
		d.check(before, a)
		before = a
	})
}

// check counts, and looks that requests go only where the register has them.
func (d *day) check(before, a ha.Situation) {
	for _, s := range a.View {
		was := before.View.Of(s.Node)
		if was.Suspect.IsZero() && !s.Suspect.IsZero() {
			d.suspects++
		}
		if s.Node == a.Traffic.Serving && !was.Down() && s.Down() {
			d.downs++
		}
	}
	if a.Traffic.Serving == "" {
		return
	}
	stored := fmt.Sprintf("stored %d %s", a.Traffic.Epoch, a.Traffic.Serving)
	if a.Target != a.Traffic.Serving || d.register.tells(stored) < 0 {
		d.Errorf("requests go to %s, but %q is not in the register", a.Target, stored)
	}
}

func TestADayOfFaultsMovesTrafficOnlyAsTheRuleSays(t *testing.T) {
	t.Parallel()
	seed, err := strconv.ParseUint(os.Getenv("UNDERSTUDY_SEED"), 10, 64)
	if err != nil {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("UNDERSTUDY_SEED=%d", seed)
	days := uint64(1)
	if os.Getenv("UNDERSTUDY_SOAK") != "" {
		days = 50
	}
	for i := range days {
		began := time.Now()
		synctest.Test(t, func(t *testing.T) { spend(t, seed+i) })
		t.Logf("day %d took %s", i, time.Since(began))
	}
}

// spend lives through a day and judges it.
func spend(t *testing.T, seed uint64) {
	s := newStage(t, "core1 Active | core2 Standby | dr1 Standby")
	if seed%2 == 0 {
		s.plan.Rules.Manual = []string{"dr1"}
	}
	d := &day{stage: s, seed: seed, until: time.Now().Add(dayTime), names: s.plan.Names(), single: make(chan struct{}, 1)}
	d.begin()
	d.live()
	s.stop()
	moves := map[ha.Reason]int{}
	for i, next := range s.register.past {
		moves[next.Cause]++
		if i > 0 {
			d.judge(s.register.past[i-1], next)
		}
	}
	d.countProbes()
	s.Logf("%d starts, %d times down, %d times suspect; %v", len(d.starts), d.downs, d.suspects, moves)
}

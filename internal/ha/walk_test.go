package ha_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// A server is a node as it really is, which a watcher learns only from pages.
type server struct {
	name  string
	up    bool
	state ha.State
	seen  uint64 // the highest version of the data that it has
	epoch uint64 // of its last promotion
	hangs bool   // probes of it time out for a while
	over  bool   // another was promoted while it stood still, which it has not noticed
}

// A walk is a group, its servers and two watchers that share one Traffic, who
// take random steps. It checks the heart of the rule at every one.
type walk struct {
	t       *testing.T
	rand    *rand.Rand
	rules   ha.Rules
	clock   time.Time
	servers []*server
	traffic ha.Traffic // the stored one
	views   []ha.View
	shown   []uint64  // the highest epoch that each watcher was shown
	holder  *server   // who was promoted last
	since   time.Time // when that was
	trace   []string  // the last steps
	count   map[string]int
}

func newWalk(t *testing.T, seed uint64, names []string) *walk {
	w := &walk{t: t, rand: rand.New(rand.NewPCG(seed, 1)), rules: ha.DefaultRules(), clock: now, count: map[string]int{}}
	for _, n := range names {
		w.servers = append(w.servers, &server{name: n, up: true, state: ha.Standby})
	}
	w.rules.OnPromoted = []ha.OnPromoted{ha.PromotedWait, ha.PromotedFollow, ha.PromotedEpoch}[w.rand.IntN(3)]
	w.rules.Fall = 1 + w.rand.IntN(4)
	if len(names) > 2 && w.rand.IntN(2) == 0 {
		w.rules.Manual = names[len(names)-1:]
	}
	w.promote(w.servers[0])
	for range 2 {
		w.views, w.shown = append(w.views, ha.NewView(names)), append(w.shown, 0)
	}
	for _, s := range w.servers {
		w.probe(0, s)
		w.probe(1, s)
	}
	w.traffic, _ = ha.Begin("core", names, w.views[0], w.clock)
	return w
}

func (w *walk) promote(s *server) {
	var epoch uint64
	for _, o := range w.servers {
		epoch = max(epoch, o.epoch)
	}
	s.over, s.state, s.epoch, w.holder, w.since = false, ha.Active, epoch+1, s, w.clock
}

func (w *walk) chance(percent int) bool { return w.rand.IntN(100) < percent }

func (w *walk) any() *server { return w.servers[w.rand.IntN(len(w.servers))] }

// step lets one thing happen to the servers, then both watchers look and
// decide, then perhaps a person acts.
func (w *walk) step() {
	w.clock = w.clock.Add(time.Duration(100+w.rand.IntN(900)) * time.Millisecond)
	w.world()
	for i := range w.views {
		for _, s := range w.servers {
			if w.chance(60) {
				w.probe(i, s)
			}
		}
		if w.chance(5) {
			w.views[i], _ = w.views[i].Doubt(w.any().name, w.clock)
		}
		w.decide(i)
	}
	if w.chance(10) {
		w.person()
	}
}

// world is what happens to the servers themselves. Where the policy is epoch
// they run profile safe: only who holds the lease is Active, so nobody comes
// back Active. Elsewhere a stale Primary may come back, and two may be Active.
func (w *walk) world() {
	s, safe := w.any(), w.rules.OnPromoted == ha.PromotedEpoch
	led := w.holder.up && w.holder.state == ha.Active
	switch n := w.rand.IntN(100); {
	case n < 3 && s.up:
		s.up = false
		w.say("%s crashes", s.name)
	case n < 10 && !s.up: // it comes back as it was: if it was Active, stale perhaps
		if s.up = true; safe {
			s.state = ha.Standby
		}
		w.say("%s comes back %v", s.name, s.state)
	case n < 12 && safe && s != w.holder && s.up && s.state == ha.Active: // it wakes up, and notices
		s.hangs, s.over, s.state = false, false, ha.Standby
		w.say("%s finds that its lease is over", s.name)
	case n < 14 && safe && s != w.holder && s.up && s.state == ha.Standby && w.holder.hangs: // its lease runs out
		w.holder.over = true
		w.promote(s)
		w.say("%s promotes itself while the Active stands still", s.name)
	case n < 15:
		s.hangs = !s.hangs && w.chance(30)
	case n < 18 && s.up && s.state == ha.Standby && !led:
		w.promote(s)
		w.say("%s promotes itself", s.name)
	case n < 24 && s.up && s.state == ha.Standby && s.name == w.traffic.Serving && !(safe && led):
		w.promote(s)
		w.say("%s, which has the traffic, is promoted", s.name)
	case n < 26 && s.up && s.state == ha.Active && s != w.holder: // a person repairs a stale one
		s.state, s.seen = ha.Standby, w.holder.seen
		w.say("%s is synced and set to Standby", s.name)
	case n < 27 && s.up && s.state == ha.Standby && led: // a planned swap
		s.seen = w.holder.seen
		w.holder.state = ha.Standby
		w.promote(s)
		w.say("roles are swapped to %s", s.name)
	case n < 60 && s.up && s.state == ha.Standby && w.holder.up:
		s.seen = w.holder.seen // a sync
	}
	if to := w.server(w.traffic.Serving); to != nil && to.up && to.state == ha.Active && to == w.holder {
		to.seen++ // clients write
	}
}

func (w *walk) server(name string) *server {
	i := slices.IndexFunc(w.servers, func(s *server) bool { return s.name == name })
	if i < 0 {
		return nil
	}
	return w.servers[i]
}

// probe lets a watcher ask the pages that it must and read the answers.
func (w *walk) probe(watcher int, s *server) {
	r := ha.Reading{Node: s.name, Cause: ha.Refused, At: w.clock, Took: time.Duration(w.rand.IntN(50)) * time.Millisecond}
	switch {
	case s.hangs:
		r.Cause, r.Took = ha.Timeout, w.rules.Timeout
	case s.up:
		for _, page := range ha.Pages(w.traffic.Order, w.traffic.Serving, s.name) {
			status, body := ha.FormatPage(page, s.state)
			if r.Cause = ha.Status; status == 200 {
				r.Cause = ha.Body
				r.State, _ = ha.Profile{}.Read(page, body)
			}
			if r.State.Available() {
				r.Cause, r.Safe = "", w.rules.OnPromoted == ha.PromotedEpoch
				if r.State == ha.Active || !r.Safe {
					r.Epoch = s.epoch
				}
				break
			}
		}
	}
	w.clock = r.End()
	w.shown[watcher] = max(w.shown[watcher], r.Epoch)
	believed := ha.Believe(w.traffic, w.views[watcher], r)
	if believed != r {
		w.count["not believed"]++
		if s == w.holder {
			w.fail("the page of the node that was promoted last is not believed: %s", believed.Detail)
		}
	}
	w.views[watcher] = w.views[watcher].Observe(believed, w.traffic.Serving, w.rules.Fall)
}

// decide lets a watcher do what the rule says.
func (w *walk) decide(watcher int) {
	v := w.views[watcher]
	if t, learned := ha.Learn(w.traffic, v, w.clock); learned {
		w.store(w.traffic.Epoch, t)
	}
	d := ha.Next(w.traffic, v, w.rules, w.clock)
	w.count["row "+strconv.Itoa(d.Row)]++
	if d.Verb != ha.FailOver {
		return
	}
	was := w.traffic
	w.store(was.Epoch, ha.Apply(was, d, v, w.clock))
	w.say("traffic fails over from %s to %s (%s)", was.Serving, d.To, d.Reason)
	w.heart(was, d, v)
	if to := w.server(d.To); d.Reason == ha.FollowedPromoted && w.rules.OnPromoted == ha.PromotedEpoch && to.epoch < w.shown[watcher] {
		w.fail("traffic followed a node at epoch %d though %d was shown", to.epoch, w.shown[watcher])
	}
	if w.store(was.Epoch, ha.Apply(was, d, v, w.clock)) {
		w.fail("traffic moved twice in one epoch")
	}
}

// store is a register: it takes t if the stored epoch is was.
func (w *walk) store(was uint64, t ha.Traffic) bool {
	if w.traffic.Epoch != was {
		return false
	}
	if t.Epoch <= was || t.Check() != nil {
		w.fail("epoch %d is stored after %d: %v", t.Epoch, was, t.Check())
	}
	w.traffic = t
	return true
}

// heart is what must hold of every failover.
func (w *walk) heart(was ha.Traffic, d ha.Decision, v ha.View) {
	from, to := slices.Index(was.Order, was.Serving), slices.Index(was.Order, d.To)
	seen := v.Of(d.To)
	switch {
	case to <= from:
		w.fail("traffic went back up the order by itself")
	case was.Hold != nil:
		w.fail("traffic moved under a hold")
	case !v.Of(was.Serving).Down():
		w.fail("traffic left a node that was not down")
	case seen.Last.At.Before(v.Of(was.Serving).DownAt):
		w.fail("traffic moved on an old reading")
	case slices.Contains(w.rules.Manual, d.To):
		w.fail("traffic moved to a node for a person only")
	case d.Reason == ha.FollowedPromoted && w.rules.OnPromoted == ha.PromotedEpoch && w.server(d.To) != w.holder && !w.server(d.To).over && w.since.Before(seen.Last.At):
		w.fail("traffic followed a node that was not promoted later")
	case d.Reason == ha.FollowedPromoted && w.rules.OnPromoted == ha.PromotedWait:
		w.fail("traffic followed a node against the policy")
	case d.Reason != ha.FollowedPromoted && seen.Last.State != ha.Standby:
		w.fail("traffic moved to a node that reads %v", seen.Last.State)
	}
	w.count["failover"]++
	w.count[string(d.Reason)]++
}

// person does one thing at random, seldom by force.
func (w *walk) person() {
	wish := ha.Wish{To: w.any().name, Epoch: w.traffic.Epoch, Actor: "alice", Reason: "walk", Force: w.chance(3)}
	wish.Order = slices.Clone(w.traffic.Order)
	w.rand.Shuffle(len(wish.Order), func(i, k int) { wish.Order[i], wish.Order[k] = wish.Order[k], wish.Order[i] })
	verb := []string{"resume", "resume", "switch", "switch", "hold", "release", "release", "release", "reorder"}[w.rand.IntN(9)]
	act, _ := ha.Acts(verb)
	v, was := w.views[0], w.traffic
	next, err := act(was, v, w.rules, wish, w.clock)
	var refusal *ha.Refusal
	if errors.As(err, &refusal) {
		w.count[verb+" "+string(refusal.Code)]++
		return
	}
	w.store(was.Epoch, next)
	w.count[verb]++
	w.say("%s: %s serves", verb, next.Serving)
	if next.Serving == was.Serving || wish.Force {
		return
	}
	target, serving := v.Of(next.Serving), v.Of(was.Serving)
	switch {
	case verb != "resume" && verb != "switch":
		w.fail("%s moved traffic", verb)
	case was.Hold != nil:
		w.fail("a person moved traffic under a hold")
	case target.Last.State == ha.Active && v.Of(was.Serving).Last.State == ha.Active:
		w.fail("a person moved traffic to one of two Active nodes")
	case target.Last.State == ha.Standby && !serving.Down():
		w.fail("a person moved traffic to a Standby")
	case serving.Misses > 0 && !serving.Down():
		w.fail("a person moved traffic in the middle of a flap")
	}
}

func (w *walk) say(format string, args ...any) {
	w.trace = append(w.trace, fmt.Sprintf("%8v ", w.clock.Sub(now).Round(time.Millisecond))+fmt.Sprintf(format, args...))
	if len(w.trace) > 30 {
		w.trace = w.trace[1:]
	}
}

func (w *walk) fail(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("%s\n%s", fmt.Sprintf(format, args...), strings.Join(w.trace, "\n"))
}

func TestALongRandomLifeNeverBreaksTheRule(t *testing.T) {
	t.Parallel()
	seed, err := strconv.ParseUint(os.Getenv("UNDERSTUDY_SEED"), 10, 64)
	if err != nil {
		seed = uint64(time.Now().UnixNano())
	}
	walks, steps := 20, 5000
	if soak {
		walks, steps = 100, 20000
	}
	for i := range walks {
		seed := seed + uint64(i)
		names := nodes[:2+i%2]
		t.Run(fmt.Sprintf("%d nodes, UNDERSTUDY_SEED=%d", len(names), seed), func(t *testing.T) {
			t.Parallel()
			w := newWalk(t, seed, names)
			for range steps {
				w.step()
			}
			for _, happened := range []string{"failover", "resume", "switch", "reorder", "hold", "release"} {
				if w.count[happened] < steps/5000 {
					t.Errorf("only %d times: %s; %v", w.count[happened], happened, w.count)
				}
			}
		})
	}
}

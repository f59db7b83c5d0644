package register_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/internal/register"
	"github.com/understudy-ha/understudy/internal/register/registertest"
)

// chaos is a cluster of three whose members are ended and started again while
// clients do what is recorded.
type chaos struct {
	*testing.T
	cluster *registertest.Cluster
	seed    uint64
	length  time.Duration

	mu    sync.Mutex // guards the field below
	calls []porcupine.Operation
}

func newChaos(t *testing.T) *chaos {
	c := &chaos{T: t, cluster: registertest.NewCluster(t, 3), seed: uint64(time.Now().UnixNano()), length: 8 * time.Second}
	if seed, err := strconv.ParseUint(os.Getenv("UNDERSTUDY_SEED"), 10, 64); err == nil {
		c.seed = seed
	}
	if os.Getenv("UNDERSTUDY_SOAK") != "" {
		c.length = 2 * time.Minute
	}
	t.Logf("seed %d", c.seed)
	return c
}

func (c *chaos) rand(n int) *rand.Rand { return rand.New(rand.NewPCG(c.seed, uint64(n))) }

// run has clients work until the time is over, while members come and go: mostly
// one is down, at times two, so that nothing can be stored.
func (c *chaos) run(clients int, work func(ctx context.Context, client int, r *rand.Rand)) {
	ctx, cancel := context.WithTimeout(c.Context(), c.length)
	defer cancel()
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() {
			for r := c.rand(i); ctx.Err() == nil; {
				work(ctx, i, r)
			}
		})
	}
	r := c.rand(-1)
	for ctx.Err() == nil {
		down := r.Perm(3)[:1+r.IntN(4)/3]
		for _, m := range down {
			c.cluster.End(m)
		}
		pause(ctx, time.Duration(200+r.IntN(1200))*time.Millisecond)
		for _, m := range down {
			c.cluster.Start(m)
		}
		pause(ctx, time.Duration(r.IntN(1500))*time.Millisecond)
	}
	all.Wait()
}

// pause is the world's time between two events, not a wait for a result.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// record writes down a call. One whose outcome is not known may have happened
// at any time after it began, also later than all others.
func (c *chaos) record(client int, start time.Time, in, out any, known bool) {
	end := time.Now().UnixNano()
	if !known {
		end = 1<<63 - 1
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls = append(c.calls, porcupine.Operation{ClientId: client, Input: in, Output: out, Call: start.UnixNano(), Return: end})
}

// judge wants an order of all calls, one after another, that explains them.
func (c *chaos) judge(model porcupine.Model) {
	c.Helper()
	result := porcupine.CheckOperationsTimeout(model, c.calls, time.Minute)
	c.Logf("%d calls recorded: %s", len(c.calls), result)
	if result != porcupine.Ok {
		c.Errorf("the calls are not linearizable: %s", result)
	}
}

// A version is what a register holds in the model: which epoch, by whom.
type version struct {
	epoch uint64
	actor string
}

// A saving is a Save after was, or, without an actor, a Load.
type saving struct {
	was  uint64
	next version
}

// An outcome is what a call gave: a Load what it found, a Save whether it was
// stale; unknown if it failed.
type outcome struct {
	found   version
	stale   bool
	unknown bool
}

var registerModel = porcupine.Model{
	Init: func() any { return version{} },
	Step: func(state, input, output any) (bool, any) {
		s, in, out := state.(version), input.(saving), output.(outcome)
		switch fits := s.epoch == in.was; {
		case in.next.actor == "":
			return out.found == s, s
		case out.unknown && fits:
			return true, in.next
		case out.unknown:
			return true, s
		case out.stale:
			return !fits, s
		default:
			return fits, in.next
		}
	},
}

func TestTheRegisterIsLinearizableWhileMembersComeAndGo(t *testing.T) {
	t.Parallel()
	c := newChaos(t)
	const clients = 4
	var handles []*register.Etcd
	for range clients {
		handles = append(handles, openEtcd(t, etcdConfig(t, c.cluster)))
	}
	stored := 0
	known := make([]uint64, clients)
	c.run(clients, func(ctx context.Context, i int, r *rand.Rand) {
		start := time.Now()
		if r.IntN(2) == 0 {
			got, err := handles[i].Load(ctx, "app")
			var adrift *ha.Adrift
			switch {
			case errors.Is(err, ha.ErrNone), err == nil:
				known[i] = got.Epoch
				c.record(i, start, saving{}, outcome{found: version{got.Epoch, got.Actor}}, true)
			case errors.As(err, &adrift) && adrift.Reason == ha.RegisterBack:
				t.Errorf("etcd went back: %v", err)
			default:
				pause(ctx, 20*time.Millisecond)
			}
			return
		}
		next := trafficOf("app", known[i]+1)
		next.Actor = fmt.Sprintf("client %d at %d", i, start.UnixNano())
		in := saving{known[i], version{next.Epoch, next.Actor}}
		switch err := handles[i].Save(ctx, known[i], next); {
		case err == nil:
			known[i] = next.Epoch
			c.record(i, start, in, outcome{}, true)
			c.mu.Lock()
			stored++
			c.mu.Unlock()
		case errors.Is(err, ha.ErrStale):
			c.record(i, start, in, outcome{stale: true}, true)
		default:
			c.record(i, start, in, outcome{unknown: true}, false)
			pause(ctx, 20*time.Millisecond)
		}
	})
	c.calls = settled(c.calls)
	c.judge(registerModel)
	if stored < 20 {
		t.Errorf("only %d were stored", stored)
	}
}

// settled gives the calls without guesses that others have settled: a Save of
// unknown outcome was done, before it was first loaded, or was not, if the epoch
// is another's. It spares the search for an order most of its work.
func settled(calls []porcupine.Operation) []porcupine.Operation {
	winner := map[uint64]string{}
	loaded := map[version]int64{}
	for _, call := range calls {
		in, out := call.Input.(saving), call.Output.(outcome)
		switch {
		case in.next.actor == "":
			winner[out.found.epoch] = out.found.actor
			if at, known := loaded[out.found]; !known || call.Return < at {
				loaded[out.found] = call.Return
			}
		case !out.stale && !out.unknown:
			winner[in.next.epoch] = in.next.actor
		}
	}
	for i, call := range calls {
		in, out := call.Input.(saving), call.Output.(outcome)
		if at, seen := loaded[in.next]; seen && out.unknown {
			calls[i].Return, calls[i].Output = max(at, call.Call), outcome{}
		}
	}
	return slices.DeleteFunc(calls, func(call porcupine.Operation) bool {
		in, out := call.Input.(saving), call.Output.(outcome)
		actor, known := winner[in.next.epoch]
		return out.unknown && known && actor != in.next.actor
	})
}

// held is what a lease is in the model: who holds it since which epoch, the
// highest epoch ever, and who served last.
type held struct {
	node   string
	epoch  uint64
	last   uint64
	served register.Served
}

// A deed is one call of a node, and what it gave.
type deed struct {
	verb, node string
	seen       register.Seen
	epoch      uint64
}

// A lease may end at any time by itself, so a take may win over a holder; but
// nothing of an earlier epoch is ever seen, or done, after a later one was.
var leaseModel = porcupine.Model{
	Init: func() any { return held{} },
	Step: func(state, _, output any) (bool, any) {
		s, d := state.(held), output.(deed)
		switch d.verb {
		case "took":
			return d.epoch > s.last || d.epoch == s.epoch && d.node == s.node, held{d.node, d.epoch, max(d.epoch, s.last), s.served}
		case "taken":
			return d.epoch == s.epoch && d.node == s.node || d.epoch > s.last, held{d.node, d.epoch, max(d.epoch, s.last), s.served}
		case "served":
			return d.epoch == s.epoch && d.node == s.node, held{s.node, s.epoch, s.last, register.Served{Node: d.node, Epoch: d.epoch}}
		case "saw":
			holder := d.seen.Holder == "" || d.seen.Epoch == s.epoch && d.seen.Holder == s.node || d.seen.Epoch > s.last
			later := d.seen.Served == s.served || d.seen.Served.Epoch > s.served.Epoch // by a call whose answer was lost
			return holder && later, held{d.seen.Holder, d.seen.Epoch, max(d.seen.Epoch, s.last), d.seen.Served}
		}
		return false, s
	},
}

// reign is a time in which a node may have been Active.
type reign struct {
	node     string
	epoch    uint64
	from, to time.Time
}

func TestOneNodeHoldsTheLeaseWhileMembersComeAndGo(t *testing.T) {
	t.Parallel()
	c := newChaos(t)
	nodes := []string{"a", "b", "c"}
	handles := make([]*register.Etcd, len(nodes))
	leases := make([]*register.Lease, len(nodes))
	for i := range nodes {
		handles[i] = openEtcd(t, etcdConfig(t, c.cluster))
		leases[i] = newLease(t, handles[i], nodes[i], 2*time.Second)
	}
	var mu sync.Mutex // guards reigns
	var reigns []reign
	c.run(len(nodes), func(ctx context.Context, i int, r *rand.Rand) {
		start := time.Now()
		if seen, err := leases[i].Look(ctx); err == nil {
			c.record(i, start, nil, deed{verb: "saw", seen: seen}, true)
		} else if errors.As(err, new(*register.WentBack)) {
			t.Errorf("etcd went back: %v", err)
		}
		start = time.Now()
		term, err := leases[i].Take(ctx)
		var taken *register.Taken
		switch {
		case err == nil:
			c.record(i, start, nil, deed{verb: "took", node: nodes[i], epoch: term.Epoch}, true)
		case errors.As(err, &taken):
			c.record(i, start, nil, deed{verb: "taken", node: taken.Holder, epoch: taken.Epoch}, true)
			_ = leases[i].Release(ctx)
			pause(ctx, 20*time.Millisecond)
			return
		default:
			pause(ctx, 20*time.Millisecond)
			return
		}
		one := c.reign(ctx, i, leases[i], reign{nodes[i], term.Epoch, time.Now(), term.Deadline}, r)
		mu.Lock()
		reigns = append(reigns, one)
		mu.Unlock()
		if r.IntN(3) == 0 { // the node is started anew and does not know its old lease
			leases[i] = newLease(t, handles[i], nodes[i], 2*time.Second)
		}
	})
	c.judge(leaseModel)
	wantOneAtATime(t, reigns)
}

// reign serves and renews for a while, as a node does until it gives way or its
// deadline comes.
func (c *chaos) reign(ctx context.Context, i int, l *register.Lease, one reign, r *rand.Rand) reign {
	start := time.Now()
	if l.Serve(ctx, one.epoch) == nil && time.Now().Before(one.to) {
		c.record(i, start, nil, deed{verb: "served", node: one.node, epoch: one.epoch}, true)
	}
	for range r.IntN(6) {
		pause(ctx, 100*time.Millisecond)
		deadline, err := l.Renew(ctx)
		if errors.Is(err, register.ErrLost) || time.Now().After(one.to) {
			return one
		}
		if err == nil && deadline.After(one.to) {
			one.to = deadline
		}
	}
	if r.IntN(2) == 0 {
		if now := time.Now(); now.Before(one.to) {
			one.to = now // it stops before it releases
		}
		_ = l.Release(ctx)
	}
	return one
}

// wantOneAtATime checks that no two nodes could have been Active at once, and
// that epochs grow with time.
func wantOneAtATime(t *testing.T, reigns []reign) {
	t.Helper()
	slices.SortFunc(reigns, func(a, b reign) int { return cmp.Compare(a.epoch, b.epoch) })
	t.Logf("%d reigns", len(reigns))
	if len(reigns) < 2 {
		t.Errorf("only %d reigns", len(reigns))
	}
	for i := 1; i < len(reigns); i++ {
		a, b := reigns[i-1], reigns[i]
		if a.epoch != b.epoch && a.from.Before(a.to) && b.from.Before(a.to) {
			t.Errorf("%s with epoch %d until %s, and %s with epoch %d from %s", a.node, a.epoch, a.to, b.node, b.epoch, b.from)
		}
	}
}

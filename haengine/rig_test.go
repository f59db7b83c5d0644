package haengine

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/internal/ha"
)

// twin is a peer that a test sets.
type twin struct {
	mu     sync.Mutex // guards the fields below
	sight  Sight
	err    error
	looks  int
	takes  time.Duration // a look
	downed []uint64      // epochs at which it was asked to step down
	yields bool          // it does so
}

func (p *twin) set(s Sight, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sight, p.err = s, err
}

func (p *twin) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.looks
}

func (p *twin) Look(context.Context) (Sight, error) {
	p.mu.Lock()
	takes := p.takes
	p.mu.Unlock()
	time.Sleep(takes)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.looks++
	return p.sight, p.err
}

func (p *twin) Ask(ctx context.Context, _ ha.Report) (Sight, error)  { return p.Look(ctx) }
func (p *twin) Tell(ctx context.Context, _ ha.Report) (Sight, error) { return p.Look(ctx) }

func (p *twin) StepDown(_ context.Context, epoch uint64, _ bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.downed = append(p.downed, epoch)
	if p.yields {
		p.sight = Sight{Heard: true, Report: ha.Report{Served: epoch, Yielded: true}}
	}
	if p.err == nil && p.sight.Report.Runs {
		return ErrNoTrust
	}
	return p.err
}

var errDown = errors.New("connection refused")

// serving is a peer that is well and serves at an epoch.
func serving(epoch uint64) Sight {
	return Sight{Well: true, Heard: true, Report: ha.Report{State: ha.Active, Served: epoch, Reign: epoch, Runs: true}}
}

// standing is a peer that stands by and has served at an epoch.
func standing(epoch uint64) Sight {
	return Sight{Heard: true, Report: ha.Report{State: ha.Standby, Served: epoch}}
}

// play is an application that starts and stops in no time, unless told.
type play struct {
	mu    sync.Mutex // guards the fields below
	told  chan ha.On
	runs  bool
	sick  bool
	stuck bool // it does not start
	mute  bool // the test tells what came of a start
	did   []string
}

func (a *play) Run(ctx context.Context, tell func(ha.On)) {
	for {
		select {
		case <-ctx.Done():
			return
		case on := <-a.told:
			tell(on)
		}
	}
}

func (a *play) say(did string, runs bool, on ha.On) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.did = append(a.did, did)
	a.runs = runs
	if !a.mute {
		a.told <- on
	}
}

func (a *play) Start(uint64) {
	if a.stuck {
		a.say("start", false, ha.OnAppStartFailed)
		return
	}
	a.say("start", true, ha.OnAppUp)
}
func (a *play) Stop() { a.say("stop", false, ha.OnAppStopped) }
func (a *play) Kill() { a.say("kill", false, ha.OnAppStopped) }
func (a *play) Well() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.runs && !a.sick
}

// latch is a door that a test looks at.
type latch struct {
	NoDoor
	mu   sync.Mutex // guards open
	open bool
}

func (d *latch) Open()  { d.mu.Lock(); d.open = true; d.mu.Unlock() }
func (d *latch) Close() { d.mu.Lock(); d.open = false; d.mu.Unlock() }
func (d *latch) is() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.open
}

// rig is a node of a test, in a bubble of synctest.
type rig struct {
	t    *testing.T
	dir  string
	peer *twin
	app  *play
	door *latch
	post *pillar
	base time.Time
	skew atomic.Int64 // added to the clock: a freeze

	owners []string // of traffic
	copies *copyist // nil: nothing is replicated
	vault  *vault   // nil: profile documented
	third  *Third   // nil: none
	keeps  counting // how often what it writes was said to count

	*Engine
	stop func()
}

// counting is a Keeper that counts.
type counting int

func (k *counting) Serve() error                                  { *k++; return nil }
func (*counting) Kept() ([]nodeapi.Archive, bool)                 { return nil, false }
func (*counting) Own(context.Context) ([]nodeapi.Diverged, error) { return nil, nil }
func (*counting) Export(context.Context, uint64, io.Writer) error { return nil }
func (*counting) Drop(uint64) error                               { return nil }

// newRig gives a node core2 that has never run, whose peer is down.
func newRig(t *testing.T) *rig {
	r := bareRig(t)
	r.start()
	return r
}

// bareRig gives one that does not run yet.
func bareRig(t *testing.T) *rig {
	return &rig{t: t, dir: t.TempDir(), peer: &twin{err: errDown}, app: &play{told: make(chan ha.On, 64)}, door: new(latch), post: new(pillar), base: time.Now().Add(-time.Hour)}
}

func (r *rig) start() {
	r.t.Helper()
	c := Config{
		Name: "core2", PeerName: "core1", Dir: r.dir, Peer: r.peer, App: r.app, Door: r.door, Post: r.post, Owners: func() []string { return r.owners },
		Clock: func() ha.Instant { return ha.Instant(time.Since(r.base) + time.Duration(r.skew.Load())) }, Log: slog.New(slog.DiscardHandler),
	}
	c.Keeper = &r.keeps
	if r.copies != nil {
		c.Copier, c.Stock = r.copies, r.copies
	}
	c.Third = r.third
	if r.vault != nil {
		c.Lease, c.Register, c.Safety = r.vault, r.vault, DefaultSafety()
	}
	e, err := Open(c)
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	r.Engine = e
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			r.t.Errorf("the engine ended by itself: %v", err)
		}
	})
	r.t.Cleanup(r.stop)
	synctest.Wait()
}

func (r *rig) restart() {
	r.stop()
	r.start()
}

func (r *rig) say(on ha.On) Outcome {
	r.t.Helper()
	return r.tells(ha.Event{On: on})
}

func (r *rig) tells(event ha.Event) Outcome {
	r.t.Helper()
	out, err := r.Say(context.Background(), event, "anna", "a test")
	if err != nil {
		r.t.Fatal(err)
	}
	synctest.Wait()
	return out
}

func (r *rig) enable(m ha.Mode) {
	r.t.Helper()
	if out := r.tells(ha.Event{On: ha.OnEnable, Mode: m}); out.Refused != "" {
		r.t.Fatalf("enable was refused: %s", out.Refused)
	}
	synctest.Wait()
}

func (r *rig) saves(change map[string]string) {
	r.t.Helper()
	c := control{Engine: r.Engine}
	out, err := c.set(context.Background(), nodeapi.Request{Settings: change}, "anna")
	if err != nil || out.Refused != "" {
		r.t.Fatal(out.Refused, err)
	}
}

func (r *rig) want(phase ha.Phase, state ha.State) {
	r.t.Helper()
	synctest.Wait()
	got, why := r.State()
	if at := r.now.Load().Member.Phase; at != phase || got != state {
		r.t.Fatalf("it is %v (%s) in %v, want %v in %v", got, why, at, state, phase)
	}
	if open := state == ha.Active; r.door.is() != open {
		r.t.Errorf("%v: the door is open: %t", phase, !open)
	}
}

// page asks for a page and gives status, body and epoch.
func (r *rig) page(page ha.Page) (int, string, string) {
	w := httptest.NewRecorder()
	r.Pages().ServeHTTP(w, httptest.NewRequest(http.MethodGet, ha.Profile{}.Path(page), nil))
	return w.Code, strings.TrimSpace(w.Body.String()), w.Header().Get(epochHeader)
}

package haengine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/internal/statefile"
)

// App is the application of a node, which one goroutine handles: Run. The other
// methods never wait; the newest wish counts.
type App interface {
	// Run does what is wished and tells what came of it, until ctx ends.
	Run(ctx context.Context, tell func(ha.On))
	// Start wishes that it runs, at an epoch: OnAppUp or OnAppStartFailed.
	Start(epoch uint64)
	// Stop wishes that it does not: OnAppStopped.
	Stop()
	// Kill is Stop without mercy.
	Kill()
	// Well says what its last check said; false when it is not to run.
	Well() bool
}

// Door is the door for clients, closed at first. Its methods never wait.
type Door interface {
	Open()
	Close() // to new clients; those that are in stay
	// Fault says why an open door lets nobody in, empty if it does.
	Fault() string
	// Clients counts those that are in, and those that ever were.
	Clients() (now int, ever uint64)
}

// Config is what an Engine is made of. Lease and Register are nil in profile
// documented.
type Config struct {
	Name     string
	PeerName string
	Recovery bool   // for disaster recovery: its peer is the main site's Secondary, which may stand by
	Third    *Third // the main site's node for disaster recovery; nil: none is known
	Dir      string // data_dir
	Peer     Peer
	App      App
	Door     Door
	Lease    Lease
	Register Register
	Safety   Safety // of profile safe
	Fence    Fencing
	Post     Post              // nil: nobody is told
	Stock    Stock             // nil: nothing is replicated
	Copier   Copier            // nil: nothing is replicated
	Services []nodeapi.Service // the datasets as node.yaml says
	Keeper   Keeper            // nil: nothing is kept
	IsPeer   func(string) bool // whether a name or address is the peer's; nil: only PeerName is
	Owners   func() []string   // of traffic: the fronts whose decision counts; nil: none
	Version  []string          // the command that tells the application's release; empty: none
	Count    []string          // and its device count
	Lists    Lists             // what a run may have done here
	Clock    func() ha.Instant // nil: Boottime
	Log      *slog.Logger

	store func(path string, value any) error // nil: save
}

// place gives this node's place among the two: it only keeps their epochs
// apart, so any order that both nodes agree on will do.
func (c *Config) place() int {
	if c.Recovery {
		return 3 // the two of the main site do not know this node
	}
	if c.Name < c.PeerName {
		return 1
	}
	return 2
}

// Engine is a node that runs. Open makes one, Run runs it, once.
type Engine struct {
	Config
	inbox   chan func()
	now     atomic.Pointer[Snapshot]
	turns   atomic.Int64 // ha.Instant of the loop's last turn
	trying  atomic.Bool  // the application is started to be looked at only
	alone   atomic.Bool  // the application is started on a node that was never Active
	support atomic.Int64 // ha.Instant: when the loop last turned in time, or has made sure after it had not
	journal *journal
	history *history
	watch   watchers
	unlock  func()
	runs    *runs
	tasks   sync.WaitGroup

	// Owned by Run.
	ctx      context.Context // of the tasks; ends with Run
	member   ha.Member
	was      ha.Phase // before the step at hand
	kept     ha.Kept  // as it is on the disk
	settings Settings
	machine  *ha.Machine
	acts     []ha.MemberAct
	sync     syncing
	table    [ha.NoteEnabled]func(task)
	later    []ha.Event // again when the phase has changed
	pending  []ha.Event // answers that were there at once
	peer     seen
	agents   agents
	swaps    *swaps
	fronts   fronts
	answered nodeapi.RegisterNow // by the register
	awaits   context.CancelFunc  // of the watch of the key; nil: there is none
	revoking int                 // leases that are being given up
	ending   bool                // told to end
	actor    string              // who says what is being done; empty: nobody
	broken   string              // why nothing is decided any more
	failed   error               // why Run ends
	since    time.Time
	turned   ha.Instant
	wall     time.Time
	doubt    bool // the loop was late and the peer has not been looked at since
}

// Open reads what an engine has kept in its data_dir, which it makes if need
// be, and nobody else may use meanwhile. Damage is no error: such an engine is
// NotAvailable and says why.
func Open(c Config) (*Engine, error) {
	if c.Clock == nil {
		c.Clock = Boottime
	}
	if c.store == nil {
		c.store = save
	}
	if err := statefile.MakeDir(c.Dir, 0o750); err != nil {
		return nil, err
	}
	unlock, err := statefile.TryLock(filepath.Join(c.Dir, lockFile), storeMode)
	if errors.Is(err, statefile.ErrLocked) {
		return nil, fmt.Errorf("another engine runs on %s; end it first", c.Dir)
	}
	if err != nil {
		return nil, err
	}
	e := &Engine{Config: c, inbox: make(chan func(), 64), unlock: unlock}
	e.fronts = fronts{map[string]word{}, map[string]nodeapi.Opinion{}, map[string]sure{}}
	e.table = e.doings()
	if err := e.recall(); err != nil {
		unlock()
		return nil, err
	}
	e.machine = ha.NewMachine(e.rules(e.settings), ha.MemberTable())
	e.turned, e.wall = c.Clock(), time.Now().Round(0)
	e.since = e.wall
	e.turns.Store(int64(e.turned))
	e.support.Store(int64(e.turned))
	e.publish()
	return e, nil
}

// Alive says whether the loop turns.
func (e *Engine) Alive() bool {
	return e.Clock()-ha.Instant(e.turns.Load()) <= ha.Instant(tick+lateness)
}

// recall reads the files of data_dir.
func (e *Engine) recall() error {
	var damaged *Damaged
	found, err := load(filepath.Join(e.Dir, memberFile), &e.kept)
	switch {
	case errors.As(err, &damaged):
		e.broken = damaged.Error()
	case err != nil:
		return err
	case !found && remembers(e.Dir):
		e.broken = filepath.Join(e.Dir, memberFile) + " is missing, though an engine has run here"
	case !found:
		if err := e.store(filepath.Join(e.Dir, memberFile), e.kept); err != nil {
			return err
		}
	}
	e.member.Kept = e.kept
	e.settings = DefaultSettings()
	e.settings.KeepInStandby = e.Recovery // it is brought online by hand
	if _, err := load(filepath.Join(e.Dir, settingsFile), &e.settings); errors.As(err, &damaged) {
		e.broken, e.settings = damaged.Error(), DefaultSettings()
	} else if err != nil {
		return err
	}
	if faults := e.settings.Check(); len(faults) == 0 && e.kept.Enabled {
		if faults := e.check(e.settings); len(faults) > 0 {
			e.broken = "the settings do not fit the lease in node.yaml: " + faults[0]
		}
	} else if len(faults) > 0 {
		e.broken, e.settings = "the saved settings are not possible: "+faults[0], DefaultSettings()
	}
	if err := e.recallRest(); errors.As(err, &damaged) {
		e.broken = damaged.Error()
	} else if err != nil {
		return err
	}
	if e.runs, err = openRuns(e.Dir, e.Lists, e.store, &e.tasks); err != nil {
		return err
	}
	if e.journal, err = openJournal(e.Dir); err != nil {
		return err
	}
	e.history, err = openHistory(e.Dir)
	return err
}

// recallRest reads what belongs to single parts of the engine.
func (e *Engine) recallRest() (err error) {
	e.swaps, err = openSwaps(e.Dir, e.store)
	return errors.Join(e.recallAgents(), err)
}

// Run decides and acts until ctx ends. Then it closes the door and leaves the
// application as it is; in profile safe, where somebody would stop that anyway,
// it stops it itself and gives up the lease. The error says why it had to end by
// itself.
func (e *Engine) Run(ctx context.Context) error {
	tasks, stop := context.WithCancel(context.Background())
	defer e.end(stop)
	e.ctx = tasks
	e.tasks.Go(func() { e.App.Run(tasks, e.hear) })
	if e.broken != "" {
		e.note("this node is NotAvailable: " + e.broken)
		e.Log.Error("the engine decides nothing", "why", e.broken, "do", "bring the file back or remove all of "+e.Dir+", then enable High Availability anew")
	} else {
		e.plan(time.Now().Round(0))
		e.step(e.boot())
		e.resumeSwap()
	}
	timer := time.NewTimer(e.pause())
	defer timer.Stop()
	told, late := ctx.Done(), (<-chan time.Time)(nil)
	for e.failed == nil && !e.ended() {
		select {
		case <-told:
			told, late = nil, time.After(e.told())
			e.turn()
			e.step(ha.Event{On: ha.OnEnd})
		case <-late:
			e.note("the engine ends though the application has not stopped, or the lease is not given up")
			return nil
		case do := <-e.inbox:
			e.turn()
			do()
		case <-timer.C:
			e.turn()
			e.wake()
		}
		e.due() // at every turn, like what follows: who talks a lot keeps the timer from firing
		e.countAgents()
		e.watchRun(time.Now())
		timer.Reset(e.pause())
	}
	return e.failed
}

// told notes that the engine is to end, and gives how long that may take: the
// application stops, or is killed, and the register answers.
func (e *Engine) told() time.Duration {
	e.ending = true
	if e.Lease == nil {
		e.note("the engine ends; the application is left as it is")
	} else {
		e.note("the engine ends; before that the application stops and the lease is given up")
	}
	return 2*e.settings.StopTimeout + e.settings.Retry
}

// ended says whether everything is done that an engine does which is told to end.
func (e *Engine) ended() bool {
	return e.ending && e.member.Phase != ha.InDemoting && e.revoking == 0
}

// end closes what Run has opened, the page's OK first.
func (e *Engine) end(stop func()) {
	e.broken = errEnded.Error()
	if e.failed != nil {
		e.broken += ": " + e.failed.Error()
		e.Log.Error("the engine ends by itself", "error", e.failed)
	}
	e.publish()
	e.Door.Close()
	stop()
	e.tasks.Wait()
	e.journal.close()
	e.unlock()
}

// pause gives how long nothing has to be done.
func (e *Engine) pause() time.Duration {
	wait := tick
	if due := e.member.Due(); due != 0 && e.broken == "" {
		wait = min(wait, time.Duration(due-e.Clock()))
	}
	return max(wait, 0)
}

// turn looks whether the loop turns in time. What a late one has measured does
// not count, and a node that was frozen looks at its peer before it says OK
// again.
func (e *Engine) turn() {
	now, wall := e.Clock(), time.Now().Round(0)
	gap := time.Duration(now - e.turned)
	drift := wall.Sub(e.wall) - gap
	e.turned, e.wall = now, wall
	e.turns.Store(int64(now))
	if late := gap > tick+lateness; late || drift.Abs() > lateness {
		e.note(fmt.Sprintf("tilt: the loop turned after %v, the wall clock moved by %v more", gap.Round(time.Millisecond), drift.Round(time.Millisecond)))
		e.Log.Warn("what was measured does not count", "turned_after", gap, "clock_moved_by", drift)
		if late && !e.doubt {
			e.doubt = true
			e.makeSure()
		}
		if e.broken == "" {
			e.step(ha.Event{On: ha.OnTilt})
		}
	}
	if !e.doubt {
		e.support.Store(int64(now))
	}
}

// makeSure looks at the peer after a freeze. Whoever serves at a higher epoch is
// known before this node says OK again; a peer that does not answer is down.
func (e *Engine) makeSure() {
	e.ask(e.Peer.Look, func(s Sight, err error) {
		if err == nil {
			e.step(ha.Event{On: ha.OnPeerSays, Peer: s.Report})
		}
		e.doubt = false
		e.support.Store(int64(e.Clock()))
	})
}

// hear takes an event from another goroutine.
func (e *Engine) hear(on ha.On) { e.send(func() { e.step(ha.Event{On: on}) }) }

// send has the owner do something, unless it has ended.
func (e *Engine) send(do func()) {
	select {
	case e.inbox <- do:
	case <-e.ctx.Done():
	}
}

// do runs work in a goroutine of its own; what it gives is done by the owner.
func (e *Engine) do(work func(context.Context) (then func())) {
	e.tasks.Go(func() { e.send(work(e.ctx)) })
}

// wake lets timers become events.
func (e *Engine) wake() {
	if e.broken != "" {
		return
	}
	before := e.member
	m, acts := e.machine.Wake(e.member, e.Clock(), e.acts[:0])
	e.follow(before, m, acts, ha.Event{})
	e.drain()
}

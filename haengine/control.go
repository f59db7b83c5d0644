package haengine

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/internal/ha"
)

// errEnded says that the engine does not run any more.
var errEnded = errors.New("the engine has ended")

// Status tells how the node is at this moment.
func (e *Engine) Status() nodeapi.Status {
	s, now := e.now.Load(), e.Clock()
	state, why := e.state(s, now)
	m := s.Member
	d := nodeapi.Status{
		Version: nodeapi.Version, Name: e.Name, Recovery: e.Recovery, Enabled: m.Enabled, Mode: m.Mode, Shown: m.Shown, State: state, Why: why, Phase: m.Phase,
		Since: s.Since.UTC(), Profile: s.machine.Profile, Epoch: m.Epoch, Served: m.Served, Seen: m.Seen, Misses: int(m.Misses),
		Paused: m.Blocked, Broken: s.Broken, Warnings: []string{},
		Peer: nodeapi.PeerNow{Name: e.PeerName, State: s.Peer.Report.State, Heard: s.Peer.Heard, At: s.Peer.at.UTC(), Last: s.Peer.words, Off: s.Peer.Report.Off, Trusted: trusted(e.Peer)},
		App:  nodeapi.AppNow{Well: e.App.Well()},
	}
	if !s.Peer.Heard {
		d.Peer.State = ha.NotAvailable
	}
	d.Door = nodeapi.DoorNow{Setting: able(!s.Settings.DoorClosed), Fault: e.Door.Fault()}
	d.Door.Clients, d.Door.Ever = e.Door.Clients()
	d.Door.Open = state == ha.Active && !s.Settings.DoorClosed && d.Door.Fault == ""
	if m.Enabled && s.machine.Profile == ha.Documented && !s.Settings.KeepInStandby {
		d.Warnings = append(d.Warnings, SplitBrain)
	}
	if l := e.runs.holder(); l != nil {
		d.Run = e.runs.banner()
		d.Warnings = append(d.Warnings, runSays(d.Run))
	}
	e.syncStatus(&d, s)
	e.keptStatus(&d)
	d.Fronts, d.Agents = s.Fronts, s.Agents
	e.showRegister(&d, s)
	if said := agentsSay(s.Agents, e.Name, e.PeerName, m, state); said != "" {
		d.Warnings = append(d.Warnings, said)
	}
	if said := e.Third.says(); said != "" {
		d.Warnings = append(d.Warnings, said)
	}
	d.Mind = e.mind(s, state, e.PeerName)
	if d.Swap = e.swaps.now.Load(); d.Swap != nil && !d.Swap.Over() {
		d.Mind = fmt.Sprintf("A planned swap from %s to %s is under way: %s, %s.", d.Swap.From, d.Swap.To, d.Swap.State, d.Swap.Step)
	}
	return d
}

// trusted says whether a peer can be asked.
func trusted(p Peer) bool {
	t, ok := p.(*Trusted)
	return ok && t.Trust()
}

// mind says in one sentence what would happen now.
func (e *Engine) mind(s *Snapshot, state ha.State, peer string) string {
	switch m := s.Member; {
	case s.Broken != "":
		return "It decides nothing until a person has mended that."
	case m.Phase == ha.InOff:
		return "High Availability is disabled: nothing happens by itself."
	case m.Blocked:
		return "Paused: nothing happens by itself."
	case m.Phase == ha.InActive && state == ha.Active:
		return "It serves."
	case m.Phase == ha.InActive:
		return "It is to serve and cannot; if " + peer + " is in Standby it takes over."
	case m.Phase == ha.OutSuperseded:
		return peer + " has served since. A person decides: failover mode secondary makes this node the stand-by."
	case m.Phase == ha.OutWentBack:
		return "The register has forgotten what it knew. A person decides whose data are the right ones, and says there: failover mode primary."
	case state == ha.Standby && e.Recovery && s.Settings.KeepInStandby:
		return "If the main site fails, a person brings this node online: failover mode primary."
	case state == ha.Standby && s.Settings.KeepInStandby:
		return "If " + peer + " fails, this node stays in Standby (If Failure Detected)."
	case state == ha.Standby && m.PeerFirst:
		return "It served last and " + peer + " stands by as well: nobody serves until a person says failover mode primary on one of them."
	case state == ha.Standby:
		r := s.machine.Settings
		return fmt.Sprintf("If %s fails now, this node is Active after about %v and the application's start.", peer, r.Detect()+r.PromotionHold)
	}
	return "On its way or waiting: see failover fsm, " + s.Member.Phase.String() + "."
}

// run has the owner do something and waits for what it gives.
func (e *Engine) run(ctx context.Context, do func() Outcome) (Outcome, error) {
	done := make(chan Outcome, 1)
	select {
	case e.inbox <- func() { done <- do() }:
	case <-ctx.Done():
		return Outcome{}, errEnded
	}
	select {
	case out := <-done:
		return out, nil
	case <-ctx.Done():
		return Outcome{}, errEnded
	}
}

// Say gives the machine what a person says, and writes down who did.
func (e *Engine) Say(ctx context.Context, event ha.Event, actor, reason string) (Outcome, error) {
	return e.run(ctx, func() Outcome {
		e.note(fmt.Sprintf("%s says %v %s", actor, event.On, reason))
		e.Log.Info("a person acts", "actor", actor, "says", event.On.String(), "reason", reason)
		e.actor = strings.TrimSpace(actor + " " + reason)
		defer func() { e.actor = "" }()
		return e.step(event)
	})
}

// Save puts settings into force, if they are possible.
func (e *Engine) Save(ctx context.Context, change func(Settings) (Settings, error), actor string) (Outcome, error) {
	return e.run(ctx, func() Outcome {
		if e.broken != "" {
			return Outcome{Refused: "this node decides nothing: " + e.broken}
		}
		s, err := change(e.settings)
		if err != nil {
			return Outcome{Refused: err.Error()}
		}
		if faults := e.check(s); len(faults) > 0 {
			return Outcome{Refused: strings.Join(faults, " ")}
		}
		if err := e.store(filepath.Join(e.Dir, settingsFile), s); err != nil {
			return Outcome{Refused: "the settings cannot be stored: " + err.Error()}
		}
		e.note(fmt.Sprintf("%s saves settings: %s", actor, difference(e.settings, s)))
		e.settings = s
		e.machine = ha.NewMachine(e.rules(s), ha.MemberTable())
		e.hasten()
		e.plan(time.Now().Round(0))
		if s.DoorClosed {
			e.Door.Close()
		} else if e.machine.State(e.member, e.Clock()) == ha.Active {
			e.Door.Open()
		}
		e.publish()
		return Outcome{}
	})
}

// hasten lets a heartbeat that an older, longer interval has set come by the new
// one.
func (e *Engine) hasten() {
	next := e.Clock().After(e.settings.HeartbeatInterval)
	if at := &e.member.Timers[ha.AtBeat]; *at > next {
		*at = next
	}
}

// difference names what two settings differ in.
func difference(before, after Settings) string {
	var all []string
	was := before.List()
	for i, one := range after.List() {
		if one != was[i] {
			all = append(all, fmt.Sprintf("%s: %s instead of %s", one.Name, one.Value, was[i].Value))
		}
	}
	if before.DoorClosed != after.DoorClosed {
		all = append(all, clientConnection+": "+able(!after.DoorClosed))
	}
	for name, on := range after.Services {
		if was, said := before.Services[name]; !said || was != on {
			all = append(all, service+name+": "+able(on))
		}
	}
	if len(all) == 0 {
		return "all as before"
	}
	return strings.Join(all, ", ")
}

// Control serves the node's API. who gives the name of the one who asks.
func (e *Engine) Control(who func(*http.Request) string) http.Handler {
	c := &control{e, who}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ha/v1/status", func(w http.ResponseWriter, _ *http.Request) { give(w, http.StatusOK, e.Status()) })
	mux.HandleFunc("GET /ha/v1/events", e.events)
	mux.HandleFunc("GET /ha/v1/facts", func(w http.ResponseWriter, r *http.Request) { give(w, http.StatusOK, e.facts(r.Context())) })
	mux.HandleFunc("POST /ha/v1/role", c.act(c.role))
	mux.HandleFunc("POST /ha/v1/ha", c.act(c.fenced(c.enable)))
	mux.HandleFunc("POST /ha/v1/pause", c.act(c.fenced(c.pause)))
	mux.HandleFunc("POST /ha/v1/sync", c.act(c.fenced(c.sync)))
	mux.HandleFunc("POST /ha/v1/validate", c.validate)
	mux.HandleFunc("POST /ha/v1/rollback", c.reads(c.rollback))
	c.divergedDoors(mux)
	mux.HandleFunc("POST /ha/v1/client-connection", c.act(c.fenced(c.clientConnection)))
	mux.HandleFunc("PUT /ha/v1/settings", c.act(c.fenced(c.set)))
	mux.HandleFunc("GET /ha/v1/services", c.showServices)
	mux.HandleFunc("PUT /ha/v1/services", c.act(c.fenced(c.setServices)))
	mux.HandleFunc("GET /ha/v1/run", c.showRun)
	mux.HandleFunc("POST /ha/v1/lock", c.runAct(c.lock))
	mux.HandleFunc("POST /ha/v1/app", c.runAct(c.app))
	mux.HandleFunc("POST /ha/v1/trusted-hosts", c.trust)
	mux.HandleFunc("PUT /ha/v1/run/copy", c.keepCopy)
	mux.HandleFunc("GET /ha/v1/run/copy", func(w http.ResponseWriter, _ *http.Request) { give(w, http.StatusOK, e.runs.copied()) })
	mux.HandleFunc("POST /ha/v1/run/answer", c.runAct(c.runAnswer))
	mux.HandleFunc("POST /ha/v1/notify-test", c.notifyTest)
	c.agentDoors(mux)
	mux.HandleFunc("GET /ha/v1/swap", c.showSwap)
	mux.HandleFunc("GET /ha/v1/settings", c.settings)
	mux.HandleFunc("GET /ha/v1/history", func(w http.ResponseWriter, _ *http.Request) { give(w, http.StatusOK, e.history.transitions()) })
	mux.HandleFunc("GET /ha/v1/sync-history", func(w http.ResponseWriter, _ *http.Request) { give(w, http.StatusOK, e.history.syncs()) })
	mux.HandleFunc("GET /ha/v1/log", c.log)
	mux.HandleFunc("GET /ha/v1/preflight", func(w http.ResponseWriter, r *http.Request) { give(w, http.StatusOK, e.Preflight(r.Context())) })
	return mux
}

// control is the API's side of an Engine.
type control struct {
	*Engine
	who func(*http.Request) string
}

// role is failover mode (EPMM guide, Table 5); the appliance's portal and
// others say backup for secondary.
func (c *control) role(ctx context.Context, q nodeapi.Request, who string) (Outcome, error) {
	if q.DataSyncFirst != nil || q.DryRun {
		return c.swap(ctx, q, who)
	}
	switch q.Role {
	case "primary":
		return c.Say(ctx, ha.Event{On: ha.OnModePrimary}, who, q.Reason)
	case "secondary", "backup":
		return c.Say(ctx, ha.Event{On: ha.OnModeSecondary}, who, q.Reason)
	}
	return Outcome{}, wrong(fmt.Sprintf("the mode %.40q is not known", q.Role), "Say primary or secondary.")
}

// enable is the option High Availability (EPMM guide, Table 4).
func (c *control) enable(ctx context.Context, q nodeapi.Request, who string) (Outcome, error) {
	modes := map[string]ha.Mode{"": ha.Uncast, "primary": ha.Primary, "secondary": ha.Secondary}
	mode, known := modes[q.Mode]
	switch {
	case q.Enable == nil || !known:
		return Outcome{}, wrong("enable must be true or false, and mode primary or secondary", "")
	case !*q.Enable:
		return c.Say(ctx, ha.Event{On: ha.OnDisable}, who, q.Reason)
	case len(c.check(c.now.Load().Settings)) > 0: // of a lease, which node.yaml says
		return Outcome{Refused: c.check(c.now.Load().Settings)[0] + " The settings: failover config set; the lease: node.yaml."}, nil
	case mode == ha.Uncast && c.now.Load().Member.Mode == ha.Uncast:
		return Outcome{}, wrong("the Mode of this node was never set", "Say which part it has: failover ha enable --mode primary, or --mode secondary")
	}
	return c.Say(ctx, ha.Event{On: ha.OnEnable, Mode: mode}, who, q.Reason)
}

func (c *control) pause(ctx context.Context, q nodeapi.Request, who string) (Outcome, error) {
	switch {
	case q.Enable == nil:
		return Outcome{}, wrong("enable must be true or false", "")
	case *q.Enable:
		return c.Say(ctx, ha.Event{On: ha.OnBlock}, who, q.Reason)
	}
	return c.Say(ctx, ha.Event{On: ha.OnUnblock}, who, q.Reason)
}

func (c *control) clientConnection(ctx context.Context, q nodeapi.Request, who string) (Outcome, error) {
	if q.Enable == nil {
		return Outcome{}, wrong("enable must be true or false", "")
	}
	if _, none := c.Door.(NoDoor); none {
		return Outcome{Refused: "this node has no client_connection: its clients reach the application without us"}, nil
	}
	out, err := c.Save(ctx, func(s Settings) (Settings, error) { s.DoorClosed = !*q.Enable; return s, nil }, who)
	if g, ok := c.Door.(interface{ Cut() }); ok && q.Cut && !*q.Enable && err == nil && out.Refused == "" {
		g.Cut()
	}
	return out, err
}

func (c *control) set(ctx context.Context, q nodeapi.Request, who string) (Outcome, error) {
	out, err := c.Save(ctx, func(s Settings) (Settings, error) {
		s.Saved = time.Now().UTC() // from then on the schedule counts
		return s.With(q.Settings)
	}, who)
	if err == nil && out.Refused == "" {
		_, err = c.Say(ctx, ha.Event{On: ha.OnSaved}, who, q.Reason)
	}
	return out, err
}

// tag names the settings in force (RFC 9110, 8.8.3).
func (c *control) tag() string {
	text, _ := json.Marshal(c.now.Load().Settings) // of words only
	return fmt.Sprintf("\"%x\"", sha256.Sum256(text))[:17] + `"`
}

func (c *control) settings(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("ETag", c.tag())
	give(w, http.StatusOK, c.now.Load().Settings.List())
}

// lastOfLog is how much of the log is shown without ?all.
const lastOfLog = 16 << 10

func (c *control) log(w http.ResponseWriter, r *http.Request) {
	most := int64(lastOfLog)
	if r.URL.Query().Has("all") {
		most = 0
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if err := c.journal.export(w, most); err != nil {
		c.Log.Error("the log HighAvailability cannot be read", "error", err)
	}
}

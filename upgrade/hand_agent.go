package upgrade

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/internal/ha"
)

// agent is the hand of a node whose engine does the work: it starts only the
// lists of its own node.yaml.
type agent struct {
	client *nodeapi.Client
	pin    string // of its key, empty: it was asked by its socket
	run    Lock
	digest string
	others map[string]*agent // of the pair, itself included
}

// askWithin is how long a node may take to answer.
const askWithin = 15 * time.Second

// Look asks the engine.
func (a *agent) Look(ctx context.Context) Node {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	n := Node{Driver: "agent"}
	s, err := a.client.Status(ctx)
	if err != nil {
		n.Fault = err.Error()
		return n
	}
	run, err := a.client.Run(ctx)
	if err != nil {
		n.Fault = err.Error()
		return n
	}
	settings, _, err := a.client.Settings(ctx)
	if err != nil {
		n.Fault = err.Error()
		return n
	}
	if s.LastSync != nil && skipped(s.LastSync.Result) { // it says nothing of the copy
		all, err := a.client.SyncHistory(ctx)
		if err != nil {
			n.Fault = err.Error()
			return n
		}
		s.LastSync = nil
		for _, one := range all {
			if !skipped(one.Result) {
				s.LastSync = &one
			}
		}
	}
	return a.facts(s, run, settings)
}

func skipped(result string) bool { return strings.HasPrefix(result, "Skipped") }

// facts puts what an engine tells into our words.
func (a *agent) facts(s nodeapi.Status, run nodeapi.Run, settings []nodeapi.Setting) Node {
	n := Node{
		Driver: "agent", ID: strings.TrimSpace(run.ID + " " + a.pin), Version: run.Release.Value, Count: run.Count.Value,
		Enabled: able(s.Enabled), Mode: mode(s), State: state(s.State), Settled: settled(s), Well: s.App.Well,
		Clients: s.Door.Clients, Syncing: run.Syncing, Next: run.Next, Settings: map[string]string{},
		Peer: s.Peer.Name, Heard: s.Peer.Heard, Epoch: s.Served, Clock: run.Now, Fence: run.Fence,
	}
	n.Copied, n.Checks = run.Copied, run.Checks
	if run.Hosts != nil {
		n.Trusted, n.Keys = []string{}, map[string]string{}
		for _, h := range run.Hosts {
			n.Trusted, n.Keys[h.Name] = append(n.Trusted, h.Name), h.Key
		}
	}
	for _, r := range run.Room {
		if n.Room == nil {
			n.Room = map[string]uint64{}
		}
		n.Room[r.Path] = r.Free
	}
	if run.Door {
		n.Door = s.Door.Setting
	}
	if !s.Peer.At.IsZero() {
		n.Beat = s.Peer.At.UTC().Format(time.RFC3339Nano)
	}
	if l := s.LastSync; l != nil {
		n.LastSync = &Sync{l.At.UTC().Format(time.RFC3339Nano), l.Result}
	}
	for _, one := range settings {
		n.Settings[one.Name] = one.Value
	}
	if l := run.Lock; l != nil {
		n.Lock = &Lock{l.Run, l.Number}
	}
	for _, j := range run.Jobs {
		n.Jobs = append(n.Jobs, Job{j.Do, j.Run, j.Version, j.State, j.Said})
	}
	return n
}

func able(on bool) string {
	if on {
		return Enabled
	}
	return Disabled
}

func state(s ha.State) string {
	switch s {
	case ha.Active:
		return Active
	case ha.Standby:
		return Standby
	}
	return NotAvailable
}

// mode is the Mode that the portal shows: while High Availability is disabled
// that is the one that a person has set.
func mode(s nodeapi.Status) string {
	m := s.Mode
	if !s.Enabled && s.Shown != ha.Uncast {
		m = s.Shown
	}
	switch m {
	case ha.Primary:
		return Primary
	case ha.Secondary:
		return Secondary
	}
	return ""
}

// settled says whether the node has arrived where it is.
func settled(s nodeapi.Status) bool {
	switch s.Phase {
	case ha.InOff, ha.InActive, ha.InStandby, ha.InHeld, ha.InSuspect:
		return true
	}
	return s.Phase >= ha.OutSuperseded
}

// Do asks the engine.
func (a *agent) Do(ctx context.Context, d Deed) error {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	q := nodeapi.Request{Run: a.run.Run, Number: a.run.Number, Reason: "upgrade run " + a.run.Run}
	r := nodeapi.RunRequest{Run: a.run.Run, Number: a.run.Number, Reason: "upgrade run", Do: d.Do, Version: d.With, Digest: a.digest}
	yes, no := true, false
	path := ""
	switch d.Do {
	case DoLock, DoUnlock:
		_, err := a.client.Lock(ctx, nodeapi.RunRequest{Run: r.Run, Number: r.Number, Reason: r.Reason, Release: d.Do == DoUnlock, Force: d.With == ByForce})
		return judge(err)
	case DoDownload, DoUpgrade, DoValidate:
		_, err := a.client.App(ctx, r)
		return judge(err)
	case DoDisable:
		path, q.Enable = "ha", &no
	case DoEnable:
		path, q.Enable, q.Mode = "ha", &yes, d.With
	case DoPrimary, DoSecondary:
		path, q.Role = "role", d.Do
	case DoSync:
		path, q.Host = "sync", d.With
	case DoClose:
		path, q.Enable = "client-connection", &no
	case DoOpen:
		path, q.Enable = "client-connection", &yes
	case DoReschedule:
		return a.reschedule(ctx, q)
	case DoSettings:
		return a.settings(ctx, d.With)
	case DoTestMail:
		return judge(a.client.Ask(ctx, http.MethodPost, "notify-test", struct{}{}, nil))
	case DoUnpair:
		_, err := a.trust(ctx, nodeapi.TrustRequest{Remove: d.With})
		return byHandIf(err, "On this node: failover trusted-hosts remove "+d.With+", then: failover trusted-hosts apply.")
	case DoPair:
		return byHandIf(a.pair(ctx, d.With), "On "+d.With+": failover trusted-hosts invite; then on this node: failover trusted-hosts add STRING.")
	default:
		return &Refused{"the engine of a node does not know " + d.Do}
	}
	return judge(a.client.Ask(ctx, http.MethodPost, path, q, nil))
}

// as has the hand act for a run.
func (a *agent) as(run Lock) { a.run = run }

// Kept asks the engine for its copy of the newest run.
func (a *agent) Kept(ctx context.Context) (nodeapi.RunCopy, error) {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	return a.client.Kept(ctx)
}

// Keep gives the engine a copy of the run.
func (a *agent) Keep(ctx context.Context, q nodeapi.RunCopy) (nodeapi.RunKept, error) {
	k, err := a.client.Keep(ctx, q)
	var refused *nodeapi.Refused
	if errors.As(err, &refused) && refused.Code == http.StatusGone {
		return k, &TakenOver{refused.Why}
	}
	return k, judge(err)
}

// errNoWay says that an engine cannot change whom a node trusts.
var errNoWay = errors.New("it cannot be done by the engines")

func byHandIf(err error, say string) error {
	if errors.Is(err, errNoWay) {
		return &ByHand{say}
	}
	return err
}

// trust has the engine change whom its node trusts.
func (a *agent) trust(ctx context.Context, q nodeapi.TrustRequest) (nodeapi.TrustAnswer, error) {
	q.Run, q.Number = a.run.Run, a.run.Number
	answer, err := a.client.Trust(ctx, q)
	if err = judge(err); err != nil && strings.HasPrefix(err.Error(), "trust is not configured") {
		err = errNoWay
	}
	return answer, err
}

// pair has this node join the other by a pairing string that only passes through
// here: it is written nowhere.
func (a *agent) pair(ctx context.Context, other string) error {
	o := a.others[other]
	if o == nil {
		return errNoWay
	}
	invited, err := o.trust(ctx, nodeapi.TrustRequest{Invite: true})
	if err != nil {
		return err
	}
	_, err = a.trust(ctx, nodeapi.TrustRequest{Join: invited.Invitation})
	return err
}

// reschedule disables High Availability on a Standby and enables it again, which
// starts the schedule as the portal does.
func (a *agent) reschedule(ctx context.Context, q nodeapi.Request) error {
	off, on := false, true
	q.Enable = &off
	if err := judge(a.client.Ask(ctx, http.MethodPost, "ha", q, nil)); err != nil {
		return err
	}
	q.Enable, q.Mode = &on, Secondary
	return judge(a.client.Ask(ctx, http.MethodPost, "ha", q, nil))
}

// settings saves settings given as NAME=VALUE;NAME=VALUE.
func (a *agent) settings(ctx context.Context, text string) error {
	change := map[string]string{}
	for _, one := range strings.Split(text, ";") {
		if name, value, ok := strings.Cut(one, "="); ok && value != "" {
			change[name] = value
		}
	}
	q := nodeapi.Request{Run: a.run.Run, Number: a.run.Number, Settings: change}
	return judge(a.client.Ask(ctx, http.MethodPut, "settings", q, nil))
}

// judge says whether a node that did not do something said so.
func judge(err error) error {
	var refused *nodeapi.Refused
	if !errors.As(err, &refused) {
		return err
	}
	if refused.Code == http.StatusServiceUnavailable {
		return err // it is ending, or starting: nobody knows
	}
	return &Refused{refused.Why + after(" ", refused.Do)}
}

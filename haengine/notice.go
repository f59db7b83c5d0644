package haengine

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/internal/notify"
)

// Post takes messages to people. Its methods may be called from anywhere.
type Post interface {
	// Tell has a message delivered and returns at once. mail says whether the
	// settings want it as a mail (Notify On); other receivers get every message.
	Tell(m notify.Message, mail bool)
	// Try sends a test mail to an address and waits for what becomes of it.
	Try(ctx context.Context, address string) error
}

// The events of messages that are no phase.
const (
	eventFailure = ha.Reason("failure-detected")
	eventPrimary = ha.Reason("becomes-primary")
	eventStays   = ha.Reason("stays-standby")
	eventWell    = ha.Reason("peer-well")
	eventStart   = ha.Reason("start-failed")
	eventGuard   = ha.Reason("supervisor-gone")
	eventNotice  = ha.Reason("notice")
	eventSynced  = ha.Reason("sync-completed")
	eventNoSync  = ha.Reason("sync-failed")
)

// notice gives the message of a row that wants people to know, and false for one
// whose next step tells the same and more.
func notice(node, peer string, before ha.Phase, m ha.Member, why string) (notify.Message, bool) {
	msg := notify.Message{Severity: notify.Alarm, Epoch: m.Epoch, From: node}
	say := func(event ha.Reason, format string, args ...any) {
		msg.Event, msg.Text = event, node+": "+fmt.Sprintf(format, args...)+": "+why
	}
	switch {
	case m.Phase == before:
		say(eventNotice, "%v", m.Phase)
	case m.Phase == ha.InActive:
		say(eventPrimary, "this server becomes primary; it is Active at epoch %d", m.Epoch)
		msg.Severity, msg.From, msg.To = notify.Warning, peer, node
	case m.Phase == ha.InDeciding:
		say(eventFailure, "failure of %s detected after %d failed heartbeats; the failover process begins", peer, m.Misses)
	case m.Phase == ha.InHeld:
		say(eventStays, "this server stays in Standby")
		msg.Do = "If " + peer + " is down for good: failover mode primary"
	case m.Phase == ha.InStandby:
		say(eventWell, "the failover process has ended, this server is in Standby")
		msg.Severity = notify.Info
	case m.Phase == ha.InDemoting && m.After >= ha.OutSuperseded:
		return msg, false
	case m.Phase == ha.InDemoting:
		say(eventStart, "the application could not be started, this server does not become primary")
		msg.Do = "See why: failover log --module HighAvailability"
	case m.Phase >= ha.OutSuperseded:
		say(ha.Reason(m.Phase.String()), "this server is Not Available (%v)", m.Phase)
		msg.Do = outDo[m.Phase]
	default:
		say(eventNotice, "%v", m.Phase)
	}
	return msg, true
}

// outDo says what a person does about a node that may not serve.
var outDo = map[ha.Phase]string{
	ha.OutSuperseded: "Make it the stand-by and bring its data up to date: failover mode secondary, then failover sync. To swap the roles back: failover failback",
	ha.OutIsolated:   "Mend the way to the register; it serves again by itself if nobody has served since",
	ha.OutAppFailed:  "See why the application does not run, then: failover mode secondary, or failover mode primary",
	ha.OutWentBack:   "The register has lost what it knew. On the node whose data are the right ones: failover mode primary",
}

// tellPeople writes a row into the log and has people told.
func (e *Engine) tellPeople(t task) {
	why := e.machine.Row(t.MemberAct).Why
	e.note(fmt.Sprintf("%v: %s", e.member.Phase, why))
	e.Log.Warn("the node's state changes", "node", e.Name, "phase", e.member.Phase.String(), "epoch", e.member.Epoch, "why", why)
	msg, ok := notice(e.Name, e.PeerName, e.was, e.member, why)
	if !ok || e.runs.holder() != nil && (msg.Event == eventFailure || msg.Event == eventWell) {
		return // a planned swap or a run: what it does is no failure
	}
	if e.member.Phase == ha.InActive && e.was != ha.InActive {
		msg.Text += ". What it may cost: " + e.loss()
	}
	msg.Actor = e.actor
	e.post(msg, e.settings.NotifyFailure)
}

// synced writes how a sync has ended into the Sync History and has people told.
func (e *Engine) synced(s nodeapi.Sync) {
	if err := e.history.sync(s); err != nil {
		e.Log.Error("the Sync History cannot be written", "error", err)
	}
	e.tellSync(s)
}

// tellSync has people told how a sync has ended.
func (e *Engine) tellSync(s nodeapi.Sync) {
	if s.Result == nodeapi.Success {
		detail := ""
		if s.Detail != "" {
			detail = ": " + s.Detail
		}
		e.post(notify.Message{Event: eventSynced, Severity: notify.Info, Text: fmt.Sprintf("%s: the sync from %s has completed%s", e.Name, s.From, detail)}, e.settings.NotifySync)
		return
	}
	e.post(notify.Message{
		Event: eventNoSync, Severity: notify.Alarm,
		Text: fmt.Sprintf("%s: the sync from %s: %s", e.Name, s.From, s.Result), Do: "See what went wrong: failover sync-history",
	}, e.settings.NotifyFailure)
}

// Stock tells what this node has of its peer's data: replication.
type Stock interface {
	// Loss says what a promotion may cost now. It never waits.
	Loss() nodeapi.Loss
}

// costs gives what a promotion of this node may cost.
func (e *Engine) costs() nodeapi.Loss {
	if e.Stock == nil {
		return nodeapi.Loss{}
	}
	return e.Stock.Loss()
}

func (e *Engine) loss() string { return e.costs().Words(time.Now()) }

// post gives a message to who delivers it, if there is somebody.
func (e *Engine) post(m notify.Message, wanted bool) {
	if e.Post == nil {
		return
	}
	m.At, m.Epoch = time.Now().UTC(), max(m.Epoch, e.member.Epoch)
	e.Post.Tell(m, wanted && e.settings.Email != "")
}

// Email gives the address in the settings, empty if there is none.
func (e *Engine) Email() string { return e.now.Load().Settings.Email }

// notifyTest is the guide's Test button (EPMM guide, Table 3, task 4).
func (c *control) notifyTest(w http.ResponseWriter, r *http.Request) {
	address := c.Email()
	switch {
	case c.Post == nil:
		give(w, http.StatusConflict, nodeapi.Fault{Why: "no mail server is configured", Do: "Add smtp: {server: …, from: …} to node.yaml and start the node again"})
		return
	case address == "":
		give(w, http.StatusConflict, nodeapi.Fault{Why: "no e-mail address is set", Do: "failover config set Email ha@example.com"})
		return
	}
	who := c.who(r)
	c.note(who + " sends a test mail to " + address)
	if err := c.Post.Try(r.Context(), address); err != nil {
		c.note("the test mail was not taken: " + err.Error())
		give(w, http.StatusConflict, nodeapi.Fault{Why: err.Error(), Do: "Look at smtp in node.yaml and at the mail server"})
		return
	}
	give(w, http.StatusOK, nodeapi.Sent{To: address})
}

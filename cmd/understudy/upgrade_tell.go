package main

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/internal/notify"
	"github.com/understudy-ha/understudy/upgrade"
)

// Messages of a run.
const (
	runBegan ha.Reason = "run_began"
	runWaits ha.Reason = "run_waits"
	runFails ha.Reason = "run_fails"
	runEnded ha.Reason = "run_ended"
)

// teller passes events on, and tells people by mail and webhook of the few that
// matter; finish gives the deliveries a moment. What is not delivered then goes
// with the next command of a run.
func (u *upgrader) teller(r *upgrade.Record, hear func(upgrade.Event)) (tell func(upgrade.Event), finish func()) {
	log := slog.New(slog.NewTextHandler(u.err, &slog.HandlerOptions{Level: slog.LevelError}))
	senders, err := runSenders(r, log)
	if err != nil {
		fmt.Fprintf(u.err, "nobody is notified: %v\n", err)
	}
	if len(senders) == 0 {
		return hear, func() {}
	}
	dir, _ := filepath.Abs(u.dir)
	n, err := notify.New(notify.Default(dir), senders, nil, log)
	if err != nil {
		fmt.Fprintf(u.err, "nobody is notified: %v\n", err)
		return hear, func() {}
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := n.Run(ctx); err != nil {
			fmt.Fprintln(u.err, err)
		}
	}()
	tell = func(e upgrade.Event) {
		if m, worth := runMessage(r, e); worth {
			n.Tell(m)
		}
		hear(e)
	}
	return tell, func() {
		select {
		case <-time.After(2 * time.Second):
		case <-ended:
		}
		stop()
		<-ended
	}
}

// runSenders gives who is told.
func runSenders(r *upgrade.Record, log *slog.Logger) (all []notify.Sender, err error) {
	c := r.Means()
	for _, w := range c.Webhooks {
		hook, err := notify.NewWebhook(notify.WebhookConfig{URL: w.URL, SecretFile: w.SecretFile, TLSCA: w.TLSCA}, log)
		if err != nil {
			return nil, err
		}
		all = append(all, hook)
	}
	for _, m := range c.Mails {
		mail, err := notify.NewMail(notify.MailConfig{
			To: m.To, Server: m.Server, From: m.From, User: m.User, PasswordFile: m.PasswordFile, TLS: notify.MailTLS(m.TLS), TLSCA: m.TLSCA,
		}, log)
		if err != nil {
			return nil, err
		}
		all = append(all, mail)
	}
	return all, nil
}

// runMessage says whether people are told of an event, and what.
func runMessage(r *upgrade.Record, e upgrade.Event) (notify.Message, bool) {
	m := notify.Message{Group: r.Plan.Config.Group, At: e.At}
	run := "the run " + r.Name
	switch e.Kind {
	case upgrade.Starts:
		if e.Number != 1 {
			return m, false
		}
		m.Event, m.Severity, m.Text = runBegan, notify.Info, fmt.Sprintf("%s: %s (%s%s) has begun.", m.Group, run, r.Plan.Config.Kind, to(r.Plan.Config.To))
	case upgrade.Waits:
		m.Event, m.Severity, m.Text = runWaits, notify.Warning, fmt.Sprintf("%s: %s waits before %s. %s", m.Group, run, e.Step, e.Said)
		m.Do = "understudy upgrade approve --reason TEXT"
	case upgrade.Fails, upgrade.Stops:
		m.Event, m.Severity, m.Text = runFails, notify.Alarm, fmt.Sprintf("%s: %s has stopped at %s: %s; lock and hold are kept.", m.Group, run, e.Step, e.Said)
		m.Do = "understudy upgrade status"
	case upgrade.Ends:
		m.Event, m.Severity, m.Text = runEnded, notify.Info, fmt.Sprintf("%s: %s is over: %s.", m.Group, run, e.Said)
		m.Do = "understudy upgrade report " + r.Name
	default:
		return m, false
	}
	return m, true
}

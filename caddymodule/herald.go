package caddymodule

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"

	"github.com/understudy-ha/understudy/internal/notify"
)

// Notify says who is told of transitions and alarms.
type Notify struct {
	// Webhooks get a signed POST each.
	Webhooks []*Webhook `json:"webhooks,omitempty"`
	// Mails are written to.
	Mails []*Mail `json:"mails,omitempty"`
}

// Mail is one who is written to.
type Mail struct {
	// To is the address.
	To string `json:"to"`
	// Server takes the mail, on port 587 if none is given.
	Server string `json:"server"`
	// From is the sender. Default: understudy at this machine.
	From string `json:"from,omitempty"`
	// User logs in with the password of PasswordFile. Default: From.
	User string `json:"user,omitempty"`
	// PasswordFile holds the password. Default: no login.
	PasswordFile string `json:"password_file,omitempty"`
	// TLS says how the connection is protected. Default: STARTTLS.
	TLS string `json:"tls,omitempty"`
	// TLSCA holds the authorities to trust instead of the system's.
	TLSCA string `json:"tls_ca,omitempty"`
}

func (m *Mail) config() notify.MailConfig {
	return notify.MailConfig{
		Server: m.Server, From: m.From, To: m.To, User: m.User, PasswordFile: m.PasswordFile, TLS: notify.MailTLS(m.TLS), TLSCA: m.TLSCA,
	}
}

// Webhook is one receiver.
type Webhook struct {
	// URL is where messages are posted.
	URL string `json:"url"`
	// SecretFile holds the secret that messages are signed with.
	SecretFile string `json:"secret_file,omitempty"`
}

func (n *Notify) check(path string, f *faults) {
	seen := map[string]bool{}
	for i, w := range n.Webhooks {
		at := fmt.Sprintf("%s/webhooks/%d", path, i)
		if err := w.config().Check(); err != nil {
			f.add(at, "%s", err)
		}
		if seen[w.URL] {
			f.add(at, "this webhook stands twice")
		}
		seen[w.URL] = true
	}
	for i, m := range n.Mails {
		at := fmt.Sprintf("%s/mails/%d", path, i)
		if err := m.config().Check(); err != nil {
			for fault := range strings.Lines(err.Error()) {
				f.add(at, "%s", strings.TrimSpace(fault))
			}
		}
		if seen[m.To] {
			f.add(at, "%s stands twice", m.To)
		}
		seen[m.To] = true
	}
}

func (w *Webhook) config() notify.WebhookConfig {
	return notify.WebhookConfig{URL: w.URL, SecretFile: w.SecretFile}
}

// herald tells the outside for one configuration: Caddy's events and the
// configured receivers.
type herald struct {
	ctx      caddy.Context
	events   caddyEvents
	notifier *notify.Notifier // nil: nobody is told
	stop     func()
}

// newHerald makes the herald of a configuration and puts it into force.
func newHerald(a *App) (*herald, error) {
	h := &herald{ctx: a.ctx}
	mod, err := a.ctx.App("events")
	if err != nil {
		return nil, fmt.Errorf("load events: %w", err)
	}
	h.events = mod.(*caddyevents.App)
	ended := func() {}
	if a.Notify != nil && len(a.Notify.Webhooks)+len(a.Notify.Mails) > 0 {
		if ended, err = h.open(a); err != nil {
			return nil, err
		}
	}
	dismiss := town.Employ(h.tell)
	h.stop = func() {
		dismiss()
		ended()
	}
	return h, nil
}

// open starts the notifier; the function it gives ends it.
func (h *herald) open(a *App) (end func(), err error) {
	var senders []notify.Sender
	log := a.ctx.Slogger()
	for _, w := range a.Notify.Webhooks {
		sender, err := notify.NewWebhook(w.config(), log)
		if err != nil {
			return nil, fmt.Errorf("notify webhook: %w", err)
		}
		senders = append(senders, sender)
	}
	for _, m := range a.Notify.Mails {
		sender, err := notify.NewMail(m.config(), log)
		if err != nil {
			return nil, fmt.Errorf("notify mail: %w", err)
		}
		senders = append(senders, sender)
	}
	h.notifier, err = notify.New(notify.Default(a.StateDir), senders, notifyMetrics(), log)
	if err != nil {
		return nil, fmt.Errorf("notify: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := h.notifier.Run(ctx); err != nil {
			log.Error("notifications have stopped", "error", err)
		}
	}()
	return func() { cancel(); <-done }, nil
}

// tell passes one message on.
func (h *herald) tell(m notify.Message) {
	h.events.Emit(h.ctx, "understudy_"+string(m.Event), map[string]any{
		"group": m.Group, "severity": string(m.Severity), "epoch": m.Epoch, "from": m.From, "to": m.To,
		"text": m.Text, "do": m.Do, "actor": m.Actor, "reason": m.Reason, "ends": slices.Clone(m.Ends),
	})
	if h.notifier != nil {
		h.notifier.Tell(m)
	}
}

package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/understudy-ha/understudy/internal/config"
	"github.com/understudy-ha/understudy/internal/notify"
)

// post takes the engine's messages to people: mails to the address in the
// settings, and webhooks. What is not delivered yet waits in data_dir.
type post struct {
	mail  *notify.Notifier // nil: no mail server
	hooks *notify.Notifier // nil: no webhook
	box   *letterbox
	node  string
}

// newPost gives the post of a configuration, nil if it has neither mail server
// nor webhook. address gives the one in the settings.
func newPost(c *config.NodeFile, address func() string, log *slog.Logger) (*post, error) {
	p := &post{node: c.Name}
	var err error
	if c.SMTP.Server != "" {
		p.box = &letterbox{config: notify.MailConfig{
			Server: c.SMTP.Server, From: c.SMTP.From, User: c.SMTP.User, PasswordFile: c.SMTP.PasswordFile, TLS: notify.MailTLS(c.SMTP.TLS), TLSCA: c.SMTP.TLSCA,
		}, address: address, log: log}
		if err := p.box.check(); err != nil {
			return nil, fmt.Errorf("smtp: %w", err)
		}
		if p.mail, err = notify.New(notify.Default(c.DataDir), []notify.Sender{p.box}, nil, log); err != nil {
			return nil, fmt.Errorf("smtp: %w", err)
		}
	}
	var hooks []notify.Sender
	for _, w := range c.Webhooks {
		hook, err := notify.NewWebhook(notify.WebhookConfig{URL: w.URL, SecretFile: w.SecretFile, TLSCA: w.TLSCA}, log)
		if err != nil {
			return nil, fmt.Errorf("notify: %w", err)
		}
		hooks = append(hooks, hook)
	}
	if len(hooks) > 0 {
		if p.hooks, err = notify.New(notify.Default(c.DataDir), hooks, nil, log); err != nil {
			return nil, fmt.Errorf("notify: %w", err)
		}
	}
	if p.mail == nil && p.hooks == nil {
		return nil, nil
	}
	return p, nil
}

// Tell implements haengine.Post.
func (p *post) Tell(m notify.Message, mail bool) {
	if p.mail != nil && mail {
		p.mail.Tell(m)
	}
	if p.hooks != nil {
		p.hooks.Tell(m)
	}
}

// Try implements haengine.Post.
func (p *post) Try(ctx context.Context, address string) error {
	if p.box == nil {
		return errors.New("no mail server is configured")
	}
	to, err := p.box.to(address)
	if err != nil {
		return err
	}
	return notify.SendTrial(ctx, to, p.node)
}

// run delivers until ctx ends. A nil post has nothing to deliver.
func (p *post) run(ctx context.Context, log *slog.Logger) {
	if p == nil {
		return
	}
	var all sync.WaitGroup
	for _, n := range []*notify.Notifier{p.mail, p.hooks} {
		if n == nil {
			continue
		}
		all.Go(func() {
			if err := n.Run(ctx); err != nil {
				log.Error("notifications have stopped", "error", err)
			}
		})
	}
	all.Wait()
}

// letterbox is a Sender to whatever address is in the settings when a mail goes
// out: what waits for a mail server follows a corrected address.
type letterbox struct {
	config  notify.MailConfig
	address func() string
	log     *slog.Logger
}

// Name implements notify.Sender.
func (b *letterbox) Name() string { return "mail" }

// Send implements notify.Sender.
func (b *letterbox) Send(ctx context.Context, m notify.Message) error {
	address := b.address()
	if address == "" {
		return &notify.Rejected{Why: "no e-mail address is set any more (failover config set Email)"}
	}
	to, err := b.to(address)
	if err != nil {
		return err
	}
	return to.Send(ctx, m)
}

// to gives the Sender to one address.
func (b *letterbox) to(address string) (*notify.Mail, error) {
	c := b.config
	c.To = address
	return notify.NewMail(c, b.log)
}

// check gives every fault of what is configured, whoever is written to.
func (b *letterbox) check() error {
	_, err := b.to("somebody@example.com")
	return err
}

package config

import (
	"net"
	"net/mail"
	"strings"
)

// SMTP is the mail server of a node's notifications. Whom they go to is a
// setting: Email.
type SMTP struct{ Server, From, User, PasswordFile, TLS, TLSCA string }

func (n *NodeFile) readSMTP(v value) {
	keys{
		"server": text(&n.SMTP.Server), "from": text(&n.SMTP.From), "user": text(&n.SMTP.User),
		"password_file": file(&n.SMTP.PasswordFile), "tls": choice(&n.SMTP.TLS, "starttls", "tls", "none"), "tls_ca": file(&n.SMTP.TLSCA),
	}.read(v)
}

func (n *NodeFile) readNotify(v value) {
	hook := func(v value) {
		var w Webhook
		keys{"url": text(&w.URL), "secret_file": file(&w.SecretFile), "tls_ca": file(&w.TLSCA)}.read(v)
		n.Webhooks = append(n.Webhooks, w)
	}
	keys{"webhook": hook, "webhooks": list(hook)}.read(v)
}

func (n *NodeFile) checkNotify() (f Faults) {
	s := n.SMTP
	switch {
	case s == SMTP{}:
	case s.Server == "":
		f.Add("smtp/server", "server is missing: the mail server, like mail.example.com:587")
	case strings.ContainsAny(s.Server, " /@"):
		f.Add("smtp/server", "server must be a host and perhaps a port, like mail.example.com:587")
	}
	if a, err := mail.ParseAddress(s.From); s.From != "" && (err != nil || a.Address != s.From) {
		f.Add("smtp/from", "from must be one mail address and nothing else, like ha@example.com")
	}
	if s.User != "" && s.PasswordFile == "" {
		f.Add("smtp/user", "user has no password: password_file is missing")
	}
	if host, _, err := net.SplitHostPort(s.Server); s.TLS == "none" && err == nil && host != "localhost" && !loopback(s.Server) {
		f.Add("smtp/tls", "tls none is only for a server on this machine, and %s is another", host)
	}
	seen := map[string]bool{}
	for _, w := range n.Webhooks {
		switch {
		case w.URL == "":
			f.Add("notify", "a webhook has no url")
		case seen[w.URL]:
			f.Add("notify", "a webhook stands twice")
		}
		seen[w.URL] = true
	}
	return f
}

package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/quotedprintable"
	"net"
	netmail "net/mail"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	"github.com/emersion/go-smtp"

	"github.com/understudy-ha/understudy/internal/ha"
)

// opened reads a mail as a mail program does.
func opened(t *testing.T, letter []byte) (netmail.Header, string) {
	t.Helper()
	m, err := netmail.ReadMessage(bytes.NewReader(letter))
	if err != nil {
		t.Fatalf("%v\n%s", err, letter)
	}
	text, err := io.ReadAll(m.Body)
	if err != nil {
		t.Fatal(err)
	}
	return m.Header, string(text)
}

func TestAMailTellsTheMessage(t *testing.T) {
	t.Parallel()
	post := newPostOffice(t, nil)
	m, _ := post.mailer(t, nil)
	stage := newStage()
	stage.play(t, strings.Fields("core1=Active core2=Active dr1=Standby"))
	msg := stage.all[0]
	msg.ID = newID(msg.At)
	for range 2 { // a repeat is recognisable
		if err := m.Send(t.Context(), msg); err != nil {
			t.Fatal(err)
		}
	}
	letters := post.letters()
	if len(letters) != 2 {
		t.Fatalf("%d mails arrived, want 2", len(letters))
	}
	for _, letter := range letters {
		head, text := opened(t, letter)
		subject, err := new(mime.WordDecoder).DecodeHeader(head.Get("Subject"))
		if err != nil || !strings.HasPrefix(subject, "[understudy alarm] "+msg.Text[:40]) {
			t.Errorf("subject %q, %v", subject, err)
		}
		for key, want := range map[string]string{
			"From": "<understudy@core2.example.com>", "To": "<ha@example.com>", "Auto-Submitted": "auto-generated",
			"Message-Id": "<" + msg.ID + "@core2.example.com>", "X-Understudy-Event": "unknown",
		} {
			if got := head.Get(key); got != want {
				t.Errorf("%s: got %q, want %q", key, got, want)
			}
		}
		if at, err := head.Date(); err != nil || !at.Equal(msg.At) {
			t.Errorf("date %v %v, want %v", at, err, msg.At)
		}
		flat := strings.ReplaceAll(strings.ReplaceAll(text, "=\n", ""), "=3D", "=")
		for _, want := range []string{msg.Text, "What to do: " + msg.Do, "Group:  mdm, epoch 1", "What was seen:", "core1 at "} {
			if !strings.Contains(flat, want) {
				t.Errorf("no %q in\n%s", want, flat)
			}
		}
	}
}

func TestNothingThatPeopleOrNodesSayBeginsAHeader(t *testing.T) {
	t.Parallel()
	post := newPostOffice(t, nil)
	m, _ := post.mailer(t, nil)
	evil := "core1\r\nBcc: thief@example.com\r\n\r\n.\r\nMAIL FROM:<x>\u2028\u202eX: \x00\x1b[31m"
	msg := Message{
		ID: "x\r\nX-Evil: 1", Event: ha.Reason(evil), Severity: Severity(evil), Group: evil, Text: evil, Do: evil,
		Actor: evil, Reason: evil, Evidence: []ha.Reading{{Node: evil, Cause: ha.Cause(evil)}},
	}
	if err := m.Send(t.Context(), msg); err != nil {
		t.Fatal(err)
	}
	if got := len(post.letters()); got != 1 {
		t.Fatalf("%d mails arrived, want 1", got)
	}
	head, raw := opened(t, post.letters()[0])
	subject, err := new(mime.WordDecoder).DecodeHeader(head.Get("Subject"))
	if err != nil || strings.ContainsFunc(subject, func(r rune) bool { return !unicode.IsPrint(r) }) {
		t.Errorf("subject %q, %v", subject, err)
	}
	text, err := io.ReadAll(quotedprintable.NewReader(strings.NewReader(raw)))
	if err != nil || strings.ContainsFunc(string(text), func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }) || strings.Contains(string(text), "\nBcc:") {
		t.Errorf("body %q, %v", text, err)
	}
	known := map[string]bool{
		"From": true, "To": true, "Subject": true, "Date": true, "Message-Id": true, "Mime-Version": true, "Content-Type": true,
		"Content-Transfer-Encoding": true, "Auto-Submitted": true, "X-Understudy-Event": true,
	}
	for key, values := range head {
		if !known[key] || len(values) != 1 {
			t.Errorf("header %s: %q", key, values)
		}
	}
	if _, ok := stamped(strings.Trim(strings.Split(head.Get("Message-Id"), "@")[0], "<")); !ok {
		t.Errorf("Message-Id %q", head.Get("Message-Id"))
	}
}

func TestMailAnswersAreJudged(t *testing.T) {
	t.Parallel()
	post := newPostOffice(t, nil)
	password := secretIn(t, "horse battery\n", 0o600)
	m, _ := post.mailer(t, func(c *MailConfig) { c.PasswordFile = password })
	for _, tt := range []struct {
		command  string
		code     int
		rejected bool
	}{
		{"MAIL", 421, false},
		{"MAIL", 450, false},
		{"MAIL", 530, false}, // log in first
		{"MAIL", 550, true},
		{"MAIL", 553, true},
		{"RCPT", 450, false},
		{"RCPT", 451, false},
		{"RCPT", 550, true},
		{"RCPT", 551, true},
		{"DATA", 421, false},
		{"DATA", 452, false},
		{"DATA", 552, true},
		{"DATA", 554, true},
		{"AUTH", 454, false},
		{"AUTH", 534, false},
		{"AUTH", 535, false},
		{"AUTH", 538, false},
	} {
		post.refuse(tt.command, &smtp.SMTPError{Code: tt.code, EnhancedCode: smtp.EnhancedCode{tt.code / 100, 7, 1}, Message: "no horse battery\x1b here"})
		err := m.Send(t.Context(), say(1))
		var no *Rejected
		if err == nil || errors.As(err, &no) != tt.rejected {
			t.Errorf("%s %d: got %v, rejected must be %v", tt.command, tt.code, err, tt.rejected)
		}
		if err != nil && (strings.Contains(err.Error(), "horse battery") || strings.Contains(err.Error(), "\x1b") || len(err.Error()) > 2*errorLimit) {
			t.Errorf("%s %d: the error shows what it must not: %q", tt.command, tt.code, err)
		}
	}
	post.refuse("", nil)
	if err := m.Send(t.Context(), say(1)); err != nil {
		t.Error(err)
	}
	if got := post.logins[0]; got != "understudy@core2.example.com horse battery" {
		t.Errorf("logged in as %q", got)
	}
}

func TestAMailThatTheServerHasIsDeliveredThoughItNeverSaidGoodbye(t *testing.T) {
	t.Parallel()
	post := newPostOffice(t, nil)
	m, _ := post.mailer(t, nil)
	post.server.Backend = smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) { return &rude{counter{post, c}}, nil })
	if err := m.Send(t.Context(), say(1)); err != nil || len(post.letters()) != 1 {
		t.Errorf("got %v, and %d arrived", err, len(post.letters()))
	}
	post.lost = true // before it says that it has the mail: nobody can know
	if err := m.Send(t.Context(), say(1)); err == nil {
		t.Error("a delivery that nobody confirmed is taken for one")
	}
}

// rude hangs up instead of answering RSET.
type rude struct{ counter }

func (r *rude) Reset() {
	if r.p.tries > 0 && len(r.p.letters()) > 0 {
		_ = r.conn.Conn().Close()
	}
}

func TestNothingIsMailedWithoutTLS(t *testing.T) {
	t.Parallel()
	plain := newPostOffice(t, func(s *smtp.Server) { s.TLSConfig = nil; s.AllowInsecureAuth = true })
	password := secretIn(t, "horse battery", 0o600)
	m, _ := plain.mailer(t, func(c *MailConfig) { c.PasswordFile = password })
	if err := m.Send(t.Context(), say(1)); err == nil || !strings.Contains(err.Error(), "STARTTLS") {
		t.Errorf("a server without STARTTLS: got %v", err)
	}
	if len(plain.letters())+len(plain.logins) != 0 {
		t.Errorf("it got %d mails and the logins %v", len(plain.letters()), plain.logins)
	}
	m, _ = plain.mailer(t, func(c *MailConfig) { c.TLS = TLSNone })
	if err := m.Send(t.Context(), say(1)); err != nil || len(plain.letters()) != 1 {
		t.Errorf("on this machine, as configured: got %v", err)
	}

	foreign := newPostOffice(t, nil)
	m, _ = foreign.mailer(t, func(c *MailConfig) { c.TLSCA = ""; c.PasswordFile = password })
	if err := m.Send(t.Context(), say(1)); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("unknown authority: got %v", err)
	}
	m, _ = foreign.mailer(t, func(c *MailConfig) { c.Server = strings.Replace(c.Server, "127.0.0.1", "localhost", 1) })
	if err := m.Send(t.Context(), say(1)); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("another name: got %v", err)
	}
	if len(foreign.letters())+len(foreign.logins) != 0 {
		t.Errorf("it got %d mails and the logins %v", len(foreign.letters()), foreign.logins)
	}
}

func TestAServerMaySpeakTLSFromTheFirstByte(t *testing.T) {
	t.Parallel()
	post := preparePost(t, "127.0.0.1", nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	post.addr = l.Addr().String()
	post.serve(t, tls.NewListener(l, post.server.TLSConfig))
	password := secretIn(t, "horse battery", 0o600)
	m, _ := post.mailer(t, func(c *MailConfig) { c.TLS = TLSFirst; c.PasswordFile = password; c.User = "anna" })
	if err := m.Send(t.Context(), say(1)); err != nil || len(post.letters()) != 1 || post.logins[0] != "anna horse battery" {
		t.Errorf("got %v, %d mails, logins %v", err, len(post.letters()), post.logins)
	}
}

func TestAMailServerThatHangsIsCutOff(t *testing.T) {
	t.Parallel()
	for name, greets := range map[string]string{"says nothing": "", "greets": "220 x ESMTP\r\n", "drips": "220-x\r\n"} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				t.Cleanup(func() { c.Close() })
				_, _ = io.WriteString(c, greets)
			}
		}()
		m, err := NewMail(MailConfig{Server: l.Addr().String(), To: "ha@example.com", From: "a@b.c", Timeout: 100 * time.Millisecond}, (&journal{}).logger())
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Send(t.Context(), say(1)); err == nil || !strings.Contains(err.Error(), "not done within 100ms") {
			t.Errorf("%s: got %v", name, err)
		}
		m.config.Timeout = time.Hour
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(50*time.Millisecond, cancel)
		if err := m.Send(ctx, say(1)); err == nil {
			t.Errorf("%s: a cancelled mail was delivered", name)
		}
	}
}

func TestAnHourWithoutMailServerEndsInOneMailATransition(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		post := preparePost(t, "mail.example.com", nil)
		wire := newPipes()
		defer wire.Close()
		post.addr = "mail.example.com:587"
		post.serve(t, wire)
		m, _ := post.mailer(t, nil)
		m.dial = wire.dial
		dir := t.TempDir()
		n := start(t, dir, nil, m)
		wire.lie(true)
		began := time.Now()
		for i := range 3 {
			n.Tell(Message{Group: "mdm", Event: ha.FailedOver, Text: say(i).Text})
			time.Sleep(20 * time.Minute)
		}
		if got := len(files(t, dir, m.Name(), "*.json")); got != 3 || time.Since(began) != time.Hour {
			t.Errorf("%d messages wait after %s, want 3", got, time.Since(began))
		}
		n.stop() // the node is restarted meanwhile
		start(t, dir, nil, m)
		wire.lie(false)
		time.Sleep(deadTime + 2*longestWait)
		letters := post.letters()
		if len(letters) != 3 || len(files(t, dir, m.Name(), "*.json")) != 0 {
			t.Fatalf("%d mails arrived, want 3", len(letters))
		}
		seen := map[string]bool{}
		for i, letter := range letters {
			head, text := opened(t, letter)
			if seen[head.Get("Message-Id")] || !strings.Contains(text, say(i).Text) {
				t.Errorf("mail %d is %s:\n%s", i, head.Get("Message-Id"), text)
			}
			seen[head.Get("Message-Id")] = true
		}
		time.Sleep(2 * time.Hour)
		if got := len(post.letters()); got != 3 {
			t.Errorf("%d mails arrived, want 3 for ever", got)
		}
	})
}

func TestATestMailArrivesAtOnceAndItsFaultIsTold(t *testing.T) {
	t.Parallel()
	post := newPostOffice(t, nil)
	m, _ := post.mailer(t, nil)
	if err := SendTrial(t.Context(), m, "core2"); err != nil {
		t.Fatal(err)
	}
	head, text := opened(t, post.letters()[0])
	if head.Get("Subject") != "[understudy info] core2: this is a test; notifications of this node arrive here." || !strings.Contains(text, "Event:  test") {
		t.Errorf("%s\n%s", head.Get("Subject"), text)
	}
	post.refuse("RCPT", &smtp.SMTPError{Code: 550, Message: "no such user"})
	if err := SendTrial(t.Context(), m, "core2"); err == nil || !strings.Contains(err.Error(), "no such user") {
		t.Errorf("got %v", err)
	}
}

func TestAFaultyMailIsRefused(t *testing.T) {
	t.Parallel()
	ok := MailConfig{Server: "mail.example.com", From: "a@example.com", To: "ha@example.com"}
	if err := ok.Check(); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		edit func(*MailConfig)
		want string
	}{
		{func(c *MailConfig) { c.Server = "" }, `server "" must be a host`},
		{func(c *MailConfig) { c.Server = "smtp://x" }, "must be a host"},
		{func(c *MailConfig) { c.Server = "x:0" }, "must be a host"},
		{func(c *MailConfig) { c.Server = "x:70000" }, "must be a host"},
		{func(c *MailConfig) { c.Server = "a:b:c" }, "must be a host"},
		{func(c *MailConfig) { c.To = "" }, `to "" must be one mail address`},
		{func(c *MailConfig) { c.To = "ha" }, "must be one mail address"},
		{func(c *MailConfig) { c.To = "a@b, c@d" }, "must be one mail address"},
		{func(c *MailConfig) { c.To = "HA <a@b>" }, "must be one mail address"},
		{func(c *MailConfig) { c.To = "a@b\r\nBcc: c@d" }, "must be one mail address"},
		{func(c *MailConfig) { c.From = "a@b\nX: y" }, "from "},
		{func(c *MailConfig) { c.TLS = "maybe" }, "must be starttls, tls or none"},
		{func(c *MailConfig) { c.TLS = TLSNone }, "tls none is only for a server on this machine"},
		{func(c *MailConfig) { c.User = "x" }, "user has no password"},
		{func(c *MailConfig) { c.PasswordFile = "/nowhere/x" }, "password_file cannot be used"},
		{func(c *MailConfig) { c.TLSCA = "/nowhere/x" }, "tls_ca cannot be used"},
		{func(c *MailConfig) { c.Timeout = -1 }, "timeout -1ns must not be negative"},
	} {
		c := ok
		tt.edit(&c)
		_, err := NewMail(c, (&journal{}).logger())
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: got %v, want %q", c, err, tt.want)
		}
	}
	for server, want := range map[string]string{"x": "x 587", "x:25": "x 25", "[2001:db8::1]:25": "2001:db8::1 25", "2001:db8::1": "2001:db8::1 587", "[2001:db8::1]": "2001:db8::1 587"} {
		host, port, err := MailConfig{Server: server}.address()
		if got := fmt.Sprint(host, " ", port); err != nil || got != want {
			t.Errorf("%s: got %s, %v; want %s", server, got, err, want)
		}
	}
}

func TestAPasswordIsReadAtEachMail(t *testing.T) {
	t.Parallel()
	post := newPostOffice(t, nil)
	path := secretIn(t, "open secret", 0o604)
	m, log := post.mailer(t, func(c *MailConfig) { c.PasswordFile = path })
	for range 2 {
		if err := m.Send(t.Context(), say(1)); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Count(log.String(), "level=WARN"); got != 1 || strings.Contains(log.String(), "open secret") {
		t.Errorf("got %s, want one warning without the password", log)
	}
	m.password.path = secretIn(t, "\n", 0o600)
	if err := m.Send(t.Context(), say(1)); err == nil || !strings.Contains(err.Error(), "is empty") {
		t.Errorf("an empty password: got %v", err)
	}
	if !strings.HasPrefix(m.Name(), "mail-ha_example.com-") || checkName(m.Name()) != nil {
		t.Errorf("named %s", m.Name())
	}
}

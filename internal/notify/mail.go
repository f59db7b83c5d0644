package notify

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"

	"github.com/wneessen/go-mail"

	"github.com/understudy-ha/understudy/internal/statefile"
)

// Mail is the Sender that hands a message to a mail server (RFC 5321). What the
// server takes is a delivery; an answer 5xx about the message is a rejection;
// all else may pass, faults of TLS and of the login too, for a person can put
// them right while the messages wait.
type Mail struct {
	config   MailConfig
	host     string
	port     int
	roots    *x509.CertPool
	password *passwordFile // nil: no login
	dial     func(ctx context.Context, network, address string) (net.Conn, error)
}

// NewMail gives the Sender for a mail address. It does not call anybody.
func NewMail(c MailConfig, log *slog.Logger) (*Mail, error) {
	c = c.filled()
	if err := c.Check(); err != nil {
		return nil, err
	}
	host, port, err := c.address()
	if err != nil {
		return nil, err
	}
	roots, err := readRoots(c.TLSCA)
	if err != nil {
		return nil, err
	}
	m := &Mail{config: c, host: host, port: port, roots: roots, dial: (&net.Dialer{}).DialContext}
	if c.PasswordFile != "" {
		m.password = &passwordFile{path: c.PasswordFile, log: log}
	}
	return m, nil
}

// Name gives the address that is written to, and a mark of the whole way there.
func (m *Mail) Name() string {
	to := strings.Map(func(r rune) rune {
		if strings.ContainsRune(nameLetters, r) {
			return r
		}
		return '_'
	}, strings.ToLower(m.config.To))
	mark := sha256.Sum256([]byte(m.config.Server + "\n" + m.config.From + "\n" + m.config.To))
	return fmt.Sprintf("mail-%.100s-%x", to, mark[:4])
}

// Send mails msg. A message that is sent twice has the same Message-ID, by which
// mail programs know it.
func (m *Mail) Send(ctx context.Context, msg Message) error {
	ctx, cancel := context.WithTimeout(ctx, m.config.Timeout)
	defer cancel()
	letter, err := m.write(msg)
	if err != nil {
		return &Rejected{"write mail: " + err.Error()}
	}
	password, err := m.password.read()
	if err != nil {
		return err
	}
	client, err := m.client(ctx, password)
	if err != nil {
		return fmt.Errorf("prepare mail to %s: %w", m.config.Server, err)
	}
	err = client.DialAndSendWithContext(ctx, letter)
	switch {
	case letter.IsDelivered(): // the server has it, whatever became of the goodbye
		return nil
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("mail by %s: not done within %s", m.config.Server, m.config.Timeout)
	case err == nil:
		return fmt.Errorf("mail by %s: it was not taken", m.config.Server)
	}
	return m.judge(err, password)
}

// logins are the ways to log in, the best first. The last two tell the password
// to the server, and need TLS or this very machine.
var logins = []mail.SMTPAuthType{mail.SMTPAuthSCRAMSHA256, mail.SMTPAuthSCRAMSHA1, mail.SMTPAuthCramMD5, mail.SMTPAuthPlain, mail.SMTPAuthLogin}

// client gives the client for one delivery: messages are rare, and an old
// connection may be dead.
func (m *Mail) client(ctx context.Context, password string) (*mail.Client, error) {
	secure := &tls.Config{ServerName: m.host, MinVersion: tls.VersionTLS12, RootCAs: m.roots}
	options := []mail.Option{
		mail.WithPort(m.port), mail.WithTimeout(2 * m.config.Timeout), // ours ends first
		mail.WithTLSConfig(secure),
		mail.WithHELO(domain(m.config.From)), mail.WithoutNoop(),
		// The library gives up its context once connected, so a context that
		// ends closes the connection.
		mail.WithDialContextFunc(func(_ context.Context, network, address string) (net.Conn, error) {
			conn, err := m.dial(ctx, network, address)
			if err != nil {
				return nil, err
			}
			context.AfterFunc(ctx, func() { conn.Close() })
			if m.config.TLS == TLSFirst {
				conn = tls.Client(conn, secure)
			}
			return conn, nil
		}),
	}
	switch m.config.TLS {
	case TLSFirst:
		options = append(options, mail.WithSSL())
	case TLSNone:
		options = append(options, mail.WithTLSPolicy(mail.NoTLS))
	default:
		options = append(options, mail.WithTLSPolicy(mail.TLSMandatory))
	}
	if password != "" {
		options = append(options, mail.WithOpportunisticSMTPAuth(logins...), mail.WithUsername(m.config.User), mail.WithPassword(password))
	}
	return mail.NewClient(m.host, options...)
}

// loginCodes are the answers that mean the login and not the message (RFC 4954,
// 6).
var loginCodes = map[int]bool{530: true, 534: true, 535: true, 538: true}

// judge gives the error that a failed delivery stands for.
func (m *Mail) judge(err error, password string) error {
	why := fmt.Sprintf("mail by %s: %s", m.config.Server, clean(err.Error(), password))
	var refused *mail.SendError
	if errors.As(err, &refused) {
		if code := refused.ErrorCode(); code >= 500 && code < 600 && !loginCodes[code] {
			return &Rejected{why}
		}
	}
	return errors.New(why)
}

// clean gives the text of an error on one line, cut, and without the password,
// which the other side may echo.
func clean(text, password string) string {
	if password != "" {
		for _, hidden := range []string{password, base64.StdEncoding.EncodeToString([]byte(password))} {
			text = strings.ReplaceAll(text, hidden, "...")
		}
	}
	text = plainLine(text)
	if len(text) > errorLimit {
		text = strings.ToValidUTF8(text[:errorLimit], "") + "..."
	}
	return text
}

// passwordFile is a password that may be replaced while we run.
type passwordFile struct {
	path string
	log  *slog.Logger
	warn sync.Once // that others can read it
}

// read gives what the file holds now, without the line end; of no file nothing.
func (p *passwordFile) read() (string, error) {
	if p == nil {
		return "", nil
	}
	info, err := os.Stat(p.path)
	if err != nil {
		return "", fmt.Errorf("password_file cannot be used: %w", err)
	}
	if info.Mode().Perm()&0o004 != 0 {
		p.warn.Do(func() {
			p.log.Warn("every user of this machine can read password_file", "path", p.path, "mode", info.Mode().Perm().String())
		})
	}
	text, err := statefile.Read(p.path, secretLimit)
	if err != nil {
		return "", fmt.Errorf("password_file cannot be used: %w", err)
	}
	text = bytes.TrimRight(text, "\r\n")
	if len(text) == 0 {
		return "", fmt.Errorf("password_file %s is empty", p.path)
	}
	return string(text), nil
}

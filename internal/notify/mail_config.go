package notify

import (
	"errors"
	"fmt"
	"net"
	netmail "net/mail"
	"os"
	"strconv"
	"strings"
	"time"
)

// MailTLS says how the way to the mail server is kept secret.
type MailTLS string

// The ways: STARTTLS, without which nothing is sent; TLS from the first byte; none,
// which only a server on this machine may have.
const (
	StartTLS MailTLS = "starttls"
	TLSFirst MailTLS = "tls"
	TLSNone  MailTLS = "none"
)

// MailConfig says whom a Mail writes to, and by which server.
type MailConfig struct {
	Server       string // host and port; the port may be missing: 587, for TLSFirst 465
	From         string // empty: understudy@ and this machine's name
	To           string
	User         string // empty, where there is a password: From
	PasswordFile string // empty: no login
	TLS          MailTLS
	TLSCA        string        // PEM file of the authorities to trust instead of the system's; empty: the system's
	Timeout      time.Duration // for one message, from dial to goodbye; 0: 20 s
}

const defaultMailTimeout = 20 * time.Second

func (c MailConfig) filled() MailConfig {
	if c.TLS == "" {
		c.TLS = StartTLS
	}
	if c.Timeout == 0 {
		c.Timeout = defaultMailTimeout
	}
	if c.From == "" {
		host, err := os.Hostname()
		if err != nil || host == "" {
			host = "localhost"
		}
		c.From = "understudy@" + host
	}
	if c.User == "" && c.PasswordFile != "" {
		c.User = c.From
	}
	return c
}

// Check gives every fault of c, each in a sentence that begins with its key,
// or nil.
func (c MailConfig) Check() error {
	c = c.filled()
	var faults []error
	host, _, err := c.address()
	if err != nil {
		faults = append(faults, err)
	}
	for _, f := range []struct{ key, value string }{{"from", c.From}, {"to", c.To}} {
		if a, err := netmail.ParseAddress(f.value); err != nil || a.Address != f.value || plainLine(f.value) != f.value {
			faults = append(faults, fmt.Errorf("%s %.80q must be one mail address and nothing else, like ha@example.com", f.key, f.value))
		}
	}
	switch {
	case c.TLS != StartTLS && c.TLS != TLSFirst && c.TLS != TLSNone:
		faults = append(faults, fmt.Errorf("tls %.20q must be starttls, tls or none", string(c.TLS)))
	case c.TLS == TLSNone && err == nil && !local(host):
		faults = append(faults, fmt.Errorf("tls none is only for a server on this machine, and %s is another", host))
	}
	if c.User != "" && c.PasswordFile == "" {
		faults = append(faults, errors.New("user has no password: password_file is missing"))
	}
	faults = append(faults, unusable("password_file", c.PasswordFile), unusable("tls_ca", c.TLSCA), negative(c.Timeout))
	return errors.Join(faults...)
}

// unusable says that a file which a key names cannot be used, nil if it can or
// none is named.
func unusable(key, path string) error {
	if path == "" {
		return nil
	}
	if _, err := os.Stat(path); err != nil {
		return fmt.Errorf("%s cannot be used: %w", key, err)
	}
	return nil
}

// negative says that a timeout is, nil if it is not.
func negative(timeout time.Duration) error {
	if timeout < 0 {
		return fmt.Errorf("timeout %s must not be negative", timeout)
	}
	return nil
}

// address gives the server's host and port.
func (c MailConfig) address() (host string, port int, err error) {
	fault := fmt.Errorf("server %.80q must be a host and perhaps a port, like mail.example.com:587", c.Server)
	if c.Server == "" || strings.ContainsAny(c.Server, " \t\r\n/@") {
		return "", 0, fault
	}
	port = 587
	if c.TLS == TLSFirst {
		port = 465
	}
	host, text, err := net.SplitHostPort(c.Server)
	if err != nil {
		if bare := strings.Trim(c.Server, "[]"); net.ParseIP(bare) != nil || !strings.Contains(c.Server, ":") {
			return bare, port, nil
		}
		return "", 0, fault
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 || host == "" {
		return "", 0, fault
	}
	return host, int(n), nil
}

// local says whether a host is this machine.
func local(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func domain(address string) string { return address[strings.LastIndex(address, "@")+1:] }

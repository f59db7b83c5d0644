//go:build linux

package integration

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-smtp"
)

// letterbox is a mail server on loopback that keeps what it is given.
type letterbox struct {
	mu      sync.Mutex // guards the field below
	letters []string
}

func newLetterbox(t *testing.T) (l *letterbox, at string) {
	t.Helper()
	l, at = new(letterbox), loopback(freePort(t))
	l.open(t, at)
	return l, at
}

// open lets it be found at an address.
func (l *letterbox) open(t *testing.T, at string) {
	t.Helper()
	ln, err := net.Listen("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	s := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return l, nil }))
	s.Domain = "mail.example.com"
	go func() { _ = s.Serve(ln) }()
	t.Cleanup(func() { _ = s.Close() })
}

// What a smtp.Session is.
func (l *letterbox) Mail(string, *smtp.MailOptions) error { return nil }
func (l *letterbox) Rcpt(string, *smtp.RcptOptions) error { return nil }
func (l *letterbox) Reset()                               {}
func (l *letterbox) Logout() error                        { return nil }
func (l *letterbox) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.letters = append(l.letters, string(text))
	return err
}

// about gives how many letters have a text in them.
func (l *letterbox) about(text string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, letter := range l.letters {
		if strings.Contains(letter, text) {
			n++
		}
	}
	return n
}

func TestAFailoverIsWrittenByTheFront(t *testing.T) {
	t.Parallel()
	core1, core2 := pair(t)
	l, at := newLetterbox(t)
	f := startFront(t, plan{nodes: []node{core1, core2}, app: []string{
		"notify {", "mail ha@example.com {", "server " + at, "from front@example.com", "tls none", "}", "}",
	}})
	core1.Kill()
	f.expectServing("core2")
	await(t, "the failover is written", func() bool { return l.about("To: <ha@example.com>") > 0 })
	l.mu.Lock()
	defer l.mu.Unlock()
	seen := map[string]bool{}
	for _, letter := range l.letters {
		_, rest, _ := strings.Cut(letter, "Message-ID: ")
		id, _, _ := strings.Cut(rest, "\r\n")
		if id == "" || seen[id] {
			t.Errorf("a letter without a name of its own, or one that came twice:\n%s", letter)
		}
		seen[id] = true
	}
}

func TestAFailoverIsWrittenByTheSidecar(t *testing.T) {
	t.Parallel()
	core1, core2 := pair(t)
	l, at := newLetterbox(t)
	s := startSidecar(t, plan{nodes: []node{core1, core2}},
		fmt.Sprintf("notify: {mail: {to: ha@example.com, server: %q, from: sidecar@example.com, tls: none}}", at))
	core1.Kill()
	s.expectServing("core2")
	await(t, "the failover is written", func() bool { return l.about("From: <sidecar@example.com>") > 0 })
}

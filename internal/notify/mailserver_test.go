package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/understudy-ha/understudy/internal/hatest"
)

// postOffice is a mail server that keeps what it takes, and answers as told.
type postOffice struct {
	server *smtp.Server
	addr   string
	ca     string // file with its authority

	mu      sync.Mutex // guards the fields below
	taken   [][]byte
	logins  []string
	refuses map[string]*smtp.SMTPError // by command: MAIL, RCPT, DATA, AUTH
	lost    bool                       // the connection dies after DATA
	tries   int
}

// newPostOffice starts one on loopback.
func newPostOffice(t *testing.T, edit func(*smtp.Server)) *postOffice {
	t.Helper()
	p := preparePost(t, "127.0.0.1", edit)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.addr = l.Addr().String()
	p.serve(t, l)
	return p
}

func preparePost(t *testing.T, name string, edit func(*smtp.Server)) *postOffice {
	t.Helper()
	authority, err := hatest.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	cert, err := authority.Certificate(name)
	if err != nil {
		t.Fatal(err)
	}
	p := &postOffice{refuses: map[string]*smtp.SMTPError{}, ca: filepath.Join(t.TempDir(), "ca.pem")}
	if err := os.WriteFile(p.ca, authority.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	p.server = smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) { return &counter{p, c}, nil }))
	p.server.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}}
	p.server.ErrorLog = quietLog{}
	if edit != nil {
		edit(p.server)
	}
	return p
}

func (p *postOffice) serve(t *testing.T, l net.Listener) {
	done := make(chan struct{})
	go func() { defer close(done); _ = p.server.Serve(l) }()
	t.Cleanup(func() { p.server.Close(); <-done })
}

// mailer gives a Mail to this server.
func (p *postOffice) mailer(t *testing.T, edit func(*MailConfig)) (*Mail, *journal) {
	t.Helper()
	c := MailConfig{Server: p.addr, From: "understudy@core2.example.com", To: "ha@example.com", TLSCA: p.ca}
	if edit != nil {
		edit(&c)
	}
	log := &journal{}
	m, err := NewMail(c, log.logger())
	if err != nil {
		t.Fatal(err)
	}
	return m, log
}

func (p *postOffice) refuse(command string, answer *smtp.SMTPError) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuses = map[string]*smtp.SMTPError{command: answer}
}

func (p *postOffice) letters() [][]byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.taken)
}

// counter is one connection at the counter of a post office.
type counter struct {
	p    *postOffice
	conn *smtp.Conn
}

func (c *counter) Reset()        {}
func (c *counter) Logout() error { return nil }

// judge counts a command and gives the answer that it is to get.
func (c *counter) judge(command string) error {
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	if command == "MAIL" {
		c.p.tries++
	}
	if answer := c.p.refuses[command]; answer != nil {
		return answer
	}
	return nil
}

func (c *counter) Mail(string, *smtp.MailOptions) error { return c.judge("MAIL") }
func (c *counter) Rcpt(string, *smtp.RcptOptions) error { return c.judge("RCPT") }

func (c *counter) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if err := c.judge("DATA"); err != nil {
		return err
	}
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	c.p.taken = append(c.p.taken, bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")))
	if c.p.lost {
		return c.conn.Conn().Close()
	}
	return nil
}

func (c *counter) AuthMechanisms() []string { return []string{sasl.Plain} }

func (c *counter) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		c.p.mu.Lock()
		c.p.logins = append(c.p.logins, user+" "+password)
		c.p.mu.Unlock()
		return c.judge("AUTH")
	}), nil
}

type quietLog struct{}

func (quietLog) Printf(string, ...any) {}
func (quietLog) Println(...any)        {}

// pipes is a network inside one test's bubble.
type pipes struct {
	calls chan net.Conn
	ended chan struct{}
	once  sync.Once

	mu   sync.Mutex // guards the field below
	down bool
}

func newPipes() *pipes { return &pipes{calls: make(chan net.Conn), ended: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.calls:
		return c, nil
	case <-p.ended:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.ended) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	p.mu.Lock()
	down := p.down
	p.mu.Unlock()
	if down {
		return nil, errors.New("connection refused")
	}
	ours, theirs := net.Pipe()
	select {
	case p.calls <- theirs:
		return ours, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *pipes) lie(down bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = down
}

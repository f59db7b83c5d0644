//go:build linux

package integration

import (
	"bytes"
	"crypto/tls"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/understudy-ha/understudy/internal/hatest"
)

// transcript is the text of a page as a person follows it: blocks of a kind, or
// lines typed at a console with what must be seen then.
type transcript struct {
	t    *testing.T
	text string
}

// typed is a line at the console of a machine, under a heading of the page.
type typed struct {
	step, at, line string
	seen           []string // lines of the answer, in this order; … for anything
}

// blocks gives the fenced blocks of a kind.
func (p transcript) blocks(kind string) (all []string) {
	for _, m := range regexp.MustCompile("(?ms)^```"+kind+"\n(.*?)^```$").FindAllStringSubmatch(p.text, -1) {
		all = append(all, m[1])
	}
	return all
}

var prompt = regexp.MustCompile(`^(\w+)# (.*)$`)

// console gives what is typed, from the page's beginning to its end.
func (p transcript) console() (all []typed) {
	step, inside := "", false
	for line := range strings.Lines(p.text) {
		line = strings.TrimSuffix(line, "\n")
		switch m := prompt.FindStringSubmatch(line); {
		case line == "```console":
			inside = true
		case strings.HasPrefix(line, "```"):
			inside = false
		case !inside && strings.HasPrefix(line, "## "):
			step = strings.TrimPrefix(line, "## ")
		case inside && m != nil:
			all = append(all, typed{step: step, at: m[1], line: m[2]})
		case inside && len(all) > 0:
			last := &all[len(all)-1]
			last.seen = append(last.seen, line)
		}
	}
	return all
}

// missing gives the first line that is not seen; empty: all are.
func (c typed) missing(said string) string {
	lines := strings.Split(said, "\n")
	for _, want := range c.seen {
		match := regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(want), "…", ".*") + "$")
		for len(lines) > 0 && !match.MatchString(lines[0]) {
			lines = lines[1:]
		}
		if len(lines) == 0 {
			return want
		}
	}
	return ""
}

// TestStoryTheGuidesStepsWordForWord is the EPMM guide, Steps 1 to 4 and 6 and
// Table 3, tasks 1, 4 and 5, as docs/howto/node-pair.md tells them, typed at two
// machines that were installed a moment ago and have systemd, sshd and polkit.
func TestStoryTheGuidesStepsWordForWord(t *testing.T) {
	t.Parallel()
	page := transcript{t, read(t, filepath.Join("..", "docs", "howto", "node-pair.md"))}
	w := newWorld(t)
	letters, disk := postOffice(t, w)
	both := map[string]*machine{"core1": w.machine("core1", "192.0.2.10", disk), "core2": w.machine("core2", "192.0.2.11", disk)}
	configs, rules := page.blocks("yaml"), page.blocks("text")
	for i, name := range []string{"core1", "core2"} {
		m := both[name]
		m.up()
		if said, code := m.types("systemd-sysusers && systemctl daemon-reload", ""); code != 0 { // as the package does it
			t.Fatalf("%s: %s", name, said)
		}
		m.puts("/etc/understudy/node.yaml", configs[i])
		m.puts("/etc/polkit-1/rules.d/50-understudy.rules", rules[0])
	}
	clipboard, step, began := "", "", time.Now()
	for _, c := range page.console() {
		if c.step != step {
			t.Logf("%8v  %s", time.Since(began).Round(100*time.Millisecond), c.step)
			step = c.step
		}
		if c.step == "Try it" {
			both["core1"].boot.kill() // the plug
		}
		expectTyped(t, both, c, &clipboard)
	}
	if n := letters.about("this is a test"); n != 2 {
		t.Errorf("%d test mails came, want one of notify-test and one of validate", n)
	}
	if !within(patience, func() bool { return letters.about("X-Understudy-Event: becomes-primary") == 1 }) {
		t.Error("no mail says that core2 becomes primary")
	}
}

// expectTyped types a line, again and again where the page shows what comes of
// it in the end, and pastes what was copied last.
func expectTyped(t *testing.T, both map[string]*machine, c typed, clipboard *string) {
	t.Helper()
	m := both[c.at]
	var said string
	var code int
	input := ""
	if strings.HasSuffix(c.line, " -") {
		input = *clipboard
	}
	seen := func() bool {
		said, code = m.types(c.line, input)
		return code == 0 && c.missing(said) == ""
	}
	switch {
	case strings.HasPrefix(c.line, "failover status"), strings.HasPrefix(c.line, "failover log"): // look until it is so
		within(4*patience, seen)
	case strings.HasPrefix(c.line, "failover preflight"): // it may well find something
		said, code = m.types(c.line, input)
		t.Logf("%s# %s\n%s", c.at, c.line, said)
		code = 0
	default:
		seen()
	}
	if code != 0 || c.missing(said) != "" {
		for _, m := range both {
			if m.boot.up() {
				why, _ := m.types("journalctl --no-pager --lines 30", "")
				t.Log(why)
			}
		}
		t.Fatalf("%s, %s# %s\nexit code %d, not seen: %q; said:\n%s", c.step, c.at, c.line, code, c.missing(said), said)
	}
	if strings.Contains(c.line, "--local") {
		*clipboard = said
	}
}

// postOffice adds mail.example.com to a world, and gives what is installed on
// machines that know it and the authority of its certificate.
func postOffice(t *testing.T, w *world) (*letterbox, string) {
	t.Helper()
	authority, err := hatest.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	cert, err := authority.Certificate("mail.example.com")
	if err != nil {
		t.Fatal(err)
	}
	h := w.host("mail", "203.0.113.25")
	ln, err := h.listen(h.at(587))
	if err != nil {
		t.Fatal(err)
	}
	l := new(letterbox)
	s := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return l, nil }))
	s.Domain, s.TLSConfig = "mail.example.com", &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	go func() { _ = s.Serve(ln) }()
	t.Cleanup(func() { _ = s.Close() })
	disk := layer(t)
	for path, text := range map[string]string{
		"etc/hosts":               "127.0.0.1 localhost\n192.0.2.10 core1\n192.0.2.11 core2\n203.0.113.25 mail.example.com\n",
		"etc/ssl/certs/story.pem": string(bytes.TrimSpace(authority.PEM())) + "\n",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(disk, path)), 0o755); err != nil { // #nosec G301 -- as on any machine
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(disk, path), []byte(text), 0o644); err != nil { // #nosec G306 -- the same
			t.Fatal(err)
		}
	}
	return l, disk
}

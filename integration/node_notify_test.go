//go:build linux

package integration

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/understudy-ha/understudy/internal/ha"
)

// EPMM guide, Step 6, Notification Settings, and Table 3, task 4. The mail
// server is down at the failover and for longer than the node's engine lives.
func TestNodeTellsOfAFailoverThoughTheMailServerWasDown(t *testing.T) {
	t.Parallel()
	core1, core2 := newMembers(t)
	l, at := new(letterbox), loopback(freePort(t))
	h := newHook(t, "only we know")
	secret := filepath.Join(tempDir(t), "secret")
	write(t, secret, "only we know")
	core2.more = fmt.Sprintf("smtp: {server: %q, from: core2@example.com, tls: none}\nnotify: {webhook: {url: %q, secret_file: %q}}\n", at, h.server.URL, secret)
	for _, m := range []*member{core1, core2} {
		m.start()
		m.say(0, hurry...)
	}
	core1.say(0, "ha", "enable", "--mode", "primary")
	core2.say(0, "ha", "enable", "--mode", "secondary")
	core1.await(ha.Active)
	core2.await(ha.Standby)
	if said := core1.say(4, "notify-test"); !strings.Contains(said, "no mail server is configured") {
		t.Errorf("without a mail server the test button says %s", said)
	}
	core2.say(0, "config", "set", "Email", "ha@example.com", "Notify On: Failure / This server becomes primary", "yes")
	if said := core2.say(4, "notify-test"); !strings.Contains(said, "connection refused") {
		t.Errorf("the test button says %s", said)
	}

	core1.die()
	core2.await(ha.Active)
	if m := h.expect("becomes-primary"); m.Epoch != 2 || m.From != "core1" || m.To != "core2" || !strings.Contains(m.Text, "What it may cost: no dataset is configured") {
		t.Errorf("the webhook is told %+v", m)
	}
	core2.engine.kill() // what waits for the mail server waits on disk
	l.open(t, at)
	core2.start()
	core2.await(ha.Active)
	await(t, "the mail of the failover", func() bool { return l.about("X-Understudy-Event: becomes-primary") > 0 })
	if said := core2.say(0, "notify-test"); !strings.Contains(said, "taken a test mail to ha@example.com") || l.about("this is a test") != 1 {
		t.Errorf("the test button says %s, and %d test mails came", said, l.about("this is a test"))
	}

	// The Primary is up again: a person must know what to do.
	core1.more = core2.more
	core1.start()
	core1.say(0, "config", "set", "Email", "ha@example.com", "Notify On: Failure / This server becomes primary", "yes")
	if m := h.expect("superseded"); !strings.Contains(m.Text, "core1") {
		t.Errorf("the webhook is told %+v", m)
	}
	if n, m := h.count("failure-detected"), h.count("becomes-primary"); n != 1 || m != 2 { // the killed engine came back and was Active anew
		t.Errorf("the webhook was told of %d failures and %d times that core2 is Active:\n%s", n, m, strings.Join(h.events(), "\n"))
	}
	if n := l.about("X-Understudy-Event: failure-detected"); n != 1 {
		t.Errorf("%d mails of one failure", n)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, letter := range l.letters {
		if !strings.Contains(letter, "To: <ha@example.com>") || !strings.Contains(letter, "From: <core2@example.com>") {
			t.Errorf("a mail that nobody asked for:\n%s", letter)
		}
	}
}

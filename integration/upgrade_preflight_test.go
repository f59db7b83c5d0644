//go:build linux

package integration

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	mathbig "math/big"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/api"
	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/internal/ha"
)

// showsUntil answers TLS with a certificate that is good until a moment.
func showsUntil(t *testing.T, until time.Time) string {
	t.Helper()
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	card := &x509.Certificate{SerialNumber: mathbig.NewInt(1), DNSNames: []string{"mdm.example.com"}, NotBefore: until.AddDate(-1, 0, 0), NotAfter: until}
	der := must(x509.CreateCertificate(rand.Reader, card, card, key.Public(), key))
	l := must(tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}))
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _ = conn.(*tls.Conn).Handshake(); _ = conn.Close() }()
		}
	}()
	return l.Addr().String()
}

// TestStoryThePreflightFindsWhatStandsInTheWay breaks one thing after the other
// in a real pair, reads the sentence in the plan, and mends it again. Clock,
// heartbeat and application are broken in the unit tests of the items: in a real
// pair their faults move the roles first.
func TestStoryThePreflightFindsWhatStandsInTheWay(t *testing.T) {
	t.Parallel()
	s := startCopyingSite(t)
	version := func(m *member, text string) func() {
		return func() {
			write(t, filepath.Join(m.dir, "version"), text)
			await(t, m.name+" tells its version", func() bool {
				run, err := m.client.Run(context.Background())
				return err == nil && run.Release.Value == text
			})
		}
	}
	lock := func(release bool) func() {
		return func() {
			if _, err := s.core2.client.Lock(context.Background(), nodeapi.RunRequest{Run: "of-bob", Number: 7, Reason: "his", Release: release}); err != nil {
				t.Fatal(err)
			}
		}
	}
	front := func(args ...string) func() {
		return func() { s.say(0, append(args, "mdm", "--reason", "testing", "--api", s.front.at.admin)...) }
	}
	balancer := func(do string) func() {
		return func() {
			s.runtime(do + " server mdm/core1")
			await(t, "HAProxy has done so", func() bool { return strings.Contains(s.runtime("show stat"), "MAINT") == (do == "disable") })
		}
	}
	syncs := func(want bool) {
		await(t, "a sync runs, or has ended", func() bool {
			run, err := s.core2.client.Run(context.Background())
			return err == nil && run.Syncing == want
		})
	}
	settled := func() { s.core2.await(ha.Standby); s.front.await("armed", func(g api.Group) bool { return g.Armed }) }
	at := time.Now().UTC()
	window := fmt.Sprintf(`window: {from: %q, until: %q, zone: UTC}`, at.Add(-3*time.Hour).Format("15:04"), at.Add(-2*time.Hour).Format("15:04"))
	expired, soon := showsUntil(t, at.Add(-time.Hour)), showsUntil(t, at.AddDate(0, 0, 9))
	nobody := loopback(freePort(t))
	for _, c := range []struct {
		says  string // the line of the plan
		brk   func()
		mend  func()
		lines string // of upgrade.yaml
	}{
		{says: "fail  last-sync-success  core2 has no Last Sync Status"},
		{says: "pass  last-sync-success  Completed: ", brk: func() { s.core2.say(0, "sync", "core1") }},
		{says: "ago; sync_age is 1ms", lines: "sync_age: 1ms"},
		{says: "skip  last-sync-success  sync_first: the run syncs before it begins", lines: "sync_first: true"},
		{says: "fail  versions-equal     core1 tells 1.0 and core2 0.9", brk: version(s.core2, "0.9"), mend: version(s.core2, "1.0")},
		{says: "fail  target-newer       0.5 is not newer than 1.0", brk: func() { s.to = "0.5" }, mend: func() { s.to = "2.0" }},
		{says: "fail  disk-free          core1 has ", lines: "disk_free: 900000TiB"},
		{says: "fail  maintenance-window it is ", lines: window},
		{says: "fail  certificate-expiry the certificate at " + expired + " is good until ", lines: "certificates: [" + expired + "]"},
		{says: "fail  certificate-expiry the certificate at " + nobody + " cannot be seen: dial tcp", lines: "certificates: [" + nobody + "]"},
		{says: "warn  certificate-expiry a certificate is good only until ", lines: "certificates: [" + soon + "]"},
		{says: "fail  package-verified   core1 does not look at the package's digest", lines: "package: sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"},
		{says: "fail  lock-free          core2 is locked by the run of-bob", brk: lock(false), mend: lock(true)},
		{says: "fail  hold-supported     front is held already by ", brk: front("hold"), mend: front("release")},
		{says: "fail  hold-supported     lb cannot be held: ", brk: balancer("disable"), mend: balancer("enable")},
		{says: "fail  routers-agree      front sends clients to core2, not to core1", brk: front("switch", "--to", "core2", "--force"), mend: front("switch", "--to", "core1", "--force")},
		{says: "fail  mode-state         core2 is not_available, not in Standby", brk: func() { s.core2.say(0, "ha", "disable") }, mend: func() { s.core2.say(0, "ha", "enable", "--mode", "secondary"); settled() }},
		{says: "warn  no-sync-running    a sync runs", brk: func() {
			s.core1.sshd.signal(syscall.SIGSTOP)
			run(t, exec.Command(understudy, "failover", "--socket", s.agents["core2"], "sync", "core1"))
			syncs(true)
		}, mend: func() { s.core1.sshd.signal(syscall.SIGCONT); syncs(false) }},
	} {
		if c.brk != nil {
			c.brk()
		}
		s.configure("documented", c.lines)
		_, said := s.plan("upgrade")
		if !strings.Contains(said, c.says) {
			t.Errorf("it does not say %q:\n%s", c.says, said[max(0, strings.Index(said, "Preflight")):])
		}
		if c.mend != nil {
			c.mend()
		}
	}
	s.configure("documented")
	settled()
	if _, said := s.plan("upgrade"); strings.Contains(said, "fail  ") {
		t.Errorf("all is mended, and it says\n%s", said)
	}
}

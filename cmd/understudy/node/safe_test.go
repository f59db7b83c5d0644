package node

import (
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/config"
)

// systemd puts a systemctl into the PATH that knows two units.
func systemd(t *testing.T, engine, app string) {
	t.Helper()
	dir := t.TempDir()
	script := fmt.Sprintf("#!/bin/sh\ncase \"$*\" in *WatchdogUSec*) cat <<'E'\n%s\nE\n;; *) cat <<'E'\n%s\nE\n;; esac\n", engine, app)
	if err := os.WriteFile(filepath.Join(dir, "systemctl"), []byte(script), 0o700); err != nil { // #nosec G306 -- it is run
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

func TestProfileSafeIsRefusedWhereNobodyWouldStopTheApplication(t *testing.T) {
	own := ownUnit()
	good := "BindsTo=" + own + "\nAfter=basic.target " + own + "\nTimeoutStopUSec=20s"
	for _, tt := range []struct {
		name, unit, engine, app string
		want                    []string
	}{
		{"all is well", "app.service", "WatchdogUSec=5s\nWatchdogSignal=9", good, nil},
		{"no unit", "", "", "", []string{"app_unit"}},
		{"no watchdog", "app.service", "WatchdogUSec=0\nWatchdogSignal=9", good, []string{"needs WatchdogSec=5s or less"}},
		{"a slow and gentle one", "app.service", "WatchdogUSec=1min 30s\nWatchdogSignal=6", good, []string{"WatchdogSec=5s", "WatchdogSignal=SIGKILL"}},
		{"not bound", "app.service", "WatchdogUSec=5s\nWatchdogSignal=9", "BindsTo=other.service\nAfter=" + own + "\nTimeoutStopUSec=20s", []string{"app.service needs BindsTo=" + own}},
		{"not after it, and it never stops", "app.service", "WatchdogUSec=5s\nWatchdogSignal=9", "BindsTo=" + own + "\nAfter=\nTimeoutStopUSec=infinity", []string{"needs After=" + own, "needs TimeoutStopSec"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			systemd(t, tt.engine, tt.app)
			err := bound(&config.NodeEtcd{Unit: tt.unit, Watchdog: 5 * time.Second})
			if len(tt.want) == 0 && err != nil {
				t.Errorf("got %v", err)
			}
			for _, w := range tt.want {
				if err == nil || !strings.Contains(err.Error(), w) {
					t.Errorf("got %v, want %q", err, w)
				}
			}
		})
	}
}

// guarded gives a node.yaml whose application is a file that is there or not.
func guarded(t *testing.T) (file, app string) {
	t.Helper()
	dir := t.TempDir()
	file, app = filepath.Join(dir, "node.yaml"), filepath.Join(dir, "app")
	text := fmt.Sprintf(`name: core1
status: {listen: "127.0.0.1:18080"}
peer: {name: core2, status: "http://127.0.0.1:18081"}
app: {health_command: [test, -e, %q], health_interval: 100ms, start: [touch, %q], stop: [rm, -f, %q]}
etcd: {endpoints: ["http://127.0.0.1:1"], watchdog: 500ms}
`, app, app, app)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(app, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return file, app
}

func TestTheSupervisorStopsTheApplicationWhenTheEngineIsGone(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		told  string
		stays bool
	}{
		{"", false}, // it died before it could tell anything
		{"true 1000\n", false},
		{"false 1000\n", true}, // High Availability is disabled: it is left alone
		{"true 1000\nnonsense\n", false},
	} {
		file, app := guarded(t)
		if err := Guard(file, strings.NewReader(tt.told), slog.New(slog.DiscardHandler)); err != nil {
			t.Errorf("%q: %v", tt.told, err)
		}
		if _, err := os.Stat(app); (err == nil) != tt.stays {
			t.Errorf("%q: the application runs: %t", tt.told, err == nil)
		}
	}
}

func TestWhoIsNotAllowedIsNotAnsweredAtThePortal(t *testing.T) {
	t.Parallel()
	f := &fence{allow: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")}}
	for at, want := range map[string]bool{
		"192.0.2.9:1": true, "[::ffff:192.0.2.9]:1": true, "[2001:db8::1]:1": true, "198.51.100.1:1": false, "[2001:db9::1]:1": false,
	} {
		if got := f.lets(text(at)); got != want {
			t.Errorf("%s: %t", at, got)
		}
	}
	if !(&fence{}).lets(text("198.51.100.1:1")) {
		t.Error("without a list somebody was refused")
	}
}

// text is an address as it is written.
type text string

func (t text) Network() string { return "tcp" }
func (t text) String() string  { return string(t) }

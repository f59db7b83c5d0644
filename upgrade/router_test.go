package upgrade

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/config"
)

// The answers of an HAProxy 2.6 with one server that is backup.
const (
	serversState = `1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr srv_agent_addr srv_agent_port
3 mdm 1 core1 192.0.2.10 2 0 1 1 5 15 3 3 6 0 0 0 - 443 - 0 0 - - 0
3 mdm 2 core2 192.0.2.11 0 0 1 1 5 13 2 0 6 0 0 0 - 443 - 0 0 - - 0`
	showStat = "# pxname,svname,status,act,bck,\nmdm,core1,UP,1,0,\nmdm,core2,DOWN,0,1,\nmdm,BACKEND,UP,1,1,\n"
)

func TestHAProxyIsOnlyHeldWhereThatSendsClientsNowhereElse(t *testing.T) {
	t.Parallel()
	servers, err := parseServers(serversState)
	if err != nil || len(servers) != 2 || servers[0].address != "192.0.2.10:443" {
		t.Fatal(servers, err)
	}
	backups, err := parseBackups(showStat, "mdm")
	if err != nil || !backups["core2"] || backups["core1"] {
		t.Fatal(backups, err)
	}
	for want, change := range map[string]func([]haServer){
		"":                         func([]haServer) {},
		"core1 is not up":          func(s []haServer) { s[0].up = false },
		"core1 is not up as":       func(s []haServer) { s[0].admin = 1 },
		"core2 is not up":          func(s []haServer) { s[1].backup = false },
		"exactly one server must":  func(s []haServer) { s[0].backup = true },
		"and 2 are (core1, core2)": func(s []haServer) { s[1].backup, s[1].up = false, true },
	} {
		list := append([]haServer(nil), servers...)
		list[1].backup = true
		change(list)
		if got := unsafeHold(list); !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	for _, bad := range []string{"", "2\n", "Unknown command", "1\n# be_id srv_name\n", "1\n# srv_name srv_check_state srv_admin_state\ncore1 x 0\n"} {
		if _, err := parseServers(bad); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

func TestACommandThatSaysItHoldsIsReadBack(t *testing.T) {
	t.Parallel()
	mark := filepath.Join(t.TempDir(), "mark")
	c := &commandRouter{config.RunRouter{
		Hold: []string{"touch", mark}, Release: []string{"rm", mark}, Read: []string{"sh", "-c", `test -e "$0" && echo frozen || echo moving`, mark},
		Held: "frozen", Timeout: 10 * time.Second,
	}}
	ctx := context.Background()
	if r := c.Look(ctx); r.Held || r.Fault != "" || r.Said != `"moving"` {
		t.Errorf("at first: %+v", r)
	}
	if err := c.Do(ctx, Deed{Do: DoHold}); err != nil || !c.Look(ctx).Held {
		t.Errorf("held: %v, %+v", err, c.Look(ctx))
	}
	if err := c.Do(ctx, Deed{Do: DoRelease}); err != nil || c.Look(ctx).Held {
		t.Errorf("released: %v", err)
	}
	var refused *Refused
	if err := c.Do(ctx, Deed{Do: DoRelease}); !errors.As(err, &refused) || !strings.Contains(err.Error(), "exit status 1") {
		t.Errorf("a command that fails: %v", err)
	}
	c.Hold, c.Timeout = []string{"sleep", "600"}, 50*time.Millisecond
	if err := c.Do(ctx, Deed{Do: DoHold}); err == nil || errors.As(err, &refused) || !strings.Contains(err.Error(), "not done within timeout 50ms") {
		t.Errorf("a command that hangs is not known to have failed: %v", err)
	}
}

// anSSH puts a program called ssh in front of the path: it writes its arguments
// down and does what they say here.
func anSSH(t *testing.T, script string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "ssh"), []byte("#!/bin/sh\n"+script), 0o700); err != nil { // #nosec G306 -- it is run
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

func TestOverSSHOnlyConfiguredCommandsRunAndABrokenConnectionIsNoNo(t *testing.T) {
	said := filepath.Join(t.TempDir(), "said")
	anSSH(t, `while [ "$1" != "--" ]; do shift; done; shift 2
echo "$@" >> `+said+`
case "$1" in
install) exit 0 ;;
check) echo "3 tests failed"; exit 1 ;;
reboot) exit 255 ;;
esac`)
	s := &sshHand{node: config.RunNode{SSH: "admin@192.0.2.11", Commands: map[string][]string{
		"upgrade": {"install", "${VERSION}"}, "validate": {"check"}, "disable": {"reboot"}, "sync": {"failover", "sync", "${PEER}"},
	}}, limits: quick("documented").Timeouts, version: "2.0"}
	ctx := context.Background()
	if err := s.Do(ctx, Deed{Do: DoUpgrade}); err != nil {
		t.Error(err)
	}
	if err := s.Do(ctx, Deed{Do: DoSync, With: "core1"}); err != nil {
		t.Error(err)
	}
	var refused *Refused
	if err := s.Do(ctx, Deed{Do: DoValidate}); !errors.As(err, &refused) || !strings.Contains(err.Error(), "3 tests failed") {
		t.Errorf("a command that says no: %v", err)
	}
	if err := s.Do(ctx, Deed{Do: DoDisable}); err == nil || errors.As(err, &refused) {
		t.Errorf("a connection that broke: %v", err)
	}
	var hand *ByHand
	if err := s.Do(ctx, Deed{On: "core2", Do: DoPrimary}); !errors.As(err, &hand) || !strings.Contains(hand.Say, "failover mode primary (guide, step 4; Table 5)") {
		t.Errorf("without a command: %v", err)
	}
	if err := s.Do(ctx, Deed{Do: DoSync, With: "core1; reboot"}); !errors.As(err, &refused) {
		t.Errorf("a name that is none: %v", err)
	}
	text, err := os.ReadFile(said)
	if err != nil || string(text) != "install 2.0\nfailover sync core1\ncheck\nreboot\n" {
		t.Errorf("it ran %q, %v", text, err)
	}
}

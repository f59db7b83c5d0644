package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	engine "github.com/understudy-ha/understudy/cmd/understudy/node"
	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/internal/ha"
)

// appliance is a node core1 whose peer is down, and whose application is a file.
type appliance struct {
	t      *testing.T
	socket string
}

func newAppliance(t *testing.T) *appliance {
	t.Helper()
	dir, err := os.MkdirTemp("", "us") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	free := func() string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		return l.Addr().String()
	}
	file, runs := filepath.Join(dir, "node.yaml"), filepath.Join(dir, "runs")
	if err := os.WriteFile(file, fmt.Appendf(nil, `name: core1
data_dir: data
socket: s
status: {listen: %q}
peer: {name: core2, status: "http://127.0.0.1:1"}
app: {start: [touch, %s], stop: [rm, -f, %[2]s], health_command: [test, -e, %[2]s], health_interval: 100ms, version: [echo, "11.12"], count: [echo, "4711"]}
client_connection: {listen: %[3]q, forward: "127.0.0.1:1"}
`, free(), runs, free()), 0o600); err != nil {
		t.Fatal(err)
	}
	n, err := engine.Open(file, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := n.Run(ctx); err != nil {
			t.Errorf("the node ended by itself: %v", err)
		}
	})
	t.Cleanup(func() { cancel(); running.Wait() })
	return &appliance{t, filepath.Join(dir, "s")}
}

// run runs the binary by the name failover.
func (a *appliance) run(line ...string) result {
	a.t.Helper()
	var out, err bytes.Buffer
	s := &session{name: "/usr/bin/failover", args: line, out: &out, err: &err, host: "desk", getenv: lookup([]string{"UNDERSTUDY_NODE=" + a.socket})}
	code := run(a.t.Context(), s)
	return result{code, out.String(), err.String()}
}

func (a *appliance) want(code int, says string, line ...string) result {
	a.t.Helper()
	r := a.run(line...)
	if r.code != code || !regexp.MustCompile(says).MatchString(r.out+r.err) {
		a.t.Errorf("failover %s: exit code %d, want %d and %q:\n%s%s", strings.Join(line, " "), r.code, code, says, r.out, r.err)
	}
	return r
}

func TestTheApplianceCommandsSteerANode(t *testing.T) {
	t.Parallel()
	a := newAppliance(t)
	a.want(0, `(?s)core1  Mode: none  State: \w+.*High Availability +Disable`, "status")
	a.want(0, `the Mode that is shown is Primary now, and nothing else has changed`, "mode", "primary")
	a.want(1, `do:   Say which part it has: failover ha enable --mode primary`, "ha", "enable")
	a.want(0, `High Availability: Enable. Mode: Primary.\nProfile documented: two nodes alone`, "ha", "enable", "--mode", "primary")
	a.want(0, `(?m)^core1 is Active, epoch 1\.$`, "mode", "primary")
	a.want(4, `why:  only a Standby replicates; a system in Primary mode does not`, "sync", "core2")
	a.want(1, `"10.0.0.1" is not the peer of this node`, "sync", "10.0.0.1")
	a.want(0, `^core1 is in Standby. The replication schedule was not started again.\n$`, "mode", "secondary", "--reason", "upgrade")
	a.want(4, `why:  no dataset is configured`, "sync", "core2")
	a.want(0, `Result: Failed: no dataset is configured`, "sync-history")
	r := a.want(0, `core1 is Active, epoch 5.`, "mode", "primary")
	if !strings.Contains(r.err, "core2 does not answer. If it runs behind a cut network, both are Active afterwards.") {
		t.Errorf("mode primary warns: %s", r.err)
	}
	a.want(0, `Client connection: disabled. Clients connected now: 0.`, "client-connection", "disable")
	a.want(0, `client connection +disabled, closed`, "status")
	a.want(0, `Client connection: enabled.`, "client-connection", "enable")
	a.want(0, `nothing is copied`, "services")
	a.want(1, `there is no dataset "atlas"`, "services", "enable", "atlas")
	a.want(0, `Paused`, "pause")
	a.want(0, `Not paused`, "unpause")
	a.want(0, `is Active, epoch 5`, "resolve", "--keep", "core1")
	a.want(1, `--keep NODE must be core1 or core2`, "resolve", "--keep", "core9")
	a.want(0, `(?s)PROMOTING -> ACTIVE, epoch 1:.*what may be lost: no dataset is configured.*-> ACTIVE, epoch 5`, "history")
	a.want(0, `High Availability: Disable.`, "ha", "disable")
}

func TestTheNodeSettingsHaveTheGuidesNames(t *testing.T) {
	t.Parallel()
	a := newAppliance(t)
	r := a.want(0, `(?m)^If Failure Detected +Promote to Primary$`, "config", "show")
	for _, name := range []string{"Heartbeat Interval", "Consecutive Heartbeat failures before failover", "Re-check interval", "StartTime", "Run Every", "Notify On: Sync Completion", "Notify On: Failure / This server becomes primary"} {
		if !strings.Contains(r.out, name+" ") {
			t.Errorf("%s is missing:\n%s", name, r.out)
		}
	}
	a.want(0, `warning: Run Every is below 60 minutes`, "config", "set", "run-every", "30 minutes", "if failure detected", "keep in standby")
	a.want(0, `(?s)If Failure Detected +Keep in Standby.*Run Every +30 minutes`, "config", "show")
	a.want(4, `why:  .*longer than the Re-check interval of 1s`, "config", "set", "re-check interval", "1s")
	a.want(1, `it takes NAME VALUE`, "config", "set", "StartTime")
	file := filepath.Join(t.TempDir(), "log")
	a.want(0, `bytes are in`, "log", "--module", "HighAvailability", "--export", file)
	if text, _ := os.ReadFile(file); !strings.Contains(string(text), "saves settings: If Failure Detected: Keep in Standby instead of Promote to Primary, Run Every: 30 minutes instead of 1 hours") {
		t.Errorf("the exported log says %s", text)
	}
	a.want(1, `there is no module "MICS"`, "log", "--module", "MICS")
}

func TestTheNodeTellsProgramsAsMuchAsPeople(t *testing.T) {
	t.Parallel()
	a := newAppliance(t)
	var d nodeapi.Status
	if err := json.Unmarshal([]byte(a.want(0, "", "status", "--json").out), &d); err != nil || d.Name != "core1" || d.Profile != ha.Documented || d.Version != 1 {
		t.Errorf("got %+v, %v", d, err)
	}
	var items []nodeapi.Item
	r := a.run("preflight", "--json")
	if err := json.Unmarshal([]byte(r.out), &items); err != nil || len(items) < 9 || items[0].Result != "failed" {
		t.Errorf("got %v, %v", items, err)
	}
	a.want(10, `(?s)failed +port of the peer +the status pages of core2: .*unknown +release +"11.12" here.*device count +"4711"`, "preflight")
	a.want(0, `^The node's machine, profile safe`, "fsm", "--profile", "safe")
	a.want(0, `^stateDiagram-v2`, "fsm", "--mermaid")
}

func TestWithoutANodeTheCommandSaysWhereItLooked(t *testing.T) {
	t.Parallel()
	r := runs(t, nil, "failover", "--socket", filepath.Join(t.TempDir(), "none"), "mode", "primary")
	if lines := strings.Split(strings.TrimSpace(r.err), "\n"); r.code != exitUnreachable || len(lines) != 4 || !strings.Contains(r.err, "systemctl start understudy-node") {
		t.Errorf("exit code %d:\n%s", r.code, r.err)
	}
	for _, line := range [][]string{{"mode", "third"}, {"client-connection"}, {"mode"}, {"sync"}, {"nonsense"}} {
		if r := runs(t, nil, append([]string{"failover"}, line...)...); r.code != exitUsage {
			t.Errorf("failover %v: exit code %d:\n%s", line, r.code, r.err)
		}
	}
}

func TestANodeYAMLIsChecked(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "node.yaml")
	if err := os.WriteFile(file, []byte("name: core1\nstatus: {lisen: \":80\"}\napp: {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, line := range [][]string{{"check", "--config", file}, {"node", "--config", file}} {
		r := runs(t, nil, line...)
		if r.code != exitConfig || !strings.Contains(r.err, file+`:2:10: unknown key "lisen"; did you mean listen?`) || !strings.Contains(r.err, "^") {
			t.Errorf("%v: exit code %d:\n%s", line, r.code, r.err)
		}
	}
}

//go:build linux

package integration

import (
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/haengine"
	"github.com/understudy-ha/understudy/internal/api"
	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/internal/ha"
)

// EPMM guide, Table 1, row by row, with a front that follows.
func TestNodeEngineTable1(t *testing.T) {
	t.Parallel()
	core1, core2 := startMembers(t)
	f := frontOf(t, core1, core2)

	// Primary server is up.
	expectOneTruth(t, f, core1, core2, "core1")
	if got := core1.page(ha.StatusPage) + ", " + core2.page(ha.HAStatusPage); got != "200 MOBILEIRON-STATUS: OK, 200 MOBILEIRON-STATUS: OK (Mode: Standby)" {
		t.Errorf("the pages say %s", got)
	}
	f.expectFrom("core1", f.get())
	if got := core2.serves(); got != "" {
		t.Errorf("the stand-by's door is open: %s answers", got)
	}

	// Primary server is down: the Secondary is promoted and starts responding.
	died := time.Now()
	core1.die()
	core2.await(ha.Active)
	took := time.Since(died)
	f.expectServing("core2")
	f.expectFrom("core2", f.get())
	expectOneTruth(t, f, core1, core2, "core2")
	t.Logf("core2 was Active %v after the death of core1", took.Round(time.Millisecond))
	last := historyOf(core2)
	if p := last[len(last)-1]; p.To != ha.InActive || p.Epoch != 2 || p.Misses < 4 || p.Loss != haengine.NoDataset || p.Peer == "" {
		t.Errorf("the promotion stands in the history as %+v", p)
	}

	// Primary is up again: nothing happens by itself.
	core1.start()
	core1.awaits("superseded", func(d nodeapi.Status) bool { return d.Phase == ha.OutSuperseded })
	core1.expectStay(ha.NotAvailable, time.Second)
	if got := core1.page(ha.HAStatusPage); got != "503 MOBILEIRON-STATUS: NOT OK (superseded)" {
		t.Errorf("the returned Primary's page says %s", got)
	}
	expectOneTruth(t, f, core1, core2, "core2")
	if core1.appRuns() {
		t.Error("the returned Primary's application runs")
	}

	// A person brings row 1 back.
	core1.say(0, "mode", "secondary")
	if said := core1.say(4, "sync", "core2"); !strings.Contains(said, "no dataset is configured") {
		t.Errorf("sync says %s", said)
	}
	core2.say(0, "mode", "secondary")
	if said := core1.say(0, "mode", "primary"); !strings.Contains(said, "core1 is Active, epoch 5.") {
		t.Errorf("mode primary says %s", said)
	}
	core2.await(ha.Standby)
	f.awaitNode("core1", api.Active)
	if said, code := tool(t, "resume", "mdm", "--reason", "core1 is back", "--api", f.at.admin); code != 0 {
		f.await("core1 can be resumed", func(g api.Group) bool {
			_, code = tool(t, "resume", "mdm", "--reason", "core1 is back", "--api", f.at.admin)
			return code == 0 || g.Serving == "core1"
		})
		t.Logf("resume first said %s", said)
	}
	expectOneTruth(t, f, core1, core2, "core1")
	f.expectFrom("core1", f.get())
}

func historyOf(m *member) (all []nodeapi.Transition) {
	m.t.Helper()
	if err := m.client.Get(m.t.Context(), "history", &all); err != nil {
		m.t.Fatal(err)
	}
	return all
}

func TestNodeEngineModeCommandsSayWhoIsActive(t *testing.T) {
	t.Parallel()
	core1, core2 := startMembers(t)

	// The stand-by takes over from an Active that a person has sent into Standby.
	core1.say(0, "mode", "secondary")
	core1.await(ha.Standby)
	core2.await(ha.Active)
	core1.expectStay(ha.Standby, time.Second)

	// The command may be given again.
	core2.say(0, "mode", "primary")
	core2.await(ha.Active)

	// Over an Active that cannot be asked: the newer epoch wins, by itself.
	if said := core1.say(0, "mode", "primary"); !strings.Contains(said, "core2 is Active. It cannot be asked to step down") {
		t.Errorf("mode primary over an Active says %s", said)
	}
	core2.awaits("superseded", func(d nodeapi.Status) bool { return d.Phase == ha.OutSuperseded })
	core1.await(ha.Active)
	if core2.appRuns() {
		t.Error("the superseded node's application runs on")
	}
	if got := core1.serves() + core2.serves(); got != "core1" {
		t.Errorf("at the doors answer %q, want core1 alone", got)
	}
}

// EPMM guide, software upgrade procedures, 1, 4 and 6.
func TestNodeEngineDisabledHADoesNothingByItself(t *testing.T) {
	t.Parallel()
	core1, core2 := startMembers(t)
	var trace strings.Builder
	tell := func(what string) {
		d1, d2 := core1.status(), core2.status()
		trace.WriteString(what + ": core1 " + one(d1) + ", core2 " + one(d2) + "\n")
	}
	tell("enabled")
	core2.say(0, "ha", "disable")
	tell("core2 disabled")
	core2.say(0, "mode", "primary")
	tell("core2 shown as Primary")
	if got := core2.page(ha.HAStatusPage); !strings.HasPrefix(got, "503 ") {
		t.Errorf("a disabled stand-by shown as Primary says %s", got)
	}
	said := core2.say(4, "ha", "enable")
	if !strings.Contains(said, "failover mode secondary first") {
		t.Errorf("enable says %s", said)
	}
	core2.say(0, "mode", "secondary")
	tell("core2 shown as Secondary")
	core1.say(0, "ha", "disable")
	tell("core1 disabled too")
	if got := core1.serves(); got != "core1" {
		t.Errorf("a disabled Active serves on: %q answers", got)
	}
	core1.engine.kill()
	core1.start()
	core1.await(ha.Active)
	tell("core1's engine anew")
	core1.say(0, "ha", "enable")
	core2.say(0, "ha", "enable")
	core1.await(ha.Active)
	core2.await(ha.Standby)
	tell("enabled again")
	const want = `enabled: core1 Active (ACTIVE), core2 Standby (STANDBY)
core2 disabled: core1 Active (ACTIVE), core2 NotAvailable (OFF)
core2 shown as Primary: core1 Active (ACTIVE), core2 NotAvailable (OFF, shown Primary)
core2 shown as Secondary: core1 Active (ACTIVE), core2 NotAvailable (OFF, shown Secondary)
core1 disabled too: core1 Active (OFF), core2 NotAvailable (OFF, shown Secondary)
core1's engine anew: core1 Active (OFF), core2 NotAvailable (OFF, shown Secondary)
enabled again: core1 Active (ACTIVE), core2 Standby (STANDBY)
`
	if got := trace.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func one(d nodeapi.Status) string {
	s := d.State.String() + " (" + d.Phase.String()
	if d.Shown != ha.Uncast {
		s += ", shown " + d.Shown.String()
	}
	return s + ")"
}

func TestNodeEngineThatWasFrozenDoesNotSayOKAgain(t *testing.T) {
	t.Parallel()
	core1, core2 := startMembers(t)
	core1.engine.signal(syscall.SIGSTOP)
	core2.await(ha.Active)
	time.Sleep(4 * time.Second) // longer than the loop may be late
	core1.engine.signal(syscall.SIGCONT)
	if got := core1.page(ha.StatusPage); !strings.HasPrefix(got, "503 ") {
		t.Errorf("the thawed node's first answer is %s", got)
	}
	core1.awaits("superseded", func(d nodeapi.Status) bool { return d.Phase == ha.OutSuperseded })
	if core1.appRuns() {
		t.Error("the superseded node's application runs on")
	}
	core2.expectStay(ha.Active, time.Second)
}

func TestNodeEngineWhoseApplicationFreezesGivesWay(t *testing.T) {
	t.Parallel()
	core1, core2 := startMembers(t)
	core1.signalApp(syscall.SIGSTOP)
	core1.await(ha.NotAvailable)
	if got := core1.page(ha.StatusPage); got != "503 MOBILEIRON-STATUS: NOT OK (application)" {
		t.Errorf("the page says %s", got)
	}
	core2.await(ha.Active)
	core1.awaits("superseded", func(d nodeapi.Status) bool { return d.Phase == ha.OutSuperseded })
	if core1.appRuns() {
		t.Error("the frozen application was not ended")
	}
	if got := core2.serves(); got != "core2" {
		t.Errorf("%q answers at core2's door", got)
	}
}

func TestNodeEngineKeepsNewClientsOutAndOldOnesIn(t *testing.T) {
	t.Parallel()
	core1, core2 := startMembers(t)
	core2.say(0, "config", "set", "consecutive heartbeat failures before failover", "100") // a restart is no failover here
	old, err := net.Dial("tcp", core1.door)
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	ask := func() string {
		_ = old.SetDeadline(time.Now().Add(patience))
		if _, err := io.WriteString(old, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			return err.Error()
		}
		text := make([]byte, 4096)
		n, err := old.Read(text)
		if err != nil {
			return err.Error()
		}
		return string(text[:n])
	}
	if got := ask(); !strings.Contains(got, "X-Node: core1") {
		t.Fatalf("before: %s", got)
	}
	if said := core1.say(0, "client-connection", "disable"); said != "Client connection: disabled. Clients connected now: 1.\n" {
		t.Errorf("disable says %s", said)
	}
	if got := core1.serves(); got != "" {
		t.Errorf("a new client was let in by %s", got)
	}
	if got := ask(); !strings.Contains(got, "X-Node: core1") {
		t.Errorf("the old client hears %s", got)
	}
	if got := core1.page(ha.StatusPage); got != "200 MOBILEIRON-STATUS: OK" {
		t.Errorf("the page says %s", got)
	}
	core1.engine.signal(syscall.SIGTERM)
	if code := core1.engine.end(t); code != 0 {
		t.Errorf("the engine ended with %d", code)
	}
	core1.start()
	core1.await(ha.Active)
	if got := core1.serves(); got != "" {
		t.Errorf("after a restart %s lets clients in", got)
	}
	core1.say(0, "client-connection", "enable")
	await(t, "clients come in again", func() bool { return core1.serves() == "core1" })
}

func TestNodeEngineKeepInStandbyStays(t *testing.T) {
	t.Parallel()
	core1, core2 := startMembers(t)
	core2.say(0, "config", "set", "If Failure Detected", "Keep in Standby")
	core1.die()
	core2.awaits("the failover process begins and stays", func(d nodeapi.Status) bool { return d.Phase == ha.InHeld })
	core2.expectStay(ha.Standby, 2*time.Second)
	if log := core2.say(0, "log", "--module", "HighAvailability"); !strings.Contains(log, "heartbeat of core1 failed") || !strings.Contains(log, "If Failure Detected: Keep in Standby") {
		t.Errorf("the log says\n%s", log)
	}
	core2.say(0, "mode", "primary")
	core2.await(ha.Active)
}

// With 100 ms heartbeats, 3 failures and a hold of 300 ms for the front.
func TestNodeEngineAndFrontLoseNoIdempotentRequestAtAFailover(t *testing.T) {
	t.Parallel()
	core1, core2 := startMembers(t)
	core2.say(0, "config", "set", "heartbeat-interval", "100ms", "consecutive heartbeat failures before failover", "3", "re-check interval", "100ms",
		"attempt-timeout", "100ms", "promotion-hold", "300ms")
	f := frontOf(t, core1, core2)
	f.expectServing("core1")
	l := f.pour(5*time.Millisecond, "/", plainGet)
	l.awaitAnswers(t, 20, "core1")
	died := time.Now()
	core1.die()
	core2.await(ha.Active)
	active := time.Since(died)
	l.awaitAnswers(t, 20, "core2")
	lost := 0
	answers := l.end()
	for _, a := range answers {
		if a.err != nil || a.status != 200 {
			lost++
			t.Errorf("lost: %s", a)
		}
	}
	t.Logf("core2 was Active %v after the death of core1; %d requests, %d lost", active.Round(time.Millisecond), len(answers), lost)
}

func TestNodeEngineThatWasKilledAloneServesOnAtItsEpoch(t *testing.T) {
	t.Parallel()
	core1, core2 := startMembers(t)
	core2.say(0, "config", "set", "consecutive heartbeat failures before failover", "100")
	for range 2 {
		core1.engine.kill()
		if !core1.appRuns() {
			t.Error("the application ended with the engine")
		}
		core1.start()
		if d := core1.await(ha.Active); d.Served != 1 {
			t.Errorf("it came back at epoch %d", d.Served)
		}
		await(t, "clients come in", func() bool { return core1.serves() == "core1" })
	}
	core2.expectStay(ha.Standby, 200*time.Millisecond)
}

//go:build linux

package integration

import (
	"strings"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/api"
	"github.com/understudy-ha/understudy/internal/ha"
)

// staleAndServed gives a front on core2 with a stale Primary back up: the
// state in which any mistake shows.
func staleAndServed(t *testing.T, p plan) (f *front, core1, core2 *child) {
	t.Helper()
	f, core1, core2 = failedOver(t, p)
	core2.Set(ha.Active)
	core1.Start()
	f.expectRow(row{1, api.Stay, ha.DualActive, "core1", "alarm"})
	return f, core1, core2
}

func TestAReloadWhileFailedOverMovesNothing(t *testing.T) {
	t.Parallel()
	f, core1, core2 := staleAndServed(t, plan{})
	before, hits := f.group(), core1.Hits()
	l := f.pour(10*time.Millisecond, "/", plainGet, bodyPost)
	l.awaitAnswers(t, 20, "core2")
	changed := f.plan
	changed.probe = map[string]string{"interval": "300ms", "fall": "4", "host": "mdm.example.com"}
	changed.site = []string{"header_up X-Round 2", "queue_timeout 5s"}
	f.reload(changed)
	l.awaitAnswers(t, 50, "core2")
	f.expectFrom("core2", overReloads(t, l.end(), 1, core1, core2)...)
	if core1.Hits() != hits {
		t.Errorf("core1 got %d requests", core1.Hits()-hits)
	}
	g := f.await("the new rules are in force", func(g api.Group) bool { return g.Rules.Fall == 4 && g.Rules.IntervalMS == 300 })
	if g.Epoch != before.Epoch || !g.Since.Equal(before.Since) {
		t.Errorf("epoch %d since %s, before %d since %s", g.Epoch, g.Since, before.Epoch, before.Since)
	}
	f.expectNothing(core1, "core2")
	core2.Kill() // and the watcher is alive
	f.expectRow(row{6, api.Wait, ha.LastInOrder, "", "alarm"})
}

func TestARefusedReloadChangesNothing(t *testing.T) {
	t.Parallel()
	f, core1, core2 := staleAndServed(t, plan{})
	core3 := local(t, "core3", ha.Standby)
	good := f.plan.caddyfile(f.at)
	without := f.plan
	without.nodes = []node{core1, core3}
	broken := map[string]struct{ text, says string }{
		"a syntax error":              {strings.Replace(good, "group mdm {", "group mdm", 1), "group"},
		"an unknown subdirective":     {strings.Replace(good, "understudy mdm {", "understudy mdm {\n\t\tno_such_thing 1", 1), "no_such_thing"},
		"an unknown group":            {strings.Replace(good, "\tunderstudy mdm {", "\tunderstudy mdn {", 1), "mdn"},
		"a zero interval":             {strings.Replace(good, "interval 200ms", "interval 0s", 1), "interval"},
		"a wrong module's setting":    {strings.Replace(good, "understudy mdm {", "tls internal {\n}\nroute {\n}\nfile_server {\nnothing\n}\nunderstudy mdm {", 1), "nothing"},
		"a site that cannot listen":   {good + "\nhttp://:1 {\n\tbind 192.0.2.77\n}\n", "192.0.2.77"},
		"without the serving node":    {without.caddyfile(f.at), "core2"},
		"a CA file that is not there": {strings.Replace(good, "timeout 1s", "timeout 1s\n\t\t\t\ttls_ca /no/such/file.pem", 1), ""},
	}
	for name, b := range broken {
		err := f.loadText(b.text)
		if name == "a CA file that is not there" { // not used by plain HTTP: either is right
			if err == nil {
				f.reload(f.plan)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), b.says) {
			t.Errorf("%s: got %v, want a refusal that names %q", name, err, b.says)
		}
		if name == "a site that cannot listen" { // Caddy had begun to serve by it: a connection of that moment is closed without an answer
			await(t, name+": the old configuration answers", func() bool { return f.get().err == nil })
		}
		f.expectFrom("core2", f.get(), f.post())
		if g := f.group(); g.Serving != "core2" || g.Epoch != 2 || g.Rules.IntervalMS != 200 {
			t.Errorf("%s: %s serves in epoch %d with interval %g ms", name, g.Serving, g.Epoch, g.Rules.IntervalMS)
		}
	}
	f.expectNothing(core1, "core2")
	core2.Kill() // the old watcher is alive
	f.expectRow(row{6, api.Wait, ha.LastInOrder, "", "alarm"})
}

func TestAConfigurationWithoutTheServingNodeDoesNotStart(t *testing.T) {
	t.Parallel()
	f, core1, core2 := failedOver(t, plan{})
	core3 := local(t, "core3", ha.Standby)
	f.kill()
	p := f.plan
	p.nodes = []node{core1, core3}
	write(t, f.file, p.caddyfile(f.at))
	f.launch()
	if code := f.end(t); code == 0 {
		t.Error("the exit code is 0")
	}
	if said := f.log.tail(5); !strings.Contains(said, "core2") || !strings.Contains(said, "switch") {
		t.Errorf("it does not say which node and what to do:\n%s", said)
	}
	p.nodes = []node{core1, core2}
	write(t, f.file, p.caddyfile(f.at))
	f.start()
	f.expectServing("core2")
}

func TestANodeJoinsAndAnotherLeavesAtAReload(t *testing.T) {
	t.Parallel()
	core1, core2 := localPair(t)
	dr1 := local(t, "dr1", ha.Standby)
	p := plan{nodes: []node{core1, core2}}
	f := startFront(t, p)
	p.nodes = []node{core1, dr1, core2}
	f.reload(p)
	g := f.await("dr1 has joined", func(g api.Group) bool { n, _ := g.Node("dr1"); return n.State == api.Standby })
	if got := strings.Join(g.Order, " "); got != "core1 dr1 core2" || g.Serving != "core1" {
		t.Errorf("the order is %s, %s serves", got, g.Serving)
	}
	p.nodes = []node{core1, dr1}
	f.reload(p)
	g = f.await("core2 has left", func(g api.Group) bool { return len(g.Nodes) == 2 })
	if g.Serving != "core1" || g.ArmedTo != "dr1" {
		t.Errorf("%s serves, armed to %q", g.Serving, g.ArmedTo)
	}
	core1.Kill()
	f.expectServing("dr1")
	f.expectAllTo("dr1")
}

func TestAChangedAddressStartsReadingsAnewAndMovesNothing(t *testing.T) {
	t.Parallel()
	core1, core2 := localPair(t)
	f := startFront(t, plan{nodes: []node{core1, core2}, probe: map[string]string{"interval": "250ms"}})
	f.await("core1 was read often", func(g api.Group) bool { n, _ := g.Node("core1"); return n.Passes > 4 })
	moved := local(t, "core1", ha.Active)
	p := f.plan
	p.nodes = []node{moved, core2}
	f.reload(p)
	if n, _ := f.group().Node("core1"); n.Passes > 3 {
		t.Errorf("core1 has %d passes right after its address changed", n.Passes)
	}
	f.awaitNode("core1", api.Active)
	old, now := core1.Hits(), moved.Hits()
	for range 5 {
		f.expectFrom("core1", f.get(), f.post())
	}
	if core1.Hits() != old || moved.Hits() != now+10 {
		t.Errorf("the old address got %d requests and the new one %d, want 0 and 10", core1.Hits()-old, moved.Hits()-now)
	}
	if g := f.group(); g.Serving != "core1" || g.Epoch != 1 {
		t.Errorf("%s serves in epoch %d, want core1 in epoch 1", g.Serving, g.Epoch)
	}
}

func TestCaddysOwnReloadCommand(t *testing.T) {
	t.Parallel()
	core1, core2 := pair(t)
	f := startFront(t, plan{nodes: []node{core1, core2}})
	p := f.plan
	p.probe = map[string]string{"fall": "7"}
	write(t, f.file, p.caddyfile(f.at))
	if said, code := tool(t, "caddy", "reload", "--config", f.file, "--adapter", "caddyfile", "--address", "unix/"+f.at.admin); code != 0 {
		t.Fatalf("caddy reload: exit code %d:\n%s", code, said)
	}
	if g := f.group(); g.Rules.Fall != 7 {
		t.Errorf("fall is %d, want 7", g.Rules.Fall)
	}
	f.expectAllTo("core1")
}

func TestManyReloadsUnderLoadFailNothing(t *testing.T) {
	t.Parallel()
	core1, core2 := localPair(t)
	f := startFront(t, plan{nodes: []node{core1, core2}})
	l := f.pour(5*time.Millisecond, "/", plainGet)
	l.awaitAnswers(t, 20, "core1")
	p := f.plan
	for round := range 6 {
		p.site = []string{"header_up X-Round " + string(rune('a'+round))}
		f.reload(p)
		l.awaitAnswers(t, 20, "core1")
	}
	core1.Kill() // in the last configuration's life
	l.awaitAnswers(t, 50, "core2")
	answers := overReloads(t, l.end(), 6, core1, core2)
	expectOnce(t, answers, []kind{plainGet}, core1, core2)
	t.Logf("six reloads and a kill: gap %s", gap(answers))
}

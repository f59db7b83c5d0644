//go:build linux

package integration

import (
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/web/account"
)

// copies gives a member an sshd and a tree of files that is replicated, before
// it is started.
func (m *member) copies(t *testing.T) {
	t.Helper()
	home, me := strictHome(t)
	newHostKey(t, home)
	port := freePort(t)
	m.sshd, _ = startSSHD(t, home, port)
	counts := filepath.Join(home, "count")
	write(t, counts, "#!/bin/sh\nls "+filepath.Join(m.tree(), "devices")+" | wc -l\n")
	if err := os.Chmod(counts, 0o700); err != nil { // #nosec G302 -- a program
		t.Fatal(err)
	}
	if !strings.Contains(m.lists, "  count: ") {
		m.lists += "  count: [" + counts + "]\n"
	}
	m.more += fmt.Sprintf(`portal: {listen: %q}
ssh: {port: %d, user: %s, authorized_keys: %s/.ssh/authorized_keys, host_keys: [%s/host.pub]}
datasets:
  - {name: files, type: files, path: %s, exclude: [node.conf]}
`, loopback(freePort(t)), port, me.Username, home, home, m.tree())
}

// people are the portal's users of a member, and the code for the first one.
func (m *member) people() (*account.Book, string) {
	m.t.Helper()
	book, code, err := account.Open(account.Config{Dir: filepath.Join(m.dir, "data", "portal"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		m.t.Fatal(err)
	}
	return book, code
}

func (m *member) tree() string { return filepath.Join(m.dir, "app") }

func (m *member) put(files map[string]string) {
	m.t.Helper()
	for name, text := range files {
		path := filepath.Join(m.tree(), name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			m.t.Fatal(err)
		}
		write(m.t, path, text)
	}
}

// has says what a file of the tree holds, "-" if it is not there.
func (m *member) has(name string) string {
	text, err := os.ReadFile(filepath.Join(m.tree(), name))
	if err != nil {
		return "-"
	}
	return string(text)
}

func (m *member) expect(files map[string]string) {
	m.t.Helper()
	for name, want := range files {
		if got := m.has(name); got != want {
			m.t.Errorf("%s: %s is %.80q, want %.80q", m.name, name, got, want)
		}
	}
}

// startCopying runs a pair that trusts one another and copies files; core1 is
// Active.
func startCopying(t *testing.T, datasets ...string) (core1, core2 *member) {
	t.Helper()
	core1, core2 = newMembers(t)
	for _, m := range []*member{core1, core2} {
		m.copies(t)
		m.more += strings.Join(datasets, "")
		m.put(map[string]string{"node.conf": m.name})
	}
	for _, m := range []*member{core1, core2} {
		m.start()
		m.say(0, hurry...)
	}
	core2.trusts("", core1.trusts("", "", "invite"), "add")
	core1.say(0, "ha", "enable", "--mode", "primary")
	core2.say(0, "ha", "enable", "--mode", "secondary")
	core1.await(ha.Active)
	core2.await(ha.Standby)
	return core1, core2
}

// TestStoryFilesSurviveFailoverAndFailback is the whole way of an application's
// files: copied, served by the Secondary after the Primary's death, written
// there, and brought back by a person.
func TestStoryFilesSurviveFailoverAndFailback(t *testing.T) {
	t.Parallel()
	core1, core2 := startCopying(t, "  - {name: system, type: system}\n")
	people, code := core1.people()
	if err := people.Setup(code, "anna", "four words that do not fit", ""); err != nil {
		t.Fatal(err)
	}
	core1.put(map[string]string{"devices/1": "one", "devices/2": "two", "big": strings.Repeat("b", 3<<20)})
	said := core2.say(0, "sync", "core1")
	if !strings.Contains(said, "Result: Success") || !strings.Contains(said, "verify files") {
		t.Errorf("sync said:\n%s", said)
	}
	core2.expect(map[string]string{"devices/1": "one", "devices/2": "two", "node.conf": "core2"})
	theirs, code := core2.people()
	if all := theirs.Users(); len(all) != 1 || all[0].Name != "anna" || code != "" || theirs.ID() == people.ID() {
		t.Errorf("core2 has the users %v, the setup code %q and the id %s", all, code, theirs.ID())
	}
	if said := core1.say(0, "status"); !strings.Contains(said, "core2 took this node's data") {
		t.Errorf("status of core1:\n%s", said)
	}
	if said := core1.say(4, "sync", "core2"); !strings.Contains(said, "only a Standby replicates") {
		t.Errorf("the Active said:\n%s", said)
	}
	core1.put(map[string]string{"devices/3": "three"})
	if said := core2.say(0, "sync", "core1"); !strings.Contains(said, "1 files") {
		t.Errorf("sync said:\n%s", said)
	}
	if said := core2.say(0, "sync", "core1"); !strings.Contains(said, "no changes") || strings.Contains(said, "transfer") {
		t.Errorf("sync said:\n%s", said)
	}
	if said := core2.say(0, "status"); !strings.Contains(said, "and gives up") {
		t.Errorf("status says nothing of the generations that a promotion gives up:\n%s", said)
	}
	if said := core2.say(0, "validate", "3"); !strings.Contains(said, "can no longer be gone back to") || !strings.Contains(said, "ok") || !strings.Contains(said, "3 on both") {
		t.Errorf("validate said:\n%s", said)
	}
	core2.awaits("stands by with its application stopped", func(d nodeapi.Status) bool { return d.State == ha.Standby && !d.App.Well })
	if said := core2.say(10, "validate"); strings.Count(said, "ok") != 4 || !strings.Contains(said, "no mail server is configured") {
		t.Errorf("validate said:\n%s", said)
	}
	core1.put(map[string]string{"devices/4": "never copied"})
	before := core2.status()
	if len(before.Schedule.Next) != 3 || before.Loss.At.IsZero() || before.Loss.Generation < 2 {
		t.Errorf("status: %s", asJSON(before))
	}
	core1.die()
	core2.await(ha.Active)
	core2.expect(map[string]string{"devices/3": "three", "devices/4": "-", "node.conf": "core2"})
	all := historyOf(core2)
	if last := all[len(all)-1]; !strings.Contains(last.Loss, "generation ") {
		t.Errorf("the promotion tells no loss: %s", asJSON(last))
	}
	core2.say(4, "sync", "core1") // it serves
	core2.put(map[string]string{"devices/1": "written on core2", "devices/5": "new on core2"})

	core1.start()
	core1.awaits("superseded", func(d nodeapi.Status) bool { return d.Phase == ha.OutSuperseded })
	core1.say(0, "mode", "secondary")
	core1.await(ha.Standby)
	if said := core1.say(0, "status"); !strings.Contains(said, "may have what that has not") {
		t.Errorf("status of core1:\n%s", said)
	}
	if said := core1.say(0, "diverged", "now"); !strings.Contains(said, "devices/4") || strings.Contains(said, "devices/3") {
		t.Errorf("diverged now said:\n%s", said)
	}
	if said := core1.say(0, "failback", "--dry-run"); !strings.Contains(said, "devices/4") || !strings.Contains(said, "core1 would become Active") {
		t.Errorf("failback --dry-run said:\n%s", said)
	}
	if said := core2.say(0, "failback", "--dry-run"); !strings.Contains(said, "Only core1 has this") || !strings.Contains(said, "devices/4") {
		t.Errorf("failback --dry-run on core2 said:\n%s", said)
	}
	if said := core1.say(0, "sync", "core2"); !strings.Contains(said, "what only this node had is kept") {
		t.Errorf("sync said:\n%s", said)
	}
	core1.divergedIsKept()
	want := map[string]string{"devices/1": "written on core2", "devices/3": "three", "devices/4": "-", "devices/5": "new on core2", "node.conf": "core1"}
	core1.expect(want)
	core1.say(0, "mode", "primary", "--yes")
	core2.awaits("stepped down", func(d nodeapi.Status) bool { return d.Phase == ha.OutSuperseded })
	core2.say(0, "mode", "secondary")
	core2.await(ha.Standby)
	core2.say(0, "sync", "core1")
	want["node.conf"] = "core2"
	core2.expect(want)
	if said := core2.say(0, "sync-history"); strings.Count(said, "Completed: ") < 4 || !strings.Contains(said, "Duration: ") {
		t.Errorf("the Sync History:\n%s", said)
	}
}

// divergedIsKept looks at what was kept of devices/4, takes it out, and drops it.
func (m *member) divergedIsKept() {
	m.t.Helper()
	kept := m.status().Kept
	if len(kept) != 1 || kept[0].From != "core2" {
		m.t.Fatalf("kept: %s", asJSON(kept))
	}
	number := fmt.Sprint(kept[0].Generation)
	if said := m.say(0, "status"); !strings.Contains(said, "failover diverged show "+number) || strings.Contains(said, "may have what") {
		m.t.Errorf("status:\n%s", said)
	}
	if said := m.say(0, "diverged", "show", number); !strings.Contains(said, "devices/4  only here") {
		m.t.Errorf("diverged show said:\n%s", said)
	}
	file := filepath.Join(m.t.TempDir(), "kept.tar")
	m.say(0, "diverged", "export", number, "--to", file)
	m.say(1, "diverged", "export", number, "--to", file)                      // it is there
	out, err := exec.Command("tar", "-xOf", file, "files/devices/4").Output() // #nosec G204 -- our own
	if err != nil || string(out) != "never copied" {
		m.t.Errorf("the tar file gives %q, %v", out, err)
	}
	m.say(4, "diverged", "drop", "999")
	m.say(0, "diverged", "drop", number, "--reason", "looked through")
	if said := m.say(0, "diverged"); !strings.Contains(said, "Nothing is kept") {
		m.t.Errorf("diverged said:\n%s", said)
	}
}

// TestStoryASyncIsRefusedAndRolledBack: guards and a person's word, and the way
// back to an older generation.
func TestStoryASyncIsRefusedAndRolledBack(t *testing.T) {
	t.Parallel()
	core1, core2 := startCopying(t)
	core1.put(map[string]string{"a": "1"})
	for i := range 400 {
		core1.put(map[string]string{fmt.Sprintf("many/%d", i): "x"})
	}
	core2.say(0, "sync", "core1")
	core1.put(map[string]string{"a": "encrypted by a virus"})
	core2.say(0, "sync", "core1")
	core2.say(0, "pause")
	if said := core2.say(0, "rollback", "--yes"); !strings.Contains(said, "Generation 1 is in force") {
		t.Errorf("rollback said:\n%s", said)
	}
	core2.expect(map[string]string{"a": "1"})
	core2.say(0, "unpause")
	if err := os.RemoveAll(filepath.Join(core1.tree(), "many")); err != nil {
		t.Fatal(err)
	}
	if said := core2.say(4, "sync", "core1"); !strings.Contains(said, "Refused: guard") || !strings.Contains(said, "--accept-deletions") {
		t.Errorf("sync said:\n%s", said)
	}
	core2.expect(map[string]string{"many/1": "x"})
	core2.say(0, "sync", "core1", "--accept-deletions")
	core2.expect(map[string]string{"many/1": "-", "a": "encrypted by a virus"})

	core1.engine.signal(syscall.SIGKILL)
	core2.await(ha.Active)
}

//go:build linux

package integration

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/understudy-ha/understudy/internal/api"
	"github.com/understudy-ha/understudy/internal/ha"
)

// What is kept may be damaged, lost or impossible to write: it is never
// guessed around, and traffic never moves without being stored.

func (f *front) trafficFile() string { return filepath.Join(f.at.state, "mdm.traffic") }

// damages are the ways in which a stored traffic can be no good.
var damages = map[string]func(text string) string{
	"truncated":             func(text string) string { return text[:len(text)/2] },
	"empty":                 func(string) string { return "" },
	"of a future version":   func(text string) string { return strings.Replace(text, `"version": 1`, `"version": 99`, 1) },
	"changed by a person":   func(text string) string { return strings.Replace(text, `"serving": "core2"`, `"serving": "core1"`, 1) },
	"not what it should be": func(string) string { return "\x00\xff\x7fELF" },
}

func TestADamagedStateIsNeverGuessedAround(t *testing.T) {
	t.Parallel()
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			core1, core2 := localPair(t)
			f := startFront(t, plan{nodes: []node{core1, core2}})
			core1.Kill()
			f.expectServing("core2")
			f.kill()
			was := read(t, f.trafficFile())
			bad := damage(was)
			if bad == was {
				t.Fatalf("the file was not damaged:\n%s", was)
			}
			write(t, f.trafficFile(), bad)
			core2.Set(ha.Active)
			core1.Start() // the stale Primary is Active too
			f.start()
			g := f.expectRow(row{0, api.Wait, ha.Unknown, "", "alarm"})
			f.await("both were read", func(g api.Group) bool { return g.Nodes[0].Known() && g.Nodes[1].Known() })
			if g = f.group(); g.Serving != "" || g.Target != "" || g.Hold == nil || !strings.Contains(g.Hold.Reason, "mdm.traffic") {
				t.Errorf("serving %q, target %q, hold %+v; want nobody, and a hold that names the file", g.Serving, g.Target, g.Hold)
			}
			f.expectTurnedAway(ha.Unknown, f.get(), f.post())
			if got := read(t, f.trafficFile()); got != bad {
				t.Error("the damaged file was changed before a person decided")
			}
			f.wish("switch", api.Body{To: "core2", Force: true, Reason: "core2 has the data"})
			f.expectNothing(core1, "core2")
			if kept := read(t, filepath.Join(f.at.state, "mdm.damaged.1")); kept != bad {
				t.Errorf("the damaged file was not kept: %q", kept)
			}
			f.kill()
			f.start()
			if g := f.expectServing("core2"); g.Epoch <= 2 {
				t.Errorf("epoch %d, want above every one that was", g.Epoch)
			}
		})
	}
}

func TestADamagedStateIsServedByTheOnlyActiveNode(t *testing.T) {
	t.Parallel()
	core1, core2 := localPair(t)
	f := startFront(t, plan{nodes: []node{core1, core2}})
	core1.Kill()
	f.expectServing("core2")
	core2.Set(ha.Active)
	f.kill()
	write(t, f.trafficFile(), "{")
	f.start()
	g := f.await("requests go to core2 for now", func(g api.Group) bool { return g.Target == "core2" })
	if g.Serving != "" || g.Decision.Reason != ha.Unknown {
		t.Errorf("serving %q by %s, want nobody by unknown", g.Serving, g.Decision.Reason)
	}
	f.expectAllTo("core2")
	core1.Start() // now two are Active
	f.await("requests go nowhere", func(g api.Group) bool { return g.Target == "" })
	f.expectTurnedAway(ha.Unknown, f.get())
	core2.Kill() // and the one that is left may be the stale one
	f.awaitNode("core2", api.NotAvailable)
	before := core1.Hits()
	f.post()
	if n := core1.Hits() - before; n > 0 {
		t.Errorf("the stale Primary got %d requests after its rival went down", n)
	}
}

func TestALostStateIsNotAFirstStart(t *testing.T) {
	t.Parallel()
	core1, core2 := localPair(t)
	f := startFront(t, plan{nodes: []node{core1, core2}})
	core1.Kill()
	f.expectServing("core2")
	f.kill()
	if err := os.Remove(f.trafficFile()); err != nil {
		t.Fatal(err)
	}
	core2.Set(ha.Active)
	core1.Start()
	f.start()
	f.expectRow(row{0, api.Wait, ha.Unknown, "", "alarm"})
	f.expectTurnedAway(ha.Unknown, f.get())
}

func TestAStateThatIsDeletedWhileRunningChangesNothing(t *testing.T) {
	t.Parallel()
	core1, core2 := localPair(t)
	f := startFront(t, plan{nodes: []node{core1, core2}})
	if err := os.Remove(f.trafficFile()); err != nil {
		t.Fatal(err)
	}
	f.expectAllTo("core1")
	core1.Kill() // it knows what held, so it must be able to fail over
	if !within(patience/3, func() bool { return f.group().Serving == "core2" }) {
		t.Fatalf("no failover after the stored traffic was deleted, and before that no alarm: %s", asJSON(f.group().Decision))
	}
	f.expectAllTo("core2")
	await(t, "the traffic is stored again", func() bool { _, err := os.Stat(f.trafficFile()); return err == nil })
}

func TestAStateThatIsDamagedWhileRunningChangesNothing(t *testing.T) {
	t.Parallel()
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, core1, core2 := staleAndServed(t, plan{})
			was := read(t, f.trafficFile())
			if damage(was) == was {
				t.Fatalf("the file was not damaged:\n%s", was)
			}
			write(t, f.trafficFile(), damage(was))
			f.expectNothing(core1, "core2")
			core1.Kill() // and what a person wishes can be stored
			f.wish("hold", api.Body{})
			f.wish("release", api.Body{})
			f.kill()
			f.start()
			f.expectServing("core2")
			core2.Kill()
			f.expectRow(row{6, api.Wait, ha.LastInOrder, "", "alarm"})
		})
	}
}

func TestAStateDirectoryThatIsDeletedWhileRunningComesBack(t *testing.T) {
	t.Parallel()
	core1, core2 := localPair(t)
	f := startFront(t, plan{nodes: []node{core1, core2}})
	if err := os.Rename(f.at.state, f.at.state+".gone"); err != nil {
		t.Fatal(err)
	}
	f.expectAllTo("core1")
	core1.Kill()
	f.await("that nothing can be stored alarms", func(g api.Group) bool { return g.Decision.Reason == ha.NotStored })
	if err := os.Mkdir(f.at.state, 0o700); err != nil {
		t.Fatal(err)
	}
	f.expectServing("core2")
	f.expectAllTo("core2")
}

func TestAnOldCopyThatIsPutBackChangesNothing(t *testing.T) {
	t.Parallel()
	core1, core2 := localPair(t)
	f := startFront(t, plan{nodes: []node{core1, core2}})
	old := read(t, f.trafficFile())
	core1.Kill()
	f.expectServing("core2")
	core2.Set(ha.Active)
	core1.Start()
	f.expectRow(row{1, api.Stay, ha.DualActive, "core1", "alarm"})
	write(t, f.trafficFile(), old)
	f.expectNothing(core1, "core2")
	f.kill()
	write(t, f.trafficFile(), old)
	f.start()
	f.expectNoneOrCore2(core1)
}

// expectNoneOrCore2 checks that a front with a doubtful state sends nothing to
// the stale Primary.
func (f *front) expectNoneOrCore2(stale node) {
	f.t.Helper()
	before := stale.Hits()
	for range 10 {
		if a := f.get(); a.status == 200 && a.node != "core2" {
			f.t.Errorf("got %s", a)
		}
	}
	if n := stale.Hits() - before; n > 0 {
		f.t.Errorf("the stale Primary got %d requests", n)
	}
}

// unprivileged gives another user to run as, for root may write everywhere.
func unprivileged(t *testing.T, f *front) {
	t.Helper()
	if os.Geteuid() != 0 {
		return
	}
	const nobody = 65534
	f.who = &syscall.Credential{Uid: nobody, Gid: nobody}
	home := filepath.Dir(f.file)
	for _, dir := range []string{home, f.at.state} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(dir, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chown(f.file, nobody, nobody); err != nil {
		t.Fatal(err)
	}
}

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func TestTrafficThatCannotBeStoredDoesNotMove(t *testing.T) {
	t.Parallel()
	core1, core2 := localPair(t)
	f := newFront(t, plan{nodes: []node{core1, core2}})
	unprivileged(t, f)
	f.start()
	f.expectServing("core1")
	chmod(t, f.at.state, 0o500)
	t.Cleanup(func() { _ = os.Chmod(f.at.state, 0o700) })
	core1.Kill()
	f.await("that it cannot be stored alarms", func(g api.Group) bool {
		return g.Decision.Reason == ha.NotStored && len(g.Alarms) > 0 && g.Decision.Node == "core2"
	})
	f.expectTurnedAway(ha.NotStored, f.get(), f.post())
	if core2.Hits() != 0 {
		t.Errorf("core2 got %d requests", core2.Hits())
	}
	if _, err := f.try("switch", api.Body{To: "core2", Force: true}); err == nil {
		t.Error("a switch was granted that cannot be stored")
	}
	chmod(t, f.at.state, 0o700)
	f.expectServing("core2") // as soon as it can
	f.expectAllTo("core2")
}

func TestAStateThatCannotBeReadHolds(t *testing.T) {
	t.Parallel()
	core1, core2 := localPair(t)
	f := newFront(t, plan{nodes: []node{core1, core2}})
	unprivileged(t, f)
	f.start()
	f.expectServing("core1")
	core1.Kill()
	f.expectServing("core2")
	f.kill()
	chmod(t, f.trafficFile(), 0)
	core2.Set(ha.Active)
	core1.Start()
	f.start()
	f.expectRow(row{0, api.Wait, ha.Unknown, "", "alarm"})
	f.expectNoneOrCore2(core1)
	chmod(t, f.trafficFile(), 0o600)
	f.expectServing("core2") // by itself: nothing was lost
	f.expectNothing(core1, "core2")
}

func TestAFullDiskStopsAFailoverUntilThereIsSpace(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can mount a small file system; TestTrafficThatCannotBeStoredDoesNotMove tells the same by permissions")
	}
	disk := filepath.Join(tempDir(t), "disk")
	if err := os.Mkdir(disk, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("this machine lets nobody mount a tmpfs (%v); TestTrafficThatCannotBeStoredDoesNotMove tells the same by permissions", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(disk, syscall.MNT_DETACH) })
	core1, core2 := localPair(t)
	f := startFront(t, plan{nodes: []node{core1, core2}, state: filepath.Join(disk, "state")})
	ballast := filepath.Join(disk, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 64<<10), 0o600); err == nil {
		t.Fatal("the disk is not full")
	}
	core1.Kill()
	f.await("that it cannot be stored alarms", func(g api.Group) bool { return g.Decision.Reason == ha.NotStored && len(g.Alarms) > 0 })
	f.expectTurnedAway(ha.NotStored, f.get())
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	f.expectServing("core2")
	f.expectAllTo("core2")
	f.kill()
	f.start()
	if g := f.expectServing("core2"); g.Epoch != 2 {
		t.Errorf("epoch %d after a restart, want 2", g.Epoch)
	}
}

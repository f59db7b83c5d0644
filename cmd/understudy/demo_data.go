package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/internal/ha"
)

// courier is the sshd of the demo, by which its nodes copy their devices.
type courier struct {
	cmd  *exec.Cmd
	port string
	why  string // there is none; empty: it runs
}

// sshd runs one for core1 and core2, as whoever runs the demo. Without OpenSSH and
// rsync the demo goes on, and copies nothing.
func (d *demo) sshd(ctx context.Context) error {
	server, err := exec.LookPath("sshd")
	if err != nil {
		server = "/usr/sbin/sshd"
	}
	for _, program := range []string{server, "ssh", "ssh-keygen", "rsync"} {
		if _, err := exec.LookPath(program); err != nil {
			d.courier.why = program + " is not installed"
			return nil
		}
	}
	at, err := freeAddress()
	if err != nil {
		return err
	}
	_, d.courier.port, _ = net.SplitHostPort(at)
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(d.dir, "host")).CombinedOutput(); err != nil { // #nosec G204 -- our own folder
		return fmt.Errorf("ssh-keygen: %w: %s", err, out)
	}
	if os.Geteuid() == 0 {
		_ = os.MkdirAll("/run/sshd", 0o755) // #nosec G301 -- sshd wants it so
	}
	file := filepath.Join(d.dir, "sshd_config")
	config := fmt.Sprintf(demoSSHD, d.courier.port, d.dir)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(d.dir, "sshd.log"))
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	d.courier.cmd = exec.Command(server, "-D", "-e", "-f", file) // #nosec G204 -- of this machine
	d.courier.cmd.Stderr, d.courier.cmd.SysProcAttr = log, dieWithUs
	if err := d.courier.cmd.Start(); err != nil {
		return err
	}
	for ctx, cancel := context.WithTimeout(ctx, sceneWait); ; pause(ctx, 20*time.Millisecond) {
		c, err := net.Dial("tcp", at)
		if err == nil {
			_ = c.Close()
		}
		if err == nil || ctx.Err() != nil {
			cancel()
			return err
		}
	}
}

// demoSSHD is for one user on loopback. The folder of the keys is below one that
// everybody may write, and is nobody else's.
const demoSSHD = `ListenAddress 127.0.0.1:%s
HostKey %[2]s/host
AuthorizedKeysFile %[2]s/core1/.ssh/authorized_keys %[2]s/core2/.ssh/authorized_keys
StrictModes no
UsePAM no
PidFile none
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
`

func (c courier) close() {
	if c.cmd != nil && c.cmd.Process != nil {
		_ = c.cmd.Process.Kill()
		_ = c.cmd.Wait() // however it ended
	}
}

// copies has a node's configuration say what it copies, if it can.
func (d *demo) copies(a *actor) error {
	if d.courier.why != "" || a.role != "peer" {
		return nil
	}
	me, err := user.Current()
	if err != nil {
		return err
	}
	a.copies = fmt.Sprintf(`ssh: {port: %s, user: %q, authorized_keys: %q, host_keys: [%q]}
datasets:
  - {name: devices, type: sqlite, path: %q, databases: [%s]}
`, d.courier.port, me.Username, filepath.Join(a.dir, ".ssh", "authorized_keys"), filepath.Join(d.dir, "host.pub"), deviceDir(a.dir), deviceFile)
	return nil
}

// syncs has a node copy from its peer, as failover sync does. The schedule may
// have begun a sync in this very moment: that one is waited for first.
func (d *demo) syncs(ctx context.Context, a *actor) error {
	d.say("a person:  failover sync %s, on %s", a.peer, a.name)
	idle := func(s nodeapi.Status) bool { return s.Sync == nil }
	if err := a.await(ctx, "no sync runs", idle); err != nil {
		return err
	}
	began := time.Now()
	if _, err := a.client.Sync(ctx, a.peer, "demo"); err != nil {
		return err
	}
	if err := a.await(ctx, "the sync has ended", func(s nodeapi.Status) bool { return idle(s) && s.LastSync != nil && !s.LastSync.At.Before(began) }); err != nil {
		return err
	}
	s, err := a.client.Status(ctx)
	if err == nil && s.LastSync.Result != nodeapi.Success {
		err = fmt.Errorf("the sync: %s: %s", s.LastSync.Result, s.LastSync.Detail)
	}
	return err
}

// count gives a node's device count, as failover validate asks for it.
func (a *actor) count(ctx context.Context) (string, error) {
	f, err := a.client.Facts(ctx)
	return f.Count, err
}

// adding is a client that adds devices, one after the other.
type adding struct {
	stop func()

	mu sync.Mutex       // guards the field below
	by map[string][]int // that were acknowledged, by node
}

// add begins to add devices, 20 a second. stop waits for the answer to the last.
func (d *demo) add(ctx context.Context) *adding {
	more, end := context.WithCancel(ctx)
	a := &adding{by: map[string][]int{}}
	var running sync.WaitGroup
	running.Go(func() {
		for id := 1; more.Err() == nil; id++ {
			d.addOne(ctx, a, id)
			pause(more, 50*time.Millisecond)
		}
	})
	a.stop = func() { end(); running.Wait() }
	return a
}

func (d *demo) addOne(ctx context.Context, a *adding, id int) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, fmt.Sprintf("%sdevices?id=%d", d.site, id), nil)
	if err != nil {
		return
	}
	answer, err := d.load.client.Do(req)
	if err != nil {
		return
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusCreated {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	node := answer.Header.Get("X-Node")
	a.by[node] = append(a.by[node], id)
}

// from gives the devices that a node has acknowledged.
func (a *adding) from(node string) []int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.by[node])
}

// missing gives those of ids that are not among the listed ones.
func missing(ids []int, listed map[int]bool) (none []int) {
	for _, id := range ids {
		if !listed[id] {
			none = append(none, id)
		}
	}
	return none
}

// dataScene shows what becomes of an application's data: copied, served by
// core2, and brought back.
func dataScene(ctx context.Context, d *demo) error {
	if d.courier.why != "" {
		return fmt.Errorf("the nodes copy nothing here: %s", d.courier.why)
	}
	if err := d.ready(ctx); err != nil {
		return err
	}
	core1, core2 := d.nodes["core1"], d.nodes["core2"]
	d.say("a client adds devices, 20 a second; each is acknowledged when it is on core1's disk")
	adds := d.add(ctx)
	defer adds.stop()
	pause(ctx, time.Second)
	before := adds.from("core1")
	if err := d.syncs(ctx, core2); err != nil {
		return err
	}
	copied, err := core2.count(ctx)
	if err != nil {
		return err
	}
	d.say("core2 has a verified copy with %s devices; its schedule makes another every minute", copied)
	pause(ctx, 2*time.Second)
	s, err := core2.client.Status(ctx)
	if err != nil {
		return err
	}
	d.say("core2 says: a promotion may cost %s", s.Loss.Words(time.Now()))
	d.say("core1 is killed")
	core1.kill()
	if err := d.until(ctx, "traffic is on core2", serves("core2")); err != nil {
		return err
	}
	if err := core2.is(ctx, ha.Active); err != nil {
		return err
	}
	if err := d.tellLoss(ctx, adds, before); err != nil {
		return err
	}
	d.say("core1 comes back")
	if err := core1.start(ctx); err != nil {
		return err
	}
	if err := core1.await(ctx, "superseded", superseded); err != nil {
		return err
	}
	if err := d.wayBack(ctx); err != nil {
		return err
	}
	adds.stop()
	return d.tellEqual(ctx, adds)
}

// tellLoss says what the failover has cost: nothing that was there before the
// copy began.
func (d *demo) tellLoss(ctx context.Context, adds *adding, before []int) error {
	listed, err := d.listed(ctx)
	if err != nil {
		return err
	}
	if lost := missing(before, listed); len(lost) > 0 {
		return fmt.Errorf("devices %d were there before the copy began, and are lost", lost)
	}
	all, err := d.nodes["core2"].client.History(ctx)
	if err != nil {
		return err
	}
	for _, one := range all {
		if one.Loss != "" {
			d.say("core2 is Active; its history says what that may cost: %s", one.Loss)
		}
	}
	had := adds.from("core1")
	lost := missing(had, listed)
	d.say("core1 had acknowledged %d devices; core2 does not have %d of them, added after the copy began", len(had), len(lost))
	return nil
}

// sayOwn tells what only a returned node has, before a sync replaces it.
func (d *demo) sayOwn(ctx context.Context, a *actor) error {
	own, err := a.client.Own(ctx, false)
	if err != nil {
		return err
	}
	for _, one := range own.Datasets {
		d.say("only %s has, by failover diverged now: %s", a.name, one.Said)
	}
	return nil
}

// sayKept tells what of it is kept.
func (d *demo) sayKept(ctx context.Context, a *actor) error {
	all, err := a.client.Archives(ctx)
	for _, one := range all {
		d.say("that is kept until a person drops it: failover diverged show %d", one.Generation)
	}
	return err
}

// tellEqual says whether every device that core2 has acknowledged came back with
// the roles, and whether both nodes have the same.
func (d *demo) tellEqual(ctx context.Context, adds *adding) error {
	listed, err := d.listed(ctx)
	if err != nil {
		return err
	}
	theirs := adds.from("core2")
	if lost := missing(theirs, listed); len(lost) > 0 {
		return fmt.Errorf("core2 had acknowledged the devices %d, and core1 does not have them", lost)
	}
	d.say("core1 has all %d devices that core2 had acknowledged", len(theirs))
	if err := d.syncs(ctx, d.nodes["core2"]); err != nil {
		return err
	}
	var counts []string
	for _, name := range []string{"core1", "core2"} {
		n, err := d.nodes[name].count(ctx)
		if err != nil {
			return err
		}
		counts = append(counts, n)
	}
	if counts[0] != counts[1] || counts[0] != fmt.Sprint(len(listed)) {
		return fmt.Errorf("core1 and core2 count %s devices, and clients %d", strings.Join(counts, " and "), len(listed))
	}
	d.say("core1 and core2 count %s devices each", counts[0])
	return nil
}

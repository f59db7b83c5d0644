package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/internal/remote"
)

// actor is a node of the demo: an engine in a process of its own, with its
// application and its door.
type actor struct {
	name, peer, dir          string
	pages, door, app, portal string
	peerPages, role          string // role: peer, or upstream
	copies                   string // what its configuration says of that
	client                   *nodeapi.Client

	mu     sync.Mutex // guards the field below
	engine *exec.Cmd  // nil: it does not run
}

const demoNode = `name: %s
data_dir: data
socket: node.sock
status: {listen: %q}
%s: {name: %s, status: "http://%s"}
portal: {listen: %q}
app:
  health: http://%s/
  health_interval: 200ms
  health_timeout: 1s
  start: [%q, demo, sample, start, %q, %q, %s]
  stop: [%q, demo, sample, stop, %q]
  upgrade: [%[8]q, demo, sample, upgrade, %[9]q, %[10]q, %[11]s, "${VERSION}"]
  version: [cat, %[16]q]
  count: [%[8]q, demo, sample, count, %[9]q]
client_connection: {listen: %[14]q, forward: %[15]q}
%[17]s`

// demoHurry are settings with which a node is promoted after 4 s, and at once
// when the front says that it has moved clients.
var demoHurry = map[string]string{
	"Heartbeat Interval": "300ms", "Consecutive Heartbeat failures before failover": "3", "Re-check interval": "300ms", "Attempt timeout": "300ms",
	"Promotion hold": "3s", "Drain": "2s", "Retry": "300ms", "Stop timeout": "2s", "Promotion time": "5s", "Run Every": "1 minutes",
}

// newActor gives a node at free addresses.
func newActor(dir, name, peer string) (*actor, error) {
	a := &actor{name: name, peer: peer, dir: filepath.Join(dir, name), role: "peer"}
	for _, at := range []*string{&a.pages, &a.door, &a.app, &a.portal} {
		var err error
		if *at, err = freeAddress(); err != nil {
			return nil, err
		}
	}
	a.client = nodeapi.New(filepath.Join(a.dir, "node.sock"))
	if err := os.MkdirAll(a.dir, 0o700); err != nil {
		return nil, err
	}
	return a, os.WriteFile(filepath.Join(a.dir, "version"), []byte("1.0"), 0o600)
}

// URL gives where clients come in.
func (a *actor) URL() string { return "http://" + a.door }

// start runs the engine, or lets one that hangs go on, and waits until it
// answers.
func (a *actor) start(ctx context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.engine != nil {
		_ = signalSample(a.dir, syscall.SIGCONT)
		return a.engine.Process.Signal(syscall.SIGCONT)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	file := filepath.Join(a.dir, "node.yaml")
	text := fmt.Sprintf(demoNode, a.name, a.pages, a.role, a.peer, a.peerPages, a.portal, a.app, self, a.dir, a.app, a.name, self, a.dir, a.door, a.app, filepath.Join(a.dir, "version"), a.copies)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(a.dir, "node.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(self, "node", "--config", file) // #nosec G204 -- ourselves
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = log, log, dieWithUs
	cmd.Env = append(os.Environ(), "UNDERSTUDY_DEMO="+strconv.Itoa(os.Getpid()))
	if err := cmd.Start(); err != nil {
		return err
	}
	a.engine = cmd
	ctx, cancel := context.WithTimeout(ctx, sceneWait)
	defer cancel()
	for ; ; pause(ctx, 20*time.Millisecond) {
		if _, err = a.client.Status(ctx); err == nil || ctx.Err() != nil {
			return err
		}
	}
}

// kill is the death of the machine: engine and application at once.
func (a *actor) kill() {
	_ = stopSample(a.dir)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.engine != nil {
		_ = a.engine.Process.Kill()
		_ = a.engine.Wait()
		a.engine = nil
	}
	_ = stopSample(a.dir) // started in the same moment
}

// hang stops engine and application without ending them.
func (a *actor) hang() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.engine != nil {
		_ = a.engine.Process.Signal(syscall.SIGSTOP)
	}
	_ = signalSample(a.dir, syscall.SIGSTOP)
}

// await waits until the node is as wanted.
func (a *actor) await(ctx context.Context, what string, is func(nodeapi.Status) bool) error {
	return a.awaitIn(ctx, sceneWait, what, is)
}

func (a *actor) awaitIn(ctx context.Context, most time.Duration, what string, is func(nodeapi.Status) bool) error {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	var last nodeapi.Status
	for ; ; pause(ctx, 20*time.Millisecond) {
		if s, err := a.client.Status(ctx); err == nil {
			if last = s; is(s) {
				return nil
			}
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%s: waited in vain for this: %s; it is %v (%v)", a.name, what, last.State, last.Phase)
		}
	}
}

func (a *actor) is(ctx context.Context, state ha.State) error {
	return a.await(ctx, state.String(), func(s nodeapi.Status) bool { return s.State == state })
}

// cast starts the three nodes, lets the two of the main site trust one another,
// and enables High Availability.
func (d *demo) cast(ctx context.Context) error {
	peers := map[string]string{"core1": "core2", "core2": "core1", "dr1": "core2"}
	for name, peer := range peers {
		a, err := newActor(d.dir, name, peer)
		if err != nil {
			return err
		}
		d.nodes[name] = a
	}
	d.nodes["dr1"].role = "upstream"
	faults := make(chan error, len(peers))
	for _, a := range d.nodes {
		a.peerPages = d.nodes[a.peer].pages
		if err := d.copies(a); err != nil {
			return err
		}
	}
	for _, a := range d.nodes {
		go func() { faults <- a.start(ctx) }()
	}
	var all []error
	for range d.nodes {
		all = append(all, <-faults)
	}
	if err := errors.Join(all...); err != nil {
		return fmt.Errorf("start the nodes: %w", err)
	}
	if err := d.pair(ctx); err != nil {
		return fmt.Errorf("let the nodes trust one another: %w", err)
	}
	for _, name := range []string{"core1", "core2", "dr1"} {
		a, mode, state := d.nodes[name], "secondary", ha.Standby
		if name == "core1" {
			mode, state = "primary", ha.Active
		}
		if _, err := a.client.Save(ctx, demoHurry, ""); err != nil {
			return fmt.Errorf("%s: save settings: %w", name, err)
		}
		if _, err := a.client.Enable(ctx, mode, "demo"); err != nil {
			return fmt.Errorf("%s: enable High Availability: %w", name, err)
		}
		if err := a.is(ctx, state); err != nil {
			return err
		}
	}
	return nil
}

// pair lets core1, core2 and the front trust one another, as failover
// trusted-hosts does.
func (d *demo) pair(ctx context.Context) error {
	front, err := remote.OpenFront(d.frontKey(), "front")
	if err != nil {
		return err
	}
	var nodes []*remote.Trust
	for _, name := range []string{"core1", "core2"} {
		t, err := remote.Open(remote.Dir(filepath.Join(d.nodes[name].dir, "data")))
		if err != nil {
			return err
		}
		nodes = append(nodes, t)
		if err := letIn(ctx, t, front, remote.Front); err != nil {
			return err
		}
	}
	return letIn(ctx, nodes[0], nodes[1], remote.Node)
}

// frontKey is where the front's key towards the nodes is.
func (d *demo) frontKey() string { return filepath.Join(d.dir, "front.key") }

// letIn has a host invite another one.
func letIn(ctx context.Context, host, guest *remote.Trust, as remote.Role) error {
	invitation, err := host.Invite(as, "demo", time.Now())
	if err != nil {
		return err
	}
	_, err = guest.Join(ctx, invitation, "demo")
	var rest *remote.Unapplied
	if errors.As(err, &rest) {
		return nil // for replication; without it the demo goes on
	}
	return err
}

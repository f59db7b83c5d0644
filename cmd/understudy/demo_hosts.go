package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/understudy-ha/understudy/internal/api"
	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/internal/hatest"
)

// hosts are three machines, as processes: each has a member of the register and
// a watcher. They watch a pair of their own, so that the rest of the demo is not
// a second register for it.
type hosts struct {
	d            *demo
	core1, core2 *hatest.Node
	way          *way // of the first watcher to core1
	members      []*exec.Cmd
	watchers     []*exec.Cmd
	clients      []*api.Client
}

var hostNames = []string{"front", "names", "third"}

// openHosts starts them and waits until a failover would work.
func (d *demo) openHosts(ctx context.Context) (*hosts, error) {
	h := &hosts{d: d}
	err := h.open()
	for i := 0; err == nil && i < len(h.clients); i++ {
		err = h.until(ctx, i, "", func(g api.Group) bool { return g.Armed })
	}
	if err != nil {
		h.close()
		return nil, err
	}
	return h, nil
}

func (h *hosts) open() (err error) {
	if h.core1, err = hatest.Open(hatest.Config{Name: "core1", State: ha.Active}); err != nil {
		return err
	}
	if h.core2, err = hatest.Open(hatest.Config{Name: "core2", State: ha.Standby}); err != nil {
		return err
	}
	if h.way, err = newWay(h.core1.Addr().String()); err != nil {
		return err
	}
	endpoints, err := h.register()
	if err != nil {
		return err
	}
	for i, name := range hostNames {
		core1 := h.core1.URL()
		if i == 0 {
			core1 = "http://" + h.way.Addr().String()
		}
		socket := filepath.Join(h.d.dir, name+".sock")
		cmd, err := h.run(name, "sidecar", fmt.Sprintf(`state_dir: %s
groups:
  mdm:
    nodes: [{name: core1, url: %q}, {name: core2, url: %q}]
    probe: {interval: 1s, fast_interval: 100ms, timeout: 1s}
etcd: {endpoints: [%s], watchers: 3, watcher: %s}
api: {socket: %s}
`, filepath.Join(h.d.dir, name), core1, h.core2.URL(), strings.Join(endpoints, ", "), name, socket))
		if err != nil {
			return err
		}
		client, err := api.NewClient(socket, "")
		if err != nil {
			return err
		}
		h.watchers, h.clients = append(h.watchers, cmd), append(h.clients, client)
	}
	return nil
}

// register starts the members and gives where they listen.
func (h *hosts) register() (endpoints []string, err error) {
	peers, clients, all := make([]string, 3), make([]string, 3), make([]string, 3)
	for i, name := range hostNames {
		for _, at := range []*string{&peers[i], &clients[i]} {
			address, err := freeAddress()
			if err != nil {
				return nil, err
			}
			*at = fmt.Sprintf("%q", "http://"+address)
		}
		all[i] = name + ": " + peers[i]
	}
	for i, name := range hostNames {
		cmd, err := h.run(name+"-member", "register", fmt.Sprintf("name: %s\ndata_dir: %s\npeer: %s\nclient: %s\nmembers: {%s}\n",
			name, filepath.Join(h.d.dir, name+"-data"), peers[i], clients[i], strings.Join(all, ", ")))
		if err != nil {
			return nil, err
		}
		h.members = append(h.members, cmd)
	}
	return clients, nil
}

// run starts one of our programs with a configuration.
func (h *hosts) run(name, program, config string) (*exec.Cmd, error) {
	file := filepath.Join(h.d.dir, name+".yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(h.d.dir, name+".log")) // #nosec G304 -- our own directory
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, program, "--config", file) // #nosec G204 -- ourselves
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = log, log, dieWithUs
	return cmd, cmd.Start()
}

func (h *hosts) close() {
	for _, cmd := range append(h.watchers, h.members...) {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // however it ended
	}
	if h.way != nil {
		h.way.be(false)
		_ = h.way.Close()
	}
	for _, n := range []*hatest.Node{h.core1, h.core2} {
		if n != nil {
			n.Close()
		}
	}
}

// until waits until a watcher knows the group as wanted, and says so.
func (h *hosts) until(ctx context.Context, i int, what string, is func(api.Group) bool) error {
	ctx, cancel := context.WithTimeout(ctx, 2*sceneWait)
	defer cancel()
	var g api.Group
	for {
		var err error
		if g, err = h.clients[i].Group(ctx, demoGroup); err == nil && is(g) {
			break
		}
		if ctx.Err() != nil {
			return errors.Join(fmt.Errorf("waited in vain for this of %s: %s; it is: %s", hostNames[i], what, api.StatusLine(g)), err)
		}
		pause(ctx, 10*time.Millisecond)
	}
	if what != "" {
		h.d.say("%s", what)
	}
	return nil
}

// all waits until every watcher sends clients to a node.
func (h *hosts) all(ctx context.Context, node, what string) error {
	var epochs []string
	for i := range h.clients {
		err := h.until(ctx, i, "", func(g api.Group) bool {
			if g.Serving != node {
				return false
			}
			epochs = append(epochs, fmt.Sprint(g.Epoch))
			return true
		})
		if err != nil {
			return err
		}
	}
	h.d.say("%s: epoch %s", what, strings.Join(epochs, ", "))
	return nil
}

func threeHosts(ctx context.Context, d *demo) error {
	d.say("three hosts start: each has a member of the register and a watcher; they have a pair of their own")
	h, err := d.openHosts(ctx)
	if err != nil {
		return err
	}
	defer h.close()
	d.say("front's way to core1 is cut; the others see it")
	h.way.be(false)
	if err := h.until(ctx, 0, "one opinion is not enough: traffic stays on core1", func(g api.Group) bool { return g.Decision.Reason == ha.NoQuorum }); err != nil {
		return err
	}
	if g, err := h.clients[0].Group(ctx, demoGroup); err == nil {
		fmt.Fprintf(d.out, "\n%s\n", api.Status(g, d.paint()))
	}
	h.way.be(true)
	if err := h.until(ctx, 0, "front sees core1 again", func(g api.Group) bool { return g.Armed && g.Decision.Reason == ha.Serving }); err != nil {
		return err
	}
	d.say("core1 is killed, and so is the member on front")
	h.core1.Kill()
	_ = h.members[0].Process.Kill()
	if err := h.all(ctx, "core2", "all three watchers decided as one, with two members left"); err != nil {
		return err
	}
	h.core2.Set(ha.Active)
	d.say("a second member is killed, and core2: nobody can store a decision now")
	_ = h.members[1].Process.Kill()
	h.core2.Kill()
	if err := h.until(ctx, 2, "third holds: it has no register, so clients stay where they were", func(g api.Group) bool {
		return g.Decision.Reason == ha.RegisterLost && g.Serving == "core2"
	}); err != nil {
		return err
	}
	return nil
}

// way is how a watcher reaches a node; it can be cut.
type way struct {
	net.Listener
	to string

	mu    sync.Mutex // guards the fields below
	whole bool
	open  map[net.Conn]bool
}

func newWay(to string) (*way, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	w := &way{Listener: l, to: to, whole: true, open: map[net.Conn]bool{}}
	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			go w.pass(from)
		}
	}()
	return w, nil
}

// be makes the way whole, or cuts it with all that is on it.
func (w *way) be(whole bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.whole = whole
	for c := range w.open {
		if !whole {
			_ = c.Close()
		}
	}
}

func (w *way) pass(from net.Conn) {
	defer func() { _ = from.Close() }()
	w.mu.Lock()
	whole := w.whole
	w.open[from] = true
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		delete(w.open, from)
		w.mu.Unlock()
	}()
	if !whole {
		return
	}
	to, err := net.DialTimeout("tcp", w.to, time.Second)
	if err != nil {
		return
	}
	defer func() { _ = to.Close() }()
	go func() { _, _ = io.Copy(to, from) }()
	_, _ = io.Copy(from, to)
}

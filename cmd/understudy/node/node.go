package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/understudy-ha/understudy/haengine"
	"github.com/understudy-ha/understudy/internal/config"
)

// Faulty is the error of a configuration that is refused for what it says.
type Faulty struct{ Remarks []config.Remark }

func (f *Faulty) Error() string {
	return fmt.Sprintf("the configuration has faults: %d; the first: %s", len(f.Remarks), f.Remarks[0].Error())
}

// Node is one that runs. Make it with Open, run it with Run, once.
type Node struct {
	config *config.NodeFile
	log    *slog.Logger
	init   *manager
	engine *haengine.Engine
	post   *post
	status net.Listener
	socket *socket
}

// Open makes a node by the configuration in file: its listeners are open when
// it returns. The error is a *Faulty, or says what else stands in the way.
func Open(file string, log *slog.Logger) (*Node, error) {
	c, d, err := config.ReadNode(file)
	if err != nil {
		return nil, err
	}
	if faults := d.Faults(); len(faults) > 0 {
		return nil, &Faulty{faults}
	}
	for _, w := range d.Warnings() {
		log.Warn("unwise configuration", "at", fmt.Sprintf("%s:%d:%d", w.File, w.Line, w.Column), "why", w.Text)
	}
	n := &Node{config: c, log: log, init: newManager(log)}
	if n.status, err = net.Listen("tcp", c.StatusListen); err != nil {
		return nil, fmt.Errorf("listen for the status pages: %w", err)
	}
	if n.socket, err = openSocket(c.Socket); err != nil {
		_ = n.status.Close()
		return nil, err
	}
	if n.engine, n.post, err = open(c, log); err != nil {
		_ = n.status.Close()
		_ = n.socket.Close()
		return nil, fmt.Errorf("open the engine: %w", err)
	}
	return n, nil
}

// open makes the engine of a configuration.
func open(c *config.NodeFile, log *slog.Logger) (*haengine.Engine, *post, error) {
	var engine *haengine.Engine // the door asks it, from its first client on
	post, err := newPost(c, func() string { return engine.Email() }, log)
	if err != nil {
		return nil, nil, err
	}
	e := haengine.Config{
		Name: c.Name, PeerName: c.Peer.Name, Dir: c.DataDir, Peer: haengine.NewPages(c.Peer.Status), Log: log,
		Version: c.App.Version, Count: c.App.Count, Fence: haengine.Fencing{Line: c.Fence, Timeout: c.FenceTimeout},
		App: haengine.NewApplication(haengine.Commands{
			Start: c.App.Start, Stop: c.App.Stop, Kill: c.App.Kill,
			Health: c.App.Health, HealthCommand: c.App.HealthCommand,
			Interval: c.App.HealthInterval, Timeout: c.App.HealthTimeout, StartTimeout: c.App.StartTimeout,
		}, log),
		Door: haengine.NoDoor{},
	}
	if c.Door.Listen != "" {
		e.Door = haengine.NewGate(c.Door.Listen, c.Door.Forward, string(c.Door.ProxyProtocol), func() bool { return engine.MayServe() }, log)
	}
	if post != nil {
		e.Post = post
	}
	engine, err = haengine.Open(e)
	return engine, post, err
}

// Run serves until ctx ends. The error says why the engine ended by itself.
func (n *Node) Run(ctx context.Context) error {
	pages := haengine.NewServer(n.engine.Pages())
	control := haengine.NewServer(n.engine.Control(who))
	control.ConnContext = remember
	control.WriteTimeout = time.Minute // for the whole log
	ctx, end := context.WithCancel(ctx)
	defer end()
	var running sync.WaitGroup
	for s, l := range map[*http.Server]net.Listener{pages: n.status, control: n.socket} {
		s.ErrorLog = slog.NewLogLogger(n.log.Handler(), slog.LevelDebug)
		running.Go(func() {
			if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				n.log.Error("a listener has ended", "at", l.Addr().String(), "error", err)
				end()
			}
		})
	}
	running.Go(func() { n.post.run(ctx, n.log) })
	running.Go(func() { n.init.feed(ctx, n.engine.Alive) })
	n.init.ready("Node " + n.config.Name + " of " + n.config.Name + " and " + n.config.Peer.Name + ".")
	n.log.Info("the node runs", "node", n.config.Name, "peer", n.config.Peer.Name, "pages", n.status.Addr().String(), "socket", n.config.Socket)
	err := n.engine.Run(ctx)
	n.init.stopping()
	end()
	for _, s := range []*http.Server{control, pages} {
		brief, cancel := context.WithTimeout(context.Background(), time.Second)
		if s.Shutdown(brief) != nil {
			_ = s.Close()
		}
		cancel()
	}
	running.Wait()
	n.log.Info("the node has ended; its application is as it was")
	return err
}

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

	"github.com/understudy-ha/understudy/cmd/understudy/service"
	"github.com/understudy-ha/understudy/haengine"
	"github.com/understudy-ha/understudy/internal/config"
	"github.com/understudy-ha/understudy/internal/remote"
	"github.com/understudy-ha/understudy/web/account"
	"github.com/understudy-ha/understudy/web/portal"
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
	init   *service.Manager
	engine *haengine.Engine
	post   *post
	trust  *remote.Trust // nil: no portal
	safety *safety       // nil: profile documented
	people *account.Book
	pages  *portal.Portal
	agents tokens  // nil: no agent may call
	copier *copier // nil: nothing is replicated
	faces  map[string]net.Listener
}

// The faces of a node.
const (
	statusFace = "status"
	socketFace = "socket"
	portalFace = "portal"
	copyFace   = "copy"
)

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
	n := &Node{config: c, log: log, init: service.NewManager(log), faces: map[string]net.Listener{}}
	if err := n.open(); err != nil {
		n.close()
		return nil, err
	}
	return n, nil
}

// open opens what the node has; what fails is closed by the caller.
func (n *Node) open() (err error) {
	c := n.config
	status, err := net.Listen("tcp", c.StatusListen)
	if err != nil {
		return fmt.Errorf("listen for the status pages: %w", err)
	}
	n.faces[statusFace] = status
	socket, err := service.Open(c.Socket, elsewhere)
	if err != nil {
		return err
	}
	n.faces[socketFace] = socket
	if n.trust, err = openTrust(c); err != nil {
		return err
	}
	if c.AgentTokens != "" {
		if n.agents, err = readTokens(c.AgentTokens); err != nil {
			return fmt.Errorf("agents: %w", err)
		}
	}
	if n.trust != nil {
		if n.people, err = openPeople(c, n.log); err != nil {
			return fmt.Errorf("open the portal: %w", err)
		}
		portal, err := openPortal(c, n.trust)
		if err != nil {
			return err
		}
		n.faces[portalFace] = portal
	}
	if n.copier, err = openCopier(c, n.trust, n.people, func() *haengine.Engine { return n.engine }, n.log); err != nil {
		return fmt.Errorf("open the datasets: %w", err)
	}
	if n.copier != nil {
		if n.faces[copyFace], err = service.Open(copySocket(c), elsewhere); err != nil {
			return err
		}
	}
	if n.safety, err = openSafety(c, n.log); err != nil {
		return err
	}
	if n.engine, n.post, err = n.newEngine(); err != nil {
		return fmt.Errorf("open the engine: %w", err)
	}
	if n.trust != nil {
		if n.pages, err = openPages(c, n.engine, n.trust, n.people, n.log); err != nil {
			return fmt.Errorf("open the portal: %w", err)
		}
	}
	return nil
}

func (n *Node) close() {
	for _, l := range n.faces {
		_ = l.Close()
	}
	n.safety.close()
}

// newEngine makes the engine of the configuration.
func (n *Node) newEngine() (*haengine.Engine, *post, error) {
	c, trust, copies, log := n.config, n.trust, n.copier, n.log
	var engine *haengine.Engine // the door asks it, from its first client on
	post, err := newPost(c, func() string { return engine.Email() }, log)
	if err != nil {
		return nil, nil, err
	}
	commands := commandsOf(c)
	if copies != nil {
		commands.Before = func(context.Context) error { return copies.beforeApp(engine.Trying(), engine.Alone()) }
	}
	e := haengine.Config{
		Name: c.Name, PeerName: c.Peer.Name, Recovery: c.Recovery, Dir: c.DataDir, Peer: peer(c, trust), Owners: owners(c, trust), Log: log,
		Services: services(c), Version: c.App.Version, Count: c.App.Count, Lists: haengine.Lists(c.App.Lists), Fence: haengine.Fencing{Line: c.Fence, Timeout: c.FenceTimeout},
		App:  haengine.NewApplication(commands, log),
		Door: haengine.NoDoor{},
	}
	if c.Third.Name != "" {
		e.Third = &haengine.Third{Name: c.Third.Name, Pages: haengine.NewPages(c.Third.Status)}
	}
	if c.Door.Listen != "" {
		e.Door = haengine.NewGate(c.Door.Listen, c.Door.Forward, string(c.Door.ProxyProtocol), func() bool { return engine.MayServe() }, log)
	}
	if post != nil {
		e.Post = post
	}
	if copies != nil {
		e.Stock, e.Copier, e.Keeper, e.IsPeer = copies, copies, copies, copies.isPeer
	}
	if err := n.safety.enter(c, &e); err != nil {
		return nil, nil, err
	}
	engine, err = haengine.Open(e)
	return engine, post, err
}

// peer gives the other node: what its pages tell, and its engine where there is
// trust.
func peer(c *config.NodeFile, trust *remote.Trust) haengine.Peer {
	pages := haengine.NewPages(c.Peer.Status)
	if trust == nil {
		return pages
	}
	return haengine.NewTrusted(c.Peer.Name, trust, pages)
}

// servers gives what answers at each face.
func (n *Node) servers() map[string]*http.Server {
	control := haengine.NewServer(n.engine.Control(who))
	control.ConnContext = remember
	control.WriteTimeout = time.Minute // for the whole log
	all := map[string]*http.Server{statusFace: haengine.NewServer(n.engine.Pages()), socketFace: control}
	if n.trust != nil {
		all[portalFace] = haengine.NewServer(n.portal())
		all[portalFace].RegisterOnShutdown(n.pages.HangUp)
		all[portalFace].WriteTimeout = time.Minute
		all[portalFace].IdleTimeout = 5 * time.Minute // longer than the peer's Heartbeat Interval
	}
	return all
}

// Run serves until ctx ends, and then for as long as the engine needs to end.
// The error says why the engine ended by itself.
func (n *Node) Run(told context.Context) error {
	told, stop := context.WithCancel(told)
	defer stop()
	ctx, end := context.WithCancel(context.WithoutCancel(told))
	defer end()
	context.AfterFunc(told, n.init.Stopping)
	var running sync.WaitGroup
	servers := n.servers()
	for face, s := range servers {
		l := n.faces[face]
		s.ErrorLog = slog.NewLogLogger(n.log.Handler(), slog.LevelDebug)
		running.Go(func() {
			if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				n.log.Error("a listener has ended", "at", l.Addr().String(), "error", err)
				stop()
			}
		})
	}
	if n.copier != nil {
		running.Go(func() {
			if err := n.copier.serve(ctx, n.faces[copyFace]); err != nil {
				n.log.Error("a listener has ended", "at", n.faces[copyFace].Addr().String(), "error", err)
				stop()
			}
		})
	}
	running.Go(func() { n.post.run(ctx, n.log) })
	if n.pages != nil {
		running.Go(func() { n.pages.Run(ctx) })
	}
	running.Go(func() { n.init.Feed(ctx, n.engine.Alive) })
	running.Go(func() { n.safety.watch(ctx, n.engine) })
	n.init.Ready("Node " + n.config.Name + " of " + n.config.Name + " and " + n.config.Peer.Name + ".")
	n.log.Info("the node runs", "node", n.config.Name, "peer", n.config.Peer.Name, "pages", n.faces[statusFace].Addr().String(), "socket", n.config.Socket)
	err := n.engine.Run(told)
	n.init.Stopping()
	end()
	for _, face := range []string{socketFace, portalFace, statusFace} {
		s := servers[face]
		if s == nil {
			continue
		}
		brief, cancel := context.WithTimeout(context.Background(), time.Second)
		if s.Shutdown(brief) != nil {
			_ = s.Close()
		}
		cancel()
	}
	running.Wait()
	n.safety.close()
	n.log.Info("the node has ended")
	return err
}

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/understudy-ha/understudy/internal/api"
)

const demoGroup = "mdm"

func newDemo(s *session) *cobra.Command {
	var scene string
	var stay time.Duration
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run a whole group on this machine and show a failover",
		Long: `Run three nodes with a small application, the front, a sidecar and a stream of requests
on loopback, play a scene, and stay up to be tried, until Ctrl-C or --for is over. Nothing is left behind.

Scenes: ` + strings.Join(sceneNames(), ", ") + `. Without --scenario it plays
primary-crash and stays; with it, it plays that scene and ends (with --for: stays).`,
		Args: nothing,
	}
	cmd.AddCommand(newSample())
	cmd.Flags().StringVar(&scene, "scenario", "", "play this scene and end")
	cmd.Flags().DurationVar(&stay, "for", 0, "end after this time")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if stay < 0 {
			return misuse(cmd, fmt.Sprintf("--for %s is not above zero", stay))
		}
		play, ok := scenes[scene]
		if scene == "" {
			play, ok = scenes["primary-crash"], true
		}
		if !ok {
			return misuse(cmd, fmt.Sprintf("there is no scene %q; there are: %s", scene, strings.Join(sceneNames(), ", ")))
		}
		d, err := openDemo(cmd.Context(), s)
		if err != nil {
			return &failure{exitUsage, "understudy: the demo did not start", err.Error(), "Free the port, or end the other demo.", readCLI}
		}
		defer d.close()
		d.greet()
		d.greetPages()
		return d.perform(cmd.Context(), play, stay, scene != "" && stay == 0)
	}
	return cmd
}

// demo is a whole group on loopback.
type demo struct {
	*session
	dir     string
	nodes   map[string]*actor
	site    string // where clients go
	caddy   *exec.Cmd
	aide    *aide // the sidecar
	courier courier
	control *http.Server
	at      string // where the control is
	client  *api.Client
	load    *load
	begun   time.Time
}

// openDemo starts the nodes, the front, the sidecar, the control and the clients.
func openDemo(ctx context.Context, s *session) (*demo, error) {
	d := &demo{session: s, nodes: map[string]*actor{}, begun: time.Now()}
	var err error
	if d.dir, err = os.MkdirTemp("", "understudy-demo-"); err != nil {
		return nil, err
	}
	if err := d.sshd(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start an sshd: %w", err), d.close())
	}
	if err := d.cast(ctx); err != nil {
		return nil, errors.Join(err, d.close())
	}
	if err := d.front(ctx); err != nil {
		return nil, errors.Join(err, d.close())
	}
	if err := d.sidecar(ctx); err != nil {
		return nil, errors.Join(err, d.close())
	}
	if err := d.listen(); err != nil {
		return nil, errors.Join(err, d.close())
	}
	d.load = startLoad(ctx, d.site)
	return d, nil
}

// close ends everything and leaves nothing behind.
func (d *demo) close() error {
	if d.load != nil {
		d.load.stop()
	}
	var errs []error
	if d.control != nil {
		errs = append(errs, d.control.Close())
	}
	d.aide.close()
	if d.caddy != nil && d.caddy.Process != nil {
		_ = d.caddy.Process.Signal(os.Interrupt)
		_ = d.caddy.Wait() // however it ended
	}
	for _, n := range d.nodes {
		n.kill() // before its sshd goes
	}
	d.courier.close()
	return errors.Join(append(errs, d.remove())...)
}

// remove removes the demo's folder. An application that an engine was just
// starting when it was killed may still write there for a moment.
func (d *demo) remove() error {
	end := time.Now().Add(10 * time.Second)
	for {
		err := os.RemoveAll(d.dir)
		if err == nil || time.Now().After(end) {
			return err
		}
		time.Sleep(50 * time.Millisecond)
		for _, n := range d.nodes {
			n.kill()
		}
	}
}

// front runs Caddy as a process of its own, with the configuration that the
// greeting names, and waits until it answers.
func (d *demo) front(ctx context.Context) error {
	admin, site := "localhost:2019", "127.0.0.1:0"
	for _, want := range []*string{&admin, &site} {
		l, err := net.Listen("tcp", *want)
		if err != nil {
			if l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
				return err
			}
		}
		if l.Addr().String() != "127.0.0.1:2019" {
			*want = l.Addr().String()
		}
		_ = l.Close()
	}
	d.site = "http://" + site + "/"
	config := fmt.Sprintf(demoCaddyfile, admin, d.dir, d.dir, d.frontKey(),
		d.nodes["core1"].URL(), d.nodes["core1"].pages, d.nodes["core1"].portal, d.nodes["core2"].URL(), d.nodes["core2"].pages, d.nodes["core2"].portal, d.nodes["dr1"].URL(), d.nodes["dr1"].pages, site)
	file := filepath.Join(d.dir, "Caddyfile")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(d.dir, "front.log"))
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	d.caddy = exec.Command(self, "caddy", "run", "--config", file) // #nosec G204 -- ourselves
	d.caddy.Stdout, d.caddy.Stderr, d.caddy.SysProcAttr = log, log, dieWithUs
	if err := d.caddy.Start(); err != nil {
		return err
	}
	if d.client, err = api.NewClient("http://"+admin, ""); err != nil {
		return err
	}
	for ctx, cancel := context.WithTimeout(ctx, sceneWait); ; pause(ctx, 20*time.Millisecond) {
		if _, err = d.client.Group(ctx, demoGroup); err == nil || ctx.Err() != nil {
			cancel()
			return err
		}
	}
}

const demoCaddyfile = `{
	admin %s
	auto_https off
	persist_config off
	storage file_system %s/caddy
	understudy {
		state_dir %s/state
		peer_key %s
		group mdm {
			node core1 %s {
				probe http://%s
				peer https://%s
			}
			node core2 %s {
				probe http://%s
				peer https://%s
			}
			node dr1 %s manual {
				probe http://%s
			}
			probe {
				interval 500ms
				fast_interval 100ms
				timeout 500ms
			}
		}
	}
}
http://%s {
	understudy mdm
}
`

// listen opens the control: a POST breaks or mends a node.
func (d *demo) listen() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	d.at = "http://" + l.Addr().String()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /{node}/{deed}", func(w http.ResponseWriter, r *http.Request) {
		n, deed := d.nodes[r.PathValue("node")], deeds[r.PathValue("deed")]
		if n == nil || deed == nil {
			http.Error(w, "POST /NODE/DEED; nodes: core1, core2, dr1; deeds: kill, hang, start, active, standby", http.StatusNotFound)
			return
		}
		d.say("%s: %s (you)", r.PathValue("node"), r.PathValue("deed"))
		if err := deed(r.Context(), n); err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
		}
	})
	d.control = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = d.control.Serve(l) }()
	return nil
}

// deeds are what the control can do to a node.
var deeds = map[string]func(context.Context, *actor) error{
	"kill":   func(_ context.Context, n *actor) error { n.kill(); return nil },
	"hang":   func(_ context.Context, n *actor) error { n.hang(); return nil },
	"start":  func(ctx context.Context, n *actor) error { return n.start(ctx) },
	"active": func(ctx context.Context, n *actor) error { _, err := n.client.Role(ctx, "primary", "demo"); return err },
	"standby": func(ctx context.Context, n *actor) error {
		_, err := n.client.Role(ctx, "secondary", "demo")
		return err
	},
}

func (d *demo) greet() {
	fmt.Fprintf(d.out, `Everything runs on this machine alone. Ctrl-C ends it and leaves nothing behind.

  clients    %s   %d requests a second are on their way
  nodes      core1 http://%s (Primary)   core2 http://%s (Secondary)   dr1 http://%s (manual): their status pages
             understudy failover --socket %s/core1/node.sock status      also: history, log, mode, failback
  front      process %d, %s
  sidecar    process %d, %s, with the front's decisions
             http://%s/mdm/serving and /mdm/core1 are what other load balancers ask,
             %s is for HAProxy's agent check: echo mdm/core1 | nc %s
             dig +short @127.0.0.1 -p %s mdm.example.com      what resolvers are told
  look       understudy status --api %s      also: why, history, resume, switch, hold, release
  break      curl -X POST %s/core1/kill      also: hang, start, active, standby; core2, dr1

`, d.site, loadRate, d.nodes["core1"].pages, d.nodes["core2"].pages, d.nodes["dr1"].pages, d.dir,
		d.caddy.Process.Pid, filepath.Join(d.dir, "Caddyfile"),
		d.aide.cmd.Process.Pid, filepath.Join(d.dir, "sidecar.yaml"), d.aide.proxy, d.aide.agent, strings.Replace(d.aide.agent, ":", " ", 1),
		strings.TrimPrefix(d.aide.names, "127.0.0.1:"),
		d.client.At(), d.at)
}

// say writes one line of the play.
func (d *demo) say(format string, args ...any) {
	fmt.Fprintf(d.out, "%8.3f s  %s\n", time.Since(d.begun).Seconds(), fmt.Sprintf(format, args...))
}

// perform plays a scene and then stays as long as it was told to.
func (d *demo) perform(ctx context.Context, play scene, stay time.Duration, leave bool) error {
	if stay > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, stay)
		defer cancel()
	}
	end := context.Cause
	if err := play(ctx, d); err != nil && end(ctx) == nil {
		return &failure{exitUsage, "understudy: the scene did not go as it should", err.Error(), "Play it again; --for keeps it up to be looked at.", readCLI}
	}
	switch {
	case end(ctx) == context.DeadlineExceeded:
		d.say("%s are over, and the scene is not: it wants more time (--for)", stay)
	case !leave && ctx.Err() == nil:
		d.say("the scene is over; all of it stays up to be tried")
		d.watch(ctx)
	}
	fmt.Fprintln(d.out)
	d.say("%s", d.load.report())
	return nil
}

// watch tells what happens until ctx ends.
func (d *demo) watch(ctx context.Context) {
	last := ""
	_ = d.client.Follow(ctx, demoGroup, func(n api.News) {
		timeless := n.Group
		timeless.At = timeless.Since
		if line := api.StatusLine(timeless); n.Away == nil && line != last {
			last = line
			d.say("%s", api.StatusLine(n.Group))
		}
	})
}

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/internal/register"
	"github.com/understudy-ha/understudy/probes"
)

// deadGroups is how many groups with a dead node are watched beside the one
// that is asked for.
const deadGroups = 100

// proxyNginx is the peer: one worker that answers every request from its
// configuration, with a body of the size of ours.
const proxyNginx = `daemon off;
master_process off;
pid %[1]s/nginx.pid;
error_log stderr;
events { worker_connections 4096; }
http {
	access_log off;
	default_type text/plain;
	keepalive_requests 1000000000;
	keepalive_timeout 600s;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	server {
		listen %[2]s;
		location / { return 200 "traffic: yes\ngroup: mdm\nnode: core1\nreason: serving\nepoch: 1\n"; }
	}
}
`

// peer is a server of proxy and its figures, for connections that are kept and
// for one connection an answer.
type peer struct {
	name       string
	address    string
	pid        int
	kept, anew pace
}

// pace is how fast answers came.
type pace struct {
	rate series // answers a second
	core series // answers in a second of the server's CPU time, which nothing else on the machine lowers
}

// proxy compares the probe proxy with nginx, and with itself while nodes hang.
func (b *bench) proxy(ctx context.Context) error {
	b.title("proxy", "wrk -c64 on one core, the server on the other; each alone in changing order for %s, so that what else happens hits both alike; minimum / median / maximum of %d rounds", b.alone(), b.pairs)
	room, err := b.room()
	if err != nil {
		return err
	}
	ours, err := b.startProxy(ctx, 0, 0)
	if err != nil {
		return err
	}
	defer ours.stop()
	address, err := freeAddress()
	if err != nil {
		return err
	}
	config := filepath.Join(room, "nginx.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, proxyNginx, room, address), 0o600); err != nil {
		return err
	}
	other, err := start(ctx, room, "nginx", nil, append([]string{"taskset", "-c", "0"}, nginx(b, config)...)...)
	if err != nil {
		return err
	}
	defer other.stop()
	if err := other.await(ctx, serves(address)); err != nil {
		return err
	}
	peers := []*peer{
		{name: "understudy", address: ours.address, pid: ours.pid()}, {name: "nginx", address: address, pid: other.pid()},
	}
	for round := range b.pairs {
		for i := range peers {
			if err := peers[(round+i)%len(peers)].load(ctx, b.alone()); err != nil {
				return err
			}
		}
	}
	b.proxyVerdict(peers[0], peers[1])
	return b.proxyDead(ctx)
}

// load measures one peer by itself.
func (p *peer) load(ctx context.Context, lasts time.Duration) error {
	for _, way := range []struct {
		pace   *pace
		header string
	}{{&p.kept, "Connection: keep-alive"}, {&p.anew, "Connection: close"}} {
		began := time.Now()
		before, errBefore := cpuTime(p.pid)
		answers, _, err := wrkProxy(ctx, p.address, 64, lasts, way.header)
		after, errAfter := cpuTime(p.pid)
		if err := errors.Join(errBefore, err, errAfter); err != nil {
			return fmt.Errorf("%s, %s: %w", p.name, way.header, err)
		}
		way.pace.rate.add(answers / time.Since(began).Seconds())
		way.pace.core.add(answers / (after - before).Seconds())
	}
	return nil
}

func (b *bench) proxyVerdict(ours, nginx *peer) {
	t := newTable(b.out, "connections", "server", "answers a second", "answers a CPU second")
	row := func(ways, name string, p pace, decimals int) {
		t.row(ways, name, p.rate.three(decimals), p.core.three(decimals))
	}
	kept := pace{ours.kept.rate.over(nginx.kept.rate), ours.kept.core.over(nginx.kept.core)}
	anew := pace{ours.anew.rate.over(nginx.anew.rate), ours.anew.core.over(nginx.anew.core)}
	row("kept", ours.name, ours.kept, 0)
	row("", nginx.name, nginx.kept, 0)
	row("", "ratio, round by round", kept, 3)
	row("one an answer", ours.name, ours.anew, 0)
	row("", nginx.name, nginx.anew, 0)
	row("", "ratio, round by round", anew, 3)
	t.Flush()
	b.goal(kept.rate.median() >= 0.95, "answers of one core, connections kept, at least 0.95 of nginx: %.3f", kept.rate.median())
	b.goal(anew.rate.median() >= 0.97, "answers of one core, a connection each, at least 0.97 of nginx: %.3f", anew.rate.median())
}

// proxyDead measures how long answers take while the nodes of many groups do
// not answer, and while they do.
func (b *bench) proxyDead(ctx context.Context) error {
	b.say("")
	b.say("p99 of wrk -c8 beside %d groups whose nodes answer, and as many whose Primary accepts and says nothing, in turn", deadGroups)
	var well, dead series
	for range b.runs {
		for _, way := range []struct {
			figures *series
			dead    int
		}{{&well, 0}, {&dead, deadGroups}} {
			p99, err := b.proxyTail(ctx, way.dead)
			if err != nil {
				return err
			}
			way.figures.ms(p99)
		}
	}
	t := newTable(b.out, "nodes", "p99 ms")
	t.row("all answer", well.three(3))
	t.row("dead", dead.three(3))
	t.Flush()
	b.goal(dead.median() <= max(1.25*well.median(), well.max()), "p99 with dead nodes as with live ones, within a quarter or the spread: %.3f ms, %.3f ms", dead.median(), well.median())
	b.say("")
	return nil
}

func (b *bench) proxyTail(ctx context.Context, dead int) (time.Duration, error) {
	p, err := b.startProxy(ctx, deadGroups, dead)
	if err != nil {
		return 0, err
	}
	defer p.stop()
	if err := p.settled(ctx, dead); err != nil {
		return 0, err
	}
	_, p99, err := wrkProxy(ctx, p.address, 8, b.slice, "Connection: keep-alive")
	return p99, err
}

// proxyChild is a process with the proxy and its nodes.
type proxyChild struct {
	*child
	nodes   field
	address string
}

func (p *proxyChild) stop() {
	p.child.stop()
	p.nodes.stop()
}

// startProxy starts the proxy on the first core, and its nodes.
func (b *bench) startProxy(ctx context.Context, beside, dead int) (*proxyChild, error) {
	nodes, err := b.newField(ctx)
	if err != nil {
		return nil, err
	}
	room, err := b.room()
	if err != nil {
		nodes.stop()
		return nil, err
	}
	p := &proxyChild{nodes: nodes}
	if p.address, err = freeAddress(); err == nil {
		p.child, err = start(ctx, room, "proxy", nil, "taskset", "-c", "0", b.self, "proxy", "-listen", p.address, "-room", room,
			"-active", strconv.Itoa(nodes.active), "-standby", strconv.Itoa(nodes.standby), "-beside", strconv.Itoa(beside), "-dead", strconv.Itoa(dead))
	}
	if err != nil {
		nodes.stop()
		return nil, err
	}
	if err := p.await(ctx, func() bool { _, err := scrape(ctx, "http://"+p.address+wrkPath); return err == nil }); err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

// settled waits until the groups with a dead node have failed over, and a while
// for what that has left to do.
func (p *proxyChild) settled(ctx context.Context, dead int) error {
	for i := range dead {
		url := fmt.Sprintf("http://%s/g%05d/serving", p.address, i)
		moved := func() bool { name, err := scrape(ctx, url); return err == nil && name == "core2\n" }
		if err := p.await(ctx, moved); err != nil {
			return err
		}
	}
	return pause(ctx, 2*time.Second)
}

var (
	wrkSlow = regexp.MustCompile(`99%\s+([\d.]+[a-z]+)`)
	wrkPath = "/mdm/core1"
)

// wrkProxy loads a server and gives how many answers came and the time within
// which 99 of 100 did. An answer that is not 2xx is an error.
func wrkProxy(ctx context.Context, address string, conns int, lasts time.Duration, header string) (float64, time.Duration, error) {
	text, err := exec.CommandContext(ctx, "taskset", "-c", "1", "wrk", "-t1", "-c"+strconv.Itoa(conns), "--latency",
		"-d"+strconv.Itoa(int(lasts.Seconds()))+"s", "-H", header, "http://"+address+wrkPath).CombinedOutput()
	if err != nil {
		return 0, 0, fmt.Errorf("wrk: %w: %s", err, text)
	}
	if fault := wrkFaults.Find(text); fault != nil {
		return 0, 0, errors.New("wrk: " + string(fault))
	}
	found, slow := wrkRequests.FindSubmatch(text), wrkSlow.FindSubmatch(text)
	if found == nil || slow == nil {
		return 0, 0, fmt.Errorf("wrk said: %s", text)
	}
	p99, errSlow := time.ParseDuration(string(slow[1]))
	answers, errCount := strconv.ParseFloat(string(found[1]), 64)
	return answers, p99, errors.Join(errSlow, errCount)
}

// proxyFlags say what the part "proxy" of the program does.
type proxyFlags struct {
	listen, room    string
	active, standby int
	beside, dead    int
}

// runProxy is the part "proxy" of the program: the probe proxy over watched
// groups, as the sidecar has it, without the rest of the sidecar.
func runProxy(ctx context.Context, args []string) error {
	var f proxyFlags
	flags := flag.NewFlagSet("proxy", flag.ContinueOnError)
	flags.StringVar(&f.listen, "listen", "", "address")
	flags.StringVar(&f.room, "room", "", "folder for the traffic")
	flags.IntVar(&f.active, "active", 0, "port of the Active nodes")
	flags.IntVar(&f.standby, "standby", 0, "port of those in Standby")
	flags.IntVar(&f.beside, "beside", 0, "how many groups are watched beside mdm")
	flags.IntVar(&f.dead, "dead", 0, "of how many of those the Primary hangs")
	if err := flags.Parse(args); err != nil {
		return err
	}
	log := slog.New(slog.DiscardHandler)
	reg, err := register.OpenDir(filepath.Join(f.room, "state"))
	if err != nil {
		return err
	}
	silent, err := net.Listen("tcp", "127.0.0.1:0") // whose connections nobody takes
	if err != nil {
		return err
	}
	defer silent.Close()
	watchers := map[string]*probes.Watcher{"mdm": probes.NewWatcher("mdm", reg, log)}
	for i := range f.beside {
		name := fmt.Sprintf("g%05d", i)
		watchers[name] = probes.NewWatcher(name, reg, log)
	}
	c := probes.DefaultProxy()
	c.Log = log
	c.Look = func(group string) (ha.Situation, bool) {
		w := watchers[group]
		return w.Situation(), true
	}
	p, err := probes.NewProxy(c)
	if err != nil {
		return err
	}
	var running sync.WaitGroup
	defer running.Wait()
	for name, w := range watchers {
		primary := net.JoinHostPort(pagesHost(len(name)), strconv.Itoa(f.active))
		if i, err := strconv.Atoi(name[1:]); err == nil && i < f.dead {
			primary = silent.Addr().String()
		}
		plan, err := proxyPlan(primary, net.JoinHostPort(pagesHost(1), strconv.Itoa(f.standby)))
		if err != nil {
			return err
		}
		w.Follow(p.Tell)
		running.Go(func() { w.Run(ctx, plan) })
	}
	ln, err := (&net.ListenConfig{KeepAlive: -1}).Listen(ctx, "tcp", f.listen)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = p.Shutdown(ctx) })()
	return p.Serve(ln)
}

// proxyPlan is a pair that is looked at more often than by default.
func proxyPlan(primary, secondary string) (plan probes.Plan, err error) {
	plan.Rules = ha.DefaultRules()
	plan.Rules.Interval = time.Second
	for _, n := range []struct{ name, address string }{{"core1", primary}, {"core2", secondary}} {
		c, err := probes.NewChecker(probes.Target{Node: n.name, URL: "http://" + n.address, Timeout: plan.Rules.Timeout})
		if err != nil {
			return plan, err
		}
		plan.Nodes = append(plan.Nodes, probes.Node{Name: n.name, Key: n.address, Looker: c})
	}
	return plan, nil
}

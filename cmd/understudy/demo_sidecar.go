package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// aide is the demo's sidecar: a process of its own that shares the front's
// decisions and tells them to other load balancers.
type aide struct {
	cmd    *exec.Cmd
	proxy  string // where load balancers ask over HTTP
	agent  string // where HAProxy's agent check asks
	names  string // where resolvers ask
	socket string

	console string // where browsers ask
}

const demoSidecar = `state_dir: %s
groups:
  mdm:
    nodes:
      - {name: core1, url: %q, probe_url: "http://%s", addresses: [192.0.2.10]}
      - {name: core2, url: %q, probe_url: "http://%s", addresses: [192.0.2.11]}
      - {name: dr1, url: %q, probe_url: "http://%s", addresses: [198.51.100.10], manual: true}
    probe: {interval: 500ms, fast_interval: 100ms, timeout: 500ms}
probe_proxy: {listen: [%q], agent: [%q], max_age: 10s}
dns: {listen: [%q], zones: [{name: example.com, file: example.com.zone, dynamic: [{name: mdm, group: mdm, ttl: 5s}]}]}
api: {socket: %s}
`

const demoZone = `$TTL 300
@    SOA ns1 hostmaster 1 3600 900 604800 60
@    NS  ns1
ns1  A   192.0.2.53
`

// sidecar starts the sidecar and waits until it answers load balancers.
func (d *demo) sidecar(ctx context.Context) error {
	proxy, err := freeAddress()
	if err != nil {
		return err
	}
	agent, err := freeAddress()
	if err != nil {
		return err
	}
	names, err := freeAddress()
	if err != nil {
		return err
	}
	d.aide = &aide{proxy: proxy, agent: agent, names: names, socket: filepath.Join(d.dir, "sidecar.sock")}
	config := fmt.Sprintf(demoSidecar, filepath.Join(d.dir, "state"),
		d.nodes["core1"].URL(), d.nodes["core1"].pages, d.nodes["core2"].URL(), d.nodes["core2"].pages, d.nodes["dr1"].URL(), d.nodes["dr1"].pages, proxy, agent, names, d.aide.socket)
	if err := os.WriteFile(filepath.Join(d.dir, "example.com.zone"), []byte(demoZone), 0o600); err != nil {
		return err
	}
	file := filepath.Join(d.dir, "sidecar.yaml")
	if config, err = d.withConsole(config); err != nil {
		return err
	}
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(d.dir, "sidecar.log"))
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	d.aide.cmd = exec.Command(self, "sidecar", "--config", file) // #nosec G204 -- ourselves
	d.aide.cmd.Stdout, d.aide.cmd.Stderr, d.aide.cmd.SysProcAttr = log, log, dieWithUs
	if err := d.aide.cmd.Start(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, sceneWait)
	defer cancel()
	for ; ; pause(ctx, 20*time.Millisecond) {
		_, err := d.aide.serving(ctx)
		if err == nil || ctx.Err() != nil {
			return err
		}
	}
}

// freeAddress gives an address of loopback that nobody listens at.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String(), nil
}

// serving gives the node that load balancers are told.
func (a *aide) serving(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+a.proxy+"/"+demoGroup+"/serving", nil)
	if err != nil {
		return "", err
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 1<<10))
	if answer.StatusCode != http.StatusOK {
		return "nobody, because of " + answer.Header.Get("X-Understudy-Reason"), err
	}
	return strings.TrimSpace(string(text)), err
}

// address gives what resolvers are told.
func (a *aide) address(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	resolver := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, a.names)
	}}
	found, err := resolver.LookupNetIP(ctx, "ip4", "mdm.example.com.")
	if err != nil {
		return "", err
	}
	return found[0].String(), nil
}

// close ends the sidecar.
func (a *aide) close() {
	if a != nil && a.cmd != nil && a.cmd.Process != nil {
		_ = a.cmd.Process.Signal(os.Interrupt)
		_ = a.cmd.Wait() // however it ended
	}
}

// told waits until other load balancers are told a node, and says so.
func (d *demo) told(ctx context.Context, node string) error {
	ctx, cancel := context.WithTimeout(ctx, sceneWait)
	defer cancel()
	for ; ; pause(ctx, 5*time.Millisecond) {
		switch now, err := d.aide.serving(ctx); {
		case err == nil && now == node:
			address, err := d.aide.address(ctx)
			if err != nil {
				return fmt.Errorf("ask the name server: %w", err)
			}
			d.say("the sidecar tells the same: %s to other load balancers, %s to resolvers", now, address)
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("the sidecar tells load balancers %q, not %s", now, node)
		}
	}
}

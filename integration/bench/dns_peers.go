package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/understudy-ha/understudy/dnsgtm"
)

// dnsPeer is a name server to measure.
type dnsPeer struct {
	name  string
	start func(ctx context.Context, b *bench) (*child, string, error)
}

// dnsZones are files with the same zone: as text, and signed by ldns; key is
// the private key that both are signed with.
type dnsZones struct{ plain, signed, key string }

// writeDNSZones makes the zones in a room.
func writeDNSZones(room string) (z dnsZones, err error) {
	z.plain = filepath.Join(room, "example.com.zone")
	if err := writeDNSZone(z.plain, 1000, true); err != nil {
		return z, err
	}
	whole := filepath.Join(room, "whole.zone")
	if err := writeDNSZone(whole, 1000, false); err != nil {
		return z, err
	}
	keygen := exec.Command("ldns-keygen", "-a", "ECDSAP256SHA256", "-k", "example.com")
	keygen.Dir = room
	name, err := keygen.Output()
	if err != nil {
		return z, fmt.Errorf("ldns-keygen: %w", err)
	}
	base := filepath.Join(room, strings.TrimSpace(string(name)))
	z.key, z.signed = base+".private", filepath.Join(room, "signed.zone")
	if out, err := exec.Command("ldns-signzone", "-f", z.signed, whole, base).CombinedOutput(); err != nil {
		return z, fmt.Errorf("ldns-signzone: %w: %s", err, out)
	}
	return z, nil
}

// writeDNSZone writes a zone with names n0, n1 and so on; mdm is left to be
// dynamic, or stands there too.
func writeDNSZone(file string, names int, dynamic bool) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	fmt.Fprint(w, "$ORIGIN example.com.\n$TTL 300\n@ IN SOA ns1 hostmaster 1 3600 900 604800 60\n@ IN NS ns1\nns1 IN A 192.0.2.1\n")
	if !dynamic {
		fmt.Fprint(w, "mdm 5 IN A 192.0.2.10\n")
	}
	for i := range names {
		fmt.Fprintf(w, "n%d IN A 10.%d.%d.%d\n", i, i>>16&255, i>>8&255, i&255)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Close()
}

// pinned starts a server on the first core, with one thread of Go.
func (b *bench) pinned(ctx context.Context, room, name string, argv ...string) (*child, error) {
	return start(ctx, room, name, []string{"GOMAXPROCS=1"}, append([]string{"taskset", "-c", "0"}, argv...)...)
}

func ours(room, zone, key string) dnsPeer { return oursOf(room, zone, key, 1) }

// oursOf is our server with a number of groups, each with a dynamic name.
func oursOf(room, zone, key string, groups int) dnsPeer {
	return dnsPeer{"understudy", func(ctx context.Context, b *bench) (*child, string, error) {
		address, err := freeAddress()
		if err != nil {
			return nil, "", err
		}
		c := dnsgtm.Default()
		c.Listen, c.Workers, c.Rate.PerSecond = []string{address}, 1, 0
		z := dnsgtm.Zone{Name: "example.com", File: zone}
		if key != "" {
			z.Sign = []string{key}
		}
		for i := range groups {
			name := "mdm"
			if i > 0 {
				name = "mdm" + strconv.Itoa(i)
			}
			c.Groups = append(c.Groups, dnsgtm.Group{Name: name, Nodes: []dnsgtm.Node{
				{Name: "core1", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.10")}},
				{Name: "core2", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.11")}},
			}})
			z.Names = append(z.Names, dnsgtm.Name{Name: name, Group: name, TTL: 5 * time.Second})
		}
		c.Zones = []dnsgtm.Zone{z}
		text, err := json.Marshal(c)
		if err != nil {
			return nil, "", err
		}
		config := filepath.Join(room, "understudy.json")
		if err := os.WriteFile(config, text, 0o600); err != nil {
			return nil, "", err
		}
		child, err := b.pinned(ctx, room, "understudy", b.self, "dns-server", "-config", config)
		return child, address, err
	}}
}

// gdnsd answers mdm by its failover plugin, with addresses that are always up.
func gdnsd(room string) dnsPeer {
	return dnsPeer{"gdnsd", func(ctx context.Context, b *bench) (*child, string, error) {
		address, err := freeAddress()
		if err != nil {
			return nil, "", err
		}
		dir := filepath.Join(room, "gdnsd")
		files := map[string]string{
			"config": fmt.Sprintf(`options => { listen => %s, udp_threads => 1, tcp_threads => 1, run_dir => %s/run, state_dir => %s/state, chaos_response => "" }
plugins => { simplefo => { service_types => up, mdm => { primary => 192.0.2.10, secondary => 192.0.2.11 } } }
`, address, dir, dir),
			"zones/example.com": "@ SOA ns1 hostmaster 1 3600 900 604800 60\n@ NS ns1\nns1 A 192.0.2.1\nmdm 5 DYNA simplefo!mdm\n",
		}
		if err := writeFiles(dir, files, "run", "state"); err != nil {
			return nil, "", err
		}
		child, err := b.pinned(ctx, room, "gdnsd", "/usr/sbin/gdnsd", "-c", dir, "start")
		return child, address, err
	}}
}

func nsd(room, zone string) dnsPeer {
	return dnsPeer{"nsd", func(ctx context.Context, b *bench) (*child, string, error) {
		address, port, err := freeParts()
		if err != nil {
			return nil, "", err
		}
		dir := filepath.Join(room, "nsd")
		conf := fmt.Sprintf("server:\n  ip-address: 127.0.0.1@%s\n  port: %s\n  server-count: 1\n  username: \"\"\n  chroot: \"\"\n  zonesdir: %q\n  zonelistfile: %q\n  xfrdfile: %q\n  xfrdir: %q\n  pidfile: %q\n  database: \"\"\n  rrl-ratelimit: 0\n  reuseport: no\nremote-control:\n  control-enable: no\nzone:\n  name: example.com\n  zonefile: %q\n",
			port, port, dir, dir+"/list", dir+"/xfrd", dir, dir+"/pid", zone)
		if err := writeFiles(dir, map[string]string{"nsd.conf": conf}); err != nil {
			return nil, "", err
		}
		child, err := b.pinned(ctx, room, "nsd", "/usr/sbin/nsd", "-d", "-c", filepath.Join(dir, "nsd.conf"))
		return child, address, err
	}}
}

func knot(room, zone string) dnsPeer {
	return dnsPeer{"knot", func(ctx context.Context, b *bench) (*child, string, error) {
		address, port, err := freeParts()
		if err != nil {
			return nil, "", err
		}
		dir := filepath.Join(room, "knot")
		conf := fmt.Sprintf("server:\n  rundir: %q\n  listen: 127.0.0.1@%s\n  udp-workers: 1\n  tcp-workers: 1\n  background-workers: 1\ndatabase:\n  storage: %q\ntemplate:\n  - id: default\n    journal-content: none\n    zonefile-sync: -1\nzone:\n  - domain: example.com\n    file: %q\n",
			dir, port, dir, zone)
		if err := writeFiles(dir, map[string]string{"knot.conf": conf}); err != nil {
			return nil, "", err
		}
		child, err := b.pinned(ctx, room, "knot", "/usr/sbin/knotd", "-c", filepath.Join(dir, "knot.conf"))
		return child, address, err
	}}
}

func freeParts() (address, port string, err error) {
	address, err = freeAddress()
	if err == nil {
		_, port, err = net.SplitHostPort(address)
	}
	return address, port, err
}

// writeFiles writes files below a folder, and makes folders.
func writeFiles(dir string, files map[string]string, folders ...string) error {
	for _, f := range folders {
		if err := os.MkdirAll(filepath.Join(dir, f), 0o700); err != nil {
			return err
		}
	}
	for name, text := range files {
		at := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(at, []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// familyTime gives the CPU time of a process and of those that it has started
// and that still run: NSD answers in a child.
func familyTime(pid int) (time.Duration, error) {
	sum, err := cpuTime(pid)
	if err != nil {
		return 0, err
	}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, stat := range stats {
		text, err := os.ReadFile(stat)
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := strings.Cut(string(text), ") ")
		fields := strings.Fields(rest)
		if len(fields) < 2 || fields[1] != strconv.Itoa(pid) {
			continue
		}
		child, err := strconv.Atoi(filepath.Base(filepath.Dir(stat)))
		if err != nil {
			continue
		}
		more, err := familyTime(child)
		if err != nil {
			continue
		}
		sum += more
	}
	return sum, nil
}

// retire ends a server so that it can end its children, and waits.
func retire(c *child) {
	_ = c.signal(syscall.SIGTERM)
	limit := time.NewTimer(5 * time.Second)
	defer limit.Stop()
	select {
	case <-c.ended:
	case <-limit.C:
		c.stop()
	}
}

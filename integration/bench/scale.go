package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// Probing of scale.
const (
	scaleInterval  = 5 * time.Second
	scaleAddresses = 16
)

// field is many nodes to be probed.
type field struct {
	*child
	ask             func() (string, error)
	active, standby int // ports
}

// effort is what watching a number of groups took.
type effort struct {
	probe  float64 // microseconds of CPU for one probe
	share  float64 // per cent of a core
	memory float64 // MB, now
	peak   float64 // MB
	rate   float64 // probes a second
	latest float64 // ms that the latest probe was late; only ours tells
	missed float64 // probes that found nothing; only ours tells
}

// scale measures what it takes to watch many groups.
func (b *bench) scale(ctx context.Context) error {
	b.say("scale: groups of two nodes, plain HTTP, interval %s, measured for %s after two rounds of probes", scaleInterval, b.measure)
	t := newTable(b.out, "groups", "front", "CPU us a probe", "% of a core", "memory MB", "peak MB", "probes a second", "latest probe ms", "missed")
	type figures struct {
		size        int
		ours, peers effort
	}
	var all []figures
	for _, text := range strings.Split(b.groups, ",") {
		size, err := strconv.Atoi(text)
		if err != nil {
			return err
		}
		f := figures{size: size}
		if f.ours, err = b.watch(ctx, size, caddy, "scale.caddyfile"); err != nil {
			return fmt.Errorf("understudy, %d groups: %w", size, err)
		}
		if f.peers, err = b.watch(ctx, size, haproxy, "scale.cfg"); err != nil {
			return fmt.Errorf("HAProxy, %d groups: %w", size, err)
		}
		f.ours.write(t, text, "understudy", true)
		f.peers.write(t, text, "HAProxy", false)
		all = append(all, f)
	}
	t.Flush()
	for _, f := range all {
		b.goal(f.ours.probe <= 1.5*f.peers.probe, "%d groups: CPU a probe at most 1.5 times HAProxy's: %.2f times", f.size, f.ours.probe/f.peers.probe)
		if f.size == 1000 {
			b.goal(f.ours.memory < 100, "%d groups: memory below 100 MB: %.0f MB", f.size, f.ours.memory)
		}
		b.goal(f.ours.latest < float64(scaleInterval.Milliseconds())/10, "%d groups: latest probe late by less than 10 %% of the interval: %.0f ms", f.size, f.ours.latest)
	}
	b.say("")
	return nil
}

func (e effort) write(t table, size, name string, tells bool) {
	latest, missed := "-", "-"
	if tells {
		latest, missed = fmt.Sprintf("%.1f", e.latest), fmt.Sprintf("%.0f", e.missed)
	}
	t.row(size, name, fmt.Sprintf("%.1f", e.probe), fmt.Sprintf("%.1f", e.share), fmt.Sprintf("%.0f", e.memory),
		fmt.Sprintf("%.0f", e.peak), fmt.Sprintf("%.0f", e.rate), latest, missed)
}

// watch has a program watch a number of groups and measures what it takes.
func (b *bench) watch(ctx context.Context, size int, p program, config string) (e effort, err error) {
	nodes, err := b.newField(ctx)
	if err != nil {
		return e, err
	}
	defer nodes.stop()
	s, err := b.newSettings()
	if err != nil {
		return e, err
	}
	s.Groups = nodes.groups(size)
	front, err := b.launch(ctx, s, p, config)
	if err != nil {
		return e, err
	}
	defer front.stop()
	if err := nodes.warm(ctx, front, size); err != nil {
		return e, err
	}
	if config != "scale.caddyfile" {
		return nodes.effort(ctx, front, b.measure)
	}
	profiled := b.profile(ctx, s.Admin, fmt.Sprintf("profile?seconds=%.0f", b.measure.Seconds()/2), fmt.Sprintf("scale-%d-cpu", size))
	e, err = nodes.effort(ctx, front, b.measure)
	profiled()
	if err != nil {
		return e, err
	}
	b.profile(ctx, s.Admin, "heap", fmt.Sprintf("scale-%d-heap", size))()
	metrics := "http://" + s.Admin + "/understudy/metrics"
	late, err := scrape(ctx, metrics, "understudy_probe_late_seconds")
	if err != nil {
		return e, err
	}
	missed, err := scrape(ctx, metrics, "understudy_probes_total", `result="missed"`)
	e.latest, e.missed = 1000*late.max, missed.sum
	return e, err
}

// newField starts the nodes.
func (b *bench) newField(ctx context.Context) (f field, err error) {
	if f.active, err = freePort(); err != nil {
		return f, err
	}
	if f.standby, err = freePort(); err != nil {
		return f, err
	}
	f.child, _, f.ask, err = b.startSelf(ctx, "pages", "-addresses", strconv.Itoa(scaleAddresses),
		"-active", strconv.Itoa(f.active), "-standby", strconv.Itoa(f.standby))
	return f, err
}

// groups gives groups with nodes of the field. Groups share nodes' addresses;
// the nodes of one group have two.
func (f field) groups(size int) []pair {
	groups := make([]pair, size)
	for i := range groups {
		host := pagesHost(i % scaleAddresses)
		groups[i] = pair{
			Name:  fmt.Sprintf("g%05d", i),
			Core1: net.JoinHostPort(host, strconv.Itoa(f.active)),
			Core2: net.JoinHostPort(host, strconv.Itoa(f.standby)),
		}
	}
	return groups
}

// probed gives how many probes have been answered.
func (f field) probed() (float64, error) {
	line, err := f.ask()
	if err != nil {
		return 0, err
	}
	return strconv.ParseFloat(line, 64)
}

// warm waits for two rounds of probes of every node, and half an interval.
func (f field) warm(ctx context.Context, front *child, size int) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		n, err := f.probed()
		if err != nil {
			return err
		}
		if n >= float64(4*size) {
			return pause(ctx, scaleInterval/2)
		}
		select {
		case <-front.ended:
			return fmt.Errorf("%s ended: %s", front.cmd.Path, front.lastWords())
		default:
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return fmt.Errorf("only %.0f probes in two minutes: %w", n, err)
		}
	}
}

// effort measures a front for a while.
func (f field) effort(ctx context.Context, front *child, lasts time.Duration) (e effort, err error) {
	before, errProbes := f.probed()
	idle, errCPU := cpuTime(front.pid())
	if err := errors.Join(errProbes, errCPU); err != nil {
		return e, err
	}
	began := time.Now()
	if err := pause(ctx, lasts); err != nil {
		return e, err
	}
	after, errProbes := f.probed()
	used, errCPU := cpuTime(front.pid())
	took := time.Since(began)
	now, peak, errMemory := front.memory()
	if err := errors.Join(errProbes, errCPU, errMemory); err != nil {
		return e, err
	}
	cpu := used - idle
	return effort{
		probe: float64(cpu.Nanoseconds()) / 1000 / (after - before), share: 100 * cpu.Seconds() / took.Seconds(),
		memory: now / 1e6, peak: peak / 1e6, rate: (after - before) / took.Seconds(),
	}, nil
}

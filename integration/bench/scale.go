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
	ready  time.Duration // until every node had been probed twice
	probe  float64       // microseconds of CPU for one probe
	share  float64       // per cent of a core
	memory float64       // MB, now
	peak   float64       // MB
	rate   float64       // probes a second
	told   *told         // nil: it does not tell
}

// told is what our front tells of itself.
type told struct {
	whole       bool          // it was asked only once: late is since it was started
	start, late float64       // ms that the latest probe began after its time: until ready, since
	missed      float64       // probes that found nothing
	page        time.Duration // how long it took to tell
}

// scale measures what it takes to watch many groups.
func (b *bench) scale(ctx context.Context) error {
	b.title("scale", "groups of two nodes, plain HTTP, interval %s, measured for %s after two rounds of probes", scaleInterval, b.measure)
	t := newTable(b.out, "groups", "front", "CPU us a probe", "% of a core", "memory MB", "peak MB", "probes a second", "ready s", "latest probe ms, start + since", "missed", "metrics page ms")
	var errs []error
	var goals []func()
	for text := range strings.SplitSeq(b.groups, ",") {
		size, err := strconv.Atoi(text)
		if err != nil {
			return err
		}
		ours, err := b.watch(ctx, size, caddy, "scale.caddyfile")
		if err != nil {
			errs = append(errs, fmt.Errorf("understudy, %d groups: %w", size, err))
			continue
		}
		peers, err := b.watch(ctx, size, haproxy, "scale.cfg")
		if err != nil {
			errs = append(errs, fmt.Errorf("HAProxy, %d groups: %w", size, err))
			continue
		}
		ours.write(t, text, "understudy")
		peers.write(t, text, "HAProxy")
		goals = append(goals, func() { b.scaleGoals(size, ours, peers) })
	}
	t.Flush()
	for _, goal := range goals {
		goal()
	}
	b.say("")
	return errors.Join(errs...)
}

func (b *bench) scaleGoals(size int, ours, peers effort) {
	b.goal(ours.probe <= 1.5*peers.probe, "%d groups: CPU a probe at most 1.5 times HAProxy's: %.2f times", size, ours.probe/peers.probe)
	if size == 1000 {
		b.goal(ours.memory < 100, "%d groups: memory below 100 MB: %.0f MB", size, ours.memory)
	}
	if ours.told == nil {
		b.goal(false, "%d groups: latest probe late by less than 10 %% of the interval: the metrics page did not come", size)
		return
	}
	since := ""
	if ours.told.whole {
		since = ", the start included"
	}
	b.goal(ours.told.late < float64(scaleInterval.Milliseconds())/10, "%d groups: latest probe late by less than 10 %% of the interval: %.0f ms%s", size, ours.told.late, since)
}

func (e effort) write(t table, size, name string) {
	cells := []string{
		size, name, fmt.Sprintf("%.1f", e.probe), fmt.Sprintf("%.1f", e.share), fmt.Sprintf("%.0f", e.memory),
		fmt.Sprintf("%.0f", e.peak), fmt.Sprintf("%.0f", e.rate), fmt.Sprintf("%.1f", e.ready.Seconds()),
	}
	if e.told == nil {
		t.row(append(cells, "-", "-", "-")...)
		return
	}
	late := fmt.Sprintf("%.0f + %.0f", e.told.start, e.told.late)
	if e.told.whole {
		late = fmt.Sprintf("%.0f in all", e.told.late)
	}
	t.row(append(cells, late,
		fmt.Sprintf("%.0f", e.told.missed), fmt.Sprintf("%.1f", float64(e.told.page.Microseconds())/1000))...)
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
	began := time.Now()
	front, err := b.launch(ctx, s, p, config)
	if err != nil {
		return e, err
	}
	defer front.stop()
	if err := nodes.warm(ctx, front, size); err != nil {
		return e, err
	}
	ready := time.Since(began)
	if config == "scale.cfg" {
		e, err = nodes.effort(ctx, front, b.measure)
	} else {
		e, err = b.watchOurs(ctx, nodes, front, s)
	}
	e.ready = ready
	return e, err
}

// mostAsked is the most groups whose front is asked twice how late it was. To
// tell of more takes it so long that probes come late by that.
const mostAsked = 1000

// watchOurs measures what our front takes and asks it how late it was. A
// front keeps the latest probe of each group since its start, so a probe in a
// group that was later before is not seen; among many groups others show it.
func (b *bench) watchOurs(ctx context.Context, nodes field, front *child, s settings) (e effort, err error) {
	before := samples{}
	if len(s.Groups) <= mostAsked {
		if _, before, err = lateness(ctx, s); err != nil {
			return e, err
		}
	}
	if err := pause(ctx, scaleInterval/2); err != nil {
		return e, err
	}
	name := fmt.Sprintf("scale-%d-", len(s.Groups))
	profiled := b.profile(ctx, s.Admin, fmt.Sprintf("profile?seconds=%.0f", b.measure.Seconds()), name+"cpu")
	e, err = nodes.effort(ctx, front, b.measure)
	profiled()
	if err != nil {
		return e, err
	}
	b.profile(ctx, s.Admin, "heap", name+"heap")()
	began := time.Now()
	page, after, err := lateness(ctx, s)
	took := time.Since(began)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return e, nil
	}
	if err != nil {
		return e, err
	}
	missed, err := find(page, "understudy_probes_total", `result="missed"`)
	e.told = &told{whole: len(s.Groups) > mostAsked, start: 1000 * before.max(), late: 1000 * after.grown(before).max(), missed: missed.sum(), page: took}
	return e, err
}

// lateness gives the metrics page of our front, and from it the latest probe
// of each group.
func lateness(ctx context.Context, s settings) (page string, late samples, err error) {
	if page, err = scrape(ctx, "http://"+s.Admin+"/understudy/metrics"); err != nil {
		return "", nil, err
	}
	late, err = find(page, "understudy_probe_late_seconds", "")
	return page, late, err
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
	ctx, cancel := context.WithTimeout(ctx, 4*time.Minute)
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
			return fmt.Errorf("only %.0f probes in four minutes: %w", n, err)
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

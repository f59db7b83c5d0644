package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"regexp"
	"strconv"
	"sync"
	"time"
)

// generation is how many rounds a set of processes lasts. Where a process
// happens to lie in memory makes it a little faster or slower for all its
// life; new ones draw that anew.
const generation = 5

// variant is one way to carry the same requests.
type variant struct {
	name    string
	config  string
	cpu     series // microseconds of the front for one request
	rate    series // requests a second
	mallocs series // allocations for one request
	at      settings
	front   *child
}

// throughput compares the cost of a request with that of stock reverse_proxy,
// and that one's with its own.
func (b *bench) throughput(ctx context.Context) error {
	b.title("throughput", "wrk -c64 on an nginx node behind one core of front")
	b.say("%d rounds, new processes every %d: all fronts at once on the core for %s, for the cost of a request, so that whatever else", b.pairs, generation, b.slice)
	b.say("happens on the machine happens to all; then each alone in changing order for %s, for the rate; minimum / median / maximum", b.alone())
	variants := []*variant{
		{name: "understudy", config: "site-understudy.caddyfile"},
		{name: "stock", config: "site-stock.caddyfile"},
		{name: "stock again (A/A)", config: "site-stock.caddyfile"},
	}
	for round := 0; round < b.pairs; round += generation {
		if err := b.rounds(ctx, variants, round, min(generation, b.pairs-round)); err != nil {
			return err
		}
	}
	t := newTable(b.out, "front", "CPU us a request", "requests a second", "allocations a request")
	for _, v := range variants {
		t.row(v.name, v.cpu.three(1), v.rate.three(0), v.mallocs.three(1))
	}
	t.Flush()
	b.verdict(variants[0], variants[1], variants[2])
	b.say("")
	return nil
}

// alone is how long each front is loaded by itself in a round.
func (b *bench) alone() time.Duration { return max(b.slice/2, time.Second).Truncate(time.Second) }

// verdict says whether ours can be told from stock better than stock from
// itself.
func (b *bench) verdict(ours, stock, again *variant) {
	cost, control := ours.cpu.over(stock.cpu), again.cpu.over(stock.cpu)
	speed, controlSpeed := ours.rate.over(stock.rate), again.rate.over(stock.rate)
	t := newTable(b.out, "ratio, round by round", "median", "middle 80 %", "all")
	for _, r := range []struct {
		name string
		series
	}{
		{"CPU, understudy / stock", cost},
		{"CPU, stock / itself", control},
		{"requests a second, understudy / stock", speed},
		{"requests a second, stock / itself", controlSpeed},
	} {
		t.row(r.name, fmt.Sprintf("%.3f", r.median()), fmt.Sprintf("%.3f - %.3f", r.at(0.1), r.at(0.9)), fmt.Sprintf("%.3f - %.3f", r.min(), r.max()))
	}
	t.Flush()
	b.goal(cost.median() <= control.at(0.9), "CPU ratio within the control's spread (middle 80 %%): %.3f in %.3f - %.3f", cost.median(), control.at(0.1), control.at(0.9))
	b.goal(speed.median() >= controlSpeed.at(0.1), "rate ratio within the control's spread: %.3f in %.3f - %.3f", speed.median(), controlSpeed.at(0.1), controlSpeed.at(0.9))
}

// rounds measures a number of rounds with one set of processes.
func (b *bench) rounds(ctx context.Context, variants []*variant, first, count int) error {
	nodes, err := b.newSettings()
	if err != nil {
		return err
	}
	for _, address := range []*string{&nodes.Core1, &nodes.Core2} {
		if *address, err = freeAddress(); err != nil {
			return err
		}
	}
	node, err := b.launch(ctx, nodes, nginx, "nginx.conf", "taskset", "-c", "1")
	if err != nil {
		return err
	}
	defer node.stop()
	if err := node.await(ctx, serves(nodes.Core1)); err != nil {
		return err
	}
	for _, v := range variants {
		if v.at, err = b.newSettings(); err != nil {
			return err
		}
		v.at.Core1, v.at.Core2 = nodes.Core1, nodes.Core2
		if v.front, err = b.launch(ctx, v.at, caddy, v.config, "taskset", "-c", "0"); err != nil {
			return err
		}
		defer v.front.stop()
		if err := v.front.await(ctx, serves(v.at.address())); err != nil {
			return err
		}
		if _, err := wrk(ctx, v.at.address(), time.Second); err != nil {
			return err
		}
	}
	for round := first; round < first+count; round++ {
		if err := b.together(ctx, variants, round); err != nil {
			return err
		}
		for i := range variants {
			v := variants[(round+i)%len(variants)]
			began := time.Now()
			requests, err := wrk(ctx, v.at.address(), b.alone())
			if err != nil {
				return err
			}
			v.rate.add(requests / time.Since(began).Seconds())
		}
	}
	return nil
}

// together loads all variants at once.
func (b *bench) together(ctx context.Context, variants []*variant, round int) error {
	var under sync.WaitGroup
	errs := make([]error, len(variants))
	for i, v := range variants {
		seconds := fmt.Sprintf("profile?seconds=%.0f", b.slice.Seconds())
		defer b.profile(ctx, v.at.Admin, seconds, fmt.Sprintf("throughput-%d-%d-cpu", i, round))()
		under.Go(func() { errs[i] = v.cost(ctx, b.slice) })
	}
	under.Wait()
	return errors.Join(errs...)
}

// serves says whether an address answers a GET with 200.
func serves(address string) func() bool {
	return func() bool {
		w := &wire{address: address}
		defer w.close()
		r, err := w.ask(http.MethodGet, "first", time.Now().Add(time.Second))
		return err == nil && r.status == http.StatusOK
	}
}

// cost loads the variant for a while and notes what a request costs it.
func (v *variant) cost(ctx context.Context, lasts time.Duration) error {
	before, err := v.mallocsSoFar(ctx)
	if err != nil {
		return err
	}
	idle, err := cpuTime(v.front.pid())
	if err != nil {
		return err
	}
	requests, err := wrk(ctx, v.at.address(), lasts)
	if err != nil {
		return err
	}
	used, err := cpuTime(v.front.pid())
	if err != nil {
		return err
	}
	after, err := v.mallocsSoFar(ctx)
	if err != nil {
		return err
	}
	v.cpu.add(float64((used - idle).Microseconds()) / requests)
	v.mallocs.add((after - before) / requests)
	return nil
}

func (v *variant) mallocsSoFar(ctx context.Context) (float64, error) {
	page, err := scrape(ctx, "http://"+v.at.Admin+"/metrics")
	if err != nil {
		return 0, err
	}
	n, err := find(page, "go_memstats_mallocs_total", "")
	return n.sum(), err
}

var (
	wrkRequests = regexp.MustCompile(`(\d+) requests in `)
	wrkFaults   = regexp.MustCompile(`Non-2xx or 3xx responses: .*|Socket errors: .*`)
)

// wrk loads an address on the second core and gives how many requests were
// answered. A request that failed is an error: the figure would mean nothing.
func wrk(ctx context.Context, address string, lasts time.Duration) (float64, error) {
	text, err := exec.CommandContext(ctx, "taskset", "-c", "1", "wrk", "-t1", "-c64",
		"-d"+strconv.Itoa(int(lasts.Seconds()))+"s", "http://"+address+"/").CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("wrk: %w: %s", err, text)
	}
	if fault := wrkFaults.Find(text); fault != nil {
		return 0, errors.New("wrk: " + string(fault))
	}
	found := wrkRequests.FindSubmatch(text)
	if found == nil {
		return 0, fmt.Errorf("wrk said: %s", text)
	}
	return strconv.ParseFloat(string(found[1]), 64)
}

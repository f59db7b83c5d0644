package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/understudy-ha/understudy/dnsgtm"
	"github.com/understudy-ha/understudy/internal/ha"
)

// dnsRate is the fixed rate at which the cost of an answer is measured.
const dnsRate = 150_000

// dnsCase is one thing that is asked of several servers.
type dnsCase struct {
	name    string
	peers   []dnsPeer // ours first
	rounds  int       // each peer once in a round, in changing order
	ask     [][]byte
	results map[string]*dnsResult
	goal    func(b *bench, c *dnsCase)
}

// dnsResult is what one server reached.
type dnsResult struct {
	rate series // answers a second, as fast as it can
	cpu  series // microseconds of the server for an answer at dnsRate
	held series // answers a second at dnsRate, to see that it kept up
}

// dns compares the name server with gdnsd, NSD and Knot.
func (b *bench) dns(ctx context.Context) error {
	b.title("dns", "one core of server, a generator of ours on the other: %d flows, at most %d unanswered", dnsFlows, dnsWindow)
	room, err := b.room()
	if err != nil {
		return err
	}
	z, err := writeDNSZones(room)
	if err != nil {
		return err
	}
	var errs []error
	for _, c := range b.dnsCases(room, z) {
		errs = append(errs, b.dnsCase(ctx, c))
	}
	errs = append(errs, b.dnsMemory(ctx, room))
	b.say("")
	return errors.Join(errs...)
}

func (b *bench) dnsCases(room string, z dnsZones) []*dnsCase {
	best := func(share float64) func(*bench, *dnsCase) {
		return func(b *bench, c *dnsCase) {
			ours := c.results["understudy"]
			for _, p := range c.peers[1:] {
				theirs := c.results[p.name]
				ratio := ours.rate.over(theirs.rate).median()
				b.goal(ratio >= share, "answers a second, understudy / %s: %.2f (at least %.2f)", p.name, ratio, share)
				if p.name == "gdnsd" {
					cost := ours.cpu.over(theirs.cpu).median()
					b.goal(cost <= 1.10, "CPU for an answer, understudy / gdnsd: %.2f (at most 1.10)", cost)
				}
			}
		}
	}
	return []*dnsCase{
		{name: "one hot dynamic name", rounds: 5, peers: []dnsPeer{ours(room, z.plain, ""), gdnsd(room)}, ask: dnsQuestions(1, false), goal: best(1)},
		{name: "a static zone of 1,000 names", rounds: b.runs, peers: []dnsPeer{ours(room, z.plain, ""), nsd(room, z.plain), knot(room, z.plain)}, ask: dnsQuestions(1000, false), goal: best(1)},
		{name: "the same signed, with DO", rounds: b.runs, peers: []dnsPeer{ours(room, z.plain, z.key), nsd(room, z.signed)}, ask: dnsQuestions(1000, true), goal: best(1)},
	}
}

// dnsTurns is how many short turns a server has in a round: whatever else the
// machine does in a second or two then happens to all of them.
const dnsTurns = 4

// dnsCase runs one case and prints its table. All servers run all the time, but
// only one is asked at a time.
func (b *bench) dnsCase(ctx context.Context, c *dnsCase) error {
	c.results = map[string]*dnsResult{}
	servers := map[string]*child{}
	addresses := map[string]string{}
	for _, p := range c.peers {
		c.results[p.name] = &dnsResult{}
		server, address, err := p.start(ctx, b)
		if err != nil {
			return fmt.Errorf("%s: %s: %w", c.name, p.name, err)
		}
		defer retire(server)
		servers[p.name], addresses[p.name] = server, address
		if err := server.await(ctx, dnsServes(address, c.ask[0])); err != nil {
			return fmt.Errorf("%s: %s: %w", c.name, p.name, err)
		}
	}
	for turn := range c.rounds * dnsTurns {
		for i := range c.peers {
			name := c.peers[(turn+i)%len(c.peers)].name
			if err := b.dnsTurn(ctx, servers[name], addresses[name], c.ask, c.results[name]); err != nil {
				return fmt.Errorf("%s: %s: %w", c.name, name, err)
			}
		}
	}
	b.say("")
	b.say("%s, %d turns of %s; minimum / median / maximum", c.name, c.rounds*dnsTurns, b.slice/dnsTurns)
	t := newTable(b.out, "server", "answers a second", fmt.Sprintf("CPU us an answer at %d/s", dnsRate), "answered of those")
	for _, p := range c.peers {
		r := c.results[p.name]
		t.row(p.name, r.rate.three(0), r.cpu.three(2), fmt.Sprintf("%.1f %%", 100*r.held.median()/dnsRate))
	}
	t.Flush()
	c.goal(b, c)
	return nil
}

// dnsTurn measures one server for a short while: as fast as it can, and at the
// fixed rate.
func (b *bench) dnsTurn(ctx context.Context, server *child, address string, ask [][]byte, into *dnsResult) error {
	for _, rate := range []float64{0, dnsRate} {
		load, err := newDNSLoad(address, ask, rate)
		if err != nil {
			return err
		}
		defer load.close()
		load.run(ctx, 50*time.Millisecond)
		before, err := familyTime(server.pid())
		if err != nil {
			return err
		}
		perSecond, wrong := load.run(ctx, b.slice/dnsTurns)
		after, err := familyTime(server.pid())
		if err != nil {
			return err
		}
		switch {
		case wrong > 0:
			return fmt.Errorf("%d answers were wrong", wrong)
		case perSecond == 0:
			return errors.New("no question was answered: the machine has too much else to do")
		case rate == 0:
			into.rate.add(perSecond)
		default:
			into.held.add(perSecond)
			into.cpu.add(float64((after - before).Nanoseconds()) / 1000 / (perSecond * (b.slice / dnsTurns).Seconds()))
		}
	}
	return ctx.Err()
}

// dnsServes says whether a server answers a question well.
func dnsServes(address string, question []byte) func() bool {
	return func() bool {
		load, err := newDNSLoad(address, [][]byte{question}, 1000)
		if err != nil {
			return false
		}
		defer load.close()
		_, wrong := load.run(context.Background(), 20*time.Millisecond)
		return load.good > 0 && wrong == 0
	}
}

// dnsMemory shows how memory and the start grow with names and with groups.
func (b *bench) dnsMemory(ctx context.Context, room string) error {
	b.say("")
	t := newTable(b.out, "names", "groups", "resident MB", "the most MB", "answers a second")
	var most float64
	for _, size := range []struct{ names, groups int }{{10, 1}, {1000, 1}, {100_000, 1}, {10, 100}, {10, 10_000}} {
		zone := filepath.Join(room, fmt.Sprintf("size-%d.zone", size.names))
		if err := writeDNSZone(zone, size.names, true); err != nil {
			return err
		}
		p := oursOf(room, zone, "", size.groups)
		server, address, err := p.start(ctx, b)
		if err != nil {
			return err
		}
		defer retire(server)
		ask := dnsQuestions(size.names, false)
		if err := server.await(ctx, dnsServes(address, ask[0])); err != nil {
			return err
		}
		load, err := newDNSLoad(address, ask, 0)
		if err != nil {
			return err
		}
		perSecond, _ := load.run(ctx, b.slice)
		load.close()
		now, peak, err := server.memory()
		if err != nil {
			return err
		}
		if size.names == 100_000 {
			most = now
		}
		t.row(fmt.Sprint(size.names), fmt.Sprint(size.groups), fmt.Sprintf("%.0f", now/1e6), fmt.Sprintf("%.0f", peak/1e6), fmt.Sprintf("%.0f", perSecond))
		retire(server)
	}
	t.Flush()
	b.goal(most < 150e6, "memory with 100,000 names: %.0f MB (less than 150)", most/1e6)
	return nil
}

// runDNS is this program as our name server: it reads a configuration as JSON,
// says that core1 serves every group, and runs until it is told to end.
func runDNS(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("dns", flag.ContinueOnError)
	file := flags.String("config", "", "a dnsgtm.Config as JSON")
	if err := flags.Parse(args); err != nil {
		return err
	}
	text, err := os.ReadFile(*file)
	if err != nil {
		return err
	}
	var config dnsgtm.Config
	if err := json.Unmarshal(text, &config); err != nil {
		return err
	}
	server, err := dnsgtm.New(config, slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))
	if err != nil {
		return err
	}
	for _, g := range config.Groups {
		server.Tell(ha.Situation{
			Traffic:  ha.Traffic{Group: g.Name, Epoch: 1, Serving: g.Nodes[0].Name},
			Decision: ha.Decision{Verb: ha.Stay, Reason: ha.Serving},
		})
	}
	if err := server.Start(ctx); err != nil {
		return err
	}
	fmt.Println("ready", server.Addresses()[0])
	<-ctx.Done()
	return server.Close()
}

// dnsQuestions gives A questions for the names of a zone, in the order of the
// zone's hash of them rather than its own: each after another far away.
func dnsQuestions(names int, do bool) [][]byte {
	var all [][]byte
	for i := range min(names, 10_000) {
		name := "mdm"
		if names > 1 {
			name = fmt.Sprintf("n%d", i*7919%names)
		}
		q := []byte{byte(i >> 8), byte(i), 0, 0, 0, 1, 0, 0, 0, 0, 0, 0}
		for _, label := range strings.Split(name+".example.com", ".") {
			q = append(append(q, byte(len(label))), label...)
		}
		q = append(q, 0, 0, 1, 0, 1)
		if do {
			q[11] = 1
			q = append(q, 0, 0, 41, 4, 208, 0, 0, 128, 0, 0, 0)
		}
		all = append(all, q)
	}
	return all
}

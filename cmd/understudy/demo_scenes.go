package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/understudy-ha/understudy/internal/api"
	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/internal/ha"
)

// scene is something the demo plays. Its error says what did not come true.
type scene func(ctx context.Context, d *demo) error

var scenes = map[string]scene{
	"primary-crash":  primaryCrash,
	"primary-hang":   primaryHang,
	"promoted-first": promotedFirst,
	"both-down":      bothDown,
	"data":           dataScene,
	"dr":             disasterRecovery,
	"hold":           holdScene,
	"three-hosts":    threeHosts,
	"upgrade":        upgradeScene,
}

func sceneNames() []string { return slices.Sorted(maps.Keys(scenes)) }

// sceneWait bounds every wait of a scene.
const sceneWait = 20 * time.Second

// until waits until the group is as wanted, and says so.
func (d *demo) until(ctx context.Context, what string, is func(api.Group) bool) error {
	if err := d.await(ctx, what, is); err != nil {
		return err
	}
	d.say("%s", what)
	return nil
}

// await waits until the group is as wanted.
func (d *demo) await(ctx context.Context, what string, is func(api.Group) bool) error {
	ctx, cancel := context.WithTimeout(ctx, sceneWait)
	defer cancel()
	var last api.Group
	err := d.client.Follow(ctx, demoGroup, func(n api.News) {
		if last = n.Group; n.Away == nil && is(last) {
			cancel()
		}
	})
	if err != nil {
		return err
	}
	if !is(last) {
		return fmt.Errorf("waited in vain for this: %s; it is: %s", what, api.StatusLine(last))
	}
	return nil
}

// read waits until a node has been read Active as often as the rule wants, and
// says what that is. Single good probes are no news that one could wait for.
func (d *demo) read(ctx context.Context, node, what string, alone bool) error {
	ctx, cancel := context.WithTimeout(ctx, sceneWait)
	defer cancel()
	for ; ; pause(ctx, 50*time.Millisecond) {
		g, err := d.client.Group(ctx, demoGroup)
		others := 0
		for _, n := range g.Nodes {
			if n.State == api.Active && n.Name != node {
				others++
			}
		}
		if n, _ := g.Node(node); err == nil && n.State == api.Active && n.Passes >= g.Rules.Rise && !(alone && others > 0) {
			d.say("%s", what)
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("waited in vain for this: %s; it is: %s", what, api.StatusLine(g))
		}
	}
}

func serves(node string) func(api.Group) bool {
	return func(g api.Group) bool { return g.Serving == node && g.Decision.Verb == api.Stay }
}

func decided(row int) func(api.Group) bool {
	return func(g api.Group) bool { return g.Decision.Row == row }
}

// pause lets a person read and the clients go on.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// status shows the group as the command does.
func (d *demo) status(ctx context.Context, show func(api.Group, api.Paint) string) {
	if g, err := d.client.Group(ctx, demoGroup); err == nil {
		fmt.Fprintf(d.out, "\n%s\n", show(g, d.paint()))
	}
}

// act does a person's deed and tells the command for it.
func (d *demo) act(ctx context.Context, verb string, wish api.Body, command string) error {
	d.say("a person:  understudy %s", command)
	wish.Actor = "demo"
	_, err := d.client.Act(ctx, demoGroup, verb, wish)
	return err
}

// ready waits for the first decision and a moment of calm.
func (d *demo) ready(ctx context.Context) error {
	if err := d.until(ctx, "core1 serves, core2 stands by: failover armed", func(g api.Group) bool { return g.Serving == "core1" && g.Armed }); err != nil {
		return err
	}
	pause(ctx, time.Second)
	return nil
}

func primaryCrash(ctx context.Context, d *demo) error {
	if err := d.ready(ctx); err != nil {
		return err
	}
	d.status(ctx, api.Status)
	d.load.mark()
	d.say("core1 is killed")
	d.nodes["core1"].kill()
	if err := d.until(ctx, "traffic is on core2: core1 missed three probes, and core2 still said Standby", serves("core2")); err != nil {
		return err
	}
	if err := d.told(ctx, "core2"); err != nil {
		return err
	}
	if err := d.nodes["core2"].is(ctx, ha.Active); err != nil {
		return err
	}
	d.say("core2 is Active: the front has told it, its own heartbeats fail too, and its application has started")
	pause(ctx, 500*time.Millisecond)
	d.say("clients:   %s", d.load.sinceMark())
	d.say("core1 comes back")
	before := d.load.from("core1")
	if err := d.nodes["core1"].start(ctx); err != nil {
		return err
	}
	if err := d.nodes["core1"].await(ctx, "superseded", superseded); err != nil {
		return err
	}
	d.say("core1 asks core2, which has served since, and is Not Available (superseded): it has old data")
	pause(ctx, 2*time.Second)
	d.say("core1 has answered %d requests since it came back", d.load.from("core1")-before)
	err := d.act(ctx, "resume", api.Body{Reason: "too early"}, `resume mdm --reason "too early"`)
	if refusal := (*ha.Refusal)(nil); !errors.As(err, &refusal) {
		return fmt.Errorf("a resume onto old data was not refused: %w", err)
	}
	d.say("refused:   %s", err)
	return d.wayBack(ctx)
}

func superseded(s nodeapi.Status) bool { return s.Phase == ha.OutSuperseded }

// failback swaps the roles of core1 and core2 so that core1 is Active.
func (d *demo) failback(ctx context.Context) error {
	core1 := d.nodes["core1"]
	d.say("a person:  failover mode secondary, on core1")
	if _, err := core1.client.Role(ctx, "secondary", "demo"); err != nil {
		return err
	}
	if err := core1.is(ctx, ha.Standby); err != nil {
		return err
	}
	if d.courier.why == "" {
		if err := errors.Join(d.sayOwn(ctx, core1), d.syncs(ctx, core1), d.sayKept(ctx, core1)); err != nil {
			return err
		}
	}
	d.say("a person:  failover failback")
	sync := true
	if _, err := core1.client.Swap(ctx, nodeapi.Request{Role: "primary", DataSyncFirst: &sync, Reason: "demo"}); err != nil {
		return err
	}
	// Its clients alone have 10 s to leave.
	if err := core1.awaitIn(ctx, 3*sceneWait, "the swap is over", func(s nodeapi.Status) bool { return s.Swap != nil && s.Swap.Over() }); err != nil {
		return err
	}
	swap, err := core1.client.LastSwap(ctx)
	if err != nil || swap.State != nodeapi.SwapDone {
		return fmt.Errorf("the swap was undone: %s %w", swap.Why, err)
	}
	for _, one := range swap.Done {
		d.say("           %-8s %s", one.Step, one.Said)
	}
	return nil
}

// wayBack is the documented way back: sync, swap the roles, resume.
func (d *demo) wayBack(ctx context.Context) error {
	d.status(ctx, api.Status)
	if err := d.failback(ctx); err != nil {
		return err
	}
	if err := d.read(ctx, "core1", "core1 is the only Active node", true); err != nil {
		return err
	}
	if err := d.act(ctx, "resume", api.Body{Reason: "core1 synced, roles swapped"}, `resume mdm --reason "core1 synced, roles swapped"`); err != nil {
		return err
	}
	if err := d.until(ctx, "traffic is back on core1, because a person said so", serves("core1")); err != nil {
		return err
	}
	d.status(ctx, api.Status)
	return nil
}

func primaryHang(ctx context.Context, d *demo) error {
	if err := d.ready(ctx); err != nil {
		return err
	}
	d.load.mark()
	d.say("core1 hangs: it takes connections and answers nothing")
	d.nodes["core1"].hang()
	if err := d.until(ctx, "traffic is on core2, after three probes of core1 got no answer within 0.5 s each", serves("core2")); err != nil {
		return err
	}
	if err := d.nodes["core2"].is(ctx, ha.Active); err != nil {
		return err
	}
	d.say("core2 is Active")
	pause(ctx, 500*time.Millisecond)
	d.say("clients:   %s", d.load.sinceMark())
	d.say("core1 goes on as if nothing had been")
	if err := d.nodes["core1"].start(ctx); err != nil {
		return err
	}
	if err := d.nodes["core1"].await(ctx, "superseded", superseded); err != nil {
		return err
	}
	d.say("core1 has looked around before it said OK again, and is Not Available (superseded)")
	return nil
}

func promotedFirst(ctx context.Context, d *demo) error {
	if err := d.ready(ctx); err != nil {
		return err
	}
	d.say("a person:  failover mode primary, on core2; core1 stops for it at once")
	if _, err := d.nodes["core2"].client.Role(ctx, "primary", "demo"); err != nil {
		return err
	}
	stranded, faster := decided(10), serves("core2")
	waits := "traffic waits: core2 was not in Standby when core1 was down, so nobody knows who has the data"
	if err := d.await(ctx, waits, func(g api.Group) bool { return stranded(g) || faster(g) }); err != nil {
		return err
	}
	if g, err := d.client.Group(ctx, demoGroup); err != nil || faster(g) {
		d.say("traffic is on core2: this time the front was the faster one, and saw core2 in Standby after core1 was down")
		return err
	}
	d.say("%s", waits)
	d.status(ctx, api.Why)
	if err := d.read(ctx, "core2", "core2 is Active", false); err != nil {
		return err
	}
	if err := d.act(ctx, "switch", api.Body{To: "core2", Reason: "core2 has the data"}, `switch mdm --to core2 --reason "core2 has the data"`); err != nil {
		return err
	}
	return d.until(ctx, "traffic is on core2", serves("core2"))
}

func bothDown(ctx context.Context, d *demo) error {
	if err := d.ready(ctx); err != nil {
		return err
	}
	d.say("core1 and core2 are killed")
	d.nodes["core2"].kill()
	d.nodes["core1"].kill()
	if err := d.until(ctx, "traffic waits for a person: only dr1 stands by, and it is manual", decided(12)); err != nil {
		return err
	}
	d.status(ctx, api.Why)
	d.say("core1 comes back")
	if err := d.nodes["core1"].start(ctx); err != nil {
		return err
	}
	return d.until(ctx, "core1 serves again: it had never lost the traffic", serves("core1"))
}

func disasterRecovery(ctx context.Context, d *demo) error {
	if err := d.ready(ctx); err != nil {
		return err
	}
	d.say("the main site is lost: core1 and core2 are killed")
	d.nodes["core2"].kill()
	d.nodes["core1"].kill()
	if err := d.until(ctx, "traffic waits for a person: dr1 stands by, and it is manual", decided(12)); err != nil {
		return err
	}
	d.say("a person:  failover mode primary, on dr1: by itself it stays in Standby")
	if _, err := d.nodes["dr1"].client.Role(ctx, "primary", "main site lost"); err != nil {
		return err
	}
	if err := d.read(ctx, "dr1", "dr1 is Active", false); err != nil {
		return err
	}
	if err := d.act(ctx, "switch", api.Body{To: "dr1", Reason: "main site lost"}, `switch mdm --to dr1 --reason "main site lost"`); err != nil {
		return err
	}
	return d.until(ctx, "traffic is on dr1", serves("dr1"))
}

func holdScene(ctx context.Context, d *demo) error {
	if err := d.ready(ctx); err != nil {
		return err
	}
	if err := d.act(ctx, "hold", api.Body{Reason: "upgrade", For: "2h"}, `hold mdm --reason upgrade --for 2h`); err != nil {
		return err
	}
	d.say("a person:  failover pause, on core2")
	if _, err := d.nodes["core2"].client.Pause(ctx, true, "upgrade"); err != nil {
		return err
	}
	d.say("core1 is killed under the hold")
	d.nodes["core1"].kill()
	if err := d.until(ctx, "core1 is down and traffic stays on it: held", decided(5)); err != nil {
		return err
	}
	d.status(ctx, api.Status)
	if err := d.act(ctx, "release", api.Body{Reason: "upgrade over"}, `release mdm --reason "upgrade over"`); err != nil {
		return err
	}
	if _, err := d.nodes["core2"].client.Pause(ctx, false, "upgrade over"); err != nil {
		return err
	}
	d.say("a person:  failover unpause, on core2")
	if err := d.nodes["core2"].is(ctx, ha.Active); err != nil {
		return err
	}
	d.say("core2 is Active")
	return d.until(ctx, "traffic is on core2", serves("core2"))
}

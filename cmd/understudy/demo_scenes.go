package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/understudy-ha/understudy/internal/api"
	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/internal/hatest"
)

// scene is something the demo plays. Its error says what did not come true.
type scene func(ctx context.Context, d *demo) error

var scenes = map[string]scene{
	"primary-crash":  primaryCrash,
	"primary-hang":   primaryHang,
	"promoted-first": promotedFirst,
	"both-down":      bothDown,
	"dr":             disasterRecovery,
	"hold":           holdScene,
	"three-hosts":    threeHosts,
}

func sceneNames() []string { return slices.Sorted(maps.Keys(scenes)) }

// sceneWait bounds every wait of a scene.
const sceneWait = 20 * time.Second

// until waits until the group is as wanted, and says so.
func (d *demo) until(ctx context.Context, what string, is func(api.Group) bool) error {
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
	d.say("%s", what)
	return nil
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
	d.nodes["core1"].Kill()
	if err := d.until(ctx, "traffic is on core2: core1 missed three probes, and core2 still said Standby", serves("core2")); err != nil {
		return err
	}
	if err := d.told(ctx, "core2"); err != nil {
		return err
	}
	pause(ctx, 500*time.Millisecond)
	d.say("clients:   %s", d.load.sinceMark())
	d.say("core2 is promoted, as its own heartbeat would have it")
	d.nodes["core2"].Set(ha.Active)
	d.say("core1 comes back, and says that it is the active one")
	before := d.nodes["core1"].Hits()
	d.nodes["core1"].Start()
	if err := d.until(ctx, "two nodes say Active; traffic stays on core2, for core1 has old data", decided(1)); err != nil {
		return err
	}
	pause(ctx, 3*time.Second) // long enough for two good readings
	d.say("core1 was sent %d requests since it came back", d.nodes["core1"].Hits()-before)
	err := d.act(ctx, "resume", api.Body{Reason: "too early"}, `resume mdm --reason "too early"`)
	if refusal := (*ha.Refusal)(nil); !errors.As(err, &refusal) {
		return fmt.Errorf("a resume onto old data was not refused: %w", err)
	}
	d.say("refused:   %s", err)
	return d.wayBack(ctx)
}

// wayBack is the documented way back: sync, swap the roles, resume.
func (d *demo) wayBack(ctx context.Context) error {
	d.status(ctx, api.Status)
	d.say("the way back: core1 is synced from core2, then the roles are swapped")
	d.nodes["core2"].Set(ha.Standby)
	if err := d.until(ctx, "core1 is the only Active node", func(g api.Group) bool {
		one, _ := g.Node("core1")
		two, _ := g.Node("core2")
		return one.State == api.Active && two.State == api.Standby && one.Passes >= g.Rules.Rise
	}); err != nil {
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
	d.nodes["core1"].Break(hatest.Frozen)
	if err := d.until(ctx, "traffic is on core2, after three probes of core1 got no answer within 1 s each", serves("core2")); err != nil {
		return err
	}
	pause(ctx, 500*time.Millisecond)
	d.say("clients:   %s", d.load.sinceMark())
	return nil
}

func promotedFirst(ctx context.Context, d *demo) error {
	if err := d.ready(ctx); err != nil {
		return err
	}
	d.say("core2 promotes itself and core1 is killed in the same moment")
	d.nodes["core1"].Kill()
	d.nodes["core2"].Set(ha.Active)
	if err := d.until(ctx, "traffic waits: core2 was not in Standby when core1 was down, so nobody knows who has the data", decided(10)); err != nil {
		return err
	}
	d.status(ctx, api.Why)
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
	d.nodes["core2"].Kill()
	d.nodes["core1"].Kill()
	if err := d.until(ctx, "traffic waits for a person: only dr1 stands by, and it is manual", decided(12)); err != nil {
		return err
	}
	d.status(ctx, api.Why)
	d.say("core1 comes back")
	d.nodes["core1"].Start()
	return d.until(ctx, "core1 serves again: it had never lost the traffic", serves("core1"))
}

func disasterRecovery(ctx context.Context, d *demo) error {
	if err := d.ready(ctx); err != nil {
		return err
	}
	d.say("the main site is lost: core1 and core2 are killed")
	d.nodes["core2"].Kill()
	d.nodes["core1"].Kill()
	if err := d.until(ctx, "traffic waits for a person: dr1 stands by, and it is manual", decided(12)); err != nil {
		return err
	}
	if err := d.until(ctx, "dr1 was read in Standby often enough", func(g api.Group) bool {
		n, _ := g.Node("dr1")
		return n.Passes >= g.Rules.Rise
	}); err != nil {
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
	d.say("core1 is killed under the hold")
	d.nodes["core1"].Kill()
	if err := d.until(ctx, "core1 is down and traffic stays on it: held", decided(5)); err != nil {
		return err
	}
	d.status(ctx, api.Status)
	if err := d.act(ctx, "release", api.Body{Reason: "upgrade over"}, `release mdm --reason "upgrade over"`); err != nil {
		return err
	}
	return d.until(ctx, "traffic is on core2", serves("core2"))
}

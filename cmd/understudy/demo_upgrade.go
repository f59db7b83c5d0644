package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/understudy-ha/understudy/internal/config"
	"github.com/understudy-ha/understudy/upgrade"
)

// upgradeSample is the package manager of the demo's application: it replaces
// the version, which takes a moment, and starts what ran before.
func upgradeSample(args []string) error {
	_, err := os.Stat(samplePID(args[0]))
	ran := err == nil
	if err := stopSample(args[0]); err != nil {
		return err
	}
	time.Sleep(time.Second) // the work itself
	if err := os.WriteFile(filepath.Join(args[0], "version"), []byte(args[3]), 0o600); err != nil {
		return err
	}
	if ran {
		return startSample(args[:3])
	}
	return nil
}

// upgradeScene upgrades the pair from one version to the next under load.
func upgradeScene(ctx context.Context, d *demo) error {
	if err := d.ready(ctx); err != nil {
		return err
	}
	plan, store, err := d.planUpgrade(ctx)
	if err != nil {
		return err
	}
	d.say("the plan, as understudy upgrade plan shows it:")
	fmt.Fprintf(d.out, "\n%s\n", plan.Text(store.Estimates(plan)))
	d.load.mark()
	state, err := d.runUpgrade(ctx, store, plan, nil)
	if err != nil || state != upgrade.Waiting {
		return errors.Join(err, fmt.Errorf("the run is %s and should wait at its gate", state))
	}
	d.say("it waits for a person; clients so far: %s", d.load.sinceMark())
	d.say("understudy upgrade approve --reason \"the window is open\"")
	d.load.mark()
	r, err := store.Unfinished()
	if err != nil {
		return err
	}
	if state, err = d.runUpgrade(ctx, store, plan, r); err != nil || state != upgrade.Succeeded {
		return errors.Join(err, fmt.Errorf("the run ended %s", state))
	}
	if r, err = store.Last(); err != nil {
		return err
	}
	d.say("clients in the announced outage: %s", d.load.sinceMark())
	d.say("by the Primary's own word the outage was %d ms; both run version 2.0", r.Report(false).OutageMS)
	return nil
}

// planUpgrade makes the plan for the demo's pair.
func (d *demo) planUpgrade(ctx context.Context) (p upgrade.Plan, s upgrade.Store, err error) {
	s.Dir = filepath.Join(d.dir, "runs")
	limit := config.RunTimeouts{Step: sceneWait, Sync: sceneWait, Download: sceneWait, Upgrade: sceneWait, Validate: sceneWait, Person: sceneWait}
	c := config.Upgrade{
		Kind: config.RunDocumented, Group: demoGroup, To: "2.0", StateDir: s.Dir, NoDataSync: true, OnFailure: config.FailStop, Swing: config.SwingUs, Timeouts: limit,
		Routers: []config.RunRouter{{Name: "front", API: d.client.At()}},
	}
	for _, name := range []string{"core1", "core2"} {
		c.Nodes = append(c.Nodes, config.RunNode{Name: name, Agent: filepath.Join(d.nodes[name].dir, "node.sock")})
	}
	h, err := upgrade.NewHands(c, upgrade.Lock{}, d.host, "demo")
	if err != nil {
		return p, s, err
	}
	p, err = upgrade.Make(c, nil, h.Look(ctx, time.Now()), "demo")
	return p, s, err
}

// runUpgrade begins the run, or approves its gate and goes on.
func (d *demo) runUpgrade(ctx context.Context, s upgrade.Store, p upgrade.Plan, r *upgrade.Record) (upgrade.State, error) {
	begins := r == nil
	if begins {
		h, err := upgrade.NewHands(p.Config, upgrade.Lock{}, d.host, "demo")
		if err != nil {
			return "", err
		}
		if r, err = s.Create(p, h.Look(ctx, time.Now()), time.Now()); err != nil {
			return "", err
		}
	}
	j, err := r.Open(time.Now)
	if err != nil {
		return "", err
	}
	defer func() { _ = j.Close() }()
	if begins {
		err = j.Begin(r.Name, p, upgrade.Start{By: "demo", Number: 1})
	} else {
		err = j.Approve(r.Course.At, "demo", "the window is open")
	}
	if err != nil {
		return "", err
	}
	h, err := upgrade.NewHands(p.Config, upgrade.Lock{Run: r.Name, Number: 1}, d.host, "demo")
	if err != nil {
		return "", err
	}
	run := &upgrade.Runner{Plan: p, Hands: h, Journal: j, Clock: time.Now, Keeper: r.Keeper(d.host), Tell: func(e upgrade.Event) {
		switch e.Kind {
		case upgrade.Starts, upgrade.Waits, upgrade.Fails:
			d.say("%2d/%d %s", e.Number, e.Of, e.Title)
		}
	}}
	return run.Run(ctx)
}

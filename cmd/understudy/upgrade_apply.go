package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/understudy-ha/understudy/upgrade"
)

// apply gives the command that begins a run.
func (u *upgrader) apply() *cobra.Command {
	var risks []string
	var attend bool
	cmd := &cobra.Command{
		Use:   "apply PLAN",
		Short: "Begin the run of a plan",
		Long: `Begin the run of a plan. It is refused if anything that the plan was made for has
changed (exit 6) or the preflight fails (exit 10). A failing item is overridden
only by its name and a reason. The run stops at a gate (exit 12) unless --wait is
given, and may be interrupted at any moment.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return misuse(cmd, "it takes the file of one plan")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, name := range risks {
				if !slices.Contains(upgrade.Names(), name) {
					return misuse(cmd, "there is no preflight item "+name+"; there are: "+strings.Join(upgrade.Names(), ", "))
				}
			}
			if len(risks) > 0 {
				if err := u.wantReason(cmd); err != nil {
					return err
				}
			}
			return u.begin(cmd.Context(), args[0], risks, attend)
		},
	}
	u.says(cmd).Flags().StringSliceVar(&risks, "accept-risk", nil, "go on although this preflight item fails; may be given again")
	cmd.Flags().BoolVar(&attend, "wait", false, "wait at a gate for understudy upgrade approve in another terminal")
	cmd.Flags().BoolVar(&u.json, "json", false, "print what happens as lines of JSON")
	return cmd
}

func (u *upgrader) begin(ctx context.Context, file string, risks []string, attend bool) error {
	const nothingDone = "understudy: nothing was done"
	text, err := os.ReadFile(file) // #nosec G304 -- the caller's own file
	if err != nil {
		return &failure{exitUsage, nothingDone, err.Error(), "Make a plan first: understudy upgrade plan -o FILE", readUpgrade}
	}
	p, err := upgrade.ReadPlan(text)
	if err != nil {
		return &failure{exitConfig, nothingDone, file + ": " + err.Error(), "Make a plan: understudy upgrade plan -o FILE", readUpgrade}
	}
	u.dir = p.Config.StateDir
	store := upgrade.Store{Dir: u.dir}
	release, err := store.Claim()
	if err != nil {
		return busy(err)
	}
	defer release()
	if old, err := store.Unfinished(); err != nil || old != nil {
		if old != nil {
			err = &upgrade.Busy{Run: old.Name, By: old.Course.By, State: old.Course.State}
		}
		return busy(err)
	}
	h, err := upgrade.NewHands(p.Config, upgrade.Lock{}, u.host, u.actor())
	if err != nil {
		return &failure{exitConfig, nothingDone, err.Error(), "Correct " + p.Config.File + " and make a new plan.", readUpgrade}
	}
	w := h.Look(ctx, time.Now())
	w.Seen = upgrade.Around(ctx, p.Config)
	was, _ := os.ReadFile(p.Config.File) // one that is gone has not changed
	if stale := p.Stale(was, w); len(stale) > 0 {
		return &failure{exitStale, "understudy: the plan is stale, nothing was done", strings.Join(stale, "; "), "Make a new plan and read it: understudy upgrade plan -o " + file, readUpgrade}
	}
	accepted := map[string]string{}
	for _, name := range risks {
		accepted[name] = u.reason
	}
	items := upgrade.CheckAll(p, w)
	if failing := upgrade.Failing(items, accepted); len(failing) > 0 {
		u.printItems(items, accepted)
		return &failure{
			exitPreflight, "understudy: the preflight failed, nothing was done", failing[0].Name + ": " + failing[0].Said,
			failing[0].Do + " Or take the risk: --accept-risk=" + failing[0].Name + " --reason TEXT", readUpgrade,
		}
	}
	r, err := store.Create(p, w, time.Now())
	if err != nil {
		return busy(err)
	}
	number, err := store.NextNumber(w)
	if err != nil {
		return busy(err)
	}
	return u.work(ctx, r, attend, func(j *upgrade.Journal) error {
		return j.Begin(r.Name, p, upgrade.Start{By: u.actor(), Number: number, Items: items, Accepted: accepted})
	})
}

// work opens the journal of a run, has first written into it, and goes on until
// the run is over or needs a person. The caller has the claim.
func (u *upgrader) work(ctx context.Context, r *upgrade.Record, attend bool, first func(*upgrade.Journal) error) error {
	j, err := r.Open(time.Now)
	if err != nil {
		return &failure{exitIncomplete, "understudy: the run cannot go on", err.Error(), "Look at the journal in " + r.Dir, readUpgrade}
	}
	defer j.Close()
	stopped := func(err error) error {
		return &failure{exitIncomplete, "understudy: the run has stopped, and nothing more was done", err.Error(), "Make room or mend the disk, then: understudy upgrade continue", readUpgrade}
	}
	if err := first(j); err != nil {
		return stopped(err)
	}
	c := upgrade.Fold(j.Entries())
	h, err := upgrade.NewHands(r.Means(), upgrade.Lock{Run: r.Name, Number: c.Number}, u.host, u.actor())
	if err != nil {
		return &failure{exitIncomplete, "understudy: the run cannot go on", err.Error(), "Put it right, then: understudy upgrade continue", readUpgrade}
	}
	view := u.view(r)
	tell, finish := u.teller(r, view.hear)
	run := &upgrade.Runner{Plan: r.Plan, Hands: h, Journal: j, Clock: time.Now, Tell: tell, Answers: r.Heard, Attend: attend, Keeper: r.Keeper(u.host)}
	state, err := run.Run(ctx)
	view.end()
	finish()
	if state.Over() {
		ctx := context.WithoutCancel(ctx)
		w := h.Look(ctx, time.Now())
		w.Seen = upgrade.Around(ctx, r.Plan.Config)
		if err := r.Snapshot(w); err != nil {
			fmt.Fprintf(u.err, "the snapshot was not kept: %v\n", err)
		}
	}
	var over *upgrade.TakenOver
	if errors.As(err, &over) {
		return &failure{exitBusy, "understudy: this process has stopped, and does nothing more", over.Why, "See who goes on with it: failover status, on a node. To take it back here: understudy upgrade fetch --reason TEXT", readUpgrade}
	}
	if err != nil {
		return stopped(err)
	}
	again, err := upgrade.Store{Dir: u.dir}.Load(r.Name)
	if err != nil {
		return stopped(err)
	}
	return u.ended(again, state)
}

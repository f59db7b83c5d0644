package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/understudy-ha/understudy/upgrade"
)

// fetch takes a run over from another machine.
func (u *upgrader) fetch() *cobra.Command {
	var file string
	var force bool
	cmd := &cobra.Command{
		Use: "fetch [--config upgrade.yaml] --reason TEXT", Short: "Take over a run that was begun on another machine", Args: nothing,
		Long: `Take over the run that has the lock of the pair, when the machine that it was
begun on is lost. The engines keep a copy of its journal: the run gets a higher
number there, so that the old process can do nothing more, and the copy is
written here. Then understudy upgrade continue goes on with it.

The upgrade.yaml says how this machine reaches the nodes and routers; what the
run does is the plan's. A process that is heard is only replaced with --force.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := u.wantReason(cmd); err != nil {
				return err
			}
			return u.takeOver(cmd.Context(), file, force)
		},
	}
	u.says(cmd).Flags().StringVar(&file, "config", "upgrade.yaml", "the upgrade.yaml of this machine")
	cmd.Flags().BoolVar(&force, "force", false, "even if its process is heard")
	return cmd
}

func (u *upgrader) takeOver(ctx context.Context, file string, force bool) error {
	c, _, err := u.readConfig(file)
	if err != nil {
		return err
	}
	u.dir = c.StateDir
	store := upgrade.Store{Dir: u.dir}
	release, err := store.Claim()
	if err != nil {
		return busy(err)
	}
	defer release()
	h, err := upgrade.NewHands(*c, upgrade.Lock{}, u.host, u.actor())
	if err != nil {
		return &failure{exitConfig, "understudy: no run was fetched", err.Error(), "Correct " + file + ".", readUpgrade}
	}
	f, err := store.Fetch(ctx, *c, h, u.actor(), u.reason, force)
	var refused *upgrade.Refused
	switch {
	case errors.As(err, &refused):
		return &failure{exitRefused, "understudy: no run was fetched", err.Error(), "See what the nodes say: failover status, there. A process that is gone for good though it was heard: --force", readUpgrade}
	case err != nil:
		return &failure{exitIncomplete, "understudy: the run was not fetched whole", err.Error(), "Put that right, and say it again.", readUpgrade}
	}
	for _, why := range f.Behind {
		fmt.Fprintf(u.err, "not told yet: %s\n", why)
	}
	fmt.Fprintf(u.out, "The run %s was fetched from %s at %s; its number is %d now.\n\n%s", f.Record.Name, f.From, time.Now().UTC().Format("15:04:05 UTC"), f.Number, f.Record.StatusText(false))
	return nil
}

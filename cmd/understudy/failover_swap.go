package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/internal/ha"
)

// swapping is how a planned swap is asked for.
type swapping struct {
	wait
	sync, dry, force bool
}

func (n *nodeAsker) swap() *cobra.Command {
	return n.planned("swap", "Swap the roles in an orderly manner", `Swap the roles of the two nodes, for maintenance: the Active lets no new client
in, gives those that are in some time to leave (setting Drain), stops and stands by; then the other
one becomes Active. Nothing happens by itself on either node meanwhile, and both
are never Active. What fails before the other one is Active is undone.

Where clients are sent is not changed: understudy switch GROUP --to NODE.`, func(nodeapi.Status) error { return nil })
}

func (n *nodeAsker) failback() *cobra.Command {
	return n.planned("failback", "Swap the roles so that the Primary is Active again", `After a failover, when the Primary is well again: make it the stand-by
(failover mode secondary), bring its data up to date (failover sync), then give
this command on either node. The roles swap as by failover swap.`, func(d nodeapi.Status) error {
		primary := d.Name
		if d.Mode == ha.Secondary {
			primary = d.Peer.Name
		}
		if (d.Mode == ha.Primary) == (d.State == ha.Active) {
			return &failure{exitRefused, "failover: nothing was done", fmt.Sprintf("%s, the Primary, is Active already", primary), "See how the node is: failover status", readFailover}
		}
		return nil
	})
}

// planned gives a command that swaps the roles.
func (n *nodeAsker) planned(use, short, long string, check func(nodeapi.Status) error) *cobra.Command {
	var s swapping
	cmd := command(use, short, long, nothing, nil)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		d, err := n.client().Status(cmd.Context())
		if err == nil {
			err = check(d)
		}
		if err == nil {
			err = n.swapRoles(cmd.Context(), d, s)
		}
		return judgeNode(err)
	}
	f := cmd.Flags()
	f.BoolVar(&s.sync, "data-sync-first", true, "copy what the Active has once more, while its clients are kept out")
	f.BoolVar(&s.dry, "dry-run", false, "only say what would be done")
	f.BoolVar(&s.force, "force", false, "on the Active: stand by even if the other node cannot be asked; nobody serves then")
	f.StringVar(&s.reason, "reason", "", "why, for the history")
	f.BoolVar(&s.yes, "yes", false, "do not ask on a terminal")
	f.DurationVar(&s.most, "wait", 20*time.Minute, "how long to wait until it is over")
	return cmd
}

// swapRoles has the roles swapped and tells step for step how it goes.
func (n *nodeAsker) swapRoles(ctx context.Context, d nodeapi.Status, s swapping) error {
	c := n.client()
	q := nodeapi.Request{Role: "primary", DataSyncFirst: &s.sync, Force: s.force, Reason: s.reason}
	to := d.Name
	if d.State == ha.Active {
		q.Role, to = "secondary", d.Peer.Name
	}
	if s.dry {
		steps, err := c.SwapPlan(ctx, q)
		if err != nil {
			return err
		}
		n.ownOf(ctx, c, d)
		fmt.Fprintf(n.session.out, "%s would become Active:\n", to)
		for _, one := range steps {
			fmt.Fprintf(n.session.out, "  %s\n", one)
		}
		return nil
	}
	if own := n.ownOf(ctx, c, d); own && !s.yes && !n.sure("Go on?") {
		return &failure{exitAborted, "failover: nothing was done", "you did not say yes", "", ""}
	}
	before, err := c.LastSwap(ctx)
	if err != nil {
		return err
	}
	if _, err := c.Swap(ctx, q); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.most)
	defer cancel()
	return n.follow(ctx, c, before.ID, s.most)
}

// ownTime bounds how long a person waits to be told what only one node has.
const ownTime = 10 * time.Minute

// ownOf tells what only the node has that is to become Active, for its last sync
// replaces that; false: nothing.
func (n *nodeAsker) ownOf(ctx context.Context, c *nodeapi.Client, d nodeapi.Status) bool {
	peer := d.State == ha.Active
	if !peer && !d.Own || d.Loss.Datasets == 0 {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, ownTime)
	defer cancel()
	o, err := c.Own(ctx, peer)
	switch {
	case err != nil:
		fmt.Fprintf(n.session.err, "What only the other side has cannot be told: %v. It is kept all the same.\n", err)
		return false
	case !o.Served || o.None():
		return false
	}
	fmt.Fprintf(n.session.err, "Only %s has this. It is kept before the last sync replaces it (failover diverged, there):\n%s", o.Name, ownText(o))
	return true
}

// follow tells the steps of the swap that began after another one.
func (n *nodeAsker) follow(ctx context.Context, c *nodeapi.Client, before string, most time.Duration) error {
	told := 0
	for {
		s, err := c.LastSwap(ctx)
		if err != nil && ctx.Err() == nil {
			return err
		}
		if s.ID != before {
			for ; told < len(s.Done); told++ {
				fmt.Fprintf(n.session.out, "%-8s %s\n", s.Done[told].Step, s.Done[told].Said)
			}
		}
		switch {
		case s.ID == before:
		case s.State == nodeapi.SwapDone:
			fmt.Fprintf(n.session.out, "%s is Active, %s stands by. Fronts and sidecars keep clients where they are: understudy switch GROUP --to %s\n", s.To, s.From, s.To)
			return nil
		case s.State == nodeapi.SwapUndone:
			return &failure{exitRolledBack, "failover: the swap was undone, " + s.From + " is Active as before", s.Why, "Mend that, then give the command again.", readFailover}
		}
		select {
		case <-ctx.Done():
			why := "nothing of it is known"
			if s.ID != before {
				why = fmt.Sprintf("after %v it is %s, step %s. %s", most, s.State, s.Step, s.Why)
			}
			if errors.Is(ctx.Err(), context.Canceled) {
				return &failure{exitAborted, "failover: the swap goes on without you", why, "Look again: failover status", readFailover}
			}
			return &failure{exitIncomplete, "failover: the swap is not over yet", why, "Look again: failover status", readFailover}
		case <-time.After(100 * time.Millisecond):
		}
	}
}

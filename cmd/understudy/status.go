package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/understudy-ha/understudy/internal/api"
)

// statusFlags says how the situation is wanted.
type statusFlags struct{ watch, json, check bool }

func newStatus(s *session) *cobra.Command {
	var f statusFlags
	cmd := &cobra.Command{
		Use:   "status [GROUP]",
		Short: "Show where traffic goes and whether a failover would work now",
		Long: `Show, for one group or all, which node serves, what every node was last read
as, and what would happen if the serving node failed now. After a failover the
open steps of the way back are listed with their commands.

With --check the answer is one line a group, and the exit code says whether a
failover would work: 0 armed, 4 not. That is for monitoring.`,
		Example: "  understudy status\n  understudy status mdm -w\n  understudy status mdm --check",
	}
	a := s.asks(cmd)
	cmd.Flags().BoolVarP(&f.watch, "watch", "w", false, "go on showing every change until interrupted")
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON; with -w one document a line")
	cmd.Flags().BoolVar(&f.check, "check", false, "exit with 0 if armed and 4 if not")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if f.watch && f.check {
			return misuse(cmd, "-w and --check exclude one another")
		}
		c, err := a.client()
		if err != nil {
			return err
		}
		if f.watch {
			return s.watch(cmd.Context(), c, args, f.json)
		}
		return s.status(cmd.Context(), c, args, f)
	}
	return cmd
}

// status shows the group that is named, or all.
func (s *session) status(ctx context.Context, c *api.Client, args []string, f statusFlags) error {
	groups, err := wanted(ctx, c, args)
	if err != nil {
		return err
	}
	if len(groups) == 0 {
		fmt.Fprintln(s.err, "no group is configured at "+c.At())
	}
	switch {
	case f.json && len(args) == 1:
		err = s.printJSON(groups[0])
	case f.json:
		err = s.printJSON(api.GroupList{Schema: api.Schema, Groups: groups})
	case f.check:
		for _, g := range groups {
			fmt.Fprintln(s.out, api.CheckLine(g))
		}
	default:
		for i, g := range groups {
			if i > 0 {
				fmt.Fprintln(s.out)
			}
			fmt.Fprint(s.out, api.Status(g, s.paint()))
		}
	}
	if err == nil && f.check && !allArmed(groups) {
		return quiet(exitRefused)
	}
	return err
}

func wanted(ctx context.Context, c *api.Client, args []string) ([]api.Group, error) {
	if len(args) == 0 {
		return c.Groups(ctx)
	}
	g, err := c.Group(ctx, args[0])
	return []api.Group{g}, err
}

// allArmed says whether there is a group and none that is not armed.
func allArmed(groups []api.Group) bool {
	for _, g := range groups {
		if !g.Armed {
			return false
		}
	}
	return len(groups) > 0
}

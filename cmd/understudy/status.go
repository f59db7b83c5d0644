package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

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
open steps of the way back are listed with their commands. Where several
watchers share a register it says how each would vote, where a name server
follows the group when resolvers have its answer, and which nodes of a pool
clients get.

With --check the answer is one line a group, and the exit code says whether a
failover would work: 0 armed, 4 not; of a pool, whether a node is available. That is for
monitoring.`,
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

// status shows the group or pool that is named, or all.
func (s *session) status(ctx context.Context, c *api.Client, args []string, f statusFlags) error {
	groups, pools, err := wanted(ctx, c, args)
	if err != nil {
		return err
	}
	if len(groups)+len(pools) == 0 {
		fmt.Fprintln(s.err, "no group is configured at "+c.At())
	}
	switch {
	case f.json && len(args) == 1 && len(pools) == 1:
		err = s.printJSON(pools[0])
	case f.json && len(args) == 1:
		err = s.printJSON(groups[0])
	case f.json:
		err = s.printJSON(api.GroupList{Schema: api.Schema, Groups: groups, Pools: pools})
	case f.check:
		for _, g := range groups {
			fmt.Fprintln(s.out, api.CheckLine(g))
		}
		for _, p := range pools {
			fmt.Fprintln(s.out, api.PoolCheckLine(p))
		}
	default:
		var blocks []string
		for _, g := range groups {
			blocks = append(blocks, api.Status(g, s.paint()))
		}
		for _, p := range pools {
			blocks = append(blocks, api.PoolStatus(p, time.Now(), s.paint()))
		}
		fmt.Fprint(s.out, strings.Join(blocks, "\n"))
	}
	if err == nil && f.check && !fit(groups, pools) {
		return quiet(exitRefused)
	}
	return err
}

// wanted gives the group or the pool that is named, or all of both.
func wanted(ctx context.Context, c *api.Client, args []string) (groups []api.Group, pools []api.Pool, err error) {
	if len(args) == 0 {
		if groups, err = c.Groups(ctx); err == nil {
			pools, err = c.Pools(ctx)
		}
		return groups, pools, err
	}
	g, err := c.Group(ctx, args[0])
	if err == nil {
		return []api.Group{g}, nil, nil
	}
	if unknown := new(api.UnknownGroup); errors.As(err, &unknown) {
		all, _ := c.Pools(ctx)
		for _, p := range all {
			if p.Name == args[0] {
				return nil, []api.Pool{p}, nil
			}
		}
	}
	return nil, nil, err
}

// fit says whether there is anything at all, no group that is not armed, and no
// pool of which nobody is left.
func fit(groups []api.Group, pools []api.Pool) bool {
	for _, g := range groups {
		if !g.Armed {
			return false
		}
	}
	for _, p := range pools {
		if !p.Available() {
			return false
		}
	}
	return len(groups)+len(pools) > 0
}

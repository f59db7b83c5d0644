package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/understudy-ha/understudy/internal/api"
)

func newWhy(s *session) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "why [GROUP]",
		Short: "Show the row of the rule in force, its evidence, and what would change it",
		Long: `Show the row of the truth table (docs/explanation/the-rule.md) that decides a
group now, what was read of every node, the hold, the policy and the numbers,
and what a person can do about it. With --json: all that, with the last
readings of every node.`,
	}
	a := s.asks(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		g, err := a.group(cmd.Context(), c, args)
		if err != nil {
			return err
		}
		if !asJSON {
			fmt.Fprint(s.out, api.Why(g, s.paint()))
			return nil
		}
		o, err := c.Opinion(cmd.Context(), g.Name)
		if err != nil {
			return err
		}
		return s.printJSON(o)
	}
	return cmd
}

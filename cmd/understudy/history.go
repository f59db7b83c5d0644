package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/understudy-ha/understudy/internal/api"
)

func newHistory(s *session) *cobra.Command {
	var asJSON bool
	var limit int
	cmd := &cobra.Command{
		Use:   "history [GROUP]",
		Short: "Show every change of a group with its evidence, actor and reason",
		Long:  "Show the newest changes of a group's traffic, the oldest of them first.",
	}
	a := s.asks(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().IntVarP(&limit, "limit", "n", 50, "how many changes, at most 1000")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		g, err := a.group(cmd.Context(), c, args)
		if err != nil {
			return err
		}
		changes, err := c.History(cmd.Context(), g.Name, limit)
		switch {
		case err != nil:
			return err
		case asJSON:
			return s.printJSON(api.HistoryList{Schema: api.Schema, Group: g.Name, History: changes})
		}
		for _, change := range changes {
			fmt.Fprintln(s.out, api.HistoryLine(change))
		}
		return nil
	}
	return cmd
}

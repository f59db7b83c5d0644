package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/understudy-ha/understudy/internal/api"
)

// deed is a command that changes a group: one of api.Verbs.
type deed struct {
	cmd    *cobra.Command
	body   api.Body
	forced bool                       // the verb takes --force
	check  func(*cobra.Command) error // names what is missing before anybody is asked; may be nil
}

// does gives the deed the flags that all of them have, and its run: read the
// group first, send its epoch along, so that a change in between is noticed.
func (s *session) does(d *deed) *cobra.Command {
	var asJSON bool
	cmd, f := d.cmd, d.cmd.Flags()
	a := s.asks(cmd)
	f.StringVar(&d.body.Reason, "reason", "", "why, for the history (wanted)")
	f.BoolVar(&d.body.DryRun, "dry-run", false, "only say what would be")
	f.Uint64Var(&d.body.Epoch, "epoch", 0, "refuse if the group's epoch is not this (default: the one read just before)")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	if d.forced {
		f.BoolVar(&d.body.Force, "force", false, "override the guards; it is recorded")
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if d.body.Reason == "" {
			return misuse(cmd, "no reason was given; the history keeps it: --reason TEXT")
		}
		if d.check != nil {
			if err := d.check(cmd); err != nil {
				return err
			}
		}
		c, err := a.client()
		if err != nil {
			return err
		}
		g, err := a.group(cmd.Context(), c, args)
		if err != nil {
			return err
		}
		if d.body.Actor = s.actor(); !cmd.Flags().Changed("epoch") {
			d.body.Epoch = g.Epoch
		}
		outcome, err := c.Act(cmd.Context(), g.Name, cmd.Name(), d.body)
		switch {
		case err != nil:
			return err
		case asJSON:
			return s.printJSON(outcome)
		}
		fmt.Fprintln(s.out, api.Done(outcome))
		return nil
	}
	return cmd
}

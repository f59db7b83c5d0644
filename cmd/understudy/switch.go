package main

import "github.com/spf13/cobra"

func newSwitch(s *session) *cobra.Command {
	d := &deed{forced: true, cmd: &cobra.Command{
		Use:   "switch [GROUP] --to NODE --reason TEXT",
		Short: "Send traffic to a named node",
		Long: `Send traffic to the named node of a group, under the same guards as resume. With
--force it is also the way out of unknown: only a person can say which node has
the current data.`,
		Example: `  understudy switch mdm --to dr1 --reason "site A loses power at 22:00"`,
	}}
	d.cmd.Flags().StringVar(&d.body.To, "to", "", "the node (wanted)")
	d.check = func(cmd *cobra.Command) error {
		if d.body.To == "" {
			return misuse(cmd, "no node was named: --to NODE")
		}
		return nil
	}
	return s.does(d)
}

package main

import "github.com/spf13/cobra"

func newRelease(s *session) *cobra.Command {
	return s.does(&deed{cmd: &cobra.Command{
		Use:     "release [GROUP] --reason TEXT",
		Short:   "End a hold, whoever made it",
		Long:    "End the hold of a group. From then on the rule decides again, at once if the serving node is down.",
		Example: `  understudy release mdm --reason "upgrade done and validated"`,
	}})
}

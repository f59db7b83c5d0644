package main

import "github.com/spf13/cobra"

func newResume(s *session) *cobra.Command {
	return s.does(&deed{forced: true, cmd: &cobra.Command{
		Use:   "resume [GROUP] --reason TEXT",
		Short: "Send traffic back to the first in order",
		Long: `Send traffic back to the first node in order. Nothing but this does so: after a
failover traffic stays where it is (Manual Resume = Yes).

It is refused, with the fact, unless the group is not held, the first in order
was read available often enough, and it is the only Active node (or stands by
while the serving node is down).`,
		Example: `  understudy resume mdm --reason "core1 repaired and synced"`,
	}})
}

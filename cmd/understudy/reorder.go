package main

import "github.com/spf13/cobra"

func newReorder(s *session) *cobra.Command {
	d := &deed{cmd: &cobra.Command{
		Use:   "reorder [GROUP] --order NODE,NODE,… --reason TEXT",
		Short: "Change the order of succession after the nodes have swapped their roles",
		Long: `Change who is Primary, Secondary and so on from now on, so that every node is
asked for the right page. Traffic stays where it is. The stored order wins over
the configured one as long as the nodes are the same.`,
		Example: `  understudy reorder mdm --order core2,core1,dr1 --reason "core2 stays Primary"`,
	}}
	d.cmd.Flags().StringSliceVar(&d.body.Order, "order", nil, "every node, in the new order (wanted)")
	d.check = func(cmd *cobra.Command) error {
		if len(d.body.Order) == 0 {
			return misuse(cmd, "no order was given: --order NODE,NODE,…")
		}
		return nil
	}
	return s.does(d)
}

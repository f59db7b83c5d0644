package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
)

func (n *nodeAsker) services() *cobra.Command {
	group := shows(n, "services", "Show what is copied, and enable or disable what is optional", "services", func(all []nodeapi.Service) string {
		if len(all) == 0 {
			return "node.yaml has no datasets: nothing is copied.\n"
		}
		var b strings.Builder
		for _, s := range all {
			fmt.Fprintf(&b, "%-20s%-12s%-10s%s\n", s.Name, s.Type, able(s.Enabled), map[bool]string{true: "optional", false: ""}[s.Optional])
		}
		return b.String()
	})
	group.AddCommand(n.service("enable", true), n.service("disable", false))
	return group
}

func (n *nodeAsker) service(use string, on bool) *cobra.Command {
	var reason string
	cmd := command(use+" NAME", use+" an optional dataset", `It counts from the next sync on, and has to be the same on both nodes: what only
one of them has enabled is skipped (Core guide, Atlas configuration).`, cobra.ExactArgs(1), nil)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		a, err := n.client().SetServices(cmd.Context(), map[string]bool{args[0]: on}, reason, "")
		return judgeNode(n.tell(a, err, func(a nodeapi.Answer) string {
			return fmt.Sprintf("%s: %s on %s from the next sync on. Do the same on %s.", args[0], able(on), a.Status.Name, a.Status.Peer.Name)
		}))
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the log")
	return cmd
}

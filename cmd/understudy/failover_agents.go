package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
)

func (n *nodeAsker) agents() *cobra.Command {
	show := shows(n, "agents", "Show which node the agents reach", "agents", agentsText)
	show.Long = `Show how many agents reach this node and how many its peer, for how long more
than half have been here, and which agents are known. With Client majority more
than half elect the Secondary.`
	show.AddCommand(command("drop AGENT", "Forget an agent that is no more", `Forget an agent. One that is only silent is counted, and elects nobody.`, exactly("AGENT"),
		func(cmd *cobra.Command, args []string) error {
			if err := n.client().DropAgent(cmd.Context(), args[0]); err != nil {
				return err
			}
			fmt.Fprintf(n.session.out, "Agent %s is not counted any more.\n", args[0])
			return nil
		}))
	return show
}

func agentsText(a nodeapi.Agents) string {
	if a.Known == 0 {
		return fmt.Sprintf("Agents elect nobody here (Client majority), %d are known.\n", len(a.Names))
	}
	return fmt.Sprintf("%d agents are known: %d here, %d with the peer, %d silent. More than half have been here for %s.\n%s\n",
		a.Known, a.Here, a.Peer, a.Silent, a.Majority, strings.Join(a.Names, " "))
}

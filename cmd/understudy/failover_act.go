package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/internal/ha"
)

func join(words []string) string { return strings.Join(words, ", ") }

// wait is how a command waits for a node to arrive where it was sent.
type wait struct {
	reason string
	most   time.Duration
	yes    bool
}

func (n *nodeAsker) mode() *cobra.Command {
	var w wait
	cmd := command("mode primary|secondary", "Make this server Active, or the stand-by", `Change what this server does (EPMM guide, Table 5).

primary: the same as an automatic failover. It is not limited by any other
command or state and may be given again. The peer is asked to step down first;
one that cannot be reached may serve on, and then both are Active.

secondary: this server stands by. The replication schedule is not started again.

While High Availability is disabled both only set the Mode that is shown.`, oneOf("primary", "secondary"), nil)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return judgeNode(n.goTo(cmd.Context(), args[0], w))
	}
	f := cmd.Flags()
	f.StringVar(&w.reason, "reason", "", "why, for the history")
	f.DurationVar(&w.most, "wait", 5*time.Minute, "how long to wait until it is so; 0s: not at all")
	f.BoolVar(&w.yes, "yes", false, "do not ask on a terminal")
	return cmd
}

// goTo sends the node to a mode and waits until it is there.
func (n *nodeAsker) goTo(ctx context.Context, role string, w wait) error {
	c, s := n.client(), n.session
	before, err := c.Status(ctx)
	if err != nil {
		return err
	}
	if err := n.warn(before, role, w.yes); err != nil {
		return err
	}
	a, err := c.Role(ctx, role, w.reason)
	switch {
	case err != nil:
		return err
	case !a.Status.Enabled:
		fmt.Fprintf(s.out, "High Availability is disabled: the Mode that is shown is %v now, and nothing else has changed.\n", a.Status.Shown)
		return nil
	case w.most == 0:
		fmt.Fprintf(s.out, "%s is on its way (%v).\n", a.Status.Name, a.Status.Phase)
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, w.most)
	defer cancel()
	return n.arrive(ctx, c, role, w.most)
}

// warn says what mode primary may cost, and asks once on a terminal.
func (n *nodeAsker) warn(d nodeapi.Status, role string, yes bool) error {
	if role != "primary" || !d.Enabled || d.State == ha.Active {
		return nil
	}
	s := n.session
	fmt.Fprintf(s.err, "What may be lost: %s.\n", d.Loss.Words(time.Now()))
	if up := d.Loss.GivenUp(); up != "" {
		fmt.Fprintf(s.err, "Given up: %s.\n", up)
	}
	switch {
	case d.Recovery && d.Peer.Heard:
		fmt.Fprintf(s.err, "%s is well: the main site may serve, and does not stop for this node. Stop it there first.\n", d.Peer.Name)
	case d.Profile == ha.Safe && !(d.Peer.Heard && d.Peer.Trusted):
		fmt.Fprintf(s.err, "%s cannot be asked to step down now. This node waits until nobody has the lease and never takes one that is held; a newer epoch ends the wait.\n", d.Peer.Name)
	case d.Peer.Heard && d.Peer.State == ha.Active && !d.Peer.Off && d.Peer.Trusted:
		fmt.Fprintf(s.err, "%s is Active. It is asked to step down first.\n", d.Peer.Name)
	case d.Peer.Heard && d.Peer.State == ha.Active && !d.Peer.Off:
		fmt.Fprintf(s.err, "%s is Active. It cannot be asked to step down, for the nodes do not trust one another yet; it stops by itself when it sees this node's higher epoch. Safer: failover mode secondary there first.\n", d.Peer.Name)
	case !d.Peer.Heard:
		fmt.Fprintf(s.err, "%s does not answer. If it runs behind a cut network, both are Active afterwards.\n", d.Peer.Name)
	}
	if yes || n.sure("Go on?") {
		return nil
	}
	return &failure{exitAborted, "failover: nothing was done", "you did not say yes", "", ""}
}

// sure asks a person at a terminal; where there is none, nobody is asked.
func (n *nodeAsker) sure(question string) bool {
	s := n.session
	if !s.terminal || !isTerminal(os.Stdin) {
		return true
	}
	fmt.Fprint(s.err, question+" [y/N] ")
	line, _ := bufio.NewReader(os.Stdin).ReadString('\n')
	a := strings.ToLower(strings.TrimSpace(line))
	return a == "y" || a == "yes"
}

// arrive tells the way of a node until it is where it was sent.
func (n *nodeAsker) arrive(ctx context.Context, c *nodeapi.Client, role string, most time.Duration) error {
	last := ha.Phase(0xff)
	raised := false // out of register-went-back, where it waits until the register has been raised
	for {
		d, err := c.Status(ctx)
		if err != nil && ctx.Err() == nil {
			return err
		}
		if d.Phase != last && d.Name != "" {
			last, raised = d.Phase, raised || d.Phase != ha.OutWentBack
			if n.session.terminal {
				fmt.Fprintf(n.session.err, "%s: %v\n", d.Name, d.Phase)
			}
		}
		switch {
		case role == "primary" && d.State == ha.Active:
			fmt.Fprintf(n.session.out, "%s is Active, epoch %d.\n", d.Name, d.Served)
			return nil
		case role == "secondary" && d.State == ha.Standby && (d.Phase == ha.InStandby || d.Phase == ha.InSuspect || d.Phase == ha.InHeld || d.Phase == ha.InDeciding):
			fmt.Fprintf(n.session.out, "%s is in Standby. The replication schedule was not started again.\n", d.Name)
			return nil
		case role == "primary" && (d.Phase == ha.InHeld || d.Phase >= ha.OutSuperseded && raised):
			return &failure{
				exitRolledBack, "failover: " + d.Name + " is not Active", "it went back to " + d.Phase.String(),
				"See why: failover history, and failover log --module HighAvailability", readFailover,
			}
		}
		select {
		case <-ctx.Done():
			return &failure{exitIncomplete, "failover: it is not so yet", fmt.Sprintf("after %v %s is in %v", most, d.Name, d.Phase), "Look again: failover status", readFailover}
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// tell says what came of what was asked.
func (n *nodeAsker) tell(a nodeapi.Answer, err error, say func(nodeapi.Answer) string) error {
	if err != nil {
		return err
	}
	fmt.Fprintln(n.session.out, say(a))
	return nil
}

func (n *nodeAsker) clientConnection() *cobra.Command {
	return command("client-connection enable|disable", "Let new clients in, or keep them out during maintenance", `disable prevents new device connections; those that are there live on. enable
allows them again (EPMM guide, Table 5). It outlives a restart.`,
		oneOf("enable", "disable"), func(cmd *cobra.Command, args []string) error {
			on := args[0] == "enable"
			a, err := n.client().ClientConnection(cmd.Context(), on, "")
			return n.tell(a, err, func(a nodeapi.Answer) string {
				return fmt.Sprintf("Client connection: %s. Clients connected now: %d.", a.Status.Door.Setting, a.Status.Door.Clients)
			})
		})
}

func (n *nodeAsker) ha() *cobra.Command {
	group := &cobra.Command{Use: "ha", Short: "Enable or disable High Availability"}
	var mode string
	enable := command("enable [--mode primary|secondary]", "High Availability: Enable", `Set High Availability to Enable (EPMM guide, Steps 2 and 3). The first time Mode
is needed: primary serves, secondary watches it and takes over. A secondary
begins with Node Status Passive.`, nothing, func(cmd *cobra.Command, _ []string) error {
		a, err := n.client().Enable(cmd.Context(), mode, "")
		return n.tell(a, err, func(a nodeapi.Answer) string {
			said := fmt.Sprintf("High Availability: Enable. Mode: %v.", a.Status.Mode)
			for _, w := range a.Status.Warnings {
				said += "\n" + w
			}
			return said
		})
	})
	enable.Flags().StringVar(&mode, "mode", "", "primary or secondary")
	disable := command("disable", "High Availability: Disable", `Set High Availability to Disable: no heartbeat, no schedule, nothing by itself.
What served serves on; what stood by keeps its door closed.`, nothing, func(cmd *cobra.Command, _ []string) error {
		a, err := n.client().Disable(cmd.Context(), "")
		return n.tell(a, err, func(a nodeapi.Answer) string {
			if a.Later {
				return "High Availability: Disable, as soon as it has arrived (" + a.Status.Phase.String() + ")."
			}
			return "High Availability: Disable."
		})
	})
	group.AddCommand(enable, disable)
	return group
}

func (n *nodeAsker) pause(use string, on bool) *cobra.Command {
	short, said := "Let things happen by themselves again", "Not paused: this node acts by itself again."
	if on {
		short, said = "Nothing by itself from now on", "Paused: nothing happens by itself on this node until failover unpause."
	}
	return command(use, short, "", nothing, func(cmd *cobra.Command, _ []string) error {
		a, err := n.client().Pause(cmd.Context(), on, "")
		return n.tell(a, err, func(nodeapi.Answer) string { return said })
	})
}

func (n *nodeAsker) notifyTest() *cobra.Command {
	return command("notify-test", "Send a test mail to the address of the notification settings", `Send a test mail, like the Test button (EPMM guide, Table 3, task 4). It goes out
at once, past the queue, and what the mail server says of it is told.`, nothing, func(cmd *cobra.Command, _ []string) error {
		to, err := n.client().NotifyTest(cmd.Context())
		if err != nil {
			return err
		}
		fmt.Fprintf(n.session.out, "The mail server has taken a test mail to %s.\n", to)
		return nil
	})
}

func (n *nodeAsker) resolve() *cobra.Command {
	var keep string
	w := wait{most: 5 * time.Minute, yes: true}
	cmd := command("resolve --keep NODE", "Both are Active: say on each of them which one stays", `After a cut network both nodes may be Active. Give the same command on both: the
named one begins a new epoch, the other one stands by.`, nothing, nil)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if keep == "" {
			return misuse(cmd, "no node was named: --keep NODE")
		}
		d, err := n.client().Status(cmd.Context())
		if err != nil {
			return judgeNode(err)
		}
		switch keep {
		case d.Name:
			return judgeNode(n.goTo(cmd.Context(), "primary", w))
		case d.Peer.Name:
			return judgeNode(n.goTo(cmd.Context(), "secondary", w))
		}
		return misuse(cmd, fmt.Sprintf("--keep NODE must be %s or %s", d.Name, d.Peer.Name))
	}
	cmd.Flags().StringVar(&keep, "keep", "", "the node that stays Active")
	cmd.Flags().StringVar(&w.reason, "reason", "", "why, for the history")
	return cmd
}

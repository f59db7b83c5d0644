package main

import (
	"context"
	"errors"
	"io/fs"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/internal/config"
)

const readFailover = "docs/reference/failover.md"

// The exit codes of commands that wait for a node.
const (
	exitPreflight  = 10
	exitRolledBack = 20
	exitIncomplete = 22
)

// newFailover gives the documented appliance command; it is also what the
// binary is when it is called failover (EPMM guide, Table 5).
func newFailover(s *session) *cobra.Command {
	n := &nodeAsker{session: s}
	root := &cobra.Command{
		Use:   "failover",
		Short: "Steer this server of the pair (the appliance's own command)",
		Long: `Steer this server of the pair: the commands of the appliance, verbatim, and
those that show what it does and why.

It asks the node of this machine by its socket: --socket, else $UNDERSTUDY_NODE,
else ` + config.NodeSocket + `.`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return misuse(cmd, err.Error()) })
	root.PersistentFlags().StringVar(&n.socket, "socket", "", "the node's socket (default $UNDERSTUDY_NODE, or "+config.NodeSocket+")")
	root.AddCommand(
		n.status(), n.mode(), n.sync(), n.clientConnection(), n.ha(), n.config(), n.services(), n.pause("pause", true), n.pause("unpause", false),
		n.resolve(), n.history(), n.syncHistory(), n.rollback(), n.diverged(), n.validate(), n.log(), n.fsm(), n.preflight(), n.notifyTest(), n.agents(), n.swap(), n.failback(),
		newTrustedHosts(s), newDeploySSHKey(s),
	)
	return root
}

// failover runs the binary by the name of the appliance's command.
func failover(ctx context.Context, s *session) error {
	root := newFailover(s)
	s.heads(root)
	root.SetArgs(s.args)
	root.SetOut(s.out)
	root.SetErr(s.err)
	return judgeNode(root.ExecuteContext(ctx))
}

// nodeAsker is what the commands have that ask a node.
type nodeAsker struct {
	session *session
	socket  string
}

func (n *nodeAsker) client() *nodeapi.Client {
	at := n.socket
	if at == "" {
		at = n.session.getenv("UNDERSTUDY_NODE")
	}
	if at == "" {
		at = config.NodeSocket
	}
	return nodeapi.New(at)
}

// command gives a command whose errors are told in four lines.
func command(use, short, long string, args cobra.PositionalArgs, run func(*cobra.Command, []string) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Long: long, Args: args,
		RunE: func(cmd *cobra.Command, args []string) error { return judgeNode(run(cmd, args)) },
	}
}

// judgeNode gives what kind of failure a node's answer is.
func judgeNode(err error) error {
	var unreachable *nodeapi.Unreachable
	var refused *nodeapi.Refused
	switch {
	case errors.As(err, &unreachable):
		do := "Start it (systemctl start understudy-node), or say where its socket is: --socket PATH"
		if errors.Is(err, fs.ErrPermission) {
			do = mayNot
		}
		return &failure{exitUnreachable, "failover: no answer from the node of this machine", unreachable.Error(), do, readFailover}
	case errors.As(err, &refused):
		f := &failure{exitRefused, "failover: refused", refused.Why, refused.Do, readFailover}
		if f.do == "" {
			f.do = "See how the node is: failover status"
		}
		switch refused.Code {
		case http.StatusBadRequest:
			f.code, f.what = exitUsage, "failover: nothing was done"
		case http.StatusServiceUnavailable:
			f.code = exitUnreachable
		}
		return f
	}
	return err
}

// oneOf takes one word of a few.
func oneOf(words ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		for _, w := range words {
			if len(args) == 1 && args[0] == w {
				return nil
			}
		}
		return misuse(cmd, "it takes one of: "+join(words))
	}
}

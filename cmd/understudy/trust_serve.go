package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/understudy-ha/understudy/internal/remote"
)

// newSSHServe gives the forced command of authorized_keys: sshd runs it for
// whatever a trusted node asks.
func newSSHServe(s *session) *cobra.Command {
	var peer, dir string
	cmd := &cobra.Command{
		Use:    "ssh-serve --peer NAME",
		Hidden: true, // sshd calls it, not people
		Short:  "Serve a trusted node over SSH: a test, a sync's session, or one dataset by rsync",
		Long: `Serve what a trusted node asks over SSH ($SSH_ORIGINAL_COMMAND): a test of the
connection, a session with the engine, or the sender side of rsync for one
declared dataset. Everything else
is refused in one line and entered in refused.log in the folder of trust. No
shell reads what the node asks.`,
		Args: nothing,
	}
	cmd.Flags().StringVar(&peer, "peer", "", "the trusted node whose key it was")
	cmd.Flags().StringVar(&dir, "trust", remote.Dir(remote.DefaultDataDir), "the folder trust in the node's data_dir")
	cmd.RunE = func(*cobra.Command, []string) error {
		served, err := remote.Serve(dir, peer, s.getenv("SSH_ORIGINAL_COMMAND"), s.out)
		switch {
		case err == nil && served.Socket != "":
			err = remote.Relay(served.Socket, peer, cmd.InOrStdin(), s.out)
		case err == nil && served.Argv != nil:
			err = served.Exec()
		}
		if err != nil {
			fmt.Fprintln(s.err, "understudy: refused:", oneLine(err))
			return quiet(exitRefused)
		}
		return nil
	}
	return cmd
}

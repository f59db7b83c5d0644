package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/understudy-ha/understudy/internal/remote"
)

const readTrust = "docs/reference/trust.md"

// mostPasted is the longest text that a person pastes.
const mostPasted = 64 << 10

// truster is what the commands have that keep the trusted hosts: they work on
// the files that the engine reads, whether it runs or not.
type truster struct {
	session       *session
	dir           string
	frontKey, own string // on a front: its key and its name
	adminKey      string // on a host that administers: its key
}

// newTrustedHosts gives the commands of Manage Trusted Hosts.
func newTrustedHosts(s *session) *cobra.Command {
	r := &truster{session: s}
	cmd := &cobra.Command{
		Use:   "trusted-hosts",
		Short: "Keep the hosts that this one trusts: nodes of the pair, and fronts",
		Long: `Keep the hosts that this one trusts (Manage Trusted Hosts).

By pairing string: invite on one node, add on the other. By hand: list --local
shows the Local Server SSH Key of each node; add HOST --ssh-key - takes it on
the other. Then test on both.

On the machine of a front, --front-key names the front's key; on a host that
steers the nodes from elsewhere, --admin-key names its key.`,
	}
	f := cmd.PersistentFlags()
	f.StringVar(&r.dir, "trust", remote.Dir(remote.DefaultDataDir), "the folder trust in the node's data_dir")
	f.StringVar(&r.frontKey, "front-key", "", "on a front's machine: its peer_key, made if it is missing")
	f.StringVar(&r.adminKey, "admin-key", "", "on a host that steers the nodes from elsewhere: its key, made if it is missing")
	f.StringVar(&r.own, "name", s.host, "with --front-key or --admin-key: what the nodes call this host")
	cmd.MarkFlagsMutuallyExclusive("front-key", "admin-key")
	cmd.AddCommand(r.invite(), r.add(), r.list(), r.remove(), r.test(), r.apply())
	return cmd
}

// newDeploySSHKey gives the command that exchanges SSH keys anew (Defender
// guide, Create the primary and secondary pair).
func newDeploySSHKey(s *session) *cobra.Command {
	r := &truster{session: s}
	cmd := &cobra.Command{
		Use: "deploy-ssh-key HOST", Short: "Send this node's SSH keys to a trusted node, and take its own",
		Long: `Send this node's SSH key, host keys and addresses to a trusted node, over the
connection that proves both, and take its own. Both nodes then let one another
in. Pairing by string does the same; this is for keys that have changed.`,
		Args: exactly("HOST"),
	}
	cmd.Flags().StringVar(&r.dir, "trust", remote.Dir(remote.DefaultDataDir), "the folder trust in the node's data_dir")
	cmd.RunE = r.with(func(cmd *cobra.Command, args []string, t *remote.Trust) error {
		h, err := t.Hosts.Get(args[0])
		if err != nil {
			return err
		}
		if err := t.Deploy(cmd.Context(), h, s.actor()); err != nil {
			return unreachableHost(h, err)
		}
		fmt.Fprintf(s.out, "%s and %s have the SSH keys of one another.\n", t.Name(), h.Name)
		return nil
	})
	return cmd
}

// with opens the trust for a command and tells its errors in four lines.
func (r *truster) with(do func(cmd *cobra.Command, args []string, t *remote.Trust) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		t, err := r.open()
		if err == nil {
			err = do(cmd, args, t)
		}
		return judgeTrust(err)
	}
}

func (r *truster) open() (*remote.Trust, error) {
	if r.frontKey != "" {
		return remote.OpenFront(r.frontKey, r.own)
	}
	if r.adminKey != "" {
		return remote.OpenAdmin(r.adminKey, r.own)
	}
	return remote.Open(r.dir)
}

// judgeTrust gives what kind of failure an error of trust is.
func judgeTrust(err error) error {
	var told *failure
	var q quiet
	var unknown *remote.Unknown
	var rest *remote.Unapplied
	what, do := "failover: nothing was done", "See: failover trusted-hosts --help"
	switch {
	case err == nil, errors.As(err, &told), errors.As(err, &q):
		return err
	case errors.Is(err, remote.ErrNoSite):
		return &failure{exitConfig, what, oneLine(err), "On a front's machine, name its key: --front-key FILE", readTrust}
	case errors.As(err, &rest):
		return &failure{exitIncomplete, "failover: the list of trusted hosts is changed, but SSH does not know it yet", oneLine(rest), "Put that right, then: failover trusted-hosts apply", readTrust}
	case errors.As(err, &unknown):
		return &failure{exitUsage, what, oneLine(err), "See whom this host trusts: failover trusted-hosts list", readTrust}
	case errors.Is(err, os.ErrPermission):
		return &failure{exitUsage, what, oneLine(err), "Run it with sudo, or as the user of the engine.", readTrust}
	}
	return &failure{exitRefused, what, oneLine(err), do, readTrust}
}

func unreachableHost(h remote.Host, err error) error {
	return &failure{exitUnreachable, "failover: " + h.Name + " was not reached", oneLine(err), "Test again when that is put right: failover trusted-hosts test " + h.Name, readTrust}
}

// oneLine gives an error's faults on one line.
func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

// pasted reads what a person pastes, of which one line is enough.
func (r *truster) pasted(cmd *cobra.Command, ask string) (string, error) {
	if in, ok := cmd.InOrStdin().(*os.File); ok && isTerminal(in) {
		fmt.Fprintln(r.session.err, ask)
	}
	var text strings.Builder
	one := make([]byte, 1)
	for text.Len() < mostPasted {
		n, err := cmd.InOrStdin().Read(one)
		if n > 0 && one[0] == '\n' && strings.TrimSpace(text.String()) != "" {
			break
		}
		text.Write(one[:n])
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", err
		}
	}
	return text.String(), nil
}

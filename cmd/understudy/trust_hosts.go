package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/understudy-ha/understudy/internal/remote"
)

func (r *truster) invite() *cobra.Command {
	var front, admin bool
	cmd := &cobra.Command{
		Use: "invite [--front|--admin]", Short: "Print a pairing string for one other host",
		Long: `Print a pairing string. It is a secret: whoever has it can become a trusted host,
once, within ten minutes, while this node's engine runs. On the other host:

  failover trusted-hosts add`,
		Args: nothing,
	}
	cmd.Flags().BoolVar(&front, "front", false, "for a front or sidecar: it may tell what it has decided, and nothing else")
	cmd.Flags().BoolVar(&admin, "admin", false, "for a host that steers the nodes from elsewhere: it may do what the failover command does")
	cmd.MarkFlagsMutuallyExclusive("front", "admin")
	cmd.RunE = r.with(func(_ *cobra.Command, _ []string, t *remote.Trust) error {
		role, add := remote.Node, "failover trusted-hosts add"
		switch {
		case front:
			role, add = remote.Front, "failover trusted-hosts add --front-key FILE --name NAME"
		case admin:
			role, add = remote.Admin, "failover trusted-hosts add --admin-key FILE --name NAME"
		}
		i, err := t.Invite(role, r.session.actor(), time.Now())
		if err != nil {
			return err
		}
		fmt.Fprintln(r.session.out, i)
		fmt.Fprintf(r.session.err, "It is a secret, good for one %s within ten minutes. There: %s\n", role, add)
		return nil
	})
	return cmd
}

func (r *truster) add() *cobra.Command {
	var key, as string
	cmd := &cobra.Command{
		Use: "add [HOST --ssh-key FILE]", Short: "Trust the host that a pairing string or an SSH key is of",
		Long: `Trust another host.

Without arguments it reads a pairing string from standard input, for on a
command line every user of this machine could read it. Both hosts then trust one
another.

With HOST (Hostname/IP) and --ssh-key it takes the other's Local Server SSH Key
from a file, or with - from standard input; do the same on the other host.`,
		Args: atMost("HOST"),
	}
	cmd.Flags().StringVar(&key, "ssh-key", "", "file with the other's Local Server SSH Key, - for standard input")
	cmd.Flags().StringVar(&as, "as", "", "name of a host whose key does not tell it (default HOST)")
	cmd.RunE = r.with(func(cmd *cobra.Command, args []string, t *remote.Trust) error {
		switch {
		case key == "" && len(args) == 1:
			return misuse(cmd, "--ssh-key is missing; a pairing string is not given as an argument, for other users could read it there: run it without one, and paste")
		case key == "":
			return r.join(cmd, t)
		case len(args) == 0:
			return misuse(cmd, "HOST is missing: the Hostname/IP at which the other is called")
		}
		return r.byHand(cmd, t, args[0], key, as)
	})
	return cmd
}

// join pairs by string.
func (r *truster) join(cmd *cobra.Command, t *remote.Trust) error {
	text, err := r.pasted(cmd, "Paste the pairing string, then press Enter:")
	if err != nil {
		return err
	}
	i, err := remote.ParseInvitation(text)
	if err != nil {
		return err
	}
	h, err := t.Join(cmd.Context(), i, r.session.actor())
	if err != nil {
		return err
	}
	fmt.Fprintf(r.session.out, "%s and %s trust one another.\nIts TLS key: %s\nNext: failover trusted-hosts test %s\n", t.Name(), h.Name, h.Pin, h.Name)
	return nil
}

// byHand adds a host by its Local Server SSH Key.
func (r *truster) byHand(cmd *cobra.Command, t *remote.Trust, host, file, as string) error {
	var text string
	var err error
	if file == "-" {
		text, err = r.pasted(cmd, "Paste the SSH Key, then press Enter:")
	} else {
		var raw []byte
		raw, err = os.ReadFile(file) // #nosec G304 -- the caller's own file
		text = string(raw)
	}
	if err != nil {
		return err
	}
	c, whole, err := remote.ParseLine(text)
	if err != nil {
		return err
	}
	if !whole {
		c = remote.Card{Name: host, Role: remote.Node, SSH: remote.CardSSH{Port: 22, User: "understudy", UserKey: c.SSH.UserKey}}
		if as != "" {
			c.Name = as
		}
	}
	c.Addresses = append([]string{host}, slices.DeleteFunc(c.Addresses, func(a string) bool { return a == host })...)
	if err := t.Add(c, r.session.actor(), time.Now()); err != nil {
		return err
	}
	fmt.Fprintf(r.session.out, "%s at %s is trusted.\n", c.Name, host)
	if !whole {
		fmt.Fprintf(r.session.err, "This key tells nothing but itself: %s may call this node, but this node can call neither its SSH nor its engine. For that, add it again with its whole Local Server SSH Key: failover trusted-hosts list --local, there.\n", c.Name)
		return nil
	}
	fmt.Fprintf(r.session.out, "Its TLS key: %s\nAdd this node there too, then on both: failover trusted-hosts test\n", c.Pin)
	return nil
}

// hostsJSON is the answer of list --json.
type hostsJSON struct {
	Version int           `json:"version"`
	Local   remote.Card   `json:"local"`
	Hosts   []remote.Host `json:"hosts"`
}

func (r *truster) list() *cobra.Command {
	var asJSON, local bool
	cmd := &cobra.Command{Use: "list", Short: "Show whom this host trusts", Args: nothing}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&local, "local", false, "print this node's own key, the Local Server SSH Key, and nothing else")
	cmd.RunE = r.with(func(_ *cobra.Command, _ []string, t *remote.Trust) error {
		hosts, err := t.Hosts.List()
		if err != nil {
			return err
		}
		switch {
		case asJSON:
			return r.session.printJSON(hostsJSON{1, t.Card(), append([]remote.Host{}, hosts...)})
		case local:
			return r.printLocal(t)
		}
		w := tabwriter.NewWriter(r.session.out, 0, 0, 2, ' ', 0)
		fmt.Fprintf(w, "%s\tthis host\t\t%s\n", t.Name(), t.Key.Pin)
		for _, h := range hosts {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\tadded %s by %s\n", h.Name, h.Role, strings.Join(h.Addresses, " "), h.Pin, h.At.Format("2006-01-02 15:04 UTC"), h.By)
		}
		return w.Flush()
	})
	return cmd
}

func (r *truster) printLocal(t *remote.Trust) error {
	c := t.Card()
	if c.Role != remote.Node {
		return fmt.Errorf("a %s has no SSH key; pair it by string", c.Role)
	}
	line, err := c.Line()
	if err != nil {
		return err
	}
	fmt.Fprintln(r.session.out, line)
	if len(c.SSH.HostKeys) == 0 {
		fmt.Fprintln(r.session.err, "This machine's SSH host keys cannot be read, so nobody can call it: install openssh-server, or name them in node.yaml.")
	}
	return nil
}

func (r *truster) remove() *cobra.Command {
	return &cobra.Command{
		Use: "remove HOST", Short: "Trust a host no longer, from now on", Args: exactly("HOST"),
		RunE: r.with(func(_ *cobra.Command, args []string, t *remote.Trust) error {
			h, err := t.Remove(args[0])
			if err != nil {
				return err
			}
			fmt.Fprintf(r.session.out, "%s is not trusted any more. Remove this host there too: failover trusted-hosts remove %s\n", h.Name, t.Name())
			return nil
		}),
	}
}

func (r *truster) test() *cobra.Command {
	return &cobra.Command{
		Use: "test [HOST]", Short: "Test the connection to a trusted host (Test Connection)",
		Long: `Test the connection to a trusted host, by TLS and by SSH, each with its pinned key.
HOST may be left out where only one node is trusted. Do it on both hosts: it
tests the way from here to there.`,
		Args: atMost("HOST"),
		RunE: r.with(func(cmd *cobra.Command, args []string, t *remote.Trust) error {
			h, err := oneHost(t, args)
			if err != nil {
				return err
			}
			if err := t.Test(cmd.Context(), h); err != nil {
				return &failure{exitUnreachable, "failover: the test of " + h.Name + " failed", oneLine(err), "Put that right and test again.", "docs/howto/trust.md"}
			}
			fmt.Fprintln(r.session.out, remote.TestOK)
			return nil
		}),
	}
}

// oneHost gives the host that the arguments name, or the only node.
func oneHost(t *remote.Trust, args []string) (remote.Host, error) {
	if len(args) == 1 {
		return t.Hosts.Get(args[0])
	}
	hosts, err := t.Hosts.List()
	if err != nil {
		return remote.Host{}, err
	}
	hosts = slices.DeleteFunc(hosts, func(h remote.Host) bool { return h.Role != remote.Node })
	if len(hosts) != 1 {
		return remote.Host{}, &failure{exitUsage, "failover: nothing was done", fmt.Sprintf("%d nodes are trusted, and none is named", len(hosts)), "Name one of: failover trusted-hosts list", readTrust}
	}
	return hosts[0], nil
}

func (r *truster) apply() *cobra.Command {
	return &cobra.Command{
		Use: "apply", Short: "Write what SSH reads: authorized_keys and known_hosts",
		Long: `Write our block of authorized_keys, and known_hosts, from the list of trusted
hosts; their names are looked up anew. add and remove do that too: this is for
files that somebody has changed, and for names that lead to other addresses.`,
		Args: nothing,
		RunE: r.with(func(_ *cobra.Command, _ []string, t *remote.Trust) error {
			if err := t.Apply(); err != nil {
				return err
			}
			hosts, err := t.Hosts.List()
			if err != nil {
				return err
			}
			fmt.Fprintf(r.session.out, "Applied: %d trusted hosts.\n", len(hosts))
			return nil
		}),
	}
}

package main

import (
	"context"
	"fmt"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"github.com/understudy-ha/understudy/internal/config"
	"github.com/understudy-ha/understudy/internal/register/member"
)

const (
	readRegister = "docs/reference/register.md"
	askFor       = 20 * time.Second // one thing of a cluster
)

func newRegister(s *session) *cobra.Command {
	var file string
	var alone bool
	cmd := &cobra.Command{
		Use:   "register --config FILE",
		Short: "Run a member of the etcd cluster that several hosts share as their register",
		Long: `Run a member of the etcd cluster in which fronts, sidecars and nodes on several
hosts keep one decision. Three members, each on a machine of its own, bear the
loss of one. It runs until it is told to end.

A member that is lost for good is replaced: remove it, add the new one, and
start that with "join: true" and an empty data_dir. Where more than half of the
members are lost for good, one that is left goes on with --alone; the others
are then added anew.`,
		Args: nothing,
	}
	cmd.PersistentFlags().StringVar(&file, "config", "", "the register.yaml")
	cmd.Flags().BoolVar(&alone, "alone", false, "go on with this member's data alone: the other members are lost for good")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := s.member(cmd, file)
		if err != nil {
			return err
		}
		c.Alone = alone
		return s.register(cmd.Context(), c)
	}
	cmd.AddCommand(
		s.newMembers(&file), s.newAdd(&file), s.newRemove(&file), s.newSnapshot(&file), newMigrate(s),
	)
	return cmd
}

// member reads a register.yaml.
func (s *session) member(cmd *cobra.Command, file string) (member.Config, error) {
	if file == "" {
		return member.Config{}, misuse(cmd, "--config FILE is missing")
	}
	return s.readMember(file, "nothing was done")
}

// readMember reads a register.yaml; what tells what was not done without it.
func (s *session) readMember(file, what string) (member.Config, error) {
	r, d, err := config.ReadRegister(file)
	if err != nil {
		return member.Config{}, &failure{exitConfig, "understudy: " + what, err.Error(), "Name a file that can be read.", readRegister}
	}
	c := memberOf(r)
	if len(d.Faults()) == 0 {
		d.Fault(faultsOf(c.Check()))
	}
	return c, s.faultyYAML(file, d, "no member runs by it")
}

// checkRegister checks a register.yaml.
func (s *session) checkRegister(path string) error {
	c, err := s.readMember(path, "nothing was checked")
	if err != nil {
		return err
	}
	for _, w := range c.Warnings() {
		fmt.Fprintf(s.err, "%s: warning: %s\n", path, w)
	}
	fmt.Fprintf(s.out, "%s: no fault\n", path)
	return nil
}

func memberOf(r *config.Register) member.Config {
	return member.Config{
		Name: r.Name, DataDir: r.DataDir, Peer: r.Peer, Client: r.Client, Members: r.Members, Join: r.Join,
		CA: r.CA, Cert: r.Cert, Key: r.Key, Tick: r.Heartbeat,
	}
}

// faultsOf gives joined errors as the faults of a file as a whole.
func faultsOf(err error) (f config.Faults) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			f.Add("", "%s", e)
		}
	} else if err != nil {
		f.Add("", "%s", err)
	}
	return f
}

// register runs a member until ctx ends.
func (s *session) register(ctx context.Context, c member.Config) error {
	log := s.logger()
	for _, w := range c.Warnings() {
		log.Warn(w)
	}
	m, err := member.Start(c, log)
	if err != nil {
		return &failure{exitUsage, "understudy: the register did not start", err.Error(), "Remove what stands in its way, then start it again.", readRegister}
	}
	defer m.Close()
	log.Info("the register starts", "name", c.Name, "peer", c.Peer, "client", c.Client, "members", len(c.Members))
	go func() {
		if m.Ready(ctx) == nil {
			log.Info("the register serves", "client", c.Client)
			_, _ = daemon.SdNotify(false, daemon.SdNotifyReady)
		}
	}()
	if err := m.Ended(ctx); err != nil {
		return &failure{exitUnreachable, "understudy: the register has ended by itself", err.Error(), "See who are members: understudy register members --config FILE", readRegister}
	}
	log.Info("the register ends")
	return nil
}

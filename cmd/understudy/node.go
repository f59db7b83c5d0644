package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	engine "github.com/understudy-ha/understudy/cmd/understudy/node"
	"github.com/understudy-ha/understudy/internal/config"
)

const readNode = "docs/reference/node.md"

func newNode(s *session) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "node --config FILE",
		Short: "Run one server of a pair: heartbeat, promotion, status pages",
		Long: `Run the engine of one server of the pair by its node.yaml: it serves the two
status pages, starts and stops the application, looks at its peer, and is
promoted when the peer has failed. It runs until it is told to end, and leaves
the application as it is then.

People talk to it with the failover command.`,
		Args: nothing,
	}
	cmd.Flags().StringVar(&file, "config", "", "the node.yaml")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if file == "" {
			return misuse(cmd, "--config FILE is missing")
		}
		return s.node(cmd.Context(), file)
	}
	return cmd
}

func (s *session) node(ctx context.Context, file string) error {
	running, err := engine.Open(file, s.logger())
	var faulty *engine.Faulty
	switch {
	case errors.As(err, &faulty):
		return s.notStarted(file, faulty.Remarks)
	case err != nil:
		return started("understudy: the node did not start", file, err, readNode)
	}
	if err := running.Run(ctx); err != nil {
		fmt.Fprintf(s.err, "understudy: the node has ended by itself: %v\n", err)
		return quiet(exitUsage)
	}
	return nil
}

// newNodeGuard gives the process that a node of profile safe has beside it where
// no service manager stops the application if the engine dies.
func newNodeGuard(s *session) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: engine.GuardCommand, Hidden: true, // the engine starts it, not people
		Short: "Stop the application if the engine dies or hangs",
		Args:  nothing,
	}
	cmd.Flags().StringVar(&file, "config", "", "the node.yaml")
	cmd.RunE = func(*cobra.Command, []string) error {
		if err := engine.Guard(file, os.Stdin, s.logger()); err != nil {
			fmt.Fprintln(s.err, "understudy: the supervisor of the application:", err)
			return quiet(exitUsage)
		}
		return nil
	}
	return cmd
}

// checkNode checks a node.yaml.
func (s *session) checkNode(path string) error {
	_, d, err := config.ReadNode(path)
	if err != nil {
		return &failure{exitConfig, "understudy: nothing was checked", err.Error(), "Name a file that can be read.", readNode}
	}
	if err := s.faultyYAML(path, d, "a running node keeps the configuration that it has"); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "%s: no fault\n", path)
	return nil
}

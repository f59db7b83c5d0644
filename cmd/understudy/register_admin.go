package main

import (
	"context"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/understudy-ha/understudy/internal/register/member"
)

// administer gives a command that asks a running cluster.
func (s *session) administer(cmd *cobra.Command, file *string, do func(ctx context.Context, a *member.Admin, args []string) error) *cobra.Command {
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := s.member(cmd, *file)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), askFor)
		defer cancel()
		a, err := member.OpenAdmin(c)
		if err == nil {
			defer a.Close()
			err = do(ctx, a, args)
		}
		if err != nil {
			return &failure{exitUnreachable, "understudy: nothing was done", err.Error(), "See who are members: understudy register members --config FILE", readRegister}
		}
		return nil
	}
	return cmd
}

func (s *session) newMembers(file *string) *cobra.Command {
	cmd := &cobra.Command{Use: "members", Short: "Show the members of the cluster", Args: nothing}
	return s.administer(cmd, file, func(ctx context.Context, a *member.Admin, _ []string) error {
		all, err := a.Members(ctx)
		if err != nil {
			return err
		}
		table := tabwriter.NewWriter(s.out, 0, 8, 2, ' ', 0)
		for _, m := range all {
			state := "follows, etcd " + m.Version
			switch {
			case m.Name == "":
				m.Name, state = "(not started)", "added and never started"
			case m.Version == "":
				state = "does not answer"
			case m.Leader:
				state = "leads, etcd " + m.Version
			}
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", m.Name, m.Peer, m.Client, state)
		}
		return table.Flush()
	})
}

func (s *session) newAdd(file *string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "add NAME PEER_URL",
		Short: "Tell the cluster of a new member, before it is started",
		Args:  exactly("NAME", "PEER_URL"),
	}
	return s.administer(cmd, file, func(ctx context.Context, a *member.Admin, args []string) error {
		if err := a.Add(ctx, args[0], args[1]); err != nil {
			return err
		}
		fmt.Fprintf(s.out, "The cluster waits for %s. Start it there with \"join: true\", an empty data_dir, and all members in its file.\n", args[0])
		return nil
	})
}

func (s *session) newRemove(file *string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "remove NAME",
		Short: "Take a member out of the cluster for good",
		Args:  exactly("NAME"),
	}
	return s.administer(cmd, file, func(ctx context.Context, a *member.Admin, args []string) error {
		if err := a.Remove(ctx, args[0]); err != nil {
			return err
		}
		fmt.Fprintf(s.out, "%s is no member any more. To take that machine in again, empty its data_dir and add it.\n", args[0])
		return nil
	})
}

func (s *session) newSnapshot(file *string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "snapshot FILE",
		Short: "Write a copy of all that the register holds",
		Args:  exactly("FILE"),
	}
	return s.administer(cmd, file, func(ctx context.Context, a *member.Admin, args []string) error {
		if err := a.Snapshot(ctx, args[0]); err != nil {
			return err
		}
		fmt.Fprintf(s.out, "%s is written.\n", args[0])
		return nil
	})
}

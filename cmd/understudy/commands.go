package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// commands gives every command of understudy, in the order of the manual. A
// new one is a line here and a file of its own.
func commands(s *session) []*cobra.Command {
	return []*cobra.Command{
		newStatus(s),
		newWhy(s),
		newResume(s),
		newSwitch(s),
		newReorder(s),
		newHold(s),
		newRelease(s),
		newHistory(s),
		newProbe(s),
		newCheck(s),
		newDemo(s),
		newCaddy(),
		newSidecar(s),
		newNode(s),
		newRegister(s),
		newFailover(s),
		newUpgrade(s),
		newSwitchover(s),
		newSSHServe(s),
		newNodeGuard(s),
		newOpenAPI(s),
		newVersion(s),
		newMan(s),
	}
}

// newRoot gives the whole command line. Errors are told by session.tell alone.
func newRoot(s *session) *cobra.Command {
	root := &cobra.Command{
		Use:   "understudy",
		Short: "Keep an active server and its stand-by reachable",
		Long: `Understudy sends clients to the right server of a pair, takes over only when
that is safe, and never goes back by itself.

Commands that ask a running front or sidecar find it by --api, which takes a
unix socket or a URL. Without it: $UNDERSTUDY_API, else the sidecar's socket,
else Caddy's admin endpoint on http://localhost:2019.

Exit codes: 0 done, 1 wrong use, 2 wrong configuration, 3 not reachable,
4 refused because it is not safe now, 23 broken off.`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return misuse(cmd, err.Error()) })
	root.AddCommand(commands(s)...)
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)
	root.SetOut(s.out) // completion keeps the one that there is
	root.InitDefaultCompletionCmd()
	s.heads(root)
	return root
}

// heads has every command that only leads to others say which there are.
func (s *session) heads(cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		s.heads(sub)
	}
	if !cmd.HasSubCommands() || cmd.Runnable() {
		return
	}
	cmd.Args = cobra.ArbitraryArgs
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return misuse(cmd, fmt.Sprintf("unknown command %q", args[0]))
		}
		cmd.SetOut(s.err)
		_ = cmd.Help()
		return quiet(exitUsage)
	}
}

// newCaddy is only what help shows: main hands the process to Caddy first.
func newCaddy() *cobra.Command {
	return &cobra.Command{
		Use:                "caddy",
		Short:              "Run the front: the whole Caddy command line with our modules in it",
		DisableFlagParsing: true,
		Run:                func(_ *cobra.Command, args []string) { runCaddy(args) },
	}
}

// atMostOneGroup takes a group's name, or none where there is exactly one.
func atMostOneGroup(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		return misuse(cmd, "more than one group is named: "+args[1])
	}
	return nil
}

// atMost takes one argument, or none.
func atMost(name string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > 1 {
			return misuse(cmd, fmt.Sprintf("it takes one %s, and no more: %s", name, args[1]))
		}
		return nil
	}
}

// exactly takes the arguments that are named.
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != len(names) {
			return misuse(cmd, fmt.Sprintf("it takes %s; %d are given", strings.Join(names, " "), len(args)))
		}
		return nil
	}
}

// nothing takes no argument.
func nothing(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return misuse(cmd, "it takes no argument: "+args[0])
	}
	return nil
}
